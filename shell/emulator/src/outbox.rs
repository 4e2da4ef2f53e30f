//! Tokens on their way to the client: made, and due half a round trip later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::answer::Answer;

/// A token under way.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) answer: Arc<Answer>,
    pub(crate) finished: bool,
    pub(crate) cached_tokens: u32,
}

/// One queue per link: the delay of a link is constant, so its tokens come due in the order they were made.
#[derive(Debug)]
pub(crate) struct Outbox {
    links: Vec<(Duration, VecDeque<(Instant, Parcel)>)>,
}

impl Outbox {
    pub(crate) fn new(half_rtts: &[Duration]) -> Self {
        Self { links: half_rtts.iter().map(|delay| (*delay, VecDeque::new())).collect() }
    }

    /// Sends a token made at `made_at` over a link.
    pub(crate) fn push(&mut self, link: usize, made_at: Instant, parcel: Parcel) {
        let (delay, queue) = &mut self.links[link];
        queue.push_back((made_at + *delay, parcel));
    }

    /// Delivers all that is due.
    pub(crate) fn deliver(&mut self, now: Instant) {
        for (_, queue) in &mut self.links {
            while let Some((_, parcel)) = queue.pop_front_if(|(due, _)| *due <= now) {
                parcel.answer.token_due(parcel.finished, parcel.cached_tokens);
            }
        }
    }

    /// When the next token comes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.links.iter().filter_map(|(_, queue)| queue.front().map(|(due, _)| *due)).min()
    }
}
