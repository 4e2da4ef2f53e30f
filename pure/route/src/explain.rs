//! A decision as people and programs read it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use serde::{Deserialize, Serialize};

use crate::bill::Bill;
use crate::decide::{Gates, Reason, World, evaluate};
use crate::facts::Facts;
use crate::predict::Prediction;
use crate::record::Record;
use crate::row::Row;

/// Where the names of indices are looked up.
pub trait Names {
    /// The version of the configuration whose indices these are; empty when it is not known.
    fn config(&self) -> &str;
    /// The endpoint's name.
    fn endpoint(&self, index: EndpointIndex) -> &str;
    /// The site's name.
    fn site(&self, index: SiteIndex) -> &str;
    /// The model's name.
    fn model(&self, index: ModelIndex) -> &str;
}

/// One decision, itemised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its id; `dry-run` when no request was sent.
    pub decision: String,
    /// Version of the configuration it was made under; empty when it is not known.
    #[serde(default)]
    pub config: String,
    /// Version of the view it was made on.
    pub view: u64,
    /// Where the request is to go. One that finds no room there any more goes to the next candidate that has some; the
    /// log and the answer's headers say which endpoint served it.
    pub chosen: Option<Place>,
    /// Why there.
    pub reason: String,
    /// Every candidate that may serve, the chosen first, then by bill; last those whose context the request may exceed.
    pub candidates: Vec<Candidate>,
    /// Every candidate that may not.
    pub dropped: Vec<Dropped>,
    /// The list is cut to the best sixteen, because the view is no longer retained.
    pub truncated: bool,
}

/// An endpoint and a model at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Site.
    pub site: String,
    /// Endpoint.
    pub endpoint: String,
    /// Model.
    pub model: String,
}

/// A candidate with its bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Site.
    pub site: String,
    /// Endpoint.
    pub endpoint: String,
    /// Model.
    pub model: String,
    /// The lines and their sum.
    pub bill: BillWithTotal,
    /// What it was expected to do.
    pub predicted: Predicted,
    /// Ages of the readings it rests on; `null` when there never was one.
    pub ages_ms: BTreeMap<String, Option<f64>>,
    /// The prompt and the answer may exceed its context: they are estimated to.
    #[serde(default)]
    pub may_exceed_context: bool,
}

/// A bill and its sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BillWithTotal {
    /// The lines.
    #[serde(flatten)]
    pub lines: Bill,
    /// Their sum.
    pub total_usd: f64,
}

/// A prediction in the words of the output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Time to first token.
    pub ttft_ms: Quantiles,
    /// Its network share.
    pub network_ms: Legs,
    /// Its share in the queue.
    pub queue_ms: f64,
    /// The part of the queue that is expected because the endpoint has stalled.
    #[serde(default)]
    pub stalled_ms: f64,
    /// Mean wait for prompts of other gateways, which is billed and in no quantile: most requests find none.
    #[serde(default)]
    pub unseen_ms: f64,
    /// Its share in the prompt.
    pub prefill_ms: f64,
    /// Time per output token.
    pub pace_ms: f64,
    /// Prompt tokens believed cached.
    pub cached_tokens: f64,
    /// Sequences running there.
    pub running: f64,
    /// Sequences waiting there.
    pub waiting: f64,
}

/// Two quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// The two legs of the network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Legs {
    /// Client to gateway.
    pub client: f64,
    /// Gateway to site.
    pub site: f64,
}

/// A candidate that may not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Site.
    pub site: String,
    /// Endpoint.
    pub endpoint: String,
    /// Model.
    pub model: String,
    /// Code of the gate.
    pub reason: String,
}

/// Explains a decision over every candidate of a world; the local load must be the one of its time.
pub fn explain(
    id: &str,
    view: u64,
    world: &impl World,
    facts: &Facts,
    record: &Record,
    names: &(impl Names + ?Sized),
) -> Explanation {
    let decision = record.replay();
    let gates = if decision.reason == Reason::LastResort { Gates::LastResort } else { Gates::Strict };
    let first = decision.targets.first();
    let place = |r: &Row| {
        (names.site(r.site).to_string(), names.endpoint(r.endpoint).to_string(), names.model(r.model).to_string())
    };
    let (mut candidates, mut dropped, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for &model in &facts.models {
        for row in world.rows(model) {
            let (site, endpoint, model) = place(row);
            match evaluate(row, &world.local_load(row.endpoint), facts, &record.choice.rates, gates) {
                Err(drop) => dropped.push(Dropped { site, endpoint, model, reason: drop.code().into() }),
                Ok((p, lines)) => {
                    let chosen = first.is_some_and(|t| (t.endpoint, t.model) == (row.endpoint, row.model));
                    let total_usd = lines.total_usd();
                    let may_exceed_context = !facts.fits(row);
                    keys.push(((!chosen, may_exceed_context), total_usd, candidates.len()));
                    let bill = BillWithTotal { lines, total_usd };
                    let (predicted, ages_ms) = (predicted(&p), ages(row));
                    candidates.push(Candidate { site, endpoint, model, bill, predicted, ages_ms, may_exceed_context });
                }
            }
        }
    }
    keys.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let candidates: Vec<Candidate> = keys.iter().map(|k| candidates[k.2].clone()).collect();
    let chosen = first.and(candidates.first()).map(|c| Place {
        site: c.site.clone(),
        endpoint: c.endpoint.clone(),
        model: c.model.clone(),
    });
    let reason = if chosen.is_some() { decision.reason } else { Reason::Nothing };
    Explanation {
        decision: id.to_string(),
        config: names.config().to_string(),
        view,
        chosen,
        reason: reason.code().into(),
        candidates,
        dropped,
        truncated: false,
    }
}

fn predicted(p: &Prediction) -> Predicted {
    Predicted {
        ttft_ms: Quantiles { p50: p.ttft_p50_ms, p95: p.ttft_p95_ms },
        network_ms: Legs { client: p.client_ms, site: p.site_ms },
        queue_ms: p.queue_ms,
        stalled_ms: p.stalled_ms,
        unseen_ms: p.unseen_ms,
        prefill_ms: p.prefill_ms,
        pace_ms: p.pace_ms,
        cached_tokens: p.cached_tokens,
        running: p.running,
        waiting: p.waiting,
    }
}

fn ages(row: &Row) -> BTreeMap<String, Option<f64>> {
    let read = |ms: f64| (ms < crate::view::NEVER_MS).then_some(ms);
    BTreeMap::from([("engine".to_string(), read(row.load_age_ms)), ("rtt".to_string(), read(row.rtt_age_ms))])
}

/// The world of a record alone, for when the view is gone.
pub fn explain_record(id: &str, record: &Record, names: &(impl Names + ?Sized)) -> Explanation {
    let world = crate::record::Remembered::new(record);
    Explanation { truncated: true, ..explain(id, record.view, &world, &record.facts, record, names) }
}

#[cfg(test)]
mod tests;
