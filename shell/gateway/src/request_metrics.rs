//! What requests come to, by tenant, model and site. However many names there are, the series are bounded.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rhumb_store::{Ended, Outcome};

use crate::live::lock;

/// Most sets of labels of a counter, and of a histogram, whose every set has a series for each bucket. What comes later
/// is counted under [`OTHER`].
const COUNTERS_MAX: usize = 500;
const HISTOGRAMS_MAX: usize = 30;

/// The name of whatever has no series of its own.
const OTHER: &str = "other";

/// The tenant of a request without one.
const NOBODY: &str = "none";

/// Buckets of OpenTelemetry's `gen_ai.server.time_to_first_token`, `request.duration` and `time_per_output_token`.
const TTFT_BUCKETS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const DURATION_BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKEN_BUCKETS: [f64; 13] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TenantOutcome {
    tenant: String,
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TenantTokens {
    tenant: String,
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TenantModel {
    tenant: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct SiteOutcome {
    site: String,
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

/// A family that grows no further than to so many sets of labels.
#[derive(Clone)]
struct Bounded<L, M, C = fn() -> M> {
    family: Family<L, M, C>,
    seen: Arc<Mutex<BTreeSet<L>>>,
    most: usize,
}

impl<L: Clone + Eq + Ord + Hash, M: Clone, C: MetricConstructor<M>> Bounded<L, M, C> {
    fn new(family: Family<L, M, C>, most: usize) -> Self {
        Self { family, seen: Arc::default(), most }
    }

    /// The series of these labels, or the one that stands for those without one.
    fn of(&self, label: L, other: impl FnOnce(L) -> L) -> M {
        let mut seen = lock(&self.seen);
        let is_known = seen.contains(&label) || (seen.len() < self.most && seen.insert(label.clone()));
        drop(seen);
        self.family.get_or_create_owned(&if is_known { label } else { other(label) })
    }
}

/// Whose a request was, what it was for, and where it was served.
pub(crate) struct Of<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) site: Option<&'a str>,
}

/// Counters and histograms of requests that have ended.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    requests: Bounded<TenantOutcome, Counter>,
    tokens: Bounded<TenantTokens, Counter>,
    usd: Bounded<TenantModel, Counter<f64, AtomicU64>>,
    by_site: Bounded<SiteOutcome, Counter>,
    ttft: Bounded<ModelLabel, Histogram>,
    duration: Bounded<ModelLabel, Histogram>,
    per_token: Bounded<ModelLabel, Histogram>,
}

impl RequestMetrics {
    pub(crate) fn register(r: &mut Registry) -> Self {
        let histogram = |make: fn() -> Histogram| Bounded::new(Family::new_with_constructor(make), HISTOGRAMS_MAX);
        let all = Self {
            requests: Bounded::new(Family::default(), COUNTERS_MAX),
            tokens: Bounded::new(Family::default(), COUNTERS_MAX),
            usd: Bounded::new(Family::default(), COUNTERS_MAX),
            by_site: Bounded::new(Family::default(), COUNTERS_MAX),
            ttft: histogram(|| Histogram::new(TTFT_BUCKETS)),
            duration: histogram(|| Histogram::new(DURATION_BUCKETS)),
            per_token: histogram(|| Histogram::new(TOKEN_BUCKETS)),
        };
        let text = "Requests accepted, by tenant, model and how they ended";
        r.register("tenant_requests", text, all.requests.family.clone());
        r.register("tenant_tokens", "Tokens of answered requests, by tenant and model", all.tokens.family.clone());
        let text = "Metered money spent, by tenant and model: tokens, egress, energy, carbon";
        r.register("tenant_cost_usd", text, all.usd.family.clone());
        let text = "Requests served, by site, model and how they ended";
        r.register("site_requests", text, all.by_site.family.clone());
        let text = "Time from the head of a request to its first content, at the gateway";
        r.register_with_unit("time_to_first_token", text, Unit::Seconds, all.ttft.family.clone());
        let text = "Time from the head of a request to its end, at the gateway";
        r.register_with_unit("request_duration", text, Unit::Seconds, all.duration.family.clone());
        let text = "Time from the first content of a whole stream to its end, for each token after the first";
        r.register_with_unit("time_per_output_token", text, Unit::Seconds, all.per_token.family.clone());
        all
    }

    pub(crate) fn ended(&self, e: &Ended, of: &Of<'_>) {
        let other = || OTHER.to_owned();
        let (tenant, model) = (of.tenant.unwrap_or(NOBODY).to_owned(), of.model.to_owned());
        let outcome = e.outcome.code();
        let label = TenantOutcome { tenant: tenant.clone(), model: model.clone(), outcome };
        self.requests.of(label, |l| TenantOutcome { tenant: other(), model: other(), ..l }).inc();
        for (kind, tokens) in
            [("prompt", e.prompt_tokens), ("cached", e.cached_tokens), ("completion", e.completion_tokens)]
        {
            if tokens > 0 {
                let label = TenantTokens { tenant: tenant.clone(), model: model.clone(), kind };
                self.tokens.of(label, |l| TenantTokens { tenant: other(), model: other(), ..l }).inc_by(tokens);
            }
        }
        if e.usd > 0.0 {
            let label = TenantModel { tenant, model: model.clone() };
            self.usd.of(label, |_| TenantModel { tenant: other(), model: other() }).inc_by(e.usd);
        }
        if let Some(site) = of.site {
            let label = SiteOutcome { site: site.to_owned(), model: model.clone(), outcome };
            self.by_site.of(label, |l| SiteOutcome { site: other(), model: other(), ..l }).inc();
        }
        let observe = |histogram: &Bounded<ModelLabel, Histogram>, ms: f64| {
            histogram.of(ModelLabel { model: model.clone() }, |_| ModelLabel { model: other() }).observe(ms / 1e3);
        };
        observe(&self.duration, e.total_ms);
        let Some(ttft_ms) = e.ttft_ms else { return };
        observe(&self.ttft, ttft_ms);
        if e.outcome == Outcome::Complete && e.completion_tokens > 1 {
            observe(&self.per_token, (e.total_ms - ttft_ms).max(0.0) / (e.completion_tokens - 1) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_under_other() {
        let mut registry = Registry::default();
        let metrics = RequestMetrics::register(&mut registry);
        let ended = Ended {
            id: 1,
            outcome: Outcome::Complete,
            status: 200,
            attempts: 1,
            served: Some((0, 0)),
            prompt_tokens: 5,
            cached_tokens: 0,
            completion_tokens: 11,
            estimated: false,
            usd: 0.5,
            ttft_ms: Some(100.0),
            total_ms: 600.0,
        };
        for i in 0..COUNTERS_MAX + 7 {
            let (tenant, model) = (format!("t{i}"), format!("m{}", i % 40));
            metrics.ended(&ended, &Of { tenant: Some(&tenant), model: &model, site: Some("s") });
        }
        metrics.ended(&ended, &Of { tenant: Some("t0"), model: "m0", site: None });
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let series = |metric: &str| page.lines().filter(|l| l.starts_with(&format!("{metric}{{"))).count();
        assert_eq!(
            (series("tenant_requests_total"), series("tenant_cost_usd_total")),
            (COUNTERS_MAX + 1, COUNTERS_MAX + 1)
        );
        assert_eq!(series("request_duration_seconds_count"), HISTOGRAMS_MAX + 1);
        for line in [
            "tenant_requests_total{tenant=\"t0\",model=\"m0\",outcome=\"complete\"} 2",
            "tenant_requests_total{tenant=\"other\",model=\"other\",outcome=\"complete\"} 7",
            "tenant_tokens_total{tenant=\"t0\",model=\"m0\",kind=\"completion\"} 22",
            "time_per_output_token_seconds_sum{model=\"m1\"} 0.65",
            "site_requests_total{site=\"s\",model=\"m0\",outcome=\"complete\"} 13",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in {page}");
        }
    }
}
