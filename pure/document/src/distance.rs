//! The known word that somebody who typed another one probably meant.

use std::cell::Cell;

/// Longest word worth comparing, in characters: the cost grows with the square of the length.
const LENGTH_MAX: usize = 80;

/// Most comparisons for one file. Thousands of misspelt names are one mistake, and need no suggestion each.
const COMPARISONS_MAX: usize = 50_000;

/// Suggestions for the words of one file. Their cost is bounded, whatever the file holds.
#[derive(Debug)]
pub struct Suggestions {
    left: Cell<usize>,
}

impl Default for Suggestions {
    fn default() -> Self {
        Self { left: Cell::new(COMPARISONS_MAX) }
    }
}

impl Suggestions {
    /// The same as [`nearest`]; nothing once the comparisons are used up.
    pub fn nearest<'a>(&self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let mut left = self.left.get();
        let found = nearest(word, known.into_iter().take(left).inspect(|_| left -= 1));
        self.left.set(left);
        // The right word may be among those that were not looked at.
        found.filter(|_| left > 0)
    }

    /// Whether some word was not compared with all that are known.
    pub fn are_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

/// Picks the known word nearest to `word`, if one is near enough to be a slip of the hand or an abbreviation.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = folded(word)?;
    let length = typed.chars().count();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        let Some(score) = folded(candidate).and_then(|candidate| score(&typed, length, &candidate)) else { continue };
        if best.is_none_or(|(lowest, _)| score < lowest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The known words most like `word`, the best first. Of a long word the beginning is compared.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let typed: String = word.chars().take(LENGTH_MAX).collect();
    let known = known.into_iter().filter(|name| name.len() <= 4 * LENGTH_MAX).take(COMPARISONS_MAX / 50);
    let mut near: Vec<(f64, &str)> = known.map(|name| (strsim::jaro_winkler(&typed, name), name)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(count).map(|(_, name)| name).collect()
}

/// Edits between the two, or nothing when they are too different.
fn score(typed: &str, length: usize, candidate: &str) -> Option<usize> {
    let most = (length / 3).max(1).min(length - 1);
    // Two words differ by at least as many edits as their lengths do.
    if candidate.chars().count().abs_diff(length) <= most {
        let edits = strsim::osa_distance(typed, candidate);
        if edits <= most {
            return Some(edits);
        }
    }
    // `lat` for `latitude`: ranks behind every slip of the hand.
    (length >= 3 && candidate.starts_with(typed)).then_some(LENGTH_MAX)
}

/// A word as it is compared: case and the choice between `-`, `_` and a space are no difference. Nothing where it is
/// empty or too long.
fn folded(word: &str) -> Option<String> {
    // The length in bytes is known without reading the word; a character has four at most.
    if word.is_empty() || word.len() > 4 * LENGTH_MAX || word.chars().count() > LENGTH_MAX {
        return None;
    }
    Some(word.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect())
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
    fn long_words_are_not_compared() {
        let long = "é".repeat(81);
        assert_eq!((nearest(&long, [long.as_str()]), nearest("a", [long.as_str()])), (None, None));
        let wrong = "small".to_owned() + &"x".repeat(8 << 20);
        assert_eq!(closest(&wrong, ["large", "small", long.as_str()], 1), ["small"]);
    }

    #[test]
    fn a_file_costs_so_many_comparisons_at_most() {
        let suggestions = Suggestions::default();
        let names: Vec<String> = (0..1_000).map(|n| format!("site-{n:04}")).collect();
        let known = || names.iter().map(String::as_str);
        assert_eq!(suggestions.nearest("site_0007", known()), Some("site-0007"));
        let found = (0..1_000).filter(|_| suggestions.nearest("site_0007", known()).is_some()).count();
        assert!(found < 100 && suggestions.are_used_up(), "{found}");
    }
}
