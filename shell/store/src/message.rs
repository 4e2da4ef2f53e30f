//! What the threads of the log tell each other.

use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::entry::{Ended, Intent};

/// What the thread that takes rows is told.
pub(crate) enum Message {
    Decided(Box<Intent>),
    Ended(Ended),
    Find(u64, Sender<Option<Intent>>),
    /// What was handed over last is on the disk, in another file than what came before or in the same.
    Written {
        is_new: bool,
    },
    /// The disk has closed its file.
    Closed,
    /// Everything is to be written by then, and the end said.
    Stop(Instant, Sender<()>),
}
