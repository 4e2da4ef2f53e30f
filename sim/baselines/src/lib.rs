//! Published ways of choosing a replica, to be measured against.
//!
//! Every baseline sees the same candidates with the same telemetry as Rhumb does, behind the same health checks, retries and
//! admission; what is its own is the order it puts them in ([`Policy::rank`]) and what it remembers of what it has sent
//! ([`Policy::sent`]). What its authors leave to be set are its [`Parameter`]s, with their defaults and the range that tuning
//! may search.

mod affinity;
mod dynamo;
mod gorgo;
mod llmd;
mod lmetric;
mod locality;
mod parameter;
mod preble;
mod prequal;
mod sglang;
mod skywalker;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

pub use parameter::{Parameter, Scale};
use rhumb_rng::{hash, unit};

/// A published way of choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Baseline {
    /// Prequal's hot-cold rule (Wydrowski et al., NSDI 2024).
    Prequal,
    /// Consistent hashing of sessions with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).
    Affinity,
    /// llm-d's default mix of scorers.
    LlmD,
    /// SGLang's cache-aware balancer.
    Sglang,
    /// Preble's E2 (Srivatsa et al., ICLR 2025).
    Preble,
    /// LMetric (arXiv 2603.15202).
    Lmetric,
    /// Dynamo's cost of overlap, with a temperature.
    Dynamo,
    /// SkyWalker: regional, with selective pushing (Xia et al., EuroSys 2026).
    SkyWalker,
    /// GORGO: weighted network, prefill and queue (Toniolo et al., arXiv 2602.11688).
    Gorgo,
    /// Locality first, as praxis-grid orders its candidates.
    Locality,
}

impl Baseline {
    /// Every baseline.
    pub const ALL: [Self; 10] = [
        Self::Prequal,
        Self::Affinity,
        Self::LlmD,
        Self::Sglang,
        Self::Preble,
        Self::Lmetric,
        Self::Dynamo,
        Self::SkyWalker,
        Self::Gorgo,
        Self::Locality,
    ];

    /// Its name in files, on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prequal => "prequal",
            Self::Affinity => "session-affinity",
            Self::LlmD => "llm-d",
            Self::Sglang => "sglang",
            Self::Preble => "preble",
            Self::Lmetric => "lmetric",
            Self::Dynamo => "dynamo",
            Self::SkyWalker => "skywalker",
            Self::Gorgo => "gorgo",
            Self::Locality => "locality-first",
        }
    }

    /// What may be set.
    #[must_use]
    pub fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Prequal => prequal::PARAMETERS,
            Self::Affinity => affinity::PARAMETERS,
            Self::LlmD => llmd::PARAMETERS,
            Self::Sglang => sglang::PARAMETERS,
            Self::Preble => preble::PARAMETERS,
            Self::Lmetric => &[],
            Self::Dynamo => dynamo::PARAMETERS,
            Self::SkyWalker => skywalker::PARAMETERS,
            Self::Gorgo => gorgo::PARAMETERS,
            Self::Locality => locality::PARAMETERS,
        }
    }

    /// One gateway's policy with these values of [`Self::parameters`], in their order.
    ///
    /// # Panics
    /// Where there are not as many values as parameters.
    #[must_use]
    pub fn policy(self, values: &[f64]) -> Box<dyn Policy> {
        assert_eq!(values.len(), self.parameters().len(), "a value for each parameter of {}", self.name());
        match self {
            Self::Prequal => Box::new(prequal::Prequal::new(values)),
            Self::Affinity => Box::new(affinity::Affinity::new(values)),
            Self::LlmD => Box::new(llmd::LlmD::new(values)),
            Self::Sglang => Box::new(sglang::Sglang::new(values)),
            Self::Preble => Box::new(preble::Preble::new(values)),
            Self::Lmetric => Box::new(lmetric::Lmetric),
            Self::Dynamo => Box::new(dynamo::Dynamo::new(values)),
            Self::SkyWalker => Box::new(skywalker::SkyWalker::new(values)),
            Self::Gorgo => Box::new(gorgo::Gorgo::new(values)),
            Self::Locality => Box::new(locality::Locality::new(values)),
        }
    }
}

/// What a policy can know of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// When it is decided on, ms.
    pub now_ms: u64,
    /// Its session, or the start of its prompt, by its hash.
    pub affinity: Option<u64>,
    /// Length of its prompt, estimated.
    pub prompt_tokens: f64,
    /// Length of its answer, as answers have been.
    pub output_tokens: f64,
    /// Differs from request to request: every draw comes from it.
    pub draw: u64,
}

/// A candidate that may serve a request, as its gateway sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Round trip between gateway and endpoint, ms.
    pub rtt_ms: f64,
    /// Requests that run there.
    pub running: f64,
    /// Requests that wait there.
    pub waiting: f64,
    /// Requests that run at once before more wait.
    pub seats: f64,
    /// Prompt tokens to be computed if the request went there.
    pub uncached_tokens: f64,
    /// Prompt tokens believed to be in its cache.
    pub cached_tokens: f64,
    /// Prompt tokens that this gateway has sent there and that are not computed yet.
    pub backlog_tokens: f64,
    /// Time of one prompt token, ms.
    pub prefill_ms: f64,
    /// Time of one token of the answer, ms.
    pub pace_ms: f64,
    /// Wait for the engine, ms.
    pub queue_ms: f64,
    /// Time to first token, ms, network, wait and prefill together.
    pub ttft_ms: f64,
}

impl Candidate {
    /// Requests there.
    fn load(&self) -> f64 {
        self.running + self.waiting
    }

    /// Share of the prompt that is cached.
    fn hit(&self) -> f64 {
        self.cached_tokens / (self.cached_tokens + self.uncached_tokens).max(1.0)
    }
}

/// A way of choosing, with what one gateway remembers for it.
pub trait Policy: Debug {
    /// Gives each candidate a key; the lowest goes first and the others are where a try goes next. Equal keys keep the
    /// order of the candidates, so a policy that would choose among equals by chance says so in its keys ([`tie`]).
    fn rank(&mut self, request: &Request, candidates: &[Candidate], keys: &mut Vec<f64>);

    /// A request was sent to one of them.
    fn sent(&mut self, _request: &Request, _to: &Candidate) {}
}

/// A number in 0..1 that differs by request and endpoint.
fn tie(request: &Request, endpoint: u32) -> f64 {
    unit(hash(request.draw, u64::from(endpoint)))
}

/// Chance decides among equals only: added to keys whose differences are larger.
const TIE: f64 = 1e-6;

/// Keys of what comes after all others, and after those.
const LATER: f64 = 1e9;

/// The least and the largest of some values; zeros where there are none.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    if low <= high { (low, high) } else { (0.0, 0.0) }
}
