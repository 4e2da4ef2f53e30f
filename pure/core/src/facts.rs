//! From what is seen of a request to what a decision needs of it.

use alloc::vec::Vec;

use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::learn::{Density, Ewma};
use rhumb_route::row::Able;

use crate::usage::Usage;

/// How large a prompt is, as far as its text tells. A list of inputs is several prompts: each must fit a model by itself,
/// and all are paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PromptSize {
    /// Inputs; a conversation is one.
    pub inputs: f64,
    /// Tokens of text, all inputs together: a first estimate.
    pub text: f64,
    /// The same of the input with the most.
    pub longest_text: f64,
    /// Token ids, all inputs together: they are counted, not estimated.
    pub ids: f64,
    /// The same of the input with the most.
    pub longest_ids: f64,
    /// Images, recordings, videos and files.
    pub media: f64,
    /// The engine is asked to cut what is too long.
    pub is_truncated: bool,
}

/// A request as its gateway sees it.
#[derive(Debug, Clone)]
pub struct RequestShape {
    /// Models that may serve it.
    pub models: Vec<ModelIndex>,
    /// Its prompt.
    pub prompt: PromptSize,
    /// Tokens that its longest input has at least, whatever the engine's vocabulary.
    pub certain_tokens: f64,
    /// The longest answer, where the client or its policy says so.
    pub max_tokens: Option<u64>,
    /// Answers that it asks for, as far as they are expected.
    pub sequences: f64,
    /// Its answer is streamed.
    pub streams: bool,
    /// What a model must be able to do to serve it.
    pub needs: Able,
    /// Countries it may be served in; empty: anywhere.
    pub countries: Vec<[u8; 2]>,
    /// Round trip between client and gateway.
    pub client_ms: f64,
    /// What tells it to return to the same endpoint: its session, or a prefix it shares with others.
    pub affinity: Option<u64>,
    /// Endpoint and model that its session is pinned to.
    pub pin: Option<(EndpointIndex, ModelIndex)>,
    /// Prompt tokens that endpoints are believed to hold in cache.
    pub hits: Vec<Hit>,
}

/// What is expected of the requests of one tenant for one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimates {
    output_tokens: Ewma,
    density: Density,
}

/// Answer length before one has been seen.
const OUTPUT_TOKENS: f64 = 200.0;

/// Share of the last answer in the length that is expected.
const OUTPUT_WEIGHT: f64 = 0.02;

/// What an image or a recording is taken for, in tokens, until its size is understood.
const MEDIA_TOKENS: f64 = 1_000.0;

/// Bytes of prompt per token of a usual prompt: English text and some punctuation, in JSON.
pub const BYTES_PER_TOKEN: f64 = 4.2;

/// A streamed token is a chunk of its own with its envelope; in a plain answer it is a word.
const STREAM_BYTES_PER_TOKEN: f64 = 190.0;
const PLAIN_BYTES_PER_TOKEN: f64 = 5.0;

impl Default for Estimates {
    fn default() -> Self {
        Self { output_tokens: Ewma::new(OUTPUT_TOKENS, OUTPUT_WEIGHT), density: Density::default() }
    }
}

impl Estimates {
    /// Tokens expected of all inputs of a prompt together, and of the longest.
    #[must_use]
    pub fn prompt_tokens(&self, prompt: &PromptSize) -> (f64, f64) {
        let media = prompt.media * MEDIA_TOKENS;
        // A list holds texts or token ids.
        let (text, longest) = if prompt.text == 0.0 {
            (0.0, 0.0)
        } else {
            let each = self.density.tokens(prompt.text / prompt.inputs);
            (prompt.inputs * each, self.density.tokens(prompt.longest_text))
        };
        ((text + prompt.ids + media).max(1.0), (longest.max(prompt.longest_ids) + media).max(1.0))
    }

    /// Tokens expected of one answer.
    #[must_use]
    pub fn output_tokens(&self) -> f64 {
        self.output_tokens.mean()
    }

    /// A whole answer to so many sequences took what its engine says.
    pub fn learn(&mut self, prompt: &PromptSize, sequences: f64, usage: &Usage) {
        self.output_tokens.add(usage.output_tokens as f64 / sequences);
        // What an engine makes of an image or a recording says nothing of text, and token ids are no text.
        if prompt.ids == 0.0 && prompt.media == 0.0 && !prompt.is_truncated {
            self.density.learn(prompt.inputs, prompt.text, usage.prompt_tokens as f64);
        }
    }
}

/// Bytes that a token of an answer takes on the wire.
#[must_use]
pub fn bytes_per_token(streams: bool) -> f64 {
    if streams { STREAM_BYTES_PER_TOKEN } else { PLAIN_BYTES_PER_TOKEN }
}

/// What a decision needs of a request, by what is expected of its tenant's requests for its first model.
#[must_use]
pub fn facts(shape: RequestShape, expected: &Estimates) -> Facts {
    let (prompt_tokens, longest_tokens) = expected.prompt_tokens(&shape.prompt);
    let learnt = expected.output_tokens();
    let each = shape.max_tokens.map_or(learnt, |most| learnt.min(most as f64));
    Facts {
        models: shape.models,
        prompt_tokens,
        output_tokens: if !shape.needs.tasks.is_empty() { 0.0 } else { each * shape.sequences },
        max_tokens: shape.max_tokens,
        bytes_per_token: bytes_per_token(shape.streams),
        needs: shape.needs,
        countries: shape.countries,
        client_ms: shape.client_ms,
        affinity: shape.affinity,
        pin: shape.pin,
        hits: shape.hits,
        longest_tokens,
        certain_tokens: shape.certain_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: PromptSize = PromptSize {
        inputs: 1.0,
        text: 1_000.0,
        longest_text: 1_000.0,
        ids: 0.0,
        longest_ids: 0.0,
        media: 0.0,
        is_truncated: false,
    };

    #[test]
    fn lists_count_together_and_fit_one_by_one() {
        let expected = Estimates::default();
        assert_eq!(expected.prompt_tokens(&CHAT), (1_000.0, 1_000.0));
        let list = PromptSize { inputs: 4.0, longest_text: 700.0, ..CHAT };
        assert_eq!(expected.prompt_tokens(&list), (1_000.0, 700.0));
        let ids = PromptSize { text: 0.0, longest_text: 0.0, ids: 30.0, longest_ids: 20.0, inputs: 2.0, ..CHAT };
        assert_eq!(expected.prompt_tokens(&ids), (30.0, 20.0));
        let image = PromptSize { media: 2.0, ..CHAT };
        assert_eq!(expected.prompt_tokens(&image).0, 1_000.0 + 2.0 * MEDIA_TOKENS);
        assert_eq!(expected.prompt_tokens(&PromptSize::default()), (1.0, 1.0));
    }

    #[test]
    fn answers_teach_their_length_and_only_text_teaches_density() {
        let mut expected = Estimates::default();
        let usage = Usage { prompt_tokens: 2_000, cached_tokens: 0, output_tokens: 80 };
        for _ in 0..200 {
            expected.learn(&PromptSize { media: 1.0, ..CHAT }, 4.0, &usage);
        }
        assert!((expected.output_tokens() - 20.0).abs() < 5.0, "{}", expected.output_tokens());
        assert_eq!(expected.prompt_tokens(&CHAT), (1_000.0, 1_000.0));
        for _ in 0..200 {
            expected.learn(&CHAT, 1.0, &usage);
        }
        assert!(expected.prompt_tokens(&CHAT).0 > 1_900.0, "{:?}", expected.prompt_tokens(&CHAT));
    }
}
