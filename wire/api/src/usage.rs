//! What a request has used.

/// Tokens of one request, as the engine counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the engine's cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
}
