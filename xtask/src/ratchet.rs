//! What is allowed at most.

use std::collections::BTreeMap;
use std::path::Path;

/// Figures by name.
pub(crate) struct Ratchet(BTreeMap<String, u64>);

impl Ratchet {
    /// Reads lines of a name and a whole number.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
        let figure = |line: &str| {
            let (name, figure) = line.split_once(' ')?;
            Some((name.to_owned(), figure.trim().parse().ok()?))
        };
        lines
            .map(|line| figure(line).ok_or_else(|| format!("{}: `{line}` must be a name and a number", file.display())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn of(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).copied().ok_or_else(|| format!("xtask/ratchet.txt says nothing of `{name}`"))
    }
}
