//! A queue that serves its tenants alike, and the sessions of each alike, by tokens.

use alloc::collections::{BTreeMap, VecDeque};

use crate::shares::Shares;

/// Who a queued request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct From {
    /// The tenant.
    pub tenant: u32,
    /// The session within it; requests without one share one.
    pub session: u64,
}

/// Names a request in the queue.
pub type Ticket = u64;

/// What is charged to a tenant and session for a request: prompt tokens, and generated ones at twice their number, as
/// the authors of the counter weigh them (see [`Shares`]).
#[must_use]
pub fn cost(prompt_tokens: f64, output_tokens: f64) -> f64 {
    prompt_tokens + 2.0 * output_tokens
}

/// Requests in the order they are to be served in: by tenant, then session, then arrival.
#[derive(Debug, Clone, Default)]
pub struct FairQueue {
    tenants: Shares<u32>,
    sessions: BTreeMap<u32, Sessions>,
    from: BTreeMap<Ticket, From>,
}

/// The sessions of one tenant. Tickets of requests that have left stay until their turn, or until they are the most.
#[derive(Debug, Clone, Default)]
struct Sessions {
    shares: Shares<u64>,
    lines: BTreeMap<u64, Line>,
    waiting: usize,
    /// The tenant's share against the others'.
    weight: f64,
}

#[derive(Debug, Clone, Default)]
struct Line {
    tickets: VecDeque<Ticket>,
    waiting: usize,
}

impl FairQueue {
    /// Requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.from.len()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// A request comes of a tenant of this weight. A ticket is given once.
    pub fn push(&mut self, ticket: Ticket, from: From, weight: f64) {
        self.line(from).tickets.push_back(ticket);
        self.joined(ticket, from, weight);
    }

    /// A request that had its turn and could not use it comes back, before all others of its session.
    pub fn push_front(&mut self, ticket: Ticket, from: From, weight: f64) {
        self.line(from).tickets.push_front(ticket);
        self.joined(ticket, from, weight);
    }

    fn line(&mut self, from: From) -> &mut Line {
        self.sessions.entry(from.tenant).or_default().lines.entry(from.session).or_default()
    }

    fn joined(&mut self, ticket: Ticket, from: From, weight: f64) {
        self.line(from).waiting += 1;
        self.from.insert(ticket, from);
        self.tenants.join(from.tenant);
        if let Some(sessions) = self.sessions.get_mut(&from.tenant) {
            sessions.waiting += 1;
            sessions.weight = weight;
            sessions.shares.join(from.session);
        }
    }

    /// A request leaves, wherever it stands; false when it does not wait here.
    pub fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(from) = self.from.remove(&ticket) else { return false };
        let waits = &self.from;
        let sessions = self.sessions.entry(from.tenant).or_default();
        sessions.waiting -= 1;
        let line = sessions.lines.entry(from.session).or_default();
        line.waiting -= 1;
        if line.tickets.len() > 2 * line.waiting + 8 {
            line.tickets.retain(|t| waits.contains_key(t));
        }
        if line.waiting == 0 {
            self.close(from);
        }
        true
    }

    /// Nothing of this session waits any more.
    fn close(&mut self, from: From) {
        let Some(sessions) = self.sessions.get_mut(&from.tenant) else { return };
        sessions.lines.remove(&from.session);
        sessions.shares.leave(from.session);
        if sessions.lines.is_empty() {
            self.tenants.leave(from.tenant);
        }
    }

    /// The requests of some tenants in the order of their turns as it stands now, each session's first only.
    pub fn in_turn(&self, of: impl Fn(u32) -> bool) -> impl Iterator<Item = Ticket> {
        self.tenants.in_turn().filter(move |t| of(*t)).filter_map(|tenant| self.sessions.get(&tenant)).flat_map(
            move |sessions| {
                let first = |line: &Line| line.tickets.iter().copied().find(|t| self.from.contains_key(t));
                sessions.shares.in_turn().filter_map(move |session| sessions.lines.get(&session).and_then(first))
            },
        )
    }

    /// Requests of some tenants that would have their turn before one of `tenant` that came now, if all cost as much as it does. Who has
    /// been served less than the others has few before it, however many wait: that the queue is long because of them
    /// does not turn it away.
    #[must_use]
    pub fn ahead_of(&self, tenant: u32, cost: f64, weight: f64, among: impl Fn(u32) -> bool) -> usize {
        let own = self.sessions.get(&tenant).map_or(0, |s| s.waiting);
        let level = self.tenants.joins_at(&tenant) + own as f64 * cost / weight;
        let before = |(t, served): (u32, f64)| {
            let sessions = self.sessions.get(&t).filter(|_| t != tenant && served <= level && among(t))?;
            let turns = (level - served) * sessions.weight / cost.max(1.0) + 1.0;
            Some(sessions.waiting.min(turns as usize))
        };
        self.tenants.waiting().filter_map(before).sum::<usize>() + own
    }

    /// Requests of some tenants that wait.
    #[must_use]
    pub fn len_of(&self, of: impl Fn(u32) -> bool) -> usize {
        self.sessions.iter().filter(|(t, _)| of(**t)).map(|(_, sessions)| sessions.waiting).sum()
    }

    /// Charges a tenant and session for what they were, or are about to be, served.
    pub fn charge(&mut self, from: From, amount: f64, weight: f64) {
        self.tenants.charge(from.tenant, amount / weight);
        if let Some(sessions) = self.sessions.get_mut(&from.tenant) {
            sessions.shares.charge(from.session, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn from(tenant: u32, session: u64) -> From {
        From { tenant, session }
    }

    /// Serves everything; each costs the same.
    fn serve(queue: &mut FairQueue) -> Vec<Ticket> {
        let mut order = Vec::new();
        loop {
            let Some(ticket) = queue.in_turn(|_| true).next() else { break };
            queue.charge(queue.from[&ticket], 10.0, 1.0);
            assert!(queue.remove(ticket));
            order.push(ticket);
        }
        order
    }

    #[test]
    fn tenants_take_turns_however_much_one_sends() {
        let mut q = FairQueue::default();
        (0..6).for_each(|t| q.push(t, from(1, 0), 1.0));
        (10..13).for_each(|t| q.push(t, from(2, 0), 1.0));
        assert_eq!(serve(&mut q), [0, 10, 1, 11, 2, 12, 3, 4, 5]);
        assert!(q.is_empty());
    }

    #[test]
    fn sessions_of_a_tenant_take_turns_and_keep_their_order() {
        let mut q = FairQueue::default();
        (0..3).for_each(|t| q.push(t, from(1, 7), 1.0));
        (10..12).for_each(|t| q.push(t, from(1, 8), 1.0));
        assert_eq!(serve(&mut q), [0, 10, 1, 11, 2]);
    }

    #[test]
    fn a_heavier_tenant_gets_more() {
        let mut q = FairQueue::default();
        (0..40).for_each(|t| q.push(t, from(1, 0), 1.0));
        (100..140).for_each(|t| q.push(t, from(2, 0), 1.0));
        let mut first = 0;
        for _ in 0..40 {
            let ticket = q.in_turn(|_| true).next().unwrap();
            let from = q.from[&ticket];
            first += usize::from(from.tenant == 1);
            q.charge(from, 10.0, if from.tenant == 1 { 3.0 } else { 1.0 });
            q.remove(ticket);
        }
        assert!((29..=31).contains(&first), "{first}");
    }

    #[test]
    fn who_was_served_less_has_fewer_before_it() {
        let mut q = FairQueue::default();
        (0..20).for_each(|t| q.push(t, from(1, 0), 1.0));
        (20..23).for_each(|t| q.push(t, from(2, 0), 1.0));
        q.charge(from(1, 0), 100.0, 1.0);
        assert_eq!(q.ahead_of(3, 10.0, 1.0, |_| true), 1, "it starts level with the second");
        assert_eq!(q.ahead_of(2, 10.0, 1.0, |_| true), 3, "its own");
        assert_eq!(q.ahead_of(1, 10.0, 1.0, |_| true), 20 + 3);
        (30..34).for_each(|t| q.push(t, from(3, 0), 1.0));
        q.charge(from(3, 0), 100.0, 1.0);
        q.remove(20);
        q.remove(21);
        q.remove(22);
        assert_eq!(q.ahead_of(3, 10.0, 1.0, |_| true), 4 + 5, "at every one of its own turns, one of the first's");
        assert_eq!(q.ahead_of(3, 10.0, 4.0, |_| true), 4 + 2, "a heavier one has four turns to each of the other's");
    }

    #[test]
    fn those_who_left_have_no_turn_and_those_who_return_come_first() {
        let mut q = FairQueue::default();
        (0..4).for_each(|t| q.push(t, from(1, 0), 1.0));
        assert!(q.remove(1) && !q.remove(1) && !q.remove(9));
        assert!(q.remove(0));
        q.push_front(0, from(1, 0), 1.0);
        assert_eq!((q.len(), serve(&mut q)), (3, alloc::vec![0, 2, 3]));
    }

    #[test]
    fn a_queue_that_everyone_leaves_holds_nothing() {
        let mut q = FairQueue::default();
        for t in 0..100_000 {
            q.push(t, from(1, 0), 1.0);
            if t >= 10 {
                assert!(q.remove(t - 5));
            }
        }
        let held = q.sessions[&1].lines[&0].tickets.len();
        assert!(held <= 2 * q.len() + 9, "{held} held of {}", q.len());
    }
}
