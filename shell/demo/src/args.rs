//! The arguments of the demo, and what may be wrong with them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use rhumb_scene::atlas;
use rhumb_scene::scene::{Options, Scene, SceneError};

use crate::trace_file::{self, TraceFileError};
use crate::world::WorldError;

/// Arguments of `rhumb demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Length of the traffic; without it the demo runs until q or Ctrl-C
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Compare four routers on the same traffic and print one JSON object (needs --seconds)
    #[arg(long)]
    pub json: bool,
    /// Decides arrivals, users and prompts
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Mean rate of requests; default: half of what all engines can serve
    #[arg(long, value_name = "RATE")]
    pub rps: Option<f64>,
    /// Demand of the bursting region at its peak, over what its own site can serve
    #[arg(long, value_name = "FACTOR", default_value_t = 1.2)]
    pub burst: f64,
    /// Site that fails, and when; default: the busiest one (with --json: frankfurt), at half time (60 s in when there is no
    /// end)
    #[arg(long, value_name = "SITE@SECONDS")]
    pub fail: Option<String>,
    /// Trace to replay instead of the embedded one: CSV with arrival_s,input_tokens,output_tokens
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Address of the first gateway; default: 127.0.0.1:8080, with --json any free port
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the first gateway's admin API; default: 127.0.0.1:9080, or any free port where that is taken
    #[arg(long, value_name = "ADDR", conflicts_with = "json")]
    pub admin_listen: Option<SocketAddr>,
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A number outside its range.
    #[error("{option} is {value}: {right}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The value given.
        value: f64,
        /// What would be right.
        right: &'static str,
    },
    /// `--json` without an end.
    #[error("--json needs an end: add --seconds N, for example --seconds 60")]
    JsonWithoutEnd,
    /// The scene cannot be set.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The trace is wrong.
    #[error(transparent)]
    Trace(#[from] TraceFileError),
    /// An address of the first gateway is taken.
    #[error("cannot listen on `{address}` ({why}): free it, or choose another with {option} 127.0.0.1:PORT")]
    Listen {
        /// The option that names another.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// A world does not start.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The machine refuses something.
    #[error("cannot {what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: std::io::Error,
    },
}

impl DemoError {
    pub(crate) fn io(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |why| Self::Io { what, why }
    }
}

impl DemoArgs {
    /// Sets the scene. `period_s` is the time in which everything happens once.
    pub(crate) fn scene(&self, period_s: f64) -> Result<Scene, DemoError> {
        let rows = match &self.trace {
            Some(path) => trace_file::read(path)?,
            None => atlas::trace(),
        };
        let Self { rps, burst, seed, .. } = *self;
        Ok(Scene::new(Options { rows, rps, burst, fail: self.fail.as_deref(), seed, period_s })?)
    }

    pub(crate) fn check(&self) -> Result<(), DemoError> {
        let range = |option, value: Option<f64>, range: std::ops::RangeInclusive<f64>, right| match value {
            Some(value) if !range.contains(&value) => Err(DemoError::OutOfRange { option, value, right }),
            _ => Ok(()),
        };
        range("--seconds", self.seconds, 1.0..=86_400.0, "give 1 to 86400 seconds")?;
        range("--rps", self.rps, 0.1..=1_000.0, "give 0.1 to 1000 requests a second")?;
        range("--burst", Some(self.burst), 0.0..=10.0, "give a factor from 0 (no burst) to 10")?;
        if self.json && self.seconds.is_none() {
            return Err(DemoError::JsonWithoutEnd);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn error(args: &[&str]) -> String {
        run(Cli::try_parse_from([&["demo"], args].concat()).unwrap().demo).unwrap_err().to_string()
    }

    #[test]
    fn bad_arguments_end_with_a_sentence_that_helps() {
        assert_eq!(error(&["--json"]), "--json needs an end: add --seconds N, for example --seconds 60");
        assert_eq!(error(&["--seconds", "0"]), "--seconds is 0: give 1 to 86400 seconds");
        assert_eq!(error(&["--rps", "0"]), "--rps is 0: give 0.1 to 1000 requests a second");
        assert_eq!(error(&["--burst", "11"]), "--burst is 11: give a factor from 0 (no burst) to 10");
        assert!(error(&["--seconds", "5", "--json", "--fail", "x@1"]).contains("unknown site `x`"));
        assert!(error(&["--trace", "/does/not/exist"]).contains("cannot read the trace `/does/not/exist`"));
    }

    #[test]
    fn a_taken_address_names_the_way_out() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let text = error(&["--seconds", "5", "--json", "--listen", &address]);
        assert!(text.contains(&address) && text.contains("--listen 127.0.0.1:PORT"), "{text}");
        let text = error(&["--seconds", "5", "--listen", "127.0.0.1:0", "--admin-listen", &address]);
        assert!(text.contains(&address) && text.contains("--admin-listen 127.0.0.1:PORT"), "{text}");
    }
}
