//! How much of its memory, descriptors and connections the gateway uses, and what it does about it.

use rhumb_grid::config::Priority;

/// How far the gateway is from running out, and so what it turns away. In declared order: what nobody waits for goes
/// first, and what a person waits for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Nothing is near its limit.
    #[default]
    Calm,
    /// Connections are not kept alive any more, and batch is turned away.
    Batch,
    /// Only interactive requests are taken.
    Standard,
    /// No request is taken, and connections without one are closed.
    All,
}

/// Shares of a limit at which the levels above calm begin.
const BEGINS: [(f64, Level); 3] = [(0.85, Level::Batch), (0.90, Level::Standard), (0.95, Level::All)];

/// A level ends this far below where it begins, so that what it sheds does not end it at once.
const HYSTERESIS: f64 = 0.03;

impl Level {
    /// A request of this priority is taken.
    #[must_use]
    pub fn takes(self, priority: Priority) -> bool {
        match self {
            Self::Calm => true,
            Self::Batch => priority <= Priority::Standard,
            Self::Standard => priority == Priority::Interactive,
            Self::All => false,
        }
    }
}

/// What has been used of each means, as shares of its limit: 1 is all of it. A means without a limit is at 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// Memory.
    pub memory: f64,
    /// Descriptors that connections may take.
    pub descriptors: f64,
    /// Connections of clients.
    pub connections: f64,
}

impl Pressure {
    /// Each with its name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 3] {
        [("memory", self.memory), ("descriptors", self.descriptors), ("connections", self.connections)]
    }

    /// The one nearest to its limit.
    #[must_use]
    pub fn worst(&self) -> (&'static str, f64) {
        self.named().into_iter().fold(("memory", 0.0), |worst, one| if one.1 > worst.1 { one } else { worst })
    }
}

/// Turns readings into a level: up at once, and down when the worst of them is [`HYSTERESIS`] below where the level
/// began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overload {
    level: Level,
}

impl Overload {
    /// A reading has come.
    pub fn read(&mut self, pressure: &Pressure) -> Level {
        let (_, worst) = pressure.worst();
        let reached = |share: f64| BEGINS.iter().rev().find(|(at, _)| share >= *at).map_or(Level::Calm, |(_, l)| *l);
        // What is reached with the hysteresis on top is what has not ended yet.
        self.level = reached(worst).max(self.level.min(reached(worst + HYSTERESIS)));
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(shares: &[f64]) -> alloc::vec::Vec<Level> {
        let mut overload = Overload::default();
        shares.iter().map(|s| overload.read(&Pressure { memory: *s, ..Pressure::default() })).collect()
    }

    #[test]
    fn levels_rise_in_the_declared_order() {
        use Level::*;
        let rising = levels(&[0.0, 0.849, 0.85, 0.899, 0.90, 0.949, 0.95, 2.0]);
        assert_eq!(rising, [Calm, Calm, Batch, Batch, Standard, Standard, All, All]);
        assert_eq!(levels(&[0.96]), [All], "at once");
    }

    #[test]
    fn a_level_ends_below_where_it_begins() {
        use Level::*;
        let falling = levels(&[0.96, 0.93, 0.919, 0.88, 0.869, 0.83, 0.819, 0.0]);
        assert_eq!(falling, [All, All, Standard, Standard, Batch, Batch, Calm, Calm]);
        assert_eq!(levels(&[0.96, 0.0]), [All, Calm]);
        assert_eq!(levels(&[0.86, 0.84, 0.86, 0.84]), [Batch; 4], "no flapping");
        assert_eq!(levels(&[0.84, 0.91, 0.88, 0.84]), [Calm, Standard, Standard, Batch]);
    }

    #[test]
    fn each_level_turns_away_one_priority_more() {
        let taken = |level: Level| Priority::ALL.iter().filter(|(_, p)| level.takes(*p)).count();
        assert_eq!([Level::Calm, Level::Batch, Level::Standard, Level::All].map(taken), [3, 2, 1, 0]);
        assert!(Level::Standard.takes(Priority::Interactive) && !Level::Batch.takes(Priority::Batch));
    }

    #[test]
    fn the_worst_means_decides_and_a_senseless_reading_does_not() {
        let read =
            |memory, descriptors, connections| Overload::default().read(&Pressure { memory, descriptors, connections });
        assert_eq!([read(0.9, 0.0, 0.0), read(0.0, 0.9, 0.0), read(0.0, 0.0, 0.9)], [Level::Standard; 3]);
        assert_eq!([read(f64::NAN, 0.0, 0.0), read(-1.0, 0.0, 0.0)], [Level::Calm; 2]);
    }
}
