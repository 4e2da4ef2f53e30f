//! Keys of tenants: each has one secret, which is worth the name and nobody else's.

use super::Report;
use super::values::is_sendable;
use crate::config::{Config, Key};
use crate::path::Path;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Shortest secret that is worth the name, in characters.
const KEY_CHARS_MIN: usize = 8;

/// What `sha256sum` is given when a variable is not set or a program has printed nothing of use.
const NO_SECRETS: [(&str, &str); 6] = [
    ("the empty text", ""),
    ("an empty line", "\n"),
    ("a space", " "),
    ("the word `null`", "null"),
    ("the word `null`", "null\n"),
    ("the word `undefined`", "undefined"),
];

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut first: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for (index, tenant) in config.tenants.iter().enumerate() {
        for (at, key) in tenant.keys.iter().enumerate() {
            let path = Path::root().key("tenants").index(index).key("keys").index(at);
            let Some((field, digest)) = credential(key, &path, report) else { continue };
            let path = path.key(field);
            let line = report.line(&path);
            if let Some(other) = first.insert(digest, line) {
                let what = format!("the key on line {other} has the same secret");
                report.value(&path, what, "a secret of its own: it tells whose request it is".to_owned());
            }
        }
    }
}

/// The one credential of a key: the field that states it, and its digest.
fn credential(key: &Key, path: &Path, report: &mut Report<'_>) -> Option<(&'static str, [u8; 32])> {
    match (&key.key, &key.sha256) {
        (None, None) => {
            let right = "`key: ${NAME}` to take the secret from the environment, or its `sha256`".to_owned();
            report.value(path, "a key without its secret".to_owned(), right);
            None
        }
        (Some(_), Some(_)) => {
            let right = "one of the two; with `sha256` the file holds no secret".to_owned();
            report.key(&path.key("sha256"), "`sha256` beside `key`".to_owned(), right);
            None
        }
        (None, Some(hash)) => {
            let digest = from_hex(hash)?;
            if let Some((what, _)) = NO_SECRETS.iter().find(|(_, text)| digest_of(text) == digest) {
                let right = "the digest of a long random secret: `printf %s \"$SECRET\" | sha256sum`, with SECRET set";
                report.value(&path.key("sha256"), format!("this is the SHA-256 of {what}"), right.to_owned());
            }
            Some(("sha256", digest))
        }
        (Some(secret), None) => {
            let path = path.key("key");
            if secret.chars().count() < KEY_CHARS_MIN {
                let what = format!("this secret is shorter than {KEY_CHARS_MIN} characters");
                let right = "a long random one, as `openssl rand -hex 24` prints it".to_owned();
                report.value(&path, what, right);
            } else if !is_sendable(secret) {
                let what = "this secret holds a character that no header carries".to_owned();
                report.value(&path, what, "letters and digits, without spaces or line breaks".to_owned());
            }
            Some(("key", digest_of(secret)))
        }
    }
}

fn digest_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A digest from 64 hexadecimal digits; what is none is another check's problem.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}
