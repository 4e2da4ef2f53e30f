//! Idle connections to endpoints, each worker thread its own.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rhumb_upstream::Conn;

/// Idle connections kept for one endpoint by one worker.
const IDLE_MAX: usize = 256;

/// Shorter than the keep-alive of the engines in use, so that they are rarely the first to close. (Uvicorn, under
/// vLLM and SGLang, closes after 5 s.)
const IDLE_FOR: Duration = Duration::from_millis(4_500);

struct Idle {
    conn: Conn,
    since: Instant,
}

thread_local! {
    static POOL: RefCell<Vec<Vec<Idle>>> = const { RefCell::new(Vec::new()) };
}

/// Key of an endpoint in the pool, unique in the process: several gateways may share a thread, as in the demo.
pub(crate) type PoolKey = usize;

/// The connection used last, if it still stands.
pub(crate) fn take(key: PoolKey) -> Option<Conn> {
    POOL.with_borrow_mut(|pool| {
        let idle = pool.get_mut(key)?;
        while let Some(mut i) = idle.pop() {
            if i.since.elapsed() > IDLE_FOR {
                // What lies below was used even longer ago.
                idle.clear();
                return None;
            }
            if i.conn.is_idle() {
                return Some(i.conn);
            }
        }
        None
    })
}

/// Keeps a connection for the next request.
pub(crate) fn give(key: PoolKey, conn: Conn) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= key {
            pool.resize_with(key + 1, Vec::new);
        }
        let idle = &mut pool[key];
        if idle.len() < IDLE_MAX {
            idle.push(Idle { conn, since: Instant::now() });
        }
    });
}

/// Longest time that an idle connection outlives its use, beyond the time it is good for.
pub(crate) const SWEEP_EVERY: Duration = IDLE_FOR;

/// Closes connections of this thread that are too old to be used: those to an endpoint that nothing is sent to any more
/// would stand for ever.
pub(crate) fn sweep() {
    POOL.with_borrow_mut(|pool| {
        for idle in pool {
            let old = idle.partition_point(|i| i.since.elapsed() > IDLE_FOR);
            idle.drain(..old);
            if idle.is_empty() {
                idle.shrink_to_fit();
            }
        }
    });
}
