//! What has failed at an endpoint lately, so that an operator sees why it is not used, since when, and what it said.

use std::collections::BTreeMap;

use rhumb_flow::blame::Failure;
use serde::{Deserialize, Serialize};

/// Failures of one endpoint since it last answered, by their cause.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Troubles(BTreeMap<&'static str, Trouble>);

/// Failures of one cause.
#[derive(Debug, Clone, PartialEq)]
struct Trouble {
    status: u16,
    said: String,
    count: u64,
    first_ms: u64,
    last_ms: u64,
    /// How many have come since it was last said in the log, and when that was.
    unsaid: u64,
    said_ms: Option<u64>,
}

/// As it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastError {
    /// What the failures came to: `server_error`, `credential_refused`, `model_missing` and others.
    pub cause: String,
    /// The HTTP status of the last one, where one came.
    pub status: Option<u16>,
    /// What the engine said with it, without addresses, files and credentials.
    pub said: String,
    /// How many there were since the endpoint last answered.
    pub count: u64,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// How long ago the last one was, in milliseconds.
    pub ago_ms: u64,
}

/// The same cause is said in the log again after so long, with its count.
const SAY_AGAIN_MS: u64 = 60_000;

/// Longest text kept of what an engine said, in characters.
const SAID_MAX: usize = 200;

impl Troubles {
    /// A failure. When it is to be said in the log, how many there have been since it last was.
    pub(crate) fn note(&mut self, now_ms: u64, failure: Failure, status: u16, said: &str) -> Option<u64> {
        let said: String = said.chars().take(SAID_MAX).collect();
        let new = || Trouble {
            status,
            said: String::new(),
            count: 0,
            first_ms: now_ms,
            last_ms: now_ms,
            unsaid: 0,
            said_ms: None,
        };
        let trouble = self.0.entry(failure.code()).or_insert_with(new);
        if trouble.count == 0 {
            trouble.first_ms = now_ms;
        }
        trouble.count += 1;
        trouble.unsaid += 1;
        (trouble.last_ms, trouble.status) = (now_ms, status);
        if !said.is_empty() {
            trouble.said = said;
        }
        if trouble.said_ms.is_some_and(|at| now_ms.saturating_sub(at) < SAY_AGAIN_MS) {
            return None;
        }
        trouble.said_ms = Some(now_ms);
        Some(std::mem::take(&mut trouble.unsaid))
    }

    /// The endpoint has answered a request: what failed before is over.
    pub(crate) fn over(&mut self) {
        self.0.values_mut().for_each(|t| t.count = 0);
    }

    /// The cause that came last.
    pub(crate) fn last(&self, now_ms: u64) -> Option<LastError> {
        let (cause, trouble) = self.0.iter().filter(|(_, t)| t.count > 0).max_by_key(|(_, t)| t.last_ms)?;
        Some(LastError {
            cause: (*cause).to_owned(),
            status: (trouble.status > 0).then_some(trouble.status),
            said: trouble.said.clone(),
            count: trouble.count,
            since_ms: now_ms.saturating_sub(trouble.first_ms),
            ago_ms: now_ms.saturating_sub(trouble.last_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_cause_is_said_once_and_then_each_minute_with_its_count() {
        let mut t = Troubles::default();
        let said: Vec<Option<u64>> = (0..200).map(|i| t.note(i * 1_000, Failure::Credential, 401, "no")).collect();
        assert_eq!(said.iter().flatten().copied().collect::<Vec<_>>(), [1, 60, 60, 60]);
        t.note(500, Failure::Server, 500, "");
        let last = t.last(200_000).unwrap();
        assert_eq!((last.cause.as_str(), last.status, last.count), ("credential_refused", Some(401), 200));
        assert_eq!((last.since_ms, last.ago_ms, last.said.as_str()), (200_000, 1_000, "no"));
        t.over();
        assert_eq!((t.last(0), t.note(200_000, Failure::Credential, 401, "")), (None, None), "said 20 s ago");
        assert_eq!(t.last(200_000).map(|l| (l.count, l.since_ms)), Some((1, 0)));
    }
}
