//! When a configuration file is to be read anew: on SIGHUP, and when its content has changed.
//!
//! The content itself is looked at, twice a second: that sees editors that write a new file and rename it, the symbolic
//! links that a mounted ConfigMap is swapped by, and network file systems, and it sees nothing in a file that was only
//! touched. A change counts once two looks have found it the same, so that a file half-written is no news yet.

use std::path::PathBuf;
use std::time::Duration;

use rhumb_gateway::Digest;

use crate::load;

/// Time between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a look finds: the text, or why there is none.
pub(crate) type Found = Result<String, String>;

/// A file that is watched.
pub(crate) struct Watch {
    path: PathBuf,
    /// What the last look found.
    seen: Digest,
    /// What has been dealt with.
    known: Digest,
}

/// Two errors are the same when they say the same.
fn digest(found: &Found) -> Digest {
    let (Ok(text) | Err(text)) = found;
    Digest::of(text.as_bytes())
}

impl Watch {
    /// Watches a file whose text is in force.
    pub(crate) fn new(path: PathBuf, known: Digest) -> Self {
        Self { path, seen: known, known }
    }

    /// Looks; a change that two looks have found.
    pub(crate) fn look(&mut self) -> Option<Found> {
        if self.is_gone_once_read() {
            return None;
        }
        let found = load::text(&self.path);
        self.settle(found)
    }

    /// It is a pipe, say: reading it again would wait for whoever writes there.
    fn is_gone_once_read(&self) -> bool {
        self.path.metadata().is_ok_and(|file| !file.is_file())
    }

    fn settle(&mut self, found: Found) -> Option<Found> {
        let now = digest(&found);
        let settled = now == std::mem::replace(&mut self.seen, now);
        if !settled || now == self.known {
            return None;
        }
        self.known = now;
        Some(found)
    }

    /// Reads what is there now: whoever asks for it says that it is whole.
    pub(crate) fn read(&mut self) -> Found {
        let found = if self.is_gone_once_read() {
            Err(format!("`{}` is no regular file: it could be read only once", self.path.display()))
        } else {
            load::text(&self.path)
        };
        self.known = digest(&found);
        self.seen = self.known;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_two_looks_have_found_it() {
        let mut watch = Watch::new(PathBuf::new(), Digest::of(b"a"));
        let mut look = |text: &str| watch.settle(Ok(text.into())).map(Result::unwrap);
        assert_eq!((look("a"), look("a")), (None, None), "touched and not changed");
        assert_eq!((look("half"), look("whole")), (None, None));
        assert_eq!((look("whole"), look("whole")), (Some("whole".into()), None), "once");
        assert_eq!((look("bad"), look("whole"), look("whole")), (None, None, None), "taken back in time");
        assert_eq!((look("a"), look("a")), (None, Some("a".into())), "taken back");
    }

    #[test]
    fn a_file_that_is_gone_is_news_too_but_not_while_it_is_replaced() {
        let mut watch = Watch::new(PathBuf::new(), Digest::of(b"a"));
        let gone = || Err("gone".to_owned());
        assert_eq!(watch.settle(gone()), None);
        assert_eq!(watch.settle(Ok("a".into())), None);
        assert_eq!(watch.settle(Ok("a".into())), None);
        assert_eq!(watch.settle(gone()), None);
        assert_eq!(watch.settle(gone()), Some(gone()));
        assert_eq!(watch.settle(gone()), None);
    }
}
