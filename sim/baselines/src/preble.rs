//! Preble's E2, exploitation and exploration (Srivatsa et al., ICLR 2025).
//!
//! Where more of the prompt is cached than is new, the request goes to the candidate with the longest cached prefix, the
//! least loaded of them; otherwise to the one with the least cost of load, which is the time of what it was sent within a
//! window plus the prompt's own prefill there. Where the load of the exploited one is out of balance with the lightest,
//! the lightest takes the request instead, which copies the prefix. The cost of what would be evicted is left out: no
//! router here sees an engine's evictions.

use std::collections::{BTreeMap, VecDeque};

use crate::parameter::Parameter;
use crate::{Candidate, LATER, Policy, Request, TIE, range, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::log("window_s", 180.0, 1.0, 600.0), Parameter::log("imbalance", 2.0, 1.05, 20.0)];

#[derive(Debug)]
pub(crate) struct Preble {
    window_ms: u64,
    imbalance: f64,
    recent: BTreeMap<u32, Recent>,
}

/// What an endpoint was sent within the window.
#[derive(Debug, Default)]
struct Recent {
    /// When, and its time on the GPU, ms.
    sent: VecDeque<(u64, f64)>,
    total_ms: f64,
}

impl Preble {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { window_ms: (values[0] * 1e3) as u64, imbalance: values[1], recent: BTreeMap::new() }
    }

    fn load_ms(&mut self, endpoint: u32, now_ms: u64) -> f64 {
        let Some(recent) = self.recent.get_mut(&endpoint) else { return 0.0 };
        while recent.sent.front().is_some_and(|(at, _)| at + self.window_ms < now_ms) {
            recent.total_ms -= recent.sent.pop_front().map_or(0.0, |(_, ms)| ms);
        }
        recent.total_ms.max(0.0)
    }
}

/// Time on the GPU: the prompt's own, and its share of the steps that make its answer.
fn cost_ms(request: &Request, c: &Candidate) -> f64 {
    c.uncached_tokens * c.prefill_ms + request.output_tokens * c.pace_ms / c.seats
}

impl Policy for Preble {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        let loads: Vec<f64> = candidates.iter().map(|c| self.load_ms(c.endpoint, request.now_ms)).collect();
        let (lightest, _) = range(loads.iter().copied());
        let longest = candidates.iter().map(|c| c.cached_tokens).fold(0.0, f64::max);
        let exploits = longest > 0.5 * request.prompt_tokens;
        keys.clear();
        keys.extend(candidates.iter().zip(&loads).map(|(c, load)| {
            let explored = load + cost_ms(request, c);
            let is_balanced = *load <= self.imbalance * lightest.max(cost_ms(request, c));
            let exploited = exploits && c.cached_tokens >= longest && is_balanced;
            TIE * tie(request, c.endpoint) + if exploited { *load } else { LATER + explored }
        }));
    }

    fn sent(&mut self, request: &Request, to: &Candidate) {
        let recent = self.recent.entry(to.endpoint).or_default();
        let ms = cost_ms(request, to);
        recent.sent.push_back((request.now_ms, ms));
        recent.total_ms += ms;
    }
}
