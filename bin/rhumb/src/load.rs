//! Reading a configuration file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rhumb_config::{Catalogue, Loaded, Problem, Purpose};

/// Largest configuration read: a few kilobytes are usual, a grid of thousands of sites takes some megabytes.
const BYTES_MAX: u64 = 16 << 20;

/// The text of a configuration.
///
/// # Errors
/// It cannot be read, in words.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot read `{}`: {why}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| fail(&e))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| fail(&e))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(fail(&format!("it has more than {} MiB, the most that a configuration may have", BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| fail(&format!("byte {} is not UTF-8", e.utf8_error().valid_up_to() + 1)))
}

/// What comes of a text.
pub(crate) fn check(text: &str, purpose: Purpose) -> Result<Loaded, Vec<Problem>> {
    let gpus: Vec<&str> = rhumb_engine::gpus().iter().map(|g| g.name).collect();
    let shapes: Vec<&str> = rhumb_engine::shapes().iter().map(|s| s.name).collect();
    rhumb_config::load(text, &|name| std::env::var(name).ok(), &Catalogue { gpus: &gpus, shapes: &shapes }, purpose)
}

/// A configuration that may be used.
///
/// # Errors
/// Every problem of the text, for people.
pub(crate) fn checked(path: &Path, text: &str, purpose: Purpose) -> Result<Loaded, String> {
    check(text, purpose).map_err(|problems| {
        let rendered = rhumb_config::render(&path.display().to_string(), text, &problems);
        // Whoever shows it has said `error:` already.
        rendered.strip_prefix("error: ").unwrap_or(&rendered).trim_end().to_owned()
    })
}
