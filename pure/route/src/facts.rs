//! What is known of a request before it is placed.

use alloc::vec::Vec;

use rhumb_grid::position::{EndpointIndex, ModelIndex};
use serde::{Deserialize, Serialize};

use crate::row::{Able, Row};

/// A request, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Models that may serve it: one, or those of a virtual model.
    pub models: Vec<ModelIndex>,
    /// Prompt length, estimated; of a list of inputs, all of them together.
    pub prompt_tokens: f64,
    /// Answer length expected, learnt per tenant and model.
    pub output_tokens: f64,
    /// Answer length the client reserved, if it said so.
    pub max_tokens: Option<u64>,
    /// Bytes one token of the answer takes on the wire.
    pub bytes_per_token: f64,
    /// Abilities it needs.
    pub needs: Able,
    /// Countries it may be served in; empty means anywhere.
    pub countries: Vec<[u8; 2]>,
    /// Round trip between client and gateway.
    pub client_ms: f64,
    /// The session, or another stable affinity key, by its hash.
    pub affinity: Option<u64>,
    /// Endpoint and model that the session is pinned to.
    pub pin: Option<(EndpointIndex, ModelIndex)>,
    /// Prompt tokens that endpoints are believed to hold in cache.
    pub hits: Vec<Hit>,
    /// Length of the longest input, estimated: what has to fit a context.
    pub longest_tokens: f64,
    /// Tokens that this input has at least, whatever the engine's vocabulary.
    pub certain_tokens: f64,
}

/// A cached prefix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Where it lies.
    pub endpoint: EndpointIndex,
    /// How many prompt tokens it covers.
    pub tokens: f64,
}

impl Facts {
    /// Prompt tokens believed cached at an endpoint, never more than all but one: the engine computes at least one.
    pub fn cached_tokens(&self, endpoint: EndpointIndex) -> f64 {
        let hit = self.hits.iter().find(|h| h.endpoint == endpoint).map_or(0.0, |h| h.tokens);
        hit.min(self.prompt_tokens - 1.0).max(0.0)
    }

    /// Tokens of context that the answer takes: what the client reserved, else at least one. An expectation does not count,
    /// because it may be wrong.
    fn reserved_tokens(&self) -> f64 {
        if !self.needs.tasks.is_empty() { 0.0 } else { self.max_tokens.map_or(1.0, |m| (m as f64).max(1.0)) }
    }

    /// The prompt and the answer are expected to fit a candidate's context.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        self.longest_tokens + self.reserved_tokens() <= f64::from(row.context_tokens)
    }

    /// They fit by no count of tokens. An answer counts where the engine keeps room for all of it before it begins.
    pub(crate) fn never_fits(&self, row: &Row) -> bool {
        let reserved = if row.reserves_answer { self.reserved_tokens() } else { 0.0 };
        self.certain_tokens + reserved > f64::from(row.context_tokens)
    }
}
