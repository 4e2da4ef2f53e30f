//! Ways in which the engine can be made to fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rhumb_process::clock;
use serde::Serialize;
use tokio::time::Instant;

/// One way to fail. Faults that name `after_tokens` also strike answers already under way, at their next token; an
/// answer that is not streamed counts the tokens made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Works.
    #[default]
    None,
    /// Closes every new connection at once and drops a connection that sends another request, as when the process
    /// is gone. Only the handle, or the end of a fault set for a time, can undo it.
    Refuse,
    /// Answers inference requests with this status; `/health` and `/metrics` still look well.
    Http {
        /// Status code, 400 to 599.
        status: u16,
    },
    /// Accepts requests and never answers, health checks included.
    Hang,
    /// Sends no more bytes of an answer after some tokens, and keeps the connection.
    Stall {
        /// Tokens sent before.
        after_tokens: u32,
    },
    /// Resets the connection after some tokens.
    Reset {
        /// Tokens sent before.
        after_tokens: u32,
    },
    /// Ends the answer cleanly after some tokens, without a finish reason and without `[DONE]`; an answer that is
    /// not streamed is closed before its first byte.
    Fin {
        /// Tokens sent before.
        after_tokens: u32,
    },
}

/// A name that stands for no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {0:?}: use none, refuse, http500 (or another status), hang, stall, reset or fin")]
pub struct UnknownFault(pub String);

impl Fault {
    /// The fault called `name` (`none`, `refuse`, `http503`, `hang`, `stall`, `reset`, `fin`); `after_tokens` applies
    /// to the last three.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse(name: &str, after_tokens: u32) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(name.to_owned());
        Ok(match name {
            "none" => Self::None,
            "refuse" => Self::Refuse,
            "hang" => Self::Hang,
            "stall" => Self::Stall { after_tokens },
            "reset" => Self::Reset { after_tokens },
            "fin" => Self::Fin { after_tokens },
            _ => {
                let status = name.strip_prefix("http").and_then(|code| code.parse().ok()).ok_or_else(unknown)?;
                if !(400..=599).contains(&status) {
                    return Err(unknown());
                }
                Self::Http { status }
            }
        })
    }

    /// Tokens an answer may show, and what comes after them; `None` when this fault does not cut answers.
    pub(crate) fn cut(self) -> Option<(u32, Cut)> {
        match self {
            Self::Stall { after_tokens } => Some((after_tokens, Cut::Stall)),
            Self::Reset { after_tokens } => Some((after_tokens, Cut::Reset)),
            Self::Fin { after_tokens } => Some((after_tokens, Cut::Fin)),
            Self::None | Self::Refuse | Self::Http { .. } | Self::Hang => None,
        }
    }
}

/// How an answer is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Stall,
    Reset,
    Fin,
}

/// The fault in force, and until when.
#[derive(Debug, Default)]
pub(crate) struct FaultSwitch(Mutex<(Fault, Option<Instant>)>);

impl FaultSwitch {
    /// Puts a fault in force, for some time or until the next call.
    pub(crate) fn set(&self, fault: Fault, duration: Option<Duration>) {
        let until = duration.map(|duration| clock::timer_now() + duration);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (fault, until);
    }

    /// The fault in force now.
    pub(crate) fn get(&self) -> Fault {
        let (fault, until) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match until {
            Some(until) if fault != Fault::None && clock::timer_now() >= until => Fault::None,
            _ => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        assert_eq!(Fault::parse("http503", 0), Ok(Fault::Http { status: 503 }));
        assert_eq!(Fault::parse("reset", 17), Ok(Fault::Reset { after_tokens: 17 }));
        for wrong in ["http", "http200", "https500", "Reset", ""] {
            assert_eq!(Fault::parse(wrong, 0), Err(UnknownFault(wrong.to_owned())));
        }
    }
}
