//! What a translation leaves out.

use std::borrow::Cow;

/// Names of what a translation leaves out, each once, in the order in which they were met: the value of the header that tells the
/// client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped(Vec<Cow<'static, str>>);

/// Most names that are listed.
const NAMES_MAX: usize = 32;

/// Longest name of a client's own that is listed.
const NAME_MAX: usize = 64;

impl Dropped {
    /// Something known is left out.
    pub fn add(&mut self, name: &'static str) {
        self.push(Cow::Borrowed(name));
    }

    /// Something is left out that stands under this name in the client's own words. One that is no plain word is listed as `other`.
    pub fn add_unknown(&mut self, name: &str) {
        let is_word = name.len() <= NAME_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        self.push(if is_word && !name.is_empty() { Cow::Owned(name.to_owned()) } else { Cow::Borrowed("other") });
    }

    fn push(&mut self, name: Cow<'static, str>) {
        if self.0.len() < NAMES_MAX && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// All that is left out here is left out there, too.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|name| self.push(name));
    }

    /// Nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the value of a header: ASCII, separated by commas.
    pub fn header(&self) -> String {
        self.0.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_listed_once_and_never_breaks_a_header() {
        let mut dropped = Dropped::default();
        dropped.add("thinking");
        dropped.add("thinking");
        for name in ["context_management", "a\r\nx: y", "", "ü", &"x".repeat(65)] {
            dropped.add_unknown(name);
        }
        assert_eq!(dropped.header(), "thinking, context_management, other");
        (0..100).for_each(|n| dropped.add_unknown(&n.to_string()));
        assert_eq!(dropped.0.len(), NAMES_MAX);
    }
}
