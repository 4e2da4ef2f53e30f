//! An answer, whole or as it comes.

use crate::{Item, Text};

/// Tokens that an answer took: five counters that do not overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt, neither read from a cache nor written to one.
    pub fresh: u64,
    /// Of the prompt, read from a cache.
    pub cache_read: u64,
    /// Of the prompt, written to a cache.
    pub cache_write: u64,
    /// Of the answer, but for its thinking.
    pub spoken: u64,
    /// Of the answer's thinking, where it is counted apart.
    pub thought: u64,
}

impl Usage {
    /// All of the prompt.
    pub fn prompt(&self) -> u64 {
        self.fresh.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// All of the answer.
    pub fn output(&self) -> u64 {
        self.spoken.saturating_add(self.thought)
    }
}

/// Why an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<'a> {
    /// The model has said all, or nothing is known.
    End,
    /// At this text, which the client named, or at one of those that it named.
    Sequence(Option<Text<'a>>),
    /// It is as long as it may be.
    MaxTokens,
    /// The model calls tools.
    Calls,
    /// It is withheld.
    Refusal,
    /// A reason that only its engine knows.
    Other,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'a> {
    /// The model that answers, as its engine calls it.
    pub model: Option<Text<'a>>,
    /// What it says.
    pub items: Vec<Item<'a>>,
    /// Why it ends.
    pub stop: Stop<'a>,
    /// What it took, where that is said.
    pub usage: Option<Usage>,
}

/// A piece of an answer that comes as a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The model that answers, as its engine calls it.
    Model(Text<'a>),
    /// The next text.
    Text(Text<'a>),
    /// The next of its thinking.
    Thinking(Text<'a>),
    /// The next of a call. Several may come at the same time.
    Call {
        /// Tells them apart within the answer.
        index: u64,
        /// In the first piece.
        id: Option<Text<'a>>,
        /// In the first piece.
        name: Option<Text<'a>>,
        /// The next of its arguments, JSON text cut anywhere.
        arguments: Text<'a>,
    },
    /// Why the answer ends.
    Stop(Stop<'a>),
    /// What it has taken so far. The last one counts.
    Usage(Usage),
}
