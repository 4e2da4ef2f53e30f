//! What happens next: events in order of time, and among those of one time in the order they were made.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rhumb_grid::position::EndpointIndex;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A request reaches its gateway.
    AtGateway {
        /// The request.
        flight: Ticket,
    },
    /// A gateway has room at an endpoint for those that wait.
    Room {
        /// The gateway.
        gateway: u32,
        /// The endpoint.
        endpoint: EndpointIndex,
    },
    /// The first of those that wait at a gateway look again.
    LookAgain {
        /// The gateway.
        gateway: u32,
    },
    /// A request has waited at its gateway as long as it may.
    Patience {
        /// The request.
        flight: Ticket,
        /// Its place in the queue.
        place: u64,
    },
    /// A request reaches the endpoint it was sent to.
    AtEndpoint {
        /// The request.
        flight: Ticket,
    },
    /// An engine's step ends.
    Step {
        /// The engine.
        endpoint: EndpointIndex,
        /// Counts its restarts, so that a step of an engine that died is void.
        life: u32,
    },
    /// The first token reaches the gateway.
    First {
        /// The request.
        flight: Ticket,
    },
    /// An attempt has had its time to begin: a second may be made beside it.
    Late {
        /// The request.
        flight: Ticket,
    },
    /// The last token reaches the gateway.
    Last {
        /// The request.
        flight: Ticket,
    },
    /// The gateway learns that an attempt failed.
    Failed {
        /// The request.
        flight: Ticket,
        /// Tokens of its answer that came before: with none it can go elsewhere, with any its stream is broken.
        tokens: u32,
    },
    /// A gateway has had nothing of an answer for as long as it waits in the middle of one.
    Idle {
        /// The request.
        flight: Ticket,
        /// Since when, µs.
        since_us: u64,
    },
    /// A gateway learns that a client has left.
    Leaves {
        /// Where the request is kept.
        slot: u32,
        /// Which it is, counted by entry.
        request: u64,
    },
    /// A cancellation reaches an endpoint.
    Cancel {
        /// Where.
        endpoint: EndpointIndex,
        /// The engine's name for the request.
        id: u64,
    },
    /// A gateway looks at its readings and publishes a view.
    Tick {
        /// Which.
        gateway: u32,
    },
    /// The engines' loads are read.
    Sample,
    /// An hour begins: prices of energy change.
    Hour,
    /// A fault begins or ends.
    Fault {
        /// Its place in the list.
        index: u32,
        /// Whether it begins.
        begins: bool,
    },
}

/// A request on its way: the place it is kept at and which of the attempts kept there it is, so that what was meant for
/// an earlier one is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Place.
    pub slot: u32,
    /// Attempt.
    pub attempt: u32,
}

impl Ticket {
    /// The engine's name for it.
    pub fn id(self) -> u64 {
        u64::from(self.attempt) << 32 | u64::from(self.slot)
    }

    /// The request behind an engine's name.
    pub fn of(id: u64) -> Self {
        Self { slot: id as u32, attempt: (id >> 32) as u32 }
    }
}

/// The event heap and its clock.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    made: u64,
    /// Events that have happened.
    pub(crate) happened: u64,
    /// Virtual time, µs.
    pub(crate) now_us: u64,
}

impl Queue {
    /// Makes an event happen at a time, which is not in the past.
    pub(crate) fn at(&mut self, at_us: u64, event: Event) {
        debug_assert!(at_us >= self.now_us, "nothing happens in the past");
        self.heap.push(Reverse((at_us, self.made, event)));
        self.made += 1;
    }

    /// Time of the next event.
    pub(crate) fn next_at_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_us, ..))| *at_us)
    }

    /// What would still happen, in no order.
    pub(crate) fn left(&self) -> impl Iterator<Item = Event> + '_ {
        self.heap.iter().map(|Reverse((.., event))| *event)
    }

    /// Moves the clock to the next event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let Reverse((at_us, _, event)) = self.heap.pop()?;
        self.now_us = at_us;
        self.happened += 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_then_of_making() {
        let mut queue = Queue::default();
        queue.at(5, Event::Hour);
        queue.at(3, Event::Sample);
        queue.at(5, Event::Tick { gateway: 1 });
        let order: Vec<(u64, Event)> = std::iter::from_fn(|| queue.pop().map(|e| (queue.now_us, e))).collect();
        assert_eq!(order, [(3, Event::Sample), (5, Event::Hour), (5, Event::Tick { gateway: 1 })]);
        assert_eq!(queue.happened, 3);
    }

    #[test]
    fn a_ticket_survives_the_engine() {
        let ticket = Ticket { slot: 7, attempt: 9 };
        assert_eq!(Ticket::of(ticket.id()), ticket);
    }
}
