//! From a request to its answer.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Ticket};
use crate::command::Command;
use crate::fault::{Cut, Fault};
use crate::openai::{self, ApiError, Generation, Kind};
use crate::prompt::Prompt;
use crate::stream::{Body, EventStream, Severed};
use crate::words::mix;
use crate::{Shared, metrics, unix_s};

/// Largest request body read.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Length of an embedding vector.
const EMBEDDING_DIMENSIONS: u64 = 64;
/// Header that fixes the length an answer would have without a limit.
const OUTPUT_TOKENS_HEADER: &str = "x-emulator-output-tokens";

/// How a request came in.
pub(crate) struct Arrival {
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: usize,
    pub(crate) half_rtt: Duration,
    pub(crate) reset_on_close: Arc<AtomicBool>,
}

/// What is posted to `/emulator/fault`.
#[derive(Debug, Deserialize)]
struct FaultRequest {
    fault: String,
    #[serde(default)]
    after_tokens: u32,
    /// Time after which the engine behaves again.
    for_ms: Option<u64>,
}

/// Answers one request, half a round trip after it came and half a round trip after it was ready.
pub(crate) async fn answer(arrival: Arrival, request: Request<Incoming>) -> Result<Response<Body>, Severed> {
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    arrival.travel().await;
    let path = parts.uri.path();
    let fault = arrival.shared.fault.get();
    if fault == Fault::Refuse {
        arrival.reset_on_close.store(true, Ordering::Relaxed);
        return Err(Severed);
    }
    if fault == Fault::Hang && !path.starts_with("/emulator/") {
        return std::future::pending().await;
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => return Ok(arrival.refuse(&error).await),
    };
    if parts.method == Method::POST {
        let inference = match path {
            "/v1/chat/completions" => Some(Inference::Text(Kind::Chat)),
            "/v1/completions" => Some(Inference::Text(Kind::Completion)),
            "/v1/embeddings" => Some(Inference::Embedding),
            _ => None,
        };
        if let Some(inference) = inference {
            return arrival.infer(inference, fault, &parts.headers, &body).await;
        }
    }
    let response = arrival.simple(&parts.method, path, &body);
    match response {
        Ok(response) => {
            arrival.travel().await;
            Ok(response)
        }
        Err(error) => Ok(arrival.refuse(&error).await),
    }
}

#[derive(Debug, Clone, Copy)]
enum Inference {
    Text(Kind),
    Embedding,
}

impl Arrival {
    /// Half a round trip.
    async fn travel(&self) {
        if !self.half_rtt.is_zero() {
            tokio::time::sleep(self.half_rtt).await;
        }
    }

    async fn refuse(&self, error: &ApiError) -> Response<Body> {
        self.shared.board().refused += 1;
        self.travel().await;
        json_response(error.status, &error.body())
    }

    async fn infer(
        &self,
        inference: Inference,
        fault: Fault,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response<Body>, Severed> {
        if let Fault::Http { status } = fault {
            let error = ApiError {
                status,
                kind: "server_error",
                code: None,
                param: None,
                message: "this engine was told to fail".to_owned(),
            };
            return Ok(self.refuse(&error).await);
        }
        let checked = match inference {
            Inference::Text(kind) => match output_tokens(headers) {
                Ok(tokens) => openai::generation(&self.shared, kind, body, tokens).map(Checked::Text),
                Err(error) => Err(error),
            },
            Inference::Embedding => openai::embedding(&self.shared, body).map(Checked::Embedding),
        };
        match checked {
            Err(error) => Ok(self.refuse(&error).await),
            Ok(Checked::Text(generations)) => self.generate(generations).await,
            Ok(Checked::Embedding(mut prompts)) => {
                let tokens = prompts.iter().map(|prompt| prompt.tokens).sum();
                // An embedding is a prefill and nothing after it.
                let submit = |prompt: &mut Prompt| self.submit(prompt.tokens, std::mem::take(&mut prompt.blocks), 1);
                let tickets: Vec<Ticket> = prompts.iter_mut().map(submit).collect();
                self.all(tickets).await?;
                let seeds: Vec<u64> = prompts.iter().map(|prompt| prompt.text_seed).collect();
                Ok(json_response(200, &embedding_body(&self.shared.config.model, tokens, &seeds)))
            }
        }
    }

    async fn generate(&self, mut generations: Vec<Generation>) -> Result<Response<Body>, Severed> {
        let submit = |generation: &mut Generation| {
            let blocks = std::mem::take(&mut generation.prompt.blocks);
            self.submit(generation.prompt.tokens, blocks, generation.output_tokens)
        };
        let tickets: Vec<Ticket> = generations.iter_mut().map(submit).collect();
        let created = unix_s();
        let config = &self.shared.config;
        let (first, kind) = (&generations[0], generations[0].kind);
        let id = format!("{}{:016x}", kind.id_prefix(), mix(mix(config.seed) ^ tickets[0].id));
        if first.stream {
            self.travel().await;
            let reset_on_close = Arc::clone(&self.reset_on_close);
            let stream = EventStream::new(tickets.into_iter().zip(generations), &id, created, &reset_on_close);
            let body = Body::Stream(Box::new(stream));
            return Ok(response(200, "text/event-stream; charset=utf-8", Some(&id), body));
        }
        let cached_tokens = self.all(tickets).await?;
        let body = openai::whole_answer(&id, created, &config.model, &generations, cached_tokens);
        let bytes = Bytes::from(body.to_string());
        Ok(response(200, "application/json", Some(&id), Body::Whole(Some(bytes))))
    }

    /// Waits for all of several answers: how many prompt tokens of theirs were cached.
    async fn all(&self, tickets: Vec<Ticket>) -> Result<u32, Severed> {
        let mut cached_tokens = 0;
        for ticket in tickets {
            cached_tokens += ticket.whole().await.map_err(|cut| self.sever(cut))?.cached_tokens;
        }
        Ok(cached_tokens)
    }

    /// Puts a request into the engine; its answer comes back over the link it came by, delayed there.
    fn submit(&self, prompt_tokens: u32, prompt_blocks: Vec<u64>, output_tokens: u32) -> Ticket {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let answer = Arc::new(Answer::default());
        let request = rhumb_engine::Request { id, prompt_blocks, prompt_tokens, output_tokens };
        self.shared.board().accepted += 1;
        let command = Command::Submit { request, link: self.link, answer: Arc::clone(&answer) };
        // A driver that is gone means the emulator stops, and this connection with it.
        let _ = self.shared.inbox.send(command);
        Ticket::new(id, answer, Arc::clone(&self.shared))
    }

    fn sever(&self, cut: Cut) -> Severed {
        if cut == Cut::Reset {
            self.reset_on_close.store(true, Ordering::Relaxed);
        }
        Severed
    }

    /// Everything that is not inference.
    fn simple(&self, method: &Method, path: &str, body: &[u8]) -> Result<Response<Body>, ApiError> {
        let shared = &self.shared;
        match (method, path) {
            (&Method::GET, "/health") => Ok(response(200, "text/plain", None, Body::Whole(None))),
            (&Method::GET, "/v1/models") => {
                let model = json!({
                    "id": shared.config.model,
                    "object": "model",
                    "created": shared.started_unix_s,
                    "owned_by": "rhumb",
                    "max_model_len": shared.config.context_tokens,
                });
                Ok(json_response(200, &json!({"object": "list", "data": [model]})))
            }
            (&Method::GET, "/metrics") => {
                let text = Bytes::from(metrics::exposition(shared));
                Ok(response(200, "text/plain; version=0.0.4; charset=utf-8", None, Body::Whole(Some(text))))
            }
            (&Method::GET, "/emulator/stats") => Ok(json_response(200, &self.stats())),
            (&Method::POST, "/emulator/fault") => {
                let request: FaultRequest = serde_json::from_slice(body)
                    .map_err(|error| ApiError::invalid("fault", format!("the body does not parse: {error}")))?;
                let fault = Fault::parse(&request.fault, request.after_tokens)
                    .map_err(|error| ApiError::invalid("fault", error.to_string()))?;
                shared.fault.set(fault, request.for_ms.map(Duration::from_millis));
                Ok(json_response(200, &self.stats()))
            }
            _ => Err(ApiError {
                status: 404,
                kind: "invalid_request_error",
                code: Some("unknown_url"),
                param: None,
                message: format!("unknown request URL: {method} {path}"),
            }),
        }
    }

    fn stats(&self) -> Value {
        let stats = self.shared.board().stats();
        json!({"name": self.shared.config.name, "fault": self.shared.fault.get(), "stats": stats})
    }
}

enum Checked {
    Text(Vec<Generation>),
    Embedding(Vec<Prompt>),
}

fn output_tokens(headers: &HeaderMap) -> Result<Option<u32>, ApiError> {
    let Some(value) = headers.get(OUTPUT_TOKENS_HEADER) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(tokens) if tokens > 0 => Ok(Some(tokens)),
        _ => {
            Err(ApiError::invalid(OUTPUT_TOKENS_HEADER, "give the length of the answer as a positive number of tokens"))
        }
    }
}

fn embedding_body(model: &str, prompt_tokens: u32, seeds: &[u64]) -> Value {
    let vectors = seeds.iter().enumerate().map(|(index, seed)| {
        let raw: Vec<f64> = (0..EMBEDDING_DIMENSIONS)
            .map(|dimension| (mix(seed ^ (dimension << 48)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0)
            .collect();
        let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit: Vec<f64> = raw.iter().map(|x| (x / norm * 1e6).round() / 1e6).collect();
        json!({"object": "embedding", "index": index, "embedding": unit})
    });
    json!({
        "object": "list",
        "data": vectors.collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    })
}

fn json_response(status: u16, body: &Value) -> Response<Body> {
    response(status, "application/json", None, Body::Whole(Some(Bytes::from(body.to_string()))))
}

fn response(status: u16, content_type: &'static str, request_id: Option<&str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Some(Ok(id)) = request_id.map(http::HeaderValue::from_str) {
        headers.insert("x-request-id", id);
    }
    response
}

/// The whole body of a request.
async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::as_mut(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| ApiError::invalid("body", format!("the body did not arrive: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > MAX_BODY_BYTES {
                let error = ApiError::invalid("body", format!("the body exceeds {MAX_BODY_BYTES} bytes"));
                return Err(ApiError { status: 413, ..error });
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}
