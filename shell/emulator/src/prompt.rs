//! A prompt as the engine sees it: a number of tokens, a chain of block hashes, and the seed of its answer's text.

use crate::words::BYTES_PER_TOKEN;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What matters of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Length, tokens: a quarter of its bytes, at least 1.
    pub(crate) tokens: u32,
    /// Chained hash of each full block.
    pub(crate) blocks: Vec<u64>,
    /// What the words of the answer follow from: equal for a prompt and for the same prompt with the beginning of
    /// its own answer behind it.
    pub(crate) text_seed: u64,
    /// Words of the answer that the prompt already holds.
    pub(crate) begun_words: u32,
}

impl Prompt {
    /// The prompt `text`, whose last bytes, from `answer_from` on, are the beginning of its answer.
    pub(crate) fn new(text: &[u8], answer_from: usize, block_tokens: u32) -> Self {
        let (question, begun) = text.split_at(answer_from.min(text.len()));
        let mut previous = 0;
        let blocks = text
            .chunks_exact(block_tokens.max(1) as usize * BYTES_PER_TOKEN)
            .map(|block| {
                previous = xxh3_64_with_seed(block, previous);
                previous
            })
            .collect();
        let words = begun.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        Self {
            tokens: u32::try_from(text.len() / BYTES_PER_TOKEN).unwrap_or(u32::MAX).max(1),
            blocks,
            text_seed: xxh3_64_with_seed(question, 0),
            begun_words: u32::try_from(words).unwrap_or(u32::MAX),
        }
    }
}

/// The length of the answer that a message asks for by starting with `[[answer 211 tokens]]`.
///
/// A gateway between client and engine passes no header of the client's on, so a replayed trace writes the true length
/// of each answer into the prompt: the engine obeys it, and nothing on the way takes it for more than text.
pub(crate) fn marked_tokens(message: &[u8]) -> Option<u32> {
    let digits = message.strip_prefix(b"[[answer ")?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    let tokens = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    (tokens > 0 && digits[end..].starts_with(b" tokens]]")).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_fix_the_length_of_its_answer() {
        assert_eq!(marked_tokens(b"[[answer 211 tokens]] why?"), Some(211));
        assert_eq!(marked_tokens(b"[[answer 1 tokens]]"), Some(1));
        for text in [
            "why? [[answer 211 tokens]]",
            "[[answer 0 tokens]]",
            "[[answer tokens]]",
            "[[answer 9",
            "[[answer 9 words]]",
            "[[answer -1 tokens]]",
            "[[answer 99999999999 tokens]]",
            "",
        ] {
            assert_eq!(marked_tokens(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_longer_conversation_keeps_the_blocks_of_the_shorter() {
        let long = vec![b'a'; 200];
        let (short, long) = (Prompt::new(&long[..130], 130, 16), Prompt::new(&long, 200, 16));
        assert_eq!((short.tokens, short.blocks.len()), (32, 2));
        assert_eq!(long.blocks[..2], short.blocks[..]);
        assert_ne!(long.blocks[2], long.blocks[1], "equal text at another place is another block");
    }

    #[test]
    fn a_begun_answer_keeps_the_text_seed() {
        let asked = Prompt::new(b"why?", 4, 16);
        let continued = Prompt::new(b"why?bad fog", 4, 16);
        assert_eq!((asked.text_seed, asked.begun_words), (continued.text_seed, 0));
        assert_eq!(continued.begun_words, 2);
    }
}
