//! Prequal's hot-cold rule (Wydrowski et al., "Load is not what you should balance", NSDI 2024).
//!
//! Of a pool of probed replicas, those with more requests in flight than a quantile of the pool are hot. The cold one with
//! the lowest latency is chosen; where all are hot, the one with the fewest requests. Probes are the telemetry that
//! everyone has here; the pool is drawn anew for each request. The authors' replicas stand in one data centre, so that
//! latency there is the server's; here it is the time to first token, network included.

use crate::parameter::Parameter;
use crate::{Candidate, LATER, Policy, Request, TIE, tie};

pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter::linear("hot_quantile", 0.84, 0.3, 1.0), Parameter::log("pool", 16.0, 2.0, 64.0)];

#[derive(Debug)]
pub(crate) struct Prequal {
    hot_quantile: f64,
    pool: usize,
}

impl Prequal {
    pub(crate) fn new(values: &[f64]) -> Self {
        Self { hot_quantile: values[0], pool: values[1].round() as usize }
    }
}

impl Policy for Prequal {
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>) {
        let mut drawn: Vec<(f64, usize)> =
            candidates.iter().enumerate().map(|(i, c)| (tie(request, c.endpoint), i)).collect();
        drawn.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        keys.clear();
        // Outside the pool they are only where a try goes next.
        keys.resize(candidates.len(), 0.0);
        drawn.iter().for_each(|(draw, i)| keys[*i] = 2.0 * LATER + draw);
        drawn.truncate(self.pool.max(1));
        let mut loads: Vec<f64> = drawn.iter().map(|(_, i)| candidates[*i].load()).collect();
        loads.sort_unstable_by(f64::total_cmp);
        let Some(last) = loads.len().checked_sub(1) else { return };
        let hot = loads[((self.hot_quantile * last as f64).round() as usize).min(last)];
        for (draw, i) in drawn {
            let c = &candidates[i];
            keys[i] = TIE * draw + if c.load() > hot { LATER + c.load() } else { c.ttft_ms };
        }
    }
}
