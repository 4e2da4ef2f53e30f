//! The command that makes a report again.

use std::fmt::Write;

use crate::file::Loaded;
use crate::options::Options;

/// The command of a run, with what decides its figures and nothing else.
pub(crate) fn of(loaded: &Loaded, options: &Options) -> String {
    let mut out = format!("rhumb sim {}", quoted(&loaded.given));
    for router in &options.routers {
        let _ = write!(out, " --router {}", router.name());
    }
    if let Some(requests) = loaded.scenario.traffic.requests {
        let _ = write!(out, " --requests {requests}");
    }
    if loaded.is_alone {
        out.push_str(" --no-loads");
    }
    let _ = write!(out, " --seed {}", options.seed);
    if options.seeds > 1 {
        let _ = write!(out, " --seeds {}", options.seeds);
    }
    out + &format!(" --html {}", quoted(&format!("{}.html", loaded.name)))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::RouterName;

    #[test]
    fn the_command_can_be_pasted() {
        let loaded = crate::load("edge-43").unwrap();
        let options = Options {
            routers: vec![RouterName::Nearest],
            seed: 7,
            seeds: 3,
            data: None,
            check: false,
            threads: 1,
            commit: String::new(),
        };
        let wanted = "rhumb sim edge-43 --router nearest --requests 100000 --seed 7 --seeds 3 --html edge-43.html";
        assert_eq!(of(&loaded, &options), wanted);
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
