//! Lines of a configuration for an endpoint that was looked at.

use std::fmt::Write as _;

use rhumb_grid::config::Dialect;
use rhumb_signals::Looked;

use super::engine;

/// An endpoint as it goes into the configuration.
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) api_key_env: Option<String>,
    pub(crate) api_key_header: Option<String>,
    pub(crate) looked: Looked,
}

/// Tokens of context where an endpoint does not say how many it has: what every engine in use can do.
const CONTEXT_TOKENS: u32 = 4_096;

impl Endpoint {
    /// Names of its models.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.looked.models.iter().map(|m| m.id.as_str())
    }

    /// The line with its dialects. What an engine understands of a dialect that is not its first varies, so whoever has the engine says
    /// whether it is spoken to in others than chat completions.
    fn dialects(&self) -> String {
        let spoken = &self.looked.dialects;
        let names: Vec<&str> = spoken.iter().copied().map(dialect).collect();
        let line = format!("dialects: [{}]", names.join(", "));
        match spoken[..] {
            [] | [Dialect::Chat] => String::new(),
            [Dialect::Chat, ..] => {
                format!("  # {line}   # it answers these as well; without this line they are translated\n")
            }
            _ => format!("  {line}\n"),
        }
    }

    /// Its entry under `endpoints`.
    pub(super) fn lines(&self, site: &str) -> String {
        let mut out =
            format!("- name: {}\n  site: {}\n  url: {}\n", quoted(&self.name), quoted(site), quoted(&self.url));
        let _ = writeln!(out, "  engine: {}", engine(self.looked.engine));
        if let Some(variable) = &self.api_key_env {
            let _ = writeln!(out, "  api_key: ${{{variable}}}");
        }
        if let Some(header) = &self.api_key_header {
            let _ = writeln!(out, "  api_key_header: {}", quoted(header));
        }
        out.push_str(&self.dialects());
        out.push_str("  # gpu: l40s             # its power and first speed come from it; `rhumb engine --list` prints the names\n");
        out.push_str("  # max_concurrency: 64   # what it runs at once, if you know it\n  models:\n");
        for model in &self.looked.models {
            let _ = writeln!(out, "    - model: {}", quoted(&model.id));
            match model.context_tokens {
                Some(tokens) => {
                    let _ = writeln!(out, "      context_tokens: {tokens}");
                }
                None => {
                    let _ =
                        writeln!(out, "      context_tokens: {CONTEXT_TOKENS}   # it does not say: put in what fits");
                }
            }
            if self.api_key_env.is_some() {
                out.push_str("      # price: { input_usd_per_mtok: 0.60, output_usd_per_mtok: 0.80 }   # if its tokens are sold\n");
            }
        }
        out
    }
}

/// A dialect as the configuration calls it.
fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "chat",
        Dialect::Messages => "messages",
        Dialect::Responses => "responses",
    }
}

/// Entries under `models`.
pub(super) fn models(names: &[&str]) -> String {
    names.iter().map(|name| format!("- name: {}\n", quoted(name))).collect()
}

/// A configuration for these endpoints alone, at one site; it listens elsewhere than by default if told so.
pub(crate) fn whole(endpoints: &[Endpoint], listen: Option<&str>) -> String {
    let mut names: Vec<&str> = endpoints.iter().flat_map(Endpoint::models).collect();
    names.sort_unstable();
    names.dedup();
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let listen = listen.unwrap_or("127.0.0.1:8080");
    let entries: String = endpoints.iter().map(|e| indented(&e.lines("here"))).collect();
    format!(
        "gateway:\n  listen: {listen}\n  admin_listen: 127.0.0.1:9080\n\noperators:\n  - name: me\n\nsites:\n  - name: here\n    \
         operator: me\n    country: ZZ     # put in where it stands: two capital letters, as DE\n    latitude: 0\n    \
         longitude: 0\n\nmodels:\n{}\nendpoints:\n{entries}",
        indented(&models(&names))
    )
}

/// A name for an endpoint from its address: host and port.
pub(super) fn name_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let name: String = authority.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    name.trim_matches('-').to_owned()
}

/// A text as YAML: plain where that means the same, else in quotes. What an endpoint says never stands for a variable of the
/// environment: `${` is written so that it means itself.
fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c))
        && !text.ends_with(':')
        && !["true", "false", "null"].iter().any(|word| text.eq_ignore_ascii_case(word));
    // JSON's strings are YAML's.
    if is_plain { text.to_owned() } else { serde_json::Value::from(text.replace("${", "$${")).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_fit_for_yaml() {
        assert_eq!(name_of("http://10.0.0.11:8000/v1"), "10-0-0-11-8000");
        assert_eq!(name_of("https://[::1]:9"), "1--9");
        for (text, want) in [
            ("org/model-7b", "org/model-7b"),
            ("http://h:80", "http://h:80"),
            ("7b", "\"7b\""),
            ("true", "\"true\""),
            ("a: b", "\"a: b\""),
            ("a#b", "\"a#b\""),
            ("${X}", "\"$${X}\""),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
