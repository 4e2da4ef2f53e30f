//! llm-d's default mix of scorers: the weighted sum of the prompt's cached share, of how short the queue is among the
//! candidates, and of the free share of the KV cache. The highest score is chosen, by chance among equals.
//!
//! The KV cache in use is not among the readings here; the share of seats taken stands for it.

use crate::parameter::Parameter;
use crate::{Candidate, Policy, Request, TIE, range, tie};

pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter::linear("prefix_weight", 3.0, 0.0, 10.0),
    Parameter::linear("queue_weight", 2.0, 0.0, 10.0),
    Parameter::linear("kv_weight", 2.0, 0.0, 10.0),
];

#[derive(Debug)]
pub(crate) struct LlmD {
    prefix: f64,
    queue: f64,
    kv: f64,
}

impl LlmD {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { prefix: values[0], queue: values[1], kv: values[2] }
    }
}

impl Policy for LlmD {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        let (shortest, longest) = range(candidates.iter().map(|c| c.waiting));
        let queue = |c: &Candidate| {
            if longest > shortest { (longest - c.waiting) / (longest - shortest) } else { 1.0 }
        };
        keys.clear();
        keys.extend(candidates.iter().map(|c| {
            let free = 1.0 - (c.running / c.seats).min(1.0);
            let score = self.prefix * c.hit() + self.queue * queue(c) + self.kv * free;
            TIE * tie(request, c.endpoint) - score
        }));
    }
}
