//! A response that is made whether or not anybody waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::sync::Notify;

use crate::lock;

/// One such response, shared by who makes it and who follows it.
#[derive(Default)]
pub struct Run {
    /// The response when it was accepted, as JSON.
    queued: OnceLock<String>,
    told: Mutex<Told>,
    cancelled: Notify,
}

#[derive(Default)]
struct Told {
    /// Its events so far, each by its number.
    events: Vec<Bytes>,
    /// Its items that are whole.
    items: Vec<Value>,
    has_ended: bool,
    /// Those who wait for more, by their number.
    followers: BTreeMap<u64, Waker>,
    next_follower: u64,
}

impl Told {
    fn wake(&mut self) {
        std::mem::take(&mut self.followers).into_values().for_each(Waker::wake);
    }
}

impl Run {
    /// It is accepted as this response.
    pub(crate) fn accept(&self, queued: String) {
        // It is accepted once.
        let _ = self.queued.set(queued);
    }

    /// The response as it was accepted, as JSON; `None` before that.
    pub fn queued(&self) -> Option<&str> {
        self.queued.get().map(String::as_str)
    }

    /// Something of it has been made.
    pub(crate) fn has_begun(&self) -> bool {
        !lock(&self.told).events.is_empty()
    }

    /// Its next event.
    pub(crate) fn tell(&self, event: Bytes) {
        let mut told = lock(&self.told);
        told.events.push(event);
        told.wake();
    }

    /// An item is whole.
    pub(crate) fn item(&self, item: Value) {
        lock(&self.told).items.push(item);
    }

    pub(crate) fn items(&self) -> Vec<Value> {
        lock(&self.told).items.clone()
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<u8> {
        lock(&self.told).events.concat()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.told).events.len()
    }

    /// No more events come.
    pub(crate) fn end(&self) {
        let mut told = lock(&self.told);
        told.has_ended = true;
        told.wake();
    }

    /// A number for one who follows it.
    pub(crate) fn follower(&self) -> u64 {
        let mut told = lock(&self.told);
        told.next_follower += 1;
        told.next_follower
    }

    /// A follower has left.
    pub(crate) fn leave(&self, follower: u64) {
        lock(&self.told).followers.remove(&follower);
    }

    /// Its events from a number on, once there are any; `None` after the last.
    pub(crate) fn poll_from(&self, follower: u64, next: &mut usize, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut told = lock(&self.told);
        if let Some(events @ [_, ..]) = told.events.get(*next..) {
            let mut out = BytesMut::new();
            events.iter().for_each(|event| out.extend_from_slice(event));
            *next = told.events.len();
            return Poll::Ready(Some(out.freeze()));
        }
        if told.has_ended {
            return Poll::Ready(None);
        }
        told.followers.insert(follower, cx.waker().clone());
        Poll::Pending
    }

    /// Calls it off.
    pub(crate) fn cancel(&self) {
        self.cancelled.notify_one();
    }

    /// Until it is called off.
    pub(crate) async fn called_off(&self) {
        self.cancelled.notified().await;
    }
}
