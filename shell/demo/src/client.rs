//! A user: one streamed request to an entry gateway, timed to its first word.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rhumb_process::clock;
use tokio::net::TcpStream;

use rhumb_openai::stream::END;
use rhumb_scene::traffic::Arrival;

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// A whole answer.
    Answered {
        /// From sending to the first word, at the user's end of the gateway.
        first_word_ms: f64,
        /// The site that served it.
        site: String,
    },
    /// An error, a cut stream, or nothing in time.
    Failed,
}

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connections to one gateway, kept alive between requests.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<SendRequest<Whole>>>>,
}

/// A request body.
#[derive(Debug)]
pub(crate) struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, |b| b.len() as u64))
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Arc::default() }
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&self, arrival: &Arrival) -> Outcome {
        match tokio::time::timeout(PATIENCE, self.try_ask(arrival)).await {
            Ok(Some(outcome)) => outcome,
            _ => Outcome::Failed,
        }
    }

    async fn try_ask(&self, arrival: &Arrival) -> Option<Outcome> {
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-rhumb-location", format!("{},{}", arrival.user.latitude, arrival.user.longitude))
            .body(Whole(Some(body(arrival))))
            .ok()?;
        let mut sender = self.connection().await?;
        let sent = clock::now();
        let mut response = sender.send_request(request).await.ok()?;
        if response.status() != 200 {
            return None;
        }
        let site = response.headers().get("x-rhumb-site")?.to_str().ok()?.to_owned();
        let first_word_ms = read(response.body_mut(), sent).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Some(Outcome::Answered { first_word_ms, site })
    }

    async fn connection(&self) -> Option<SendRequest<Whole>> {
        loop {
            let standing = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut sender) = standing else { break };
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        #[expect(clippy::disallowed_methods, reason = "a connection ends with its requests")]
        tokio::spawn(async move {
            // Its end shows in the request that used it.
            let _ = connection.await;
        });
        Some(sender)
    }
}

/// Reads a stream of events to its end; `None` unless it brought words and ended as it should.
async fn read(body: &mut Incoming, sent: Instant) -> Option<f64> {
    let (mut first_word_ms, mut tail) = (None, Tail::default());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if first_word_ms.is_none() && has_word(&data) {
            first_word_ms = Some(clock::since(sent).as_secs_f64() * 1e3);
        }
        tail.push(&data);
    }
    first_word_ms.filter(|_| tail.is_done())
}

/// A piece of a stream holds a delta with text in it.
fn has_word(data: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"content\":\"";
    memchr::memmem::find_iter(data, FIELD).any(|at| data.get(at + FIELD.len()).is_some_and(|b| *b != b'"'))
}

/// The end of a stream, where it says that it is whole.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, data: &[u8]) {
        let keep = END.len();
        self.0.extend_from_slice(&data[data.len().saturating_sub(keep)..]);
        let surplus = self.0.len().saturating_sub(keep);
        self.0.drain(..surplus);
    }

    fn is_done(&self) -> bool {
        self.0.ends_with(END)
    }
}

/// Bytes of a prompt that an engine counts as one token.
const BYTES_PER_TOKEN: usize = 4;

/// The JSON of a request: a prompt of the right length that begins like no other, and, for the emulated engines only,
/// how long the answer will be. Nothing that a router reads tells it.
fn body(arrival: &Arrival) -> Bytes {
    let mut text = format!("[[answer {} tokens]] {:016x}", arrival.output_tokens, arrival.nonce);
    let length = (arrival.input_tokens as usize * BYTES_PER_TOKEN).max(text.len());
    let mut word = arrival.nonce;
    while text.len() < length {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        text.push(' ');
        for shift in [32, 40, 48] {
            text.push(char::from(b'a' + ((word >> shift) % 26) as u8));
        }
    }
    text.truncate(length);
    let start = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":""#;
    [start, &text, "\"}]}"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_grid::config::Location;

    fn arrival(input_tokens: u32) -> Arrival {
        let user = Location { latitude: 0.0, longitude: 0.0 };
        Arrival { at_ms: 0.0, input_tokens, output_tokens: 211, user, nonce: 5 }
    }

    #[test]
    fn a_prompt_is_as_long_as_the_trace_says() {
        let value: serde_json::Value = serde_json::from_slice(&body(&arrival(500))).unwrap();
        let text = value["messages"][0]["content"].as_str().unwrap();
        assert_eq!(text.len(), 2_000);
        assert!(text.starts_with("[[answer 211 tokens]] 0000000000000005 "));
        assert!(value.get("max_tokens").is_none());
    }

    #[test]
    fn words_and_ends_are_told_from_lifecycle() {
        assert!(!has_word(br#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#));
        assert!(has_word(br#"{"content":""} {"content":"a"}"#));
        let mut tail = Tail::default();
        tail.push(b"data: {}\n\ndata: [DO");
        assert!(!tail.is_done());
        tail.push(b"NE]\n\n");
        assert!(tail.is_done());
        tail.push(b"data: more");
        assert!(!tail.is_done());
    }
}
