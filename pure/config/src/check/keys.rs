//! Keys of tenants: each has one secret, which is worth the name and nobody else's.

use std::collections::BTreeMap;

use rhumb_document::path::Path;
use rhumb_grid::config::{Config, Key};

use super::Report;
use super::values::is_sendable;

/// Shortest secret that is worth the name, in characters.
const KEY_CHARS_MIN: usize = 8;

/// SHA-256 of what `sha256sum` is given when a variable is not set or a program has printed nothing of use.
const NO_SECRETS: [(&str, &str); 6] = [
    ("the empty text", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("an empty line", "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"),
    ("a space", "36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068"),
    ("the word `null`", "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"),
    ("the word `null`", "38e0b9de817f645c4bec37c0d4a3e58baecccb040f5718dc069a72c7385a0bed"),
    ("the word `undefined`", "eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c"),
];

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (index, tenant) in config.tenants.iter().enumerate() {
        for (at, key) in tenant.keys.iter().enumerate() {
            let path = Path::root().key("tenants").index(index).key("keys").index(at);
            let Some(secret) = credential(key, &path, report) else { continue };
            let path = path.key(secret.0);
            let line = report.line(&path);
            if let Some(other) = first.insert(secret, line) {
                let what = format!("the key on line {other} has the same secret");
                report.value(&path, what, "a secret of its own: it tells whose request it is".to_owned());
            }
        }
    }
}

/// The one credential of a key: the field that states it, and its text.
fn credential<'a>(key: &'a Key, path: &Path, report: &mut Report<'_>) -> Option<(&'static str, &'a str)> {
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
            if let Some((what, _)) = NO_SECRETS.iter().find(|(_, digest)| digest == hash) {
                let right = "the digest of a long random secret: `printf %s \"$SECRET\" | sha256sum`, with SECRET set";
                report.value(&path.key("sha256"), format!("this is the SHA-256 of {what}"), right.to_owned());
            }
            Some(("sha256", hash))
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
            Some(("key", secret))
        }
    }
}
