//! The known word that somebody who typed another one probably meant.

/// Longest word worth comparing: the cost grows with the square of the length.
const LENGTH_MAX: usize = 80;

/// Picks the known word nearest to `word`, if one is near enough to be a slip of the hand or an abbreviation.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = folded(word);
    let length = typed.chars().count();
    if length == 0 || length > LENGTH_MAX {
        return None;
    }
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        let Some(score) = score(&typed, length, &folded(candidate)) else { continue };
        if best.is_none_or(|(lowest, _)| score < lowest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits between the two, or nothing when they are too different.
fn score(typed: &str, length: usize, candidate: &str) -> Option<usize> {
    let edits = strsim::damerau_levenshtein(typed, candidate);
    if edits <= (length / 3).max(1) && edits < length {
        return Some(edits);
    }
    // `lat` for `latitude`: ranks behind every slip of the hand.
    (length >= 3 && candidate.starts_with(typed)).then_some(LENGTH_MAX)
}

/// Case and the choice between `-`, `_` and a space are no difference.
fn folded(word: &str) -> String {
    word.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Writes words as `` `a`, `b` ``, the first twelve of them.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let mut text = words.iter().take(12).map(|word| format!("`{}`", shown(word))).collect::<Vec<_>>().join(", ");
    if words.len() > 12 {
        text.push_str(&format!(" and {} more", words.len() - 12));
    }
    text
}

/// Makes a word from the file fit for a message: short, and with no character that a terminal obeys.
pub(crate) fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if word.chars().nth(60).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_abbreviations() {
        let keys = ["latitude", "longitude", "name", "country", "rtt_ms", "energy_usd_per_kwh"];
        for (typed, meant) in [
            ("lattitude", Some("latitude")),
            ("Latitude", Some("latitude")),
            ("lat", Some("latitude")),
            ("energy-usd-per-kwh", Some("energy_usd_per_kwh")),
            ("nmae", Some("name")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let words: Vec<String> = (0..14).map(|n| n.to_string()).collect();
        assert!(listed(words.iter().map(String::as_str)).ends_with("`11` and 2 more"));
        assert_eq!(shown("a\u{1b}[31m"), "a\u{fffd}[31m");
    }
}
