//! Idle connections to endpoints, each worker thread its own.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rhumb_process::clock;
use rhumb_upstream::Conn;

/// Idle connections kept for one endpoint by one worker.
const IDLE_MAX: usize = 256;

/// Shorter than the keep-alive of the engines in use, so that they are rarely the first to close. (Uvicorn, under
/// vLLM and SGLang, closes after 5 s.)
const IDLE_FOR: Duration = Duration::from_millis(4_500);

/// Between two looks at what is idle.
const TEND_EVERY: Duration = Duration::from_millis(250);

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
            if clock::since(i.since) > IDLE_FOR {
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

/// Closes what has been idle for too long on this thread, and all that is idle when the gateway is short of memory, descriptors or connections:
/// what another thread keeps idle cannot be had otherwise.
pub(crate) async fn tend(is_short: impl Fn() -> bool) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        if is_short() {
            clear();
        }
        POOL.with_borrow_mut(|pool| {
            pool.iter_mut().for_each(|idle| idle.retain(|i| clock::since(i.since) <= IDLE_FOR))
        });
    }
}

/// Closes what this thread keeps idle.
pub(crate) fn clear() {
    POOL.with_borrow_mut(|pool| pool.iter_mut().for_each(Vec::clear));
}

/// Keeps a connection for the next request.
pub(crate) fn give(key: PoolKey, conn: Conn) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= key {
            pool.resize_with(key + 1, Vec::new);
        }
        let idle = &mut pool[key];
        if idle.len() < IDLE_MAX {
            idle.push(Idle { conn, since: clock::now() });
        }
    });
}
