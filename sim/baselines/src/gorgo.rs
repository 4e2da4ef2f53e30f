//! GORGO (Toniolo et al., arXiv 2602.11688): the weighted sum of the network's round trip, the prefill of what is not
//! cached, and the wait for the queue; the lowest is chosen. The authors learn the weights by an evolution strategy on
//! the 95th percentile of the time to first token; tuning does that here.

use crate::parameter::Parameter;
use crate::{Candidate, Policy, Request, TIE, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::log("network_weight", 1.0, 0.05, 20.0), Parameter::log("queue_weight", 1.0, 0.05, 20.0)];

#[derive(Debug)]
pub(crate) struct Gorgo {
    network: f64,
    queue: f64,
}

impl Gorgo {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { network: values[0], queue: values[1] }
    }
}

impl Policy for Gorgo {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        keys.clear();
        // The weight of the prefill is the unit of the others.
        keys.extend(candidates.iter().map(|c| {
            let prefill_ms = c.uncached_tokens * c.prefill_ms;
            self.network * c.rtt_ms + prefill_ms + self.queue * c.queue_ms + TIE * tie(request, c.endpoint)
        }));
    }
}
