//! Who looks on while a world runs: invariants, traces, tests. Looking on costs nothing where nobody does.

use rhumb_engine::{Engine, Step};
use rhumb_grid::position::EndpointIndex;
use rhumb_route::decide::Decision;
use rhumb_route::facts::Facts;

use crate::queue::{Event, Ticket};

/// A moment right after an event.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Counts events, from 1.
    pub number: u64,
    /// Virtual time, µs.
    pub now_us: u64,
    /// What happened.
    pub event: Event,
    /// Requests that have entered.
    pub entered: u64,
    /// Requests that have left, one way or the other.
    pub left: u64,
    /// Requests under way.
    pub under_way: u64,
    /// The engine the event was about, with the step that has just ended where it was a step.
    pub engine: Option<(EndpointIndex, &'a Engine, Option<&'a Step>)>,
    /// For the end of a request that was answered, in whole or in part: its ticket at the engine and the tokens it got.
    pub ended: Option<(Ticket, u32)>,
}

/// A decision at the moment it is made.
#[derive(Debug)]
pub struct Decided<'a> {
    /// Virtual time, µs.
    pub now_us: u64,
    /// Where.
    pub gateway: u32,
    /// Number of the request, by entry.
    pub request: u64,
    /// Whose it is.
    pub tenant: u32,
    /// What the router was told of it.
    pub facts: &'a Facts,
    /// What it made of that.
    pub decision: &'a Decision,
    /// When the newest reading that it can have used arrived, µs.
    pub newest_reading_us: u64,
}

/// Somebody who looks on.
pub trait Watch {
    /// Whether anybody does: where this is false, the calls are not compiled in.
    const ON: bool = true;

    /// A decision was made.
    ///
    /// # Errors
    /// What is wrong with it.
    fn decided(&mut self, decided: &Decided<'_>) -> Result<(), Breach> {
        let _ = decided;
        Ok(())
    }

    /// An event has happened.
    ///
    /// # Errors
    /// What is wrong with the world after it.
    fn happened(&mut self, moment: &Moment<'_>) -> Result<(), Breach> {
        let _ = moment;
        Ok(())
    }
}

/// Nobody looks on.
impl Watch for () {
    const ON: bool = false;
}

/// Two who look on.
impl<A: Watch, B: Watch> Watch for (A, B) {
    const ON: bool = A::ON || B::ON;

    fn decided(&mut self, decided: &Decided<'_>) -> Result<(), Breach> {
        self.0.decided(decided)?;
        self.1.decided(decided)
    }

    fn happened(&mut self, moment: &Moment<'_>) -> Result<(), Breach> {
        self.0.happened(moment)?;
        self.1.happened(moment)
    }
}

impl<W: Watch> Watch for &mut W {
    const ON: bool = W::ON;

    fn decided(&mut self, decided: &Decided<'_>) -> Result<(), Breach> {
        (**self).decided(decided)
    }

    fn happened(&mut self, moment: &Moment<'_>) -> Result<(), Breach> {
        (**self).happened(moment)
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Its name.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

/// An invariant that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {} broken at {:.6} s (event {event}): {}", breach.invariant, *at_us as f64 / 1e6, breach.detail)]
pub struct Broken {
    /// What.
    pub breach: Breach,
    /// Number of the event.
    pub event: u64,
    /// Virtual time, µs.
    pub at_us: u64,
}
