//! From what users saw to the figures of a report.

use std::collections::BTreeMap;

use rhumb_world::{End, Outcome, Ran, Setup};
use serde::Serialize;

use crate::build::tenants;
use crate::parameters::Set;
use crate::scenario::{ClientsPlan, FaultName, RouterName, Scenario, Slo};

/// Quantiles and mean of a time, ms; `null` where nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// What a million tokens cost, prompt and answer together, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UsdPerMtok {
    /// At list prices, for what was used.
    pub metered: Option<f64>,
    /// All GPU-hours of the run, used or not.
    pub provisioned: Option<f64>,
    /// Electricity of all sites.
    pub energy: Option<f64>,
}

/// What a search for the fewest GPUs found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MinGpus {
    /// So many GPUs, over all sites.
    Gpus(u32),
    /// The most that were tried are too few: `null` in a report.
    TooFew,
}

/// The figures of one router.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouterReport {
    /// Requests that users sent.
    pub requests: u64,
    /// Those that did not get their whole answer: no target served them, their stream broke, or they were told to come
    /// back later.
    pub lost: u64,
    /// Of the lost, requests that would have waited too long at their gateway.
    pub shed: u64,
    /// Of the lost, streams that broke after the first token.
    pub broken: u64,
    /// Of the lost, requests that no engine has room for.
    pub rejected: u64,
    /// Requests that needed more than one target.
    pub retried: u64,
    /// Time to first token as users saw it.
    pub ttft_ms: Times,
    /// Time to the last token.
    pub e2e_ms: Times,
    /// Time per output token after the first.
    pub tpot_ms: Times,
    /// Share of the time to first token spent on the network.
    pub network_ms: Times,
    /// Share of it spent waiting for the engine.
    pub queue_ms: Times,
    /// Share of it spent on the prompt.
    pub prefill_ms: Times,
    /// Answers a second that met the objectives.
    pub goodput_rps: f64,
    /// Share of the requests that met the objectives.
    pub slo_attainment: f64,
    /// Share of the requests that got their whole answer and had its first token within the objective.
    pub ttft_attainment: f64,
    /// Fewest GPUs that are enough, where the scenario has them searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_gpus: Option<MinGpus>,
    /// Prompt and answer tokens a second, as far as broken answers came.
    pub tokens_per_s: f64,
    /// Cost of a million tokens.
    pub usd_per_mtok: UsdPerMtok,
    /// Energy of all GPUs over all tokens.
    pub joules_per_token: Option<f64>,
    /// Emissions of a million tokens, facility overhead included.
    pub carbon_g_per_mtok: Option<f64>,
    /// Prompt tokens found in prefix caches, of those looked up.
    pub prefix_hit: Option<f64>,
    /// Sequences preempted for want of KV memory.
    pub preemptions: u64,
    /// Mean power of all GPUs.
    pub watts: f64,
    /// Share of the time for which power caps slowed engines, over sites.
    pub throttled: f64,
    /// Virtual length of the run, seconds.
    pub elapsed_s: f64,
    /// Answers by the site that gave them.
    pub by_site: BTreeMap<String, u64>,
    /// What users' programs did, where the scenario says that they do anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientFigures>,
    /// Second attempts beside a late first, where the scenario has `hedges`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedges: Option<HedgeFigures>,
    /// Whole answers of engines that answered wrongly, where the scenario has such a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong_answers: Option<u64>,
    /// By tenant, where the scenario has any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_tenant: BTreeMap<String, Group>,
    /// By priority, where the scenario has tenants.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_priority: BTreeMap<String, Group>,
}

/// Second attempts of gateways.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HedgeFigures {
    /// Those that were made.
    pub made: u64,
    /// Those of them that had content first.
    pub won: u64,
}

/// What users' programs did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClientFigures {
    /// Requests that reached gateways, those that were sent again included.
    pub sent: u64,
    /// Attempts that gateways made at endpoints for them.
    pub upstream_attempts: u64,
    /// Of the lost, requests whose client left.
    pub left: u64,
}

/// The figures of a part of the requests, as those of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Requests that users sent.
    pub requests: u64,
    /// Those that did not get their whole answer.
    pub lost: u64,
    /// Of the lost, requests that would have waited too long at their gateway.
    pub shed: u64,
    /// Time to first token.
    pub ttft_ms: Times,
    /// Time to the last token.
    pub e2e_ms: Times,
    /// Answers a second that met the objectives.
    pub goodput_rps: f64,
    /// Share of the requests that met the objectives.
    pub slo_attainment: f64,
    /// Prompt and answer tokens a second.
    pub tokens_per_s: f64,
}

impl Group {
    fn of(outcomes: &[&Outcome], scenario: &Scenario, elapsed_s: f64) -> Self {
        let count = |test: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|o| test(o)).count() as u64;
        let good = count(&|o| is_good(o, &slo_of(scenario, o))) as f64;
        let tokens = outcomes.iter().map(|o| has_tokens(o)).sum::<f64>();
        Self {
            requests: outcomes.len() as u64,
            lost: count(&|o| o.end != End::Complete),
            shed: count(&|o| o.end == End::Shed),
            ttft_ms: times(outcomes.iter().map(|o| o.ttft_ms)),
            e2e_ms: times(outcomes.iter().map(|o| o.e2e_ms)),
            goodput_rps: good / elapsed_s,
            slo_attainment: good / (outcomes.len() as f64).max(1.0),
            tokens_per_s: tokens / elapsed_s,
        }
    }
}

/// Tokens that a request has put on the bill; those of broken answers too: their users have them.
fn has_tokens(o: &Outcome) -> f64 {
    let any = match o.end {
        End::Complete | End::Broken => true,
        End::Left => o.output_tokens > 0,
        End::Failed | End::Rejected | End::Shed => false,
    };
    if any { f64::from(o.input_tokens) + f64::from(o.output_tokens) } else { 0.0 }
}

/// What a good answer is to whoever asked.
fn slo_of(scenario: &Scenario, o: &Outcome) -> Slo {
    scenario.tenants.get(o.tenant as usize).and_then(|t| t.slo).unwrap_or(scenario.slo)
}

/// Requests by what they have in common.
fn groups(
    ran: &Ran,
    scenario: &Scenario,
    elapsed_s: f64,
    names: impl Iterator<Item = String>,
    name: impl Fn(&Outcome) -> String,
) -> BTreeMap<String, Group> {
    let mut all: BTreeMap<String, Vec<&Outcome>> = names.map(|n| (n, Vec::new())).collect();
    for o in &ran.outcomes {
        all.entry(name(o)).or_default().push(o);
    }
    all.into_iter().map(|(name, outcomes)| (name, Group::of(&outcomes, scenario, elapsed_s))).collect()
}

/// A report of a scenario with no figure in it, for its shape.
pub(crate) fn empty(scenario: &Scenario) -> serde_json::Value {
    let nobody = || Group::of(&[], scenario, 1.0);
    let tenants = tenants(scenario, &Set::of(scenario, RouterName::Rhumb));
    let none = Times { mean: None, p50: None, p90: None, p95: None, p99: None };
    let report = RouterReport {
        requests: 0,
        lost: 0,
        broken: 0,
        rejected: 0,
        shed: 0,
        retried: 0,
        ttft_ms: none,
        e2e_ms: none,
        tpot_ms: none,
        network_ms: none,
        queue_ms: none,
        prefill_ms: none,
        goodput_rps: 0.0,
        slo_attainment: 0.0,
        ttft_attainment: 0.0,
        least_gpus: scenario.least_gpus.as_ref().map(|_| MinGpus::TooFew),
        tokens_per_s: 0.0,
        usd_per_mtok: UsdPerMtok { metered: None, provisioned: None, energy: None },
        joules_per_token: None,
        carbon_g_per_mtok: None,
        prefix_hit: None,
        preemptions: 0,
        watts: 0.0,
        throttled: 0.0,
        elapsed_s: 0.0,
        by_site: BTreeMap::new(),
        clients: (scenario.clients != ClientsPlan::default()).then_some(ClientFigures {
            sent: 0,
            upstream_attempts: 0,
            left: 0,
        }),
        hedges: scenario.hedges.then_some(HedgeFigures { made: 0, won: 0 }),
        wrong_answers: has_wrong_answers(scenario).then_some(0),
        by_tenant: tenants.iter().map(|t| (t.name.clone(), nobody())).collect(),
        by_priority: tenants.iter().map(|t| (t.service.priority.name().to_owned(), nobody())).collect(),
    };
    serde_json::to_value(report).expect("a report has string keys and finite numbers")
}

/// The value that a share of the sorted values does not exceed (nearest rank).
pub(crate) fn quantile(sorted: &[f32], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).map(|v| f64::from(*v))
}

/// To a tenth of a microsecond: what lies below is noise of the 32-bit floats that times are kept in.
fn tidy(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

pub(crate) fn times(values: impl Iterator<Item = f32>) -> Times {
    let mut sorted: Vec<f32> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let sum: f64 = sorted.iter().map(|v| f64::from(*v)).sum();
    let at = |share| quantile(&sorted, share).map(tidy);
    let mean = (!sorted.is_empty()).then(|| tidy(sum / sorted.len() as f64));
    Times { mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
}

/// Whether an answer came, and began in time.
fn starts_in_time(o: &Outcome, slo: &Slo) -> bool {
    o.end == End::Complete && f64::from(o.ttft_ms) <= slo.ttft_ms
}

/// Whether an answer was a good one.
pub(crate) fn is_good(o: &Outcome, slo: &Slo) -> bool {
    starts_in_time(o, slo) && o.tpot_ms().is_none_or(|tpot| f64::from(tpot) <= slo.tpot_ms)
}

/// The figures of one run.
pub(crate) fn report(setup: &Setup, ran: &Ran, scenario: &Scenario, gpu_hours_usd_per_s: f64) -> RouterReport {
    let all = &ran.outcomes;
    let count = |test: &dyn Fn(&Outcome) -> bool| all.iter().filter(|o| test(o)).count() as u64;
    let complete = count(&|o| o.end == End::Complete);
    let good = count(&|o| is_good(o, &slo_of(scenario, o))) as f64;
    let in_time = count(&|o| starts_in_time(o, &slo_of(scenario, o))) as f64;
    let tokens: f64 = all.iter().map(has_tokens).sum();
    let tenant = |o: &Outcome| &setup.tenants[o.tenant as usize];
    let (by_tenant, by_priority) = if setup.tenants.is_empty() {
        (BTreeMap::new(), BTreeMap::new())
    } else {
        let names = setup.tenants.iter().map(|t| t.name.clone());
        let by_tenant = groups(ran, scenario, ran.elapsed_s.max(1e-9), names, |o| tenant(o).name.clone());
        let names = setup.tenants.iter().map(|t| t.service.priority.name().to_owned());
        let urgency = |o: &Outcome| tenant(o).service.priority.name().to_owned();
        (by_tenant, groups(ran, scenario, ran.elapsed_s.max(1e-9), names, urgency))
    };
    let per_mtok = |sum: f64| (tokens > 0.0).then_some(sum / tokens * 1e6);
    let total = |of: &dyn Fn(&rhumb_world::SiteTotals) -> f64| ran.sites.iter().map(of).sum::<f64>();
    let elapsed_s = ran.elapsed_s.max(1e-9);
    let (looked, hit) = ran.prefix_tokens;
    RouterReport {
        requests: all.len() as u64,
        lost: all.len() as u64 - complete,
        shed: count(&|o| o.end == End::Shed),
        broken: count(&|o| o.end == End::Broken),
        rejected: count(&|o| o.end == End::Rejected),
        retried: count(&|o| o.attempts > 1),
        ttft_ms: times(all.iter().map(|o| o.ttft_ms)),
        e2e_ms: times(all.iter().map(|o| o.e2e_ms)),
        tpot_ms: times(all.iter().filter_map(Outcome::tpot_ms)),
        network_ms: times(all.iter().map(|o| o.network_ms)),
        queue_ms: times(all.iter().map(|o| o.queue_ms)),
        prefill_ms: times(all.iter().map(|o| o.prefill_ms)),
        goodput_rps: good / elapsed_s,
        slo_attainment: good / (all.len() as f64).max(1.0),
        ttft_attainment: in_time / (all.len() as f64).max(1.0),
        least_gpus: None,
        tokens_per_s: tokens / elapsed_s,
        usd_per_mtok: UsdPerMtok {
            metered: per_mtok(all.iter().map(|o| o.usd).sum()),
            provisioned: per_mtok(gpu_hours_usd_per_s * elapsed_s),
            energy: per_mtok(total(&|s| s.energy_usd)),
        },
        joules_per_token: (tokens > 0.0).then(|| total(&|s| s.joules) / tokens),
        carbon_g_per_mtok: per_mtok(total(&|s| s.carbon_g)),
        prefix_hit: (looked > 0).then(|| hit as f64 / looked as f64),
        preemptions: ran.preemptions,
        watts: total(&|s| s.joules) / elapsed_s,
        throttled: total(&|s| s.throttled_s) / elapsed_s / ran.sites.len().max(1) as f64,
        elapsed_s,
        by_site: by_site(setup, all),
        clients: (scenario.clients != ClientsPlan::default()).then(|| ClientFigures {
            sent: ran.sent,
            upstream_attempts: ran.attempts,
            left: count(&|o| o.end == End::Left),
        }),
        hedges: scenario.hedges.then_some(HedgeFigures { made: ran.hedges.0, won: ran.hedges.1 }),
        wrong_answers: has_wrong_answers(scenario).then_some(ran.wrong_answers),
        by_tenant,
        by_priority,
    }
}

fn has_wrong_answers(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|f| f.kind == FaultName::WrongAnswers)
}

fn by_site(setup: &Setup, all: &[Outcome]) -> BTreeMap<String, u64> {
    let mut counts = vec![0_u64; setup.grid.config.sites.len()];
    for o in all.iter().filter(|o| o.end == End::Complete) {
        counts[setup.grid.endpoint_site[o.endpoint]] += 1;
    }
    let names = setup.grid.config.sites.iter().map(|s| s.name.clone());
    names.zip(counts).filter(|(_, n)| *n > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_nearest_rank_and_ignore_what_was_not_measured() {
        let t = times((1..=100).rev().map(|n| n as f32).chain([f32::NAN]));
        assert_eq!((t.p50, t.p95, t.p99, t.mean), (Some(50.0), Some(95.0), Some(99.0), Some(50.5)));
        assert_eq!(times(std::iter::empty()).p50, None);
    }
}
