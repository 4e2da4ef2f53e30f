//! Words of a file as messages show them.

use crate::find::without_secret;

/// Longest part of a word that a message shows, in characters.
const SHOWN_MAX: usize = 60;

/// Writes words as `` `a`, `b` ``, the first twelve of them.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words = words.into_iter();
    let mut text = words.by_ref().take(12).map(|word| format!("`{}`", shown(word))).collect::<Vec<_>>().join(", ");
    let more = words.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Makes a word from the file fit for a message: short, without the secret that it may hold, and with no character that a
/// terminal obeys.
pub fn shown(word: &str) -> String {
    let word = without_secret(word);
    let mut characters = word.chars();
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = characters.by_ref().take(SHOWN_MAX).map(printable).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let words: Vec<String> = (0..14).map(|n| n.to_string()).collect();
        assert!(listed(words.iter().map(String::as_str)).ends_with("`11` and 2 more"));
        assert_eq!(shown("a\u{1b}[31m"), "a\u{fffd}[31m");
        assert_eq!(shown(&"a".repeat(61)), format!("{}…", "a".repeat(60)));
    }
}
