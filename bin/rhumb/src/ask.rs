//! Asking a running gateway's admin API.

use std::time::Duration;

use bytes::Bytes;
use rhumb_upstream::{Conn, Error, Origin, Request};

use rhumb_cli::exit::{self, Failure};

/// Longest answer, and the longest that it may take to come.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which gateway to ask.
#[derive(Clone, clap::Args)]
pub(crate) struct Admin {
    /// Admin API of the gateway to ask
    #[arg(long = "admin", value_name = "URL", default_value = "http://127.0.0.1:9080")]
    url: String,
}

/// The admin API takes nothing else, since pages of other sites cannot send it unasked.
const HEADERS: &str = "content-type: application/json\r\n";

impl Admin {
    /// Asks; an answer that is no success is a failure with the gateway's own words.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.url.contains('@') {
            let text = "`--admin` holds a user name or a password, and the admin API takes none: leave it out";
            return Err(Failure::new(exit::USAGE, text));
        }
        let origin = Origin::parse(&self.url).map_err(|e| Failure::new(exit::USAGE, e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Failure::new(1, e))?;
        let asking = async {
            let conn = Conn::connect(&origin, Duration::from_secs(5)).await?;
            let mut response = conn
                .send(&origin, Request { method, path, headers: HEADERS, body: &[Bytes::copy_from_slice(body)] })
                .await?;
            Ok::<_, Error>((response.head.status, response.collect(ANSWER_BYTES_MAX).await?))
        };
        let answered = runtime.block_on(async { tokio::time::timeout(ANSWER_TIMEOUT, asking).await });
        let answered = answered.map_err(|_| self.unreachable("it does not answer"))?;
        let (status, answer) = answered.map_err(|e| self.unreachable(&e.to_string()))?;
        if status == 200 {
            return Ok(answer.into());
        }
        let message = serde_json::from_slice::<serde_json::Value>(&answer)
            .ok()
            .and_then(|v| v["error"]["message"].as_str().map(str::to_owned))
            .unwrap_or_else(|| format!("HTTP status {status}"));
        Err(Failure::new(if status == 404 { exit::MISSING } else { exit::USAGE }, message))
    }

    /// Where it is asked.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Nothing that answers as a gateway does is there.
    pub(crate) fn unreachable(&self, why: &str) -> Failure {
        let text = format!(
            "cannot reach the admin API at `{}`: {why}\n\nhint: name it with `--admin URL`; `rhumb up` prints it",
            self.url
        );
        Failure::new(exit::UNREACHABLE, text)
    }
}
