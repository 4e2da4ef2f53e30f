//! From the faults of a scenario to those of a world.

use rhumb_grid::position::EndpointIndex;
use rhumb_world::{Fault, FaultKind, Setup};

use crate::file::Loaded;
use crate::problem::LabError;
use crate::scenario::{FaultName, FaultPlan, Scenario};

/// A fault that never ends, µs.
const FOR_GOOD_US: u64 = 40_000_000_000_000;

/// Ups and downs of one flapping fault at most.
const FLAPS_MAX: usize = 100_000;

/// What each kind does where a scenario does not say how bad it is.
fn default_by(kind: FaultName) -> f64 {
    match kind {
        FaultName::BrownOut => 3.0,
        FaultName::Rtt => 5.0,
        FaultName::PowerCap => 0.5,
        FaultName::Errors | FaultName::Busy => 1.0,
        _ => 0.0,
    }
}

fn kind(plan: &FaultPlan, setup: &Setup) -> FaultKind {
    let by = plan.by.unwrap_or_else(|| default_by(plan.kind));
    match plan.kind {
        FaultName::Refuse => FaultKind::Refuse,
        FaultName::SiteLoss => FaultKind::Loss,
        FaultName::BlackHole => FaultKind::BlackHole,
        FaultName::Errors => FaultKind::Errors(by),
        FaultName::Busy => FaultKind::Busy(by),
        FaultName::Freeze => FaultKind::Freeze,
        FaultName::BrownOut => FaultKind::BrownOut(by.max(1e-3)),
        FaultName::Rtt => FaultKind::Rtt(by),
        FaultName::Partition => {
            let named = plan.gateway.as_ref().and_then(|name| setup.gateways.iter().position(|g| g.name == *name));
            FaultKind::Partition(named.map(|g| g as u32))
        }
        FaultName::WrongAnswers => FaultKind::WrongAnswers,
        FaultName::StaleTelemetry => FaultKind::StaleTelemetry,
        FaultName::LyingTelemetry => FaultKind::LyingTelemetry(by),
        FaultName::PowerCap => FaultKind::PowerCap(by.max(1e-3)),
    }
}

/// The engines that belong to a site in the grid: where all stand in one place, they are still the same engines. Those of
/// a scenario are named after their site; in a configuration of one's own the site says it.
fn endpoints_of(setup: &Setup, site: &str) -> Option<(EndpointIndex, EndpointIndex)> {
    let endpoints = &setup.grid.config.endpoints;
    if let Some(from) = endpoints.iter().position(|e| e.site == site).filter(|_| setup.grid.config.sites.len() > 1) {
        let count = endpoints[from..].iter().take_while(|e| e.site == site).count();
        return Some((EndpointIndex::new(from), EndpointIndex::new(from + count)));
    }
    let belongs = |name: &str| name.strip_prefix(site).is_some_and(|rest| rest.starts_with('-'));
    let from = endpoints.iter().position(|e| belongs(&e.name))?;
    let count = endpoints[from..].iter().take_while(|e| belongs(&e.name)).count();
    Some((EndpointIndex::new(from), EndpointIndex::new(from + count)))
}

fn strikes_engines(kind: FaultName) -> bool {
    !matches!(
        kind,
        FaultName::Rtt
            | FaultName::Partition
            | FaultName::StaleTelemetry
            | FaultName::LyingTelemetry
            | FaultName::PowerCap
    )
}

/// The faults of a scenario in a world. A site that has no engines of its own there is struck nowhere.
pub(crate) fn of(scenario: &Scenario, setup: &Setup) -> Vec<Fault> {
    let mut out = Vec::new();
    for plan in &scenario.faults {
        let Some(endpoints) = endpoints_of(setup, &plan.site) else { continue };
        // What strikes the way to a place, or its power, does not follow engines that stand elsewhere.
        if !strikes_engines(plan.kind) && setup.grid.config.sites.iter().all(|s| s.name != plan.site) {
            continue;
        }
        let site = setup.grid.endpoint_site[endpoints.0];
        let us = |s: f64| (s * 1e6) as u64;
        let fault =
            |from_us, until_us| Fault { from_us, until_us, site, endpoints: Some(endpoints), kind: kind(plan, setup) };
        let until_us = plan.until_s.map_or(FOR_GOOD_US, us);
        match plan.flapping_s {
            None => out.push(fault(us(plan.from_s), until_us)),
            Some(period_s) => {
                let downs = (0..FLAPS_MAX).map(|i| us(plan.from_s + 2.0 * i as f64 * period_s));
                out.extend(downs.take_while(|at| *at < until_us).map(|at| fault(at, at + us(period_s))));
            }
        }
    }
    out
}

/// Looks whether what the faults name exists.
pub(crate) fn check(loaded: &Loaded, setup: &Setup) -> Result<(), LabError> {
    for (i, plan) in loaded.scenario.faults.iter().enumerate() {
        if endpoints_of(setup, &plan.site).is_none() {
            let mut names: Vec<&str> = setup.grid.config.sites.iter().map(|s| s.name.as_str()).collect();
            let near = meant(&plan.site, &names);
            names.truncate(12);
            let right = match near {
                Some(near) => format!("`{near}`, or another of the grid's sites"),
                None => format!("one of the grid's sites: {}", names.join(", ")),
            };
            return Err(loaded.wrong(&format!("faults[{i}].site"), format!("there is no site `{}`", plan.site), right));
        }
        if let Some(name) = plan.gateway.as_ref().filter(|name| setup.gateways.iter().all(|g| g.name != **name)) {
            let names: Vec<&str> = setup.gateways.iter().map(|g| g.name.as_str()).collect();
            let (path, what) = (format!("faults[{i}].gateway"), format!("there is no gateway `{name}`"));
            return Err(loaded.wrong(&path, what, format!("one of {}", names.join(", "))));
        }
        if plan.until_s.is_some_and(|until| until <= plan.from_s) {
            let (path, what) = (format!("faults[{i}].until_s"), "the fault ends before it begins".to_owned());
            return Err(loaded.wrong(&path, what, format!("more than `from_s`, which is {}", plan.from_s)));
        }
    }
    Ok(())
}

/// The name among some that is meant by a wrong one, if any is close.
fn meant<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|n| (strsim::jaro_winkler(wrong, n), *n)).max_by(|a, b| a.0.total_cmp(&b.0));
    near.filter(|(score, _)| *score > 0.8).map(|(_, name)| name)
}

/// When faults begin and end, for pictures.
pub(crate) fn named(scenario: &Scenario) -> Vec<(f64, f64, String)> {
    let name = |p: &FaultPlan| {
        let kind = serde_json::to_value(p.kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        (p.from_s, p.until_s.unwrap_or(f64::INFINITY), format!("{kind} {}", p.site))
    };
    scenario.faults.iter().map(name).collect()
}
