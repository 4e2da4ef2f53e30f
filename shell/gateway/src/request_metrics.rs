//! What requests come to, by tenant, model and site. However many names there are, the series are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rhumb_grid::position::{ModelIndex, SiteIndex, TenantIndex};
use rhumb_record::Outcome;
use rhumb_store::Ended;

use crate::lock::lock;

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
    /// The positions of tenant, model and site in the configuration, of a request that was served.
    pub(crate) positions: Option<Positions>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) site: Option<&'a str>,
}

/// Tenant (or nobody), model and site of a served request, by their places in the configuration.
pub(crate) type Positions = (Option<TenantIndex>, ModelIndex, SiteIndex);

/// Finding a series by its labels costs more than counting in it, so those of served requests are kept by position.
type Known = Arc<Mutex<BTreeMap<(Positions, &'static str), Arc<Series>>>>;

/// Most that are kept so.
const KNOWN_MAX: usize = 4_096;

/// The series of requests with the same labels, each made when it is first counted in.
#[derive(Default)]
struct Series {
    requests: OnceLock<Counter>,
    /// Prompt, cached, completion.
    tokens: [OnceLock<Counter>; 3],
    usd: OnceLock<Counter<f64, AtomicU64>>,
    by_site: OnceLock<Counter>,
    duration: OnceLock<Histogram>,
    ttft: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
}

/// Counters and histograms of requests that have ended.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    known: Known,
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
            known: Known::default(),
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

    /// The same series under another configuration, by whose positions they are kept.
    pub(crate) fn under_another(&self) -> Self {
        Self { known: Known::default(), ..self.clone() }
    }

    /// The series of a request.
    fn series(&self, of: &Of<'_>, outcome: &'static str) -> Arc<Series> {
        let Some(positions) = of.positions else { return Arc::default() };
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        Arc::clone(known.entry((positions, outcome)).or_default())
    }

    pub(crate) fn ended(&self, e: &Ended, of: &Of<'_>) {
        let other = || OTHER.to_owned();
        let (tenant, model) = (|| of.tenant.unwrap_or(NOBODY).to_owned(), || of.model.to_owned());
        let outcome = e.outcome.code();
        let series = self.series(of, outcome);
        let requests = series.requests.get_or_init(|| {
            let label = TenantOutcome { tenant: tenant(), model: model(), outcome };
            self.requests.of(label, |l| TenantOutcome { tenant: other(), model: other(), ..l })
        });
        requests.inc();
        let tokens = [("prompt", e.prompt_tokens), ("cached", e.cached_tokens), ("completion", e.completion_tokens)];
        for ((kind, tokens), series) in tokens.into_iter().zip(&series.tokens).filter(|((_, tokens), _)| *tokens > 0) {
            let counter = series.get_or_init(|| {
                let label = TenantTokens { tenant: tenant(), model: model(), kind };
                self.tokens.of(label, |l| TenantTokens { tenant: other(), model: other(), ..l })
            });
            counter.inc_by(tokens);
        }
        if e.usd > 0.0 {
            let usd = series.usd.get_or_init(|| {
                let label = TenantModel { tenant: tenant(), model: model() };
                self.usd.of(label, |_| TenantModel { tenant: other(), model: other() })
            });
            usd.inc_by(e.usd);
        }
        if let Some(site) = of.site {
            let by_site = series.by_site.get_or_init(|| {
                let label = SiteOutcome { site: site.to_owned(), model: model(), outcome };
                self.by_site.of(label, |l| SiteOutcome { site: other(), model: other(), ..l })
            });
            by_site.inc();
        }
        let observe = |series: &OnceLock<Histogram>, all: &Bounded<ModelLabel, Histogram>, ms: f64| {
            let find = || all.of(ModelLabel { model: model() }, |_| ModelLabel { model: other() });
            series.get_or_init(find).observe(ms / 1e3);
        };
        observe(&series.duration, &self.duration, e.total_ms);
        let Some(ttft_ms) = e.ttft_ms else { return };
        observe(&series.ttft, &self.ttft, ttft_ms);
        if e.outcome == Outcome::Complete && e.completion_tokens > 1 {
            let each_ms = (e.total_ms - ttft_ms).max(0.0) / (e.completion_tokens - 1) as f64;
            observe(&series.per_token, &self.per_token, each_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use rhumb_grid::position::EndpointIndex;

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
            served: Some((EndpointIndex(0), ModelIndex(0))),
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
            metrics.ended(&ended, &Of { positions: None, tenant: Some(&tenant), model: &model, site: Some("s") });
        }
        metrics.ended(&ended, &Of { positions: None, tenant: Some("t0"), model: "m0", site: None });
        // Kept by position, a series is the same one.
        let of = Of {
            positions: Some((Some(TenantIndex(0)), ModelIndex(0), SiteIndex(0))),
            tenant: Some("t0"),
            model: "m0",
            site: Some("s"),
        };
        (0..2).for_each(|_| metrics.ended(&ended, &of));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let series = |metric: &str| page.lines().filter(|l| l.starts_with(&format!("{metric}{{"))).count();
        assert_eq!(
            (series("tenant_requests_total"), series("tenant_cost_usd_total")),
            (COUNTERS_MAX + 1, COUNTERS_MAX + 1)
        );
        assert_eq!(series("request_duration_seconds_count"), HISTOGRAMS_MAX + 1);
        for line in [
            "tenant_requests_total{tenant=\"t0\",model=\"m0\",outcome=\"complete\"} 4",
            "tenant_requests_total{tenant=\"other\",model=\"other\",outcome=\"complete\"} 7",
            "tenant_tokens_total{tenant=\"t0\",model=\"m0\",kind=\"completion\"} 44",
            "time_per_output_token_seconds_sum{model=\"m1\"} 0.65",
            "site_requests_total{site=\"s\",model=\"m0\",outcome=\"complete\"} 15",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in {page}");
        }
    }
}
