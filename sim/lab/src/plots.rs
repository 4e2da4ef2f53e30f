//! What the pictures of a report are drawn from.

use rhumb_grid::position::SiteIndex;
use rhumb_world::{End, Outcome, Ran, Setup};

use crate::measure::{is_good, quantile};
use crate::scenario::Slo;

/// Everything drawn of one router's run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plots {
    /// Time to first token at 0, 1, … 100 % of the answers, ms.
    pub ttft_ms: Vec<f64>,
    /// Time to the last token, likewise.
    pub e2e_ms: Vec<f64>,
    /// The run in equal stretches of time.
    pub timeline: Vec<Stretch>,
    /// Who was served where, the largest flows first.
    pub flows: Vec<Flow>,
    /// Sites, with the answers that each gave.
    pub sites: Vec<SiteDot>,
    /// Gateways: degrees north and east.
    pub gateways: Vec<(f64, f64)>,
}

/// A stretch of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// When it begins, seconds since the traffic began.
    pub from_s: f64,
    /// Requests sent in it.
    pub requests: u64,
    /// Of those, lost.
    pub lost: u64,
    /// Of those, good, a second.
    pub goodput_rps: f64,
    /// Median time to first token of those, ms; not a number where there was none.
    pub ttft_p50_ms: f64,
    /// 95th percentile of it, ms.
    pub ttft_p95_ms: f64,
}

/// Answers from a site to a city.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// City of the users, by its place in the world's list.
    pub place: u32,
    /// Site, by its place in the configuration.
    pub site: SiteIndex,
    /// Answers.
    pub answers: u64,
}

/// A site on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteDot {
    /// Name.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Answers it gave.
    pub answers: u64,
}

/// Stretches of a timeline.
const STRETCHES: usize = 60;
/// Flows kept.
const FLOWS: usize = 400;

/// What is drawn of a run.
pub(crate) fn plots(setup: &Setup, ran: &Ran, slo: &Slo) -> Plots {
    let curve = |of: &dyn Fn(&Outcome) -> f32| {
        let mut sorted: Vec<f32> = ran.outcomes.iter().map(of).filter(|v| v.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        (0..=100).filter_map(|p| quantile(&sorted, f64::from(p) / 100.0)).collect()
    };
    let mut answers = vec![0_u64; setup.grid.config.sites.len()];
    let mut flows = std::collections::BTreeMap::new();
    for o in ran.outcomes.iter().filter(|o| o.end == End::Complete) {
        let site = setup.grid.endpoint_site[o.endpoint];
        answers[site] += 1;
        *flows.entry((o.place, site)).or_insert(0_u64) += 1;
    }
    let mut flows: Vec<Flow> =
        flows.into_iter().map(|((place, site), answers)| Flow { place, site, answers }).collect();
    flows.sort_by(|a, b| b.answers.cmp(&a.answers).then((a.place, a.site).cmp(&(b.place, b.site))));
    flows.truncate(FLOWS);
    let dots = setup.grid.config.sites.iter().zip(answers).map(|(s, answers)| SiteDot {
        name: s.name.clone(),
        latitude: s.latitude,
        longitude: s.longitude,
        answers,
    });
    Plots {
        ttft_ms: curve(&|o| o.ttft_ms),
        e2e_ms: curve(&|o| o.e2e_ms),
        timeline: timeline(ran, slo),
        flows,
        sites: dots.collect(),
        gateways: setup.gateways.iter().map(|g| (g.location.latitude, g.location.longitude)).collect(),
    }
}

fn timeline(ran: &Ran, slo: &Slo) -> Vec<Stretch> {
    let last_us = ran.outcomes.iter().map(|o| o.at_us).max().unwrap_or(0) + 1;
    let length_us = last_us.div_ceil(STRETCHES as u64);
    let mut stretches: Vec<Vec<&Outcome>> = vec![Vec::new(); STRETCHES];
    for o in &ran.outcomes {
        stretches[(o.at_us / length_us) as usize].push(o);
    }
    let length_s = length_us as f64 / 1e6;
    let stretch = |(i, here): (usize, Vec<&Outcome>)| {
        let mut ttft: Vec<f32> = here.iter().map(|o| o.ttft_ms).filter(|v| v.is_finite()).collect();
        ttft.sort_by(f32::total_cmp);
        let at = |share| quantile(&ttft, share).unwrap_or(f64::NAN);
        Stretch {
            from_s: i as f64 * length_s,
            requests: here.len() as u64,
            lost: here.iter().filter(|o| o.end != End::Complete).count() as u64,
            goodput_rps: here.iter().filter(|o| is_good(o, slo)).count() as f64 / length_s,
            ttft_p50_ms: at(0.5),
            ttft_p95_ms: at(0.95),
        }
    };
    stretches.into_iter().enumerate().map(stretch).collect()
}
