//! No text makes the crate panic, and no secret comes out of it.
#![expect(clippy::disallowed_methods, reason = "a test reads the example")]

use proptest::prelude::*;
use rhumb_config::{Catalogue, Purpose, load, render};

const CATALOGUE: Catalogue<'static> = Catalogue { gpus: &["h100"], shapes: &["llama-3.1-8b"] };
const SECRET: &str = "hunter2-hunter2";

/// Loads and renders; both must return.
fn survive(text: &str) -> String {
    let env = |name: &str| (!name.is_empty()).then(|| SECRET.to_owned());
    match load(text, &env, &CATALOGUE, Purpose::Serve) {
        Ok(_) => String::new(),
        Err(problems) => {
            assert!(!problems.is_empty());
            render("rhumb.yaml", text, &problems)
        }
    }
}

fn example() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/rhumb.yaml");
    std::fs::read_to_string(path).expect("the example")
}

/// Pieces that mean something in YAML, in the schema or to `${NAME}`.
const PIECES: [&str; 44] = [
    "\n", "\n  ", "\n    ", "\n  - ", "- ", ": ", ":", "? ", ", ", "{", "}", "[", "]", "'", "\"", "|\n", ">-\n", "#",
    "&a ", "*a", "!t ", "%YAML", "---\n", "...", "\t", "\r", "\r\n", "\u{feff}", "${", "${A}", "$${", "sites",
    "models", "name", "key", "gateway", "keys", "1", "-1.5e9", "null", "true", "~", "é", "\0",
];

fn pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn random_yaml(text in pieces()) {
        survive(&text);
    }

    #[test]
    fn a_valid_file_cut_and_patched(from in 0.0..1.0_f64, length in 0..200_usize, patch in pieces()) {
        let characters: Vec<char> = example().chars().collect();
        let from = (from * characters.len() as f64) as usize;
        let to = (from + length).min(characters.len());
        let text: String = characters[..from].iter().copied().chain(patch.chars()).chain(characters[to..].iter().copied()).collect();
        survive(&text);
    }

    /// Whatever else is wrong with a file, a secret in it stays unsaid.
    #[test]
    fn secrets_stay_unsaid(from in 0.0..1.0_f64, length in 0..40_usize, patch in pieces()) {
        let text = example().replace("${ACME_KEY}", SECRET).replace("${PROVIDER_KEY}", SECRET);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // Only lines that do not take part in a secret change: a changed key is no longer known to hold one.
        let at = (from * lines.len() as f64) as usize;
        prop_assume!(!lines[at].contains(SECRET));
        let cut: String = lines[at].chars().skip(length).collect();
        lines[at] = format!("{patch}{cut}");
        let shown = survive(&lines.join("\n"));
        prop_assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn deep_and_long_texts() {
    for piece in ["[", "{", "- ", "a: {", "key: {", "? ", "a:\n", "'", "\"", "&a ", "- - ", "[[", "#", " ", "\n", "${"]
    {
        survive(&piece.repeat(20_000));
    }
    let mut deep = String::new();
    for depth in 0..200 {
        deep.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    survive(&deep);
}
