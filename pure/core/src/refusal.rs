//! Why a request gets no answer. Each dialect says it in its own shape.

/// Why nothing served a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has come through too many gateways.
    Looped,
    /// An engine says that it does not fit its context.
    ContextLength,
    /// An engine calls it invalid.
    Invalid,
    /// No endpoint has its model, although the configuration says so.
    ModelMissing,
    /// Its answer is larger than a gateway holds for one request.
    AnswerTooLarge,
    /// Every target is busy, and the one that is so the longest says when to come back, ms.
    Busy(u64),
    /// Endpoints that serve others fail it alike: it is likely its own doing.
    RequestFailed,
    /// Engines die of it.
    Quarantined,
    /// No target began to answer in time.
    Timeout,
    /// No target completed it.
    Failed,
}

/// What a client is told of sending the request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// It may do better later.
    pub may: bool,
    /// When, ms.
    pub after_ms: Option<u64>,
}

/// When to come back where no endpoint says so, ms.
pub const RETRY_AFTER_MS: u64 = 1_000;

impl Refusal {
    /// What its client is told of sending it again.
    #[must_use]
    pub fn retry(self) -> Retry {
        let after_ms = match self {
            Self::Busy(after_ms) => Some(after_ms),
            Self::Timeout | Self::Failed => Some(RETRY_AFTER_MS),
            Self::Looped
            | Self::ContextLength
            | Self::Invalid
            | Self::ModelMissing
            | Self::AnswerTooLarge
            | Self::RequestFailed
            | Self::Quarantined => None,
        };
        Retry { may: after_ms.is_some(), after_ms }
    }
}
