//! From the client's dialect to the endpoint's, and back. Where both speak the same, bytes pass as they are.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::HeaderValue;
use rhumb_anthropic::For;
use rhumb_api::ApiError;
use rhumb_conversation::{Conversation, Dropped, Event, Renamed};
use rhumb_grid::config::Dialect;
use rhumb_kept::Recalled;
use rhumb_openai::request::Api;
use rhumb_openai::{conversation, stream};
use rhumb_process::clock;
use rhumb_record::format_id;
use rhumb_sse::events;
use serde_json::{Map, Value};

use crate::dialect;
use crate::operation::Operation;
use crate::resource_limits::Held;

/// A request as endpoints get it.
pub(crate) struct Translated {
    pub(crate) api: Api,
    /// The body.
    pub(crate) body: Bytes,
    /// The agent's session that the client says it belongs to.
    pub(crate) session: Option<String>,
    /// What the endpoints' dialect cannot say, as the client is told.
    pub(crate) dropped: Option<HeaderValue>,
    asked: Asked,
    renamed: Renamed,
}

impl Translated {
    /// A body that goes on as it is.
    pub(crate) fn not_at_all(body: Bytes, api: Api) -> Self {
        Self { api, body, session: None, dropped: None, asked: Asked::AsItIs, renamed: Renamed::default() }
    }
}

/// What the answer to a request has to know of it.
enum Asked {
    AsItIs,
    Message { shows_thinking: bool },
    Response { id: Option<String>, custom: BTreeSet<String>, echo: Map<String, Value> },
}

/// Translates a body. What it takes counts as held beside the client's.
///
/// # Errors
/// It cannot be read, or says what no endpoint understands.
pub(crate) fn translate(
    operation: Operation,
    body: Bytes,
    recalled: Option<&Recalled>,
    held: &mut Held<'_>,
) -> Result<Translated, ApiError> {
    if operation.dialect() == Dialect::Chat {
        return Ok(Translated::not_at_all(body, operation.api()));
    }
    held.grow(body.len() + recalled.map_or(0, Recalled::bytes))?;
    if operation.dialect() == Dialect::Responses {
        let kept = recalled.map(|recalled| rhumb_responses::Kept {
            before: &recalled.history.items,
            store: recalled.wanted.store,
            background: recalled.wanted.background,
            conversation: recalled.wanted.conversation.as_deref(),
        });
        let request = rhumb_responses::read(&body, kept)?;
        let id = recalled.map(|recalled| recalled.id.clone());
        let session = recalled.and_then(|recalled| recalled.session().map(str::to_owned));
        let asked = Asked::Response { id, custom: request.custom, echo: request.echo };
        return Ok(translated(&request.conversation, request.dropped, session, asked));
    }
    let purpose = if operation == Operation::CountTokens { For::Count } else { For::Answer };
    let request = rhumb_anthropic::read(&body, purpose)?;
    let asked = Asked::Message { shows_thinking: request.shows_thinking };
    Ok(translated(&request.conversation, request.dropped, request.session, asked))
}

fn translated(said: &Conversation<'_>, mut dropped: Dropped, session: Option<String>, asked: Asked) -> Translated {
    let written = conversation::write(said);
    dropped.extend(written.dropped);
    let dropped = HeaderValue::try_from(dropped.header()).ok().filter(|_| !dropped.is_empty());
    Translated { api: Api::Chat, body: written.body.into(), session, dropped, asked, renamed: written.renamed }
}

/// How answers to a request are translated.
pub(crate) enum Reply {
    /// Not at all.
    AsItIs,
    /// To a message.
    Message(rhumb_anthropic::Reply),
    /// To a response.
    Response(Box<rhumb_responses::Reply>),
}

impl Reply {
    /// To the request with this id, for this model, with so many tokens of prompt as the gateway counts them.
    pub(crate) fn new(translated: Translated, id: u64, model: &str, prompt_tokens: f64) -> Self {
        let (id, model, prompt_tokens) = (format_id(id), model.to_owned(), prompt_tokens.ceil() as u64);
        let renamed = translated.renamed;
        match translated.asked {
            Asked::AsItIs => Self::AsItIs,
            Asked::Message { shows_thinking } => {
                let id = format!("msg_{id}");
                Self::Message(rhumb_anthropic::Reply { id, model, shows_thinking, prompt_tokens, renamed })
            }
            Asked::Response { id: own, custom, echo } => {
                let (id, created_at) = (own.unwrap_or_else(|| format!("resp_{id}")), clock::unix_ms() / 1_000);
                let reply = rhumb_responses::Reply { id, created_at, model, prompt_tokens, echo, custom, renamed };
                Self::Response(Box::new(reply))
            }
        }
    }

    /// A response on which work has not begun, as JSON.
    pub(crate) fn queued(&self) -> Option<String> {
        match self {
            Self::Response(reply) => Some(rhumb_responses::kept::queued(reply)),
            Self::AsItIs | Self::Message(_) => None,
        }
    }

    /// The events of a response for which nothing is generated.
    pub(crate) fn warmed_up(&self) -> Option<Bytes> {
        let Self::Response(reply) = self else { return None };
        let mut out = Vec::new();
        rhumb_responses::Stream::new((**reply).clone()).warmed_up(&mut out);
        Some(out.into())
    }

    /// When a response says that it was made, seconds since 1970.
    pub(crate) fn created_s(&self) -> u64 {
        match self {
            Self::Response(reply) => reply.created_at,
            Self::AsItIs | Self::Message(_) => 0,
        }
    }

    /// An answer in this dialect is translated.
    pub(crate) fn translates(&self, dialect: Dialect) -> bool {
        dialect == Dialect::Chat && !matches!(self, Self::AsItIs)
    }

    /// A whole answer, made of one in this dialect; `None` where it is none that can be read.
    pub(crate) fn whole(&self, dialect: Dialect, body: Bytes) -> Option<Bytes> {
        match self {
            Self::AsItIs => Some(body),
            _ if !self.translates(dialect) => Some(body),
            Self::Message(reply) => {
                let answer = conversation::answer(&body)?;
                Some(rhumb_anthropic::answer::message(reply, &answer).into())
            }
            Self::Response(reply) => {
                let answer = conversation::answer(&body)?;
                Some(rhumb_responses::response::response(reply, &answer).into())
            }
        }
    }

    /// For an answer that comes as a stream in this dialect.
    pub(crate) fn stream(&self, dialect: Dialect) -> Option<Box<Rewriter>> {
        match self {
            Self::AsItIs => None,
            _ if !self.translates(dialect) => None,
            Self::Message(reply) => Some(Box::new(Rewriter::Message(rhumb_anthropic::Stream::new(reply.clone())))),
            Self::Response(reply) => {
                Some(Box::new(Rewriter::Response(rhumb_responses::Stream::new((**reply).clone()))))
            }
        }
    }
}

/// Rewrites the events of a stream.
pub(crate) enum Rewriter {
    Message(rhumb_anthropic::Stream),
    Response(rhumb_responses::Stream),
}

impl Rewriter {
    /// What a run of whole events comes to.
    pub(crate) fn rewrite(&mut self, run: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(run.len());
        for event in events(run) {
            match event.data.as_deref() {
                None => self.heartbeat(event.raw, &mut out),
                Some(_) if stream::is_done(&event) => self.end(&mut out),
                Some(data) => conversation::events(data, |said| self.said(said, &mut out)),
            }
        }
        out.into()
    }

    fn said(&mut self, said: Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Message(stream) => stream.event(said, out),
            Self::Response(stream) => stream.event(said, out),
        }
    }

    /// A comment passes as it is where the dialect has no event for it.
    fn heartbeat(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Message(stream) => stream.ping(out),
            Self::Response(_) => out.extend_from_slice(raw),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Message(stream) => stream.end(out),
            Self::Response(stream) => stream.end(out),
        }
    }

    /// The end of a stream that broke off, of the request with this id.
    pub(crate) fn broken(&mut self, error: &ApiError, id: u64) -> Bytes {
        match self {
            Self::Message(_) => dialect::error_event(Dialect::Messages, error, id),
            Self::Response(stream) => {
                let mut out = Vec::new();
                stream.fail(error, &mut out);
                out.into()
            }
        }
    }
}
