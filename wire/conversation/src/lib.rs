//! A conversation, its answer and the events of a stream, in no dialect. A dialect reads its own bytes into these types or writes
//! them from these types, so that one dialect more costs one translator more, and not one for each dialect there is.
//!
//! Texts are borrowed from the bytes that they were read from where that is possible: a conversation may hold images.

mod answer;
mod dropped;
pub mod fields;
mod names;
mod turns;

use std::borrow::Cow;

pub use self::answer::{Answer, Event, Stop, Usage};
pub use self::dropped::Dropped;
pub use self::names::{Renamed, call_id};

/// Text, borrowed where it stands in the bytes as it is.
pub type Text<'a> = Cow<'a, str>;

/// What a client asks a model to go on with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation<'a> {
    /// The name of the model.
    pub model: Text<'a>,
    /// An event stream is wanted.
    pub stream: bool,
    /// What stands before the first turn, in pieces.
    pub system: Vec<Text<'a>>,
    /// The turns, oldest first.
    pub turns: Vec<Turn<'a>>,
    /// Tools that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Which of them it may or must call; `None` leaves it to the model.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// It may call one tool at a time only.
    pub one_call: bool,
    /// Longest answer, tokens.
    pub max_tokens: Option<u64>,
    /// As the client wrote it.
    pub temperature: Option<serde_json::Number>,
    /// As the client wrote it.
    pub top_p: Option<serde_json::Number>,
    /// Only so many of the likeliest tokens are drawn from.
    pub top_k: Option<u64>,
    /// How much thinking the answer is worth.
    pub effort: Option<Effort>,
    /// Texts at which the answer ends.
    pub stop: Vec<Text<'a>>,
    /// JSON Schema, as JSON text, that the answer has to satisfy.
    pub format: Option<&'a str>,
}

/// How much thinking an answer is worth, in the words that every engine that knows any takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As little as there is.
    Low,
    /// As by default.
    Medium,
    /// As much as there is.
    High,
}

impl Effort {
    /// By the word of a client. Clients have words beyond both ends, which come to the ends; `None` for none at all.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "minimal" | "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" | "xhigh" | "max" => Some(Self::High),
            _ => None,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// What one side says until the other speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said, in its order.
    pub items: Vec<Item<'a>>,
}

/// A part of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// Text.
    Text(Text<'a>),
    /// An image or a file.
    Media(Media<'a>),
    /// What a model thought before it spoke.
    Thinking {
        /// The text; empty where the model's maker shows none.
        text: Text<'a>,
        /// What its maker signed it with, byte for byte.
        signature: Option<Text<'a>>,
    },
    /// The model calls a tool.
    Call {
        /// Tells it from the other calls of the conversation.
        id: Text<'a>,
        /// The tool.
        name: Text<'a>,
        /// JSON text of an object.
        arguments: Text<'a>,
    },
    /// What came of a call.
    Result {
        /// The call's.
        id: Text<'a>,
        /// Texts, images and files.
        items: Vec<Item<'a>>,
        /// The tool failed.
        is_error: bool,
    },
}

/// An image or a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Media<'a> {
    /// What it is.
    pub kind: MediaKind<'a>,
    /// Where it is.
    pub source: Source<'a>,
}

/// What media is.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaKind<'a> {
    /// An image.
    Image,
    /// A file of pages, under this name.
    File(Text<'a>),
}

/// Where media is.
#[derive(Debug, Clone, PartialEq)]
pub enum Source<'a> {
    /// At this address.
    Url(Text<'a>),
    /// Here.
    Base64 {
        /// Such as `image/png`.
        media_type: Text<'a>,
        /// The bytes in base64.
        data: Text<'a>,
    },
}

/// A tool that the client runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// What it does.
    pub description: Option<Text<'a>>,
    /// JSON Schema of its arguments, as JSON text.
    pub schema: Option<&'a str>,
    /// Arguments must satisfy the schema.
    pub strict: Option<bool>,
}

/// Which tool a model may or must call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice<'a> {
    /// As it sees fit.
    Auto,
    /// At least one.
    Any,
    /// None.
    None,
    /// This one.
    Tool(Text<'a>),
}
