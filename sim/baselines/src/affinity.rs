//! Session affinity by consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).
//!
//! The affinity key orders the candidates by their hashes (rendezvous hashing, which stands for the ring: one that is
//! lost moves its own keys only). The first whose load is within a factor of the mean takes the request. A request without
//! a key is ordered by chance.

use rhumb_rng::{hash, unit};

use crate::parameter::Parameter;
use crate::{Candidate, LATER, Policy, Request};

pub(crate) const PARAMETERS: &[Parameter] = &[Parameter::log("bound", 1.25, 1.02, 8.0)];

#[derive(Debug)]
pub(crate) struct Affinity {
    bound: f64,
}

impl Affinity {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { bound: values[0] }
    }
}

impl Policy for Affinity {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        let key = request.affinity.unwrap_or(request.draw);
        let total: f64 = candidates.iter().map(Candidate::load).sum();
        let capacity = (self.bound * (total + 1.0) / candidates.len() as f64).ceil();
        keys.clear();
        keys.extend(candidates.iter().map(|c| {
            let place = unit(hash(key, u64::from(c.endpoint)));
            if c.load() < capacity { place } else { LATER + place }
        }));
    }
}
