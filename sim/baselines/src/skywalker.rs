//! SkyWalker (Xia et al., EuroSys 2026): a balancer for each region, which pushes a request to a replica of its own only
//! while that has nothing pending, by the longest cached prefix where it is long enough and the fewest requests where
//! not, and forwards to another region only when all of its own are full. Sites within a round trip of the gateway are
//! its region.

use crate::parameter::Parameter;
use crate::{Candidate, LATER, Policy, Request, TIE, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::log("region_ms", 20.0, 5.0, 200.0), Parameter::linear("prefix_threshold", 0.5, 0.0, 1.0)];

#[derive(Debug)]
pub(crate) struct SkyWalker {
    region_ms: f64,
    prefix_threshold: f64,
}

impl SkyWalker {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { region_ms: values[0], prefix_threshold: values[1] }
    }
}

impl Policy for SkyWalker {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        // A gateway's region has its nearest site at least.
        let nearest = candidates.iter().map(|c| c.rtt_ms).fold(f64::INFINITY, f64::min);
        let region_ms = self.region_ms.max(nearest);
        keys.clear();
        keys.extend(candidates.iter().map(|c| {
            let is_full = c.waiting > 0.0 || c.load() >= c.seats;
            let tier = match (is_full, c.rtt_ms <= region_ms) {
                (false, true) => 0.0,
                (false, false) => LATER,
                (true, true) => 2.0 * LATER,
                (true, false) => 3.0 * LATER,
            };
            // Whoever holds enough of the prompt comes before those who do not.
            let choice = if c.hit() > self.prefix_threshold { -1e3 * c.hit() } else { c.load() };
            tier + choice + TIE * tie(request, c.endpoint)
        }));
    }
}
