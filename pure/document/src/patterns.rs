//! The patterns that schemas may have, and what is wrong with a text that does not fit.

/// The two patterns of the schema. A test keeps this list complete.
pub const PATTERNS: [&str; 2] = ["^[A-Z]{2}$", "^[0-9a-f]{64}$"];

/// What is wrong with a text that a pattern is for, and what would be right; `quoted` is how messages show it.
pub(crate) fn mismatch(pattern: &str, text: &str, quoted: &str) -> Option<(String, String)> {
    if pattern == PATTERNS[0] {
        return country_fault(text, quoted);
    }
    let hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (pattern == PATTERNS[1] && !hex).then(|| {
        let what = "this is not a SHA-256 in hexadecimal".to_owned();
        (what, "64 digits 0-9 and a-f, as `printf %s \"$SECRET\" | sha256sum` prints them".to_owned())
    })
}

/// Says what is wrong with a country code, if anything.
pub fn country_fault(code: &str, quoted: &str) -> Option<(String, String)> {
    let upper = code.trim().to_ascii_uppercase();
    let two = upper.len() == 2 && upper.bytes().all(|byte| byte.is_ascii_uppercase());
    let right = match upper.as_str() {
        "UK" => "`GB`, the ISO 3166-1 code of the United Kingdom".to_owned(),
        "EU" => "the codes of its countries, as `DE`, `FR`: residency is by country".to_owned(),
        _ if two && code == upper => return None,
        _ if two => format!("two capital letters (ISO 3166-1 alpha-2): `{upper}`"),
        _ => "two capital letters (ISO 3166-1 alpha-2), as `DE` for Germany".to_owned(),
    };
    Some((format!("{quoted} is no country code"), right))
}
