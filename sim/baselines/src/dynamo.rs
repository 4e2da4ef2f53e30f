//! Dynamo's cost of overlap: a weight times the blocks to be prefilled, plus the blocks in use for decoding; the lowest is
//! chosen, or one drawn by a softmax of the costs, brought to 0..1, at a temperature (by the Gumbel trick, so that the
//! others are ordered by the same draw).

use crate::parameter::Parameter;
use crate::{Candidate, Policy, Request, TIE, range, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::log("overlap_weight", 1.0, 0.05, 20.0), Parameter::linear("temperature", 0.0, 0.0, 1.0)];

/// Tokens of a block. Costs are ratios of blocks, so it cancels but for rounding.
const BLOCK: f64 = 64.0;

#[derive(Debug)]
pub(crate) struct Dynamo {
    overlap_weight: f64,
    temperature: f64,
}

impl Dynamo {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { overlap_weight: values[0], temperature: values[1] }
    }

    fn cost(&self, request: &Request, c: &Candidate) -> f64 {
        let prefill = (c.uncached_tokens + c.backlog_tokens) / BLOCK;
        // What runs there is not known by its length; it is taken to be like this one, half of its answer done.
        let active = (c.load() + 1.0) * (request.prompt_tokens + 0.5 * request.output_tokens) / BLOCK;
        self.overlap_weight * prefill + active
    }
}

impl Policy for Dynamo {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        keys.clear();
        keys.extend(candidates.iter().map(|c| self.cost(request, c)));
        let (low, high) = range(keys.iter().copied());
        let width = if high > low { high - low } else { 1.0 };
        for (key, c) in keys.iter_mut().zip(candidates) {
            let draw = tie(request, c.endpoint).clamp(1e-12, 1.0 - 1e-12);
            let gumbel = -libm::log(-libm::log(draw));
            *key = (*key - low) / width - self.temperature * gumbel + TIE * draw;
        }
    }
}
