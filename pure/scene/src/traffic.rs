//! Who asks what, and when: a stretch of a real trace, from users spread over real cities, with one region bursting.
//! One seed gives the same requests to every router.

use rhumb_grid::config::Location;
use rhumb_grid::geo::distance_km;
use rhumb_rng::Rng;

use crate::atlas::City;
use crate::trace::TraceRow;

/// One request to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Since the start.
    pub at_ms: f64,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Length of the answer.
    pub output_tokens: u32,
    /// Where the user is.
    pub user: Location,
    /// Makes the prompt unlike any other.
    pub nonce: u64,
}

/// A region whose demand swells, once in each period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Index of the entry whose users ask more.
    pub entry: usize,
    /// Requests a second that come on top.
    pub extra_rps: f64,
    /// Length of a period.
    pub period_ms: f64,
}

/// The share of a period at which a burst begins, and at which it ends.
pub const BURST_FROM: f64 = 0.15;
/// See [`BURST_FROM`].
pub const BURST_TO: f64 = 0.40;

/// An endless stream of arrivals in order of time.
#[derive(Debug, Clone)]
pub struct Traffic {
    base: Stream,
    extra: Stream,
    burst: Burst,
}

/// One walk through the trace, its pace changed and its users drawn from one set of cities.
#[derive(Debug, Clone)]
struct Stream {
    rows: std::sync::Arc<[TraceRow]>,
    at: usize,
    now_ms: f64,
    /// Milliseconds here for each second of the trace.
    pace_ms_per_s: f64,
    /// Cities and the running sum of their people.
    crowd: Vec<(f64, Location)>,
    rng: Rng,
}

/// The mean gap of a trace, seconds.
fn mean_gap_s(rows: &[TraceRow]) -> f64 {
    match (rows.first(), rows.last()) {
        (Some(a), Some(b)) => (b.arrival_s - a.arrival_s) / (rows.len() - 1) as f64,
        _ => 1.0,
    }
}

/// Index of the nearest place.
pub fn nearest(places: &[Location], to: Location) -> usize {
    let km = |i: &usize| distance_km(places[*i], to);
    (0..places.len()).min_by(|a, b| km(a).total_cmp(&km(b))).unwrap_or(0)
}

/// For each entry, the share of the people it is nearest to.
pub fn demand_shares(cities: &[City], entries: &[Location]) -> Vec<f64> {
    let people: f64 = cities.iter().map(|c| c.population).sum();
    let mut shares = vec![0.0; entries.len()];
    for city in cities {
        shares[nearest(entries, city.location)] += city.population / people;
    }
    shares
}

impl Stream {
    fn new<'a>(
        rows: &std::sync::Arc<[TraceRow]>,
        rps: f64,
        cities: impl Iterator<Item = &'a City>,
        mut rng: Rng,
    ) -> Self {
        let mut people = 0.0;
        let crowd: Vec<(f64, Location)> = cities
            .map(|c| {
                people += c.population;
                (people, c.location)
            })
            .collect();
        let silent = crowd.is_empty() || rps <= 0.0;
        let pace_ms_per_s = 1e3 / (rps * mean_gap_s(rows));
        // The first request does not come at once, or every seed would begin with one.
        let now_ms = if silent { f64::INFINITY } else { rng.unit() * 1e3 / rps };
        Self { at: rng.below(rows.len()), rows: std::sync::Arc::clone(rows), now_ms, pace_ms_per_s, crowd, rng }
    }

    fn next(&mut self) -> Arrival {
        let row = self.rows[self.at];
        let people = self.crowd.last().map_or(0.0, |c| c.0) * self.rng.unit();
        let city = self.crowd.partition_point(|c| c.0 <= people).min(self.crowd.len() - 1);
        let arrival = Arrival {
            at_ms: self.now_ms,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            user: self.crowd[city].1,
            nonce: self.rng.bits(),
        };
        self.at = (self.at + 1) % self.rows.len();
        // Where the trace begins anew there is no gap to read: the mean one stands in.
        let gap_s = match self.at {
            0 => mean_gap_s(&self.rows),
            at => self.rows[at].arrival_s - row.arrival_s,
        };
        self.now_ms += gap_s * self.pace_ms_per_s;
        arrival
    }
}

impl Burst {
    /// From time within bursts to time outside: bursts follow each other without a pause on the first clock.
    fn stretch(&self, busy_ms: f64) -> f64 {
        let length_ms = self.period_ms * (BURST_TO - BURST_FROM);
        let period = (busy_ms / length_ms).floor();
        self.period_ms * (period + BURST_FROM) + (busy_ms - period * length_ms)
    }
}

impl Traffic {
    /// `base_rps` from everywhere, and the burst on top.
    pub fn new(
        rows: &std::sync::Arc<[TraceRow]>,
        cities: &[City],
        entries: &[Location],
        base_rps: f64,
        burst: Burst,
        seed: u64,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let (first, second) = (Rng::new(rng.bits()), Rng::new(rng.bits()));
        let near = cities.iter().filter(|c| nearest(entries, c.location) == burst.entry);
        Self {
            base: Stream::new(rows, base_rps, cities.iter(), first),
            extra: Stream::new(rows, burst.extra_rps, near, second),
            burst,
        }
    }
}

impl Iterator for Traffic {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let extra_at_ms = self.burst.stretch(self.extra.now_ms);
        if self.base.now_ms <= extra_at_ms || extra_at_ms.is_nan() {
            return Some(self.base.next());
        }
        Some(Arrival { at_ms: extra_at_ms, ..self.extra.next() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atlas::{Atlas, trace};

    fn traffic(seed: u64, extra_rps: f64) -> Traffic {
        let atlas = Atlas::embedded();
        let entries: Vec<Location> = atlas.entries().iter().map(|s| s.location).collect();
        let burst = Burst { entry: 3, extra_rps, period_ms: 60_000.0 };
        Traffic::new(&trace().into(), &atlas.cities, &entries, 20.0, burst, seed)
    }

    fn minute(seed: u64, extra_rps: f64) -> Vec<Arrival> {
        traffic(seed, extra_rps).take_while(|a| a.at_ms < 60_000.0).collect()
    }

    #[test]
    fn one_seed_gives_one_traffic() {
        assert_eq!(minute(7, 5.0), minute(7, 5.0));
        assert_ne!(minute(7, 5.0), minute(8, 5.0));
    }

    #[test]
    fn arrivals_are_in_order_and_at_the_rate_asked_for() {
        let arrivals = minute(1, 0.0);
        assert!(arrivals.windows(2).all(|w| w[0].at_ms <= w[1].at_ms));
        assert!((900..1_500).contains(&arrivals.len()), "{}", arrivals.len());
        let long = traffic(1, 0.0).take(6_000).last().unwrap();
        assert!((long.at_ms / 300_000.0 - 1.0).abs() < 0.02, "two rounds of the trace take their time: {}", long.at_ms);
    }

    #[test]
    fn a_burst_comes_in_its_window_and_from_its_region() {
        let (calm, burst) = (minute(1, 0.0), minute(1, 10.0));
        let extra: Vec<&Arrival> = burst.iter().filter(|a| !calm.contains(a)).collect();
        assert!((90..220).contains(&extra.len()), "{}", extra.len());
        let atlas = Atlas::embedded();
        let entries: Vec<Location> = atlas.entries().iter().map(|s| s.location).collect();
        for a in extra {
            assert!((9_000.0..=24_000.0).contains(&a.at_ms));
            assert_eq!(nearest(&entries, a.user), 3);
        }
    }

    #[test]
    fn bursts_return_each_period() {
        let burst = Burst { entry: 0, extra_rps: 1.0, period_ms: 100.0 };
        let at: Vec<f64> = [0.0, 24.0, 25.0, 51.0].iter().map(|ms| burst.stretch(*ms)).collect();
        for (at, want) in at.iter().zip([15.0, 39.0, 115.0, 216.0]) {
            assert!((at - want).abs() < 1e-9, "{at} {want}");
        }
    }

    #[test]
    fn shares_of_demand_add_up() {
        let atlas = Atlas::embedded();
        let entries: Vec<Location> = atlas.entries().iter().map(|s| s.location).collect();
        let shares = demand_shares(&atlas.cities, &entries);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
