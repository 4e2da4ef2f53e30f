//! Reading a configuration file.

use std::path::Path;

use rhumb_grid::config::Config;
use rhumb_grid::{Catalogue, Problem, load};

use crate::exit::{FOUND, Failure, USAGE};

/// The text of a configuration and what came of it.
pub(crate) fn read(path: &Path) -> Result<(String, Result<Config, Vec<Problem>>), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::new(USAGE, format!("cannot read `{}`: {e}", path.display())))?;
    let gpus: Vec<&str> = rhumb_engine::gpus().iter().map(|g| g.name).collect();
    let shapes: Vec<&str> = rhumb_engine::shapes().iter().map(|s| s.name).collect();
    let catalogue = Catalogue { gpus: &gpus, shapes: &shapes };
    let loaded = load(&text, &|name| std::env::var(name).ok(), &catalogue);
    Ok((text, loaded))
}

/// A configuration that may be used.
pub(crate) fn config(path: &Path) -> Result<Config, Failure> {
    let (text, loaded) = read(path)?;
    loaded.map_err(|problems| {
        let rendered = rhumb_grid::render(&path.display().to_string(), &text, &problems);
        // The first line already says `error:`.
        let rendered = rendered.strip_prefix("error: ").unwrap_or(&rendered);
        Failure::new(FOUND, rendered.trim_end())
    })
}
