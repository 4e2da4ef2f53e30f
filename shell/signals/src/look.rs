//! What an endpoint says of itself, before it is configured.

use std::time::Duration;

use bytes::Bytes;
use rhumb_grid::config::{Dialect, EngineKind};
use rhumb_openai::models::{Described, described};
use rhumb_process::clock;
use rhumb_upstream::{Conn, Error, Origin, Request};
use serde_json::Value;

use crate::adapter::engine_of;

/// An endpoint as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// The engine; [`EngineKind::Generic`] where nothing tells.
    pub engine: EngineKind,
    /// It prints metrics that are known, so that its load can be read.
    pub has_metrics: bool,
    /// The dialects that it answers in.
    pub dialects: Vec<Dialect>,
    /// Its models.
    pub models: Vec<Described>,
    /// The shortest of a few round trips on a standing connection, milliseconds.
    pub rtt_ms: f64,
}

/// Why nothing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Nothing answers there as an HTTP server does.
    #[error("nothing answers there: {0}")]
    Unreachable(#[from] Error),
    /// It did not answer in time.
    #[error("it does not answer within {} s", TIMEOUT.as_secs())]
    Slow,
    /// It wants a key, or another one.
    #[error("it answers HTTP status {0}: it wants an API key, or another one")]
    Refused(u16),
    /// It lists no models.
    #[error("it answers GET /v1/models with HTTP status {0} and no list of models")]
    NoModels(u16),
}

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest page read of an endpoint that is not known yet.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Round trips of which the shortest counts.
const ROUND_TRIPS: usize = 3;

/// Looks at what answers under this address. `headers` are lines that every request carries, a key for example.
///
/// # Errors
/// Nothing there lists models.
pub async fn look(origin: &Origin, headers: &str) -> Result<Looked, LookError> {
    let (status, list, _) = get(origin, headers, "/v1/models").await?;
    if matches!(status, 401 | 403) {
        return Err(LookError::Refused(status));
    }
    let models = if status == 200 { described(&list) } else { None };
    let mut models = models.ok_or(LookError::NoModels(status))?;
    let page = page(origin, headers, "/metrics").await.and_then(|page| String::from_utf8(page).ok());
    let known = page.as_deref().and_then(engine_of);
    // llama.cpp prints no metrics unless it is told to, and says there what fits.
    let props: Option<Value> =
        page_of_llama_cpp(origin, headers, known).await.and_then(|p| serde_json::from_slice(&p).ok());
    let context = props.as_ref().and_then(|p| p["default_generation_settings"]["n_ctx"].as_u64());
    let context = context.and_then(|tokens| u32::try_from(tokens).ok());
    if context.is_some() {
        models.iter_mut().for_each(|model| model.context_tokens = context);
    }
    let mut rtt_ms = f64::INFINITY;
    for _ in 0..ROUND_TRIPS {
        let (_, _, took) = get(origin, headers, "/v1/models").await?;
        rtt_ms = rtt_ms.min(took.as_secs_f64() * 1e3);
    }
    let engine = known.or(context.map(|_| EngineKind::LlamaCpp)).unwrap_or(EngineKind::Generic);
    let mut dialects = Vec::new();
    for (dialect, path) in DIALECTS {
        if answers(origin, headers, path).await {
            dialects.push(dialect);
        }
    }
    Ok(Looked { engine, has_metrics: known.is_some(), dialects, models, rtt_ms })
}

/// Each dialect with its path.
const DIALECTS: [(Dialect, &str); 3] = [
    (Dialect::Chat, "/v1/chat/completions"),
    (Dialect::Messages, "/v1/messages"),
    (Dialect::Responses, "/v1/responses"),
];

/// A path is served: an empty request to it is refused for what it lacks, and not for where it went.
async fn answers(origin: &Origin, headers: &str, path: &str) -> bool {
    let asked = Request {
        method: "POST",
        path,
        headers: &format!("{headers}content-type: application/json\r\n"),
        body: &EMPTY,
    };
    let is_json = |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|said| said.is_object());
    // llama.cpp calls it its own failure when a request lacks what it needs.
    ask(origin, asked).await.is_ok_and(|(status, body, _)| matches!(status, 400 | 422 | 500) && is_json(&body))
}

static EMPTY: [Bytes; 1] = [Bytes::from_static(b"{}")];

async fn page_of_llama_cpp(origin: &Origin, headers: &str, known: Option<EngineKind>) -> Option<Vec<u8>> {
    if known.is_none_or(|engine| engine == EngineKind::LlamaCpp) { page(origin, headers, "/props").await } else { None }
}

/// A page that may not be there.
async fn page(origin: &Origin, headers: &str, path: &str) -> Option<Vec<u8>> {
    get(origin, headers, path).await.ok().filter(|(status, ..)| *status == 200).map(|(_, body, _)| body)
}

/// Status, body, and the time from the request to the head of its answer.
async fn get(origin: &Origin, headers: &str, path: &str) -> Result<(u16, Vec<u8>, Duration), LookError> {
    ask(origin, Request { method: "GET", path, headers, body: &[] }).await
}

async fn ask(origin: &Origin, request: Request<'_>) -> Result<(u16, Vec<u8>, Duration), LookError> {
    let asking = async {
        let conn = Conn::connect(origin, TIMEOUT).await?;
        let start = clock::now();
        let mut response = conn.send(origin, request).await?;
        let took = clock::since(start);
        let body = response.collect(PAGE_BYTES_MAX).await?;
        Ok::<_, Error>((response.head.status, body.to_vec(), took))
    };
    Ok(tokio::time::timeout(TIMEOUT, asking).await.map_err(|_| LookError::Slow)??)
}
