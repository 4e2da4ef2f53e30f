//! From the client's dialect to the endpoint's, and back. Where both speak the same, bytes pass as they are.

use bytes::Bytes;
use http::HeaderValue;
use rhumb_anthropic::request::{For, read};
use rhumb_api::ApiError;
use rhumb_conversation::Renamed;
use rhumb_openai::{conversation, stream};
use rhumb_record::format_id;
use rhumb_sse::events;

use crate::operation::{Dialect, Operation};
use crate::resource_limits::Held;

/// A request as endpoints get it.
pub(crate) struct Translated {
    /// The body.
    pub(crate) body: Bytes,
    /// The agent's session that the client says it belongs to.
    pub(crate) session: Option<String>,
    /// What the endpoints' dialect cannot say, as the client is told.
    pub(crate) dropped: Option<HeaderValue>,
    shows_thinking: bool,
    renamed: Renamed,
}

/// Translates a body. What it takes counts as held beside the client's.
///
/// # Errors
/// It cannot be read, or says what no endpoint understands.
pub(crate) fn translate(operation: Operation, body: Bytes, held: &mut Held<'_>) -> Result<Translated, ApiError> {
    let purpose = match operation {
        Operation::OpenAi(_) => {
            let (session, dropped, renamed) = (None, None, Renamed::default());
            return Ok(Translated { body, session, dropped, shows_thinking: false, renamed });
        }
        Operation::Messages => For::Answer,
        Operation::CountTokens => For::Count,
    };
    held.grow(body.len())?;
    let request = read(&body, purpose)?;
    let written = conversation::write(&request.conversation);
    let mut dropped = request.dropped;
    dropped.extend(written.dropped);
    Ok(Translated {
        body: written.body.into(),
        session: request.session,
        dropped: HeaderValue::try_from(dropped.header()).ok().filter(|_| !dropped.is_empty()),
        shows_thinking: request.shows_thinking,
        renamed: written.renamed,
    })
}

/// How answers to a request are translated.
pub(crate) enum Reply {
    /// Not at all.
    AsItIs,
    /// To a message.
    Message(rhumb_anthropic::Reply),
}

impl Reply {
    /// To the request with this id, for this model, with so many tokens of prompt as the gateway counts them.
    pub(crate) fn new(operation: Operation, translated: Translated, id: u64, model: &str, prompt_tokens: f64) -> Self {
        if operation.dialect() == Dialect::OpenAi {
            return Self::AsItIs;
        }
        Self::Message(rhumb_anthropic::Reply {
            id: format!("msg_{}", format_id(id)),
            model: model.to_owned(),
            shows_thinking: translated.shows_thinking,
            prompt_tokens: prompt_tokens.ceil() as u64,
            renamed: translated.renamed,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::AsItIs => Dialect::OpenAi,
            Self::Message(_) => Dialect::Anthropic,
        }
    }

    /// A whole answer; `None` where it is none that can be read.
    pub(crate) fn whole(&self, body: Bytes) -> Option<Bytes> {
        match self {
            Self::AsItIs => Some(body),
            Self::Message(reply) => {
                let answer = conversation::answer(&body)?;
                Some(rhumb_anthropic::answer::message(reply, &answer).into())
            }
        }
    }

    /// For an answer that comes as a stream.
    pub(crate) fn stream(&self) -> Option<Box<Rewriter>> {
        match self {
            Self::AsItIs => None,
            Self::Message(reply) => Some(Box::new(Rewriter(rhumb_anthropic::Stream::new(reply.clone())))),
        }
    }
}

/// Rewrites the events of a stream.
pub(crate) struct Rewriter(rhumb_anthropic::Stream);

impl Rewriter {
    /// What a run of whole events comes to.
    pub(crate) fn rewrite(&mut self, run: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(run.len());
        for event in events(run) {
            match event.data.as_deref() {
                // A heartbeat.
                None => self.0.ping(&mut out),
                Some(_) if stream::is_done(&event) => self.0.end(&mut out),
                Some(data) => conversation::events(data, |said| self.0.event(said, &mut out)),
            }
        }
        out.into()
    }
}
