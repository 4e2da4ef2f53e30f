//! Sessions of agents: what each has come to, where it was served, and whether it may go on.
//!
//! What is kept of a session is bounded, and so is their number: those that were not used lately are forgotten, with what they have
//! come to.

mod now;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhumb_flow::session::{Reached, Session};
use rhumb_grid::config::SessionLimits;
use rhumb_process::clock;
use rhumb_record::format_id;
use rhumb_route::pins::Recent;

pub use self::now::{Move, SessionNow};

/// Sessions that are kept, and the shards they are kept in.
const SESSIONS: usize = 1 << 14;
const SHARDS: usize = 16;

/// Moves of one session that are kept, the last ones.
const MOVES_MAX: usize = 16;

/// Longest part of a session's name that is kept, in characters.
const NAME_CHARS_MAX: usize = 128;

/// A session as it is kept. Times are of the wall clock.
struct Kept {
    name: Box<str>,
    tenant: Arc<str>,
    session: Session,
    /// Endpoint and model that served it last.
    served: Option<(Box<str>, Box<str>)>,
    moves: VecDeque<Move>,
    moved: u64,
    stopped: Option<Reached>,
}

/// A request that begins.
#[derive(Debug, Clone, Copy)]
pub struct Begins<'a> {
    /// Hash of the session, which no other tenant's meets.
    pub session: u64,
    /// Its name, as its client gives it.
    pub name: &'a str,
    /// Whose it is.
    pub tenant: &'a Arc<str>,
    /// What it may come to.
    pub limits: &'a SessionLimits,
    /// Times in a row that the request tells of the same call.
    pub repeats: u64,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Its id.
    pub decision: u64,
    /// Endpoint and model that served it.
    pub served: Option<(&'a str, &'a str)>,
    /// Tokens of the prompt, those of them that a cache held, tokens of the answer.
    pub tokens: (u64, u64, u64),
    /// What it cost, USD.
    pub usd: f64,
}

/// All sessions of a gateway.
pub struct Sessions {
    shards: Vec<Mutex<Recent<Kept>>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::new(Recent::new(SESSIONS / SHARDS))).collect() }
    }
}

/// A name as it is kept: clients choose it, and it is shown on terminals.
fn shown(name: &str) -> Box<str> {
    let sound = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    name.chars().take(NAME_CHARS_MAX).map(sound).collect::<String>().into()
}

impl Sessions {
    fn shard(&self, session: u64) -> MutexGuard<'_, Recent<Kept>> {
        self.shards[session as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of a session comes.
    ///
    /// # Errors
    /// The session is beyond a limit: the request is not to be let through.
    pub fn begin(&self, begins: &Begins<'_>) -> Result<(), Reached> {
        let now_ms = clock::unix_ms();
        let mut shard = self.shard(begins.session);
        if shard.get(begins.session).is_none() {
            let kept = Kept {
                name: shown(begins.name),
                tenant: Arc::clone(begins.tenant),
                session: Session::new(now_ms),
                served: None,
                moves: VecDeque::new(),
                moved: 0,
                stopped: None,
            };
            shard.insert(begins.session, kept);
        }
        let Some(kept) = shard.get(begins.session) else { return Ok(()) };
        let begun = kept.session.begin(begins.limits, begins.repeats, now_ms);
        kept.stopped = begun.err();
        begun
    }

    /// A request that was let through has ended.
    pub fn end(&self, session: u64, ends: &Ends<'_>) {
        let now_ms = clock::unix_ms();
        let mut shard = self.shard(session);
        let Some(kept) = shard.get(session) else { return };
        kept.session.end(ends.tokens, ends.usd, now_ms);
        let Some((endpoint, model)) = ends.served else { return };
        if let Some((before, before_model)) = &kept.served
            && (&**before, &**before_model) == (endpoint, model)
        {
            return;
        }
        let served = (Box::from(endpoint), Box::from(model));
        if let Some((before, _)) = kept.served.replace(served) {
            kept.moved += 1;
            if kept.moves.len() == MOVES_MAX {
                kept.moves.pop_front();
            }
            kept.moves.push_back(Move {
                at_unix_ms: now_ms,
                from: before.into(),
                to: endpoint.to_owned(),
                decision: format_id(ends.decision),
            });
        }
    }

    /// Those with a name, or all; the ones used last come first, at most so many.
    pub fn now(&self, name: Option<&str>, most: usize) -> Vec<SessionNow> {
        let (mut all, name) = (Vec::new(), name.map(shown));
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let named = shard.values().filter(|kept| name.as_ref().is_none_or(|name| kept.name == *name));
            all.extend(named.map(SessionNow::of));
        }
        all.sort_by_key(|session| std::cmp::Reverse(session.last_unix_ms));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &Sessions, session: u64, limits: &SessionLimits) -> Result<(), Reached> {
        let tenant = Arc::from("acme");
        sessions.begin(&Begins { session, name: &format!("s{session}"), tenant: &tenant, limits, repeats: 0 })
    }

    #[test]
    fn a_session_is_told_by_what_it_has_come_to_and_where() {
        let sessions = Sessions::default();
        let limits = SessionLimits { max_steps: Some(3), ..SessionLimits::default() };
        for (decision, endpoint) in [(1, "a"), (2, "a"), (3, "b")] {
            begin(&sessions, 7, &limits).unwrap();
            let ends = Ends { decision, served: Some((endpoint, "m")), tokens: (10, 5, 2), usd: 0.5 };
            sessions.end(7, &ends);
        }
        assert_eq!(begin(&sessions, 7, &limits), Err(Reached::Steps(3)));
        let [now] = sessions.now(Some("s7"), 9).try_into().unwrap();
        assert_eq!((now.tenant.as_str(), now.steps, now.tokens, now.cached_tokens), ("acme", 3, 36, 15));
        assert_eq!((now.endpoint.as_deref(), now.moved, now.moves[0].from.as_str()), (Some("b"), 1, "a"));
        assert_eq!((now.stopped_by.as_deref(), now.usd), (Some("steps"), 1.5));
        assert!(sessions.now(Some("s8"), 9).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let sessions = Sessions::default();
        for session in 0..3 * SESSIONS as u64 {
            begin(&sessions, session, &SessionLimits::default()).unwrap();
        }
        assert!(sessions.now(None, usize::MAX).len() <= SESSIONS);
        assert_eq!(sessions.now(None, 5).len(), 5);
        for n in 0..50 {
            let served = Some((if n % 2 == 0 { "a" } else { "b" }, "m"));
            sessions.end(3 * SESSIONS as u64 - 1, &Ends { decision: n, served, tokens: (0, 0, 0), usd: 0.0 });
        }
        let last = format!("s{}", 3 * SESSIONS - 1);
        let [now] = sessions.now(Some(&last), 2).try_into().unwrap();
        assert_eq!((now.moves.len(), now.moved), (MOVES_MAX, 49));
    }
}
