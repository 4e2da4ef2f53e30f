//! Progress on one line of standard error.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

/// A progress bar, drawn if standard error is a terminal.
pub struct Bar {
    shown: bool,
    last: Mutex<String>,
}

/// Characters of the bar.
const WIDTH: usize = 30;

impl Default for Bar {
    fn default() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: Mutex::default() }
    }
}

impl Bar {
    /// Shows that `done` of `all` parts are done, with `text` beside the bar. The same line is not drawn twice.
    pub fn show(&self, done: usize, all: usize, text: impl Display) {
        if !self.shown {
            return;
        }
        let full = WIDTH * done.min(all) / all.max(1);
        let line = format!("\r[{}{}] {text} ", "#".repeat(full), "-".repeat(WIDTH - full));
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != line {
            // A closed standard error is no reason to stop.
            let _ = write!(std::io::stderr().lock(), "{line}");
            *last = line;
        }
    }

    /// Ends the line.
    pub fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}
