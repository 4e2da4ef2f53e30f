//! Locality first, as praxis-grid orders its candidates: five tiers from near to far, and inside a tier in turn; a site
//! under pressure comes after all that are not. Its tiers are labels of host, zone and region; here they are bands of the
//! round trip.

use crate::parameter::Parameter;
use crate::{Candidate, LATER, Policy, Request, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::linear("pressure", 0.85, 0.3, 1.5), Parameter::log("bands", 1.0, 0.2, 5.0)];

/// Where the tiers end, ms.
const TIERS_MS: [f64; 4] = [5.0, 25.0, 60.0, 120.0];

#[derive(Debug)]
pub(crate) struct Locality {
    pressure: f64,
    bands: f64,
}

impl Locality {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { pressure: values[0], bands: values[1] }
    }
}

impl Policy for Locality {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        keys.clear();
        keys.extend(candidates.iter().map(|c| {
            let tier = TIERS_MS.iter().filter(|end| c.rtt_ms > self.bands * **end).count();
            let pressed = if c.load() / c.seats > self.pressure { LATER } else { 0.0 };
            pressed + tier as f64 + tie(request, c.endpoint)
        }));
    }
}
