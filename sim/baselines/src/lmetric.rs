//! LMetric (arXiv 2603.15202): the prompt tokens that a candidate would have to compute, those waiting there included,
//! times its batch with the request in it; the lowest product is chosen. Nothing is to be set.

use crate::{Candidate, Policy, Request, TIE, tie};

#[derive(Debug)]
pub(crate) struct Lmetric;

impl Policy for Lmetric {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        keys.clear();
        keys.extend(
            candidates
                .iter()
                .map(|c| (c.uncached_tokens + c.backlog_tokens) * (c.load() + 1.0) + TIE * tie(request, c.endpoint)),
        );
    }
}
