//! Round trips between any two places: measured where both lie at a measured region, else modelled.
//!
//! The model is the fibre bound times a path stretch. Stretches are those of the measured pairs of a similar distance: a
//! pair without a measurement takes one of them, by a hash of the pair, so that the spread of the real network (some
//! links are straight, some go round a continent) is kept. Nothing is fitted to a mean.

use std::collections::BTreeMap;

use rhumb_grid::config::Location;
use rhumb_grid::geo::{distance_km, fibre_rtt_ms};
use rhumb_rng::{hash, label, unit};

use rhumb_atlas::Spot;

/// A place this near to a measured region shares its round trips, km.
const AT_REGION_KM: f64 = 60.0;
/// Bands of distance whose stretches are kept apart, km: short links wind more.
const BANDS_KM: [f64; 4] = [1_500.0, 4_000.0, 8_000.0, 12_000.0];
/// What remains with no distance at all, ms: the median inside one region is 3.0, of which the hosts take most.
const LOCAL_RTT_MS: f64 = 1.0;

/// Round trips of the wide-area network.
#[derive(Debug)]
pub(crate) struct Wan {
    regions: Vec<Spot>,
    measured: BTreeMap<(usize, usize), f64>,
    /// Sorted stretches of measured pairs, by band.
    stretches: Vec<Vec<f64>>,
    seed: u64,
}

fn band(km: f64) -> usize {
    BANDS_KM.iter().position(|limit| km < *limit).unwrap_or(BANDS_KM.len())
}

impl Wan {
    /// The network that a seed draws where nothing was measured.
    pub(crate) fn new(seed: u64) -> Self {
        let regions = rhumb_atlas::aws();
        let index = |name: &str| regions.iter().position(|r| r.name == name);
        let mut measured = BTreeMap::new();
        let mut stretches = vec![Vec::new(); BANDS_KM.len() + 1];
        for m in rhumb_atlas::measured() {
            let (Some(a), Some(b)) = (index(&m.src), index(&m.dst)) else { continue };
            measured.insert((a, b), m.rtt_ms);
            let km = distance_km(regions[a].location, regions[b].location);
            if a != b {
                stretches[band(km)].push((m.rtt_ms - LOCAL_RTT_MS).max(0.0) / fibre_rtt_ms(km));
            }
        }
        stretches.iter_mut().for_each(|s| s.sort_by(f64::total_cmp));
        Self { regions, measured, stretches, seed: hash(seed, label("wan")) }
    }

    /// The measured region a place lies at.
    fn region(&self, at: Location) -> Option<usize> {
        let near = |r: &Spot| distance_km(r.location, at) < AT_REGION_KM;
        self.regions.iter().position(near)
    }

    /// Round trips from each of some places to each of others, ms, by the first.
    pub(crate) fn matrix(&self, from: &[Location], to: &[Location]) -> Vec<f64> {
        let to: Vec<_> = to.iter().map(|l| (*l, self.region(*l))).collect();
        let row = |a: &Location| {
            let at = (*a, self.region(*a));
            to.iter().map(move |b| self.between(at, *b)).collect::<Vec<_>>()
        };
        from.iter().flat_map(row).collect()
    }

    /// Round trip between two places, ms. It is the same both ways, and the same each time it is asked for.
    fn between(&self, (a, x): (Location, Option<usize>), (b, y): (Location, Option<usize>)) -> f64 {
        if let (Some(x), Some(y)) = (x, y)
            && let (Some(there), Some(back)) = (self.measured.get(&(x, y)), self.measured.get(&(y, x)))
        {
            return f64::midpoint(*there, *back);
        }
        let km = distance_km(a, b);
        let word = |l: Location| hash(l.latitude.to_bits(), l.longitude.to_bits());
        // Exclusive or: the pair has no direction.
        let draw = unit(hash(self.seed, word(a) ^ word(b)));
        let known = &self.stretches[band(km)];
        let stretch = known[((draw * known.len() as f64) as usize).min(known.len() - 1)];
        LOCAL_RTT_MS + stretch.max(1.0) * fibre_rtt_ms(km)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> Location {
        rhumb_atlas::aws().iter().find(|r| r.name == name).unwrap().location
    }

    #[test]
    fn measured_pairs_are_as_measured() {
        let wan = Wan::new(1);
        let rows = rhumb_atlas::measured();
        let of = |src: &str, dst: &str| rows.iter().find(|m| m.src == src && m.dst == dst).unwrap().rtt_ms;
        let want = f64::midpoint(of("eu-central-1", "us-east-1"), of("us-east-1", "eu-central-1"));
        assert_eq!(wan.matrix(&[at("eu-central-1")], &[at("us-east-1")])[0], want);
    }

    #[test]
    fn other_pairs_are_as_stretched_as_measured_ones_and_never_faster_than_light() {
        let (wan, cities) = (Wan::new(1), rhumb_atlas::cities());
        let mut stretches = Vec::new();
        for (i, a) in cities.iter().enumerate().take(150) {
            for b in cities.iter().skip(i + 1).take(40) {
                let km = distance_km(a.location, b.location);
                let rtt = wan.matrix(&[a.location], &[b.location])[0];
                assert!(rtt >= fibre_rtt_ms(km) && rtt == wan.matrix(&[b.location], &[a.location])[0]);
                if km > 500.0 {
                    stretches.push(rtt / fibre_rtt_ms(km));
                }
            }
        }
        stretches.sort_by(f64::total_cmp);
        let median = stretches[stretches.len() / 2];
        // The measured median over all pairs is 1.76.
        assert!((1.6..2.0).contains(&median), "{median}");
    }
}
