//! Finds secrets in free text: in comments, in values that hold more than they should, in words of messages.
//!
//! Each function reads its text once. A guess that hides too much does no harm.

use std::borrow::Cow;

use crate::distance::nearest;
use crate::variable::is_name;

/// How keys of well-known services begin.
const PREFIXES: [&str; 16] = [
    "sk-",
    "sk_",
    "pk_live",
    "rk_live",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "hf_",
    "gsk_",
    "nvapi-",
    "AKIA",
    "AIza",
    "xox",
    "eyJ",
];

/// Shortest word with such a beginning that is taken for a key, in bytes.
const TOKEN_BYTES_MIN: usize = 12;

/// What replaces a secret, whatever its length.
pub const MASK: &str = "***";

/// A text as a message may repeat it: up to the secret in it, if there is one.
pub fn without_secret(word: &str) -> Cow<'_, str> {
    match secret_start(word).filter(|at| !word[*at..].trim().is_empty()) {
        Some(at) => format!("{}{MASK}", &word[..at]).into(),
        None => word.into(),
    }
}

/// Tells whether a key of this name, or of one that resembles it, holds a secret.
pub fn is_secret(key: &str) -> bool {
    let name: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let parts = [
        "key",
        "secret",
        "passw",
        "passphrase",
        "pwd",
        "sha256",
        "bearer",
        "authorization",
        "credential",
        "cookie",
        "header",
    ];
    parts.iter().any(|part| name.contains(part))
        || ["auth", "basic", "jwt", "pass", "pat", "pw", "sig", "signature"].contains(&name.as_str())
        || name.ends_with("token")
        || nearest(key, ["key", "api_key", "sha256"]).is_some()
}

/// Tells whether a key of this name holds a URL or an address, in which a name before `@` may be a secret.
pub fn is_address(key: &str) -> bool {
    let name = key.to_ascii_lowercase();
    ["url", "uri", "listen", "host", "server", "address", "proxy"].iter().any(|part| name.contains(part))
}

/// Tells whether a text holds a secret.
pub fn holds_secret(text: &str) -> bool {
    secret_start(text).is_some_and(|at| !text[at..].trim().is_empty())
}

/// Where the first secret of a text begins. The value of a key that names a secret may be empty: in a file it may then
/// stand on the next line.
pub fn secret_start(text: &str) -> Option<usize> {
    [assigned(text), in_address(text), after_scheme(text), token(text)].into_iter().flatten().min()
}

/// What ends the name before a `:` or `=`.
fn ends_name(c: char) -> bool {
    c.is_whitespace() || "{}[](),-'\"#?&;|<>:=".contains(c)
}

/// The value behind the first name of a secret and its `:` or `=`, unless it is a reference to the environment.
fn assigned(text: &str) -> Option<usize> {
    // The last word before the place that is looked at, and whether it goes on.
    let (mut word, mut open) = (0..0, false);
    for (at, c) in text.char_indices() {
        if !ends_name(c) {
            word = if open { word.start..at + c.len_utf8() } else { at..at + c.len_utf8() };
            open = true;
            continue;
        }
        open = false;
        if !matches!(c, ':' | '=') {
            continue;
        }
        let name = &text[std::mem::replace(&mut word, 0..0)];
        if is_secret(name) {
            let value = text[at + 1..].trim_start_matches([' ', '\t']);
            if !opens_mapping(value) && !begins_with_reference(value) {
                return Some(text.len() - value.len());
            }
        }
    }
    None
}

/// A URL or an address with something before its host, or with a query.
fn in_address(text: &str) -> Option<usize> {
    let named = text.rfind('@').and_then(|end| {
        let colon = |(at, _): &(usize, &str)| !text[at + 1..].starts_with([' ', '\t', '\n']);
        text[..end].match_indices(':').find(colon).map(|(at, _)| at)
    });
    let queried = text.rfind('?').and_then(|end| text[..end].find("://"));
    let inside = [named, queried].into_iter().flatten().min()?;
    let before = |c: char| c.is_whitespace() || "{}[](),'\"".contains(c);
    Some(text[..inside].rfind(before).map_or(0, |at| at + 1))
}

/// What stands behind `Bearer` or `Basic`, as in an `authorization` header.
fn after_scheme(text: &str) -> Option<usize> {
    let mut words = words(text, |c| c.is_whitespace() || "'\",:".contains(c)).peekable();
    while let Some((_, word)) = words.next() {
        // "Basic" is an ordinary word too.
        let least = if word.eq_ignore_ascii_case("bearer") { 1 } else { 8 };
        let is_scheme = least == 1 || word.eq_ignore_ascii_case("basic");
        if let Some((at, _)) = words.peek().filter(|(_, next)| is_scheme && next.len() >= least) {
            return Some(*at);
        }
    }
    None
}

/// A word that begins as the keys of well-known services do.
fn token(text: &str) -> Option<usize> {
    let mut words = words(text, |c| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
    let is_token = |word: &str| word.len() >= TOKEN_BYTES_MIN && PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    words.find(|(_, word)| is_token(word)).map(|(at, _)| at)
}

/// The words of a text with their places.
fn words(text: &str, is_end: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let parts = text.split(is_end).map(move |word| {
        let begin = at;
        // What ends a word is one character, whose length the text knows.
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
        (begin, word)
    });
    parts.filter(|(_, word)| !word.is_empty())
}

/// Tells whether a value is `{ ...` or `[{ ...`, whose own keys say what is a secret.
fn opens_mapping(value: &str) -> bool {
    value.strip_prefix('[').unwrap_or(value).trim_start().starts_with('{')
}

/// Tells whether nothing but a reference and closing brackets remain of a line.
fn begins_with_reference(value: &str) -> bool {
    let value = value.trim_start_matches(['"', '\'']);
    let Some((name, rest)) = value.strip_prefix("${").and_then(|rest| rest.split_once('}')) else { return false };
    is_name(name) && rest.trim_matches(['"', '\'', ' ', '}', ']', ',']).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found() {
        for (text, shown) in [
            ("api_key: s3cret", "api_key: "),
            ("user:s3cret@h", ""),
            ("see https://user:s3cret@h/", "see "),
            ("https://h/?q=s3cret", ""),
            ("Authorization: Bearer s3cret", "Authorization: "),
            ("use basic dXNlcjpwdw==", "use basic "),
            ("é sk-0123456789", "é "),
            ("key : s3cret", "key : "),
        ] {
            let at = secret_start(text);
            assert_eq!(at.map(|at| &text[..at]), Some(shown), "{text}");
            assert!(holds_secret(text), "{text}");
        }
        for text in
            ["", "name: a", "key:", "key: ${A}", "keys: [{ name: a }]", "http://h:80", "a@b", "12:30", "sk-1", "basic"]
        {
            assert!(!holds_secret(text), "{text}");
        }
    }
}
