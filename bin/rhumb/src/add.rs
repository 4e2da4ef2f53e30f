//! `rhumb add`: looks at an endpoint and writes its lines into the configuration.

mod insert;
mod lines;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;
use rhumb_config::Purpose;
use rhumb_grid::config::{Config, EngineKind};
use rhumb_signals::{Looked, look};
use rhumb_upstream::Origin;

use crate::load;

pub(crate) use self::lines::{Endpoint, whole};

/// Arguments of `rhumb add`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address of the endpoint, as `http://10.0.0.11:8000`; /v1 is added
    url: String,
    /// The configuration; it is made where there is none
    #[arg(short, long, default_value = "rhumb.yaml")]
    config: PathBuf,
    /// Site of the endpoint, one of the configuration's; default: its only one
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Name of the endpoint; default: from its address
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Environment variable that holds the endpoint's API key
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Header that carries the key alone, as `x-api-key`; default: `authorization: Bearer`
    #[arg(long, value_name = "HEADER", requires = "api_key_env")]
    api_key_header: Option<String>,
    /// Print the configuration that would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Looks at what answers under an address.
///
/// # Errors
/// The address is none, or nothing there lists models.
pub(crate) fn looked(url: &str, api_key: Option<&str>, header: Option<&str>) -> Result<Looked, Failure> {
    let origin = Origin::parse(url).map_err(|e| Failure::new(exit::USAGE, e))?;
    // Anthropic's API answers nobody who does not say which version.
    let mut headers = "anthropic-version: 2023-06-01\r\n".to_owned();
    if let Some(key) = api_key {
        let (name, scheme) = header.map_or(("authorization", "Bearer "), |name| (name, ""));
        headers.push_str(&format!("{name}: {scheme}{key}\r\n"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Failure::new(1, e))?;
    runtime.block_on(look(&origin, &headers)).map_err(|why| Failure::new(exit::UNREACHABLE, format!("`{url}`: {why}")))
}

pub(crate) fn run(args: &Args) -> Outcome {
    let key = match &args.api_key_env {
        None => None,
        Some(name) => {
            let missing = || Failure::new(exit::USAGE, format!("the environment variable `{name}` is not set"));
            Some(std::env::var(name).map_err(|_| missing())?)
        }
    };
    let looked = looked(&args.url, key.as_deref(), args.api_key_header.as_deref())?;
    let endpoint = Endpoint {
        name: args.name.clone().unwrap_or_else(|| lines::name_of(&args.url)),
        url: args.url.trim_end_matches('/').to_owned(),
        api_key_env: args.api_key_env.clone(),
        api_key_header: args.api_key_header.clone(),
        looked,
    };
    let (before, text) = if args.config.exists() {
        let before = load::text(&args.config).map_err(|e| Failure::new(exit::USAGE, e))?;
        let text = added(args, &before, &endpoint)?;
        (Some(before), text)
    } else {
        (None, whole(std::slice::from_ref(&endpoint), None))
    };
    // What is written can be used: the rules of the file are those of `rhumb check`.
    load::checked(&args.config, &text, Purpose::Inspect).map_err(|why| {
        let text = format!("the endpoint was looked at, and its lines do not fit the configuration:\n\n{why}");
        Failure::new(exit::FOUND, text)
    })?;
    if args.dry_run {
        out::print(text)?;
        return Ok(exit::DONE);
    }
    write(&args.config, &text)?;
    say(args, &endpoint, before.is_none())?;
    Ok(exit::DONE)
}

/// The text of a configuration with an endpoint added.
fn added(args: &Args, before: &str, endpoint: &Endpoint) -> Result<String, Failure> {
    let config = load::checked(&args.config, before, Purpose::Inspect)
        .map_err(|why| {
            Failure::new(exit::FOUND, format!("the configuration has to be right before it is added to:\n\n{why}"))
        })?
        .config;
    if config.endpoints.iter().any(|e| e.name == endpoint.name) {
        let text =
            format!("there is an endpoint `{}` already: give this one another name with `--name`", endpoint.name);
        return Err(Failure::new(exit::USAGE, text));
    }
    if let Some(same) = config.endpoints.iter().find(|e| e.url.trim_end_matches('/') == endpoint.url) {
        let text = format!("`{}` is in the configuration already, as endpoint `{}`", endpoint.url, same.name);
        return Err(Failure::new(exit::USAGE, text));
    }
    let site = site(args, &config)?;
    let known = |id: &str| config.models.iter().any(|m| m.name == id || m.aliases.iter().any(|a| a == id));
    let models: Vec<&str> = endpoint.models().filter(|id| !known(id)).collect();
    let text = if models.is_empty() {
        before.to_owned()
    } else {
        insert::under(before, "models", &lines::models(&models)).ok_or_else(|| not_a_list("models"))?
    };
    insert::under(&text, "endpoints", &endpoint.lines(&site)).ok_or_else(|| not_a_list("endpoints"))
}

fn not_a_list(key: &str) -> Failure {
    let text = format!("`{key}` is not written as a list with one entry to a line, so that nothing can be added to it");
    Failure::new(exit::USAGE, text)
}

/// The site that the endpoint is at.
fn site(args: &Args, config: &Config) -> Result<String, Failure> {
    let names = config.sites.iter().map(|s| format!("`{}`", s.name)).collect::<Vec<_>>().join(", ");
    match (&args.site, &config.sites[..]) {
        (Some(name), sites) if sites.iter().any(|s| s.name == *name) => Ok(name.clone()),
        (Some(name), _) => Err(Failure::new(exit::USAGE, format!("there is no site `{name}`: the sites are {names}"))),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(Failure::new(exit::USAGE, format!("name the endpoint's site with `--site`: {names}"))),
    }
}

/// Writes a file in one step: whoever reads it meanwhile finds what was before.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |why: std::io::Error| Failure::new(exit::USAGE, format!("cannot write `{}`: {why}", path.display()));
    // A link stays one: what it leads to is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = std::fs::File::create_new(&beside)?;
        if let Ok(before) = path.metadata() {
            file.set_permissions(before.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)
    };
    written().map_err(|why| {
        // If it was made, it is of no use.
        let _ = std::fs::remove_file(&beside);
        fail(why)
    })
}

/// How an engine is called.
pub(crate) fn engine(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Vllm => "vllm",
        EngineKind::Sglang => "sglang",
        EngineKind::LlamaCpp => "llama-cpp",
        EngineKind::Generic => "generic",
    }
}

fn say(args: &Args, endpoint: &Endpoint, is_new: bool) -> Result<(), Failure> {
    let Looked { engine: kind, has_metrics, rtt_ms, .. } = &endpoint.looked;
    let models = endpoint.models().collect::<Vec<_>>().join(", ");
    out::line(format_args!("found     {} at {}: {models}", engine(*kind), endpoint.url))?;
    out::line(format_args!("measured  round trip {rtt_ms:.1} ms"))?;
    if !has_metrics {
        out::line("metrics   none: its load is known from this gateway's own requests alone")?;
    }
    let what = if is_new { "made" } else { "added to" };
    out::line(format_args!("{what:<9} {}, as endpoint `{}`", args.config.display(), endpoint.name))?;
    let next = if is_new {
        "look at its site's place and country, then"
    } else {
        "a running gateway takes it by itself; else"
    };
    out::line(format_args!("next      {next} `rhumb up -c {}`", args.config.display()))
}
