//! SGLang's cache-aware balancer.
//!
//! Where loads are out of balance (the difference above an absolute and the ratio above a relative threshold), the
//! shortest queue is chosen. Otherwise, where the longest cached prefix covers enough of the prompt, the candidate that
//! holds it; where not, the one whose tree of prefixes is smallest. What has been sent stands for the size of a tree.

use std::collections::BTreeMap;

use crate::parameter::Parameter;
use crate::{Candidate, Policy, Request, TIE, range, tie};

pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter::linear("cache_threshold", 0.3, 0.0, 1.0),
    Parameter::log("balance_abs", 64.0, 1.0, 256.0),
    Parameter::log("balance_rel", 1.5, 1.001, 8.0),
];

#[derive(Debug)]
pub(crate) struct Sglang {
    cache_threshold: f64,
    balance_abs: f64,
    balance_rel: f64,
    /// By endpoint, tokens.
    trees: BTreeMap<u32, f64>,
}

impl Sglang {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { cache_threshold: values[0], balance_abs: values[1], balance_rel: values[2], trees: BTreeMap::new() }
    }
}

impl Policy for Sglang {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        let (least, most) = range(candidates.iter().map(Candidate::load));
        let is_skewed = most - least > self.balance_abs && most > self.balance_rel * least;
        let best = candidates.iter().map(Candidate::hit).fold(0.0, f64::max);
        keys.clear();
        keys.extend(candidates.iter().map(|c| {
            let key = if is_skewed {
                c.load()
            } else if best > self.cache_threshold {
                -c.hit()
            } else {
                self.trees.get(&c.endpoint).copied().unwrap_or(0.0)
            };
            key + TIE * tie(request, c.endpoint)
        }));
    }

    fn sent(&mut self, _: &Request, to: &Candidate) {
        *self.trees.entry(to.endpoint).or_insert(0.0) += to.uncached_tokens;
    }
}
