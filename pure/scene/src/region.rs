//! Where the single-region baseline stands.

use rhumb_grid::geo::{distance_km, estimated_rtt_ms};

use crate::atlas::Atlas;

/// A region may be this much farther from demand than the best one.
const FARTHER: f64 = 1.25;

/// A place where all GPUs could stand.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    /// Mean round trip to users, weighted by their number.
    rtt_ms: f64,
    /// Price of the GPU that regions are compared by; `None` where it is not sold.
    gpu_hour_usd: Option<f64>,
}

/// Index of the cheapest region among those whose mean round trip is within a quarter of the smallest.
fn cheapest_near_demand(candidates: &[Candidate]) -> Option<usize> {
    let sold = || candidates.iter().enumerate().filter_map(|(i, c)| Some((i, c.rtt_ms, c.gpu_hour_usd?)));
    let least_ms = sold().map(|c| c.1).fold(f64::INFINITY, f64::min);
    sold().filter(|c| c.1 <= least_ms * FARTHER).min_by(|a, b| a.2.total_cmp(&b.2)).map(|c| c.0)
}

/// Index of the site whose region the single-region baseline uses.
pub(crate) fn single_region(atlas: &Atlas) -> usize {
    let people: f64 = atlas.cities.iter().map(|c| c.population).sum();
    let candidates: Vec<Candidate> = atlas
        .sites
        .iter()
        .map(|s| {
            let leg = |c: &crate::atlas::City| c.population * estimated_rtt_ms(distance_km(c.location, s.location));
            Candidate {
                rtt_ms: atlas.cities.iter().map(leg).sum::<f64>() / people,
                gpu_hour_usd: s.reference_gpu_hour_usd,
            }
        })
        .collect();
    cheapest_near_demand(&candidates).expect("some region sells the reference GPU")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rtt_ms: f64, gpu_hour_usd: Option<f64>) -> Candidate {
        Candidate { rtt_ms, gpu_hour_usd }
    }

    #[test]
    fn the_cheapest_of_the_near_ones_is_taken() {
        let near = [at(100.0, Some(3.0)), at(125.0, Some(2.0)), at(126.0, Some(1.0)), at(110.0, Some(2.5))];
        assert_eq!(cheapest_near_demand(&near), Some(1));
    }

    #[test]
    fn a_region_without_the_reference_gpu_is_none() {
        assert_eq!(cheapest_near_demand(&[at(10.0, None), at(100.0, Some(3.0))]), Some(1));
        assert_eq!(cheapest_near_demand(&[at(10.0, None)]), None);
    }

    #[test]
    fn the_embedded_grid_has_one_in_asia() {
        let atlas = Atlas::embedded();
        // Most people of large cities live there.
        assert!(["mumbai", "singapore", "tokyo", "seoul"].contains(&atlas.sites[single_region(&atlas)].name.as_str()));
    }
}
