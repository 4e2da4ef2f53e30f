//! The text of answers: pseudo-words that follow from the prompt, one word a token.

/// Bytes of text that count as one token of a prompt. A word with its space is as long, so that an answer sent back
/// as history counts as many tokens as were generated for it.
pub(crate) const BYTES_PER_TOKEN: usize = 4;

const CONSONANTS: &[u8; 16] = b"bdfgjklmnprstvwz";
const VOWELS: &[u8; 4] = b"aeio";

/// Appends word `index` of the text `seed` stands for, with a space before all but the first.
pub(crate) fn push_word(seed: u64, index: u32, text: &mut Vec<u8>) {
    if index > 0 {
        text.push(b' ');
    }
    let mixed = mix(seed ^ (u64::from(index) << 32));
    text.push(CONSONANTS[(mixed & 15) as usize]);
    text.push(VOWELS[(mixed >> 4 & 3) as usize]);
    text.push(CONSONANTS[(mixed >> 6 & 15) as usize]);
}

/// A bijection that spreads every bit over all others (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_each_time_and_as_long_as_its_tokens() {
        let text = |seed| {
            let mut text = Vec::new();
            (0..100).for_each(|index| push_word(seed, index, &mut text));
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert_eq!(text(1).len(), 100 * BYTES_PER_TOKEN - 1);
        assert_eq!(text(1).split(' ').count(), 100);
    }
}
