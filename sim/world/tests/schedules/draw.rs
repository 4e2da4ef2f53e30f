//! What each fault may look like.

use rhumb_engine::Limits;
use rhumb_grid::config::{Preset, Router};
use rhumb_grid::service::Service;
use rhumb_rng::Rng;
use rhumb_world::{Clients, End, FaultKind};

use crate::common::{asks, beside_programs, fault, people_and_programs, setup};
use crate::hold::{BACK_S, Case, LOOK_S, Share};

const SITES: u32 = 4;

/// Requests a second of which four sites of two engines are at 80 % load.
const BUSY_RPS: f64 = 48.0;

/// A world at a load from a sixth to a half of what it can serve, with nothing wrong yet.
fn calm(rng: &mut Rng, seed: u64, rps: f64, until_s: f64) -> Case {
    let mut setup = setup(SITES as usize, 2, Router::Rhumb);
    setup.seed = seed;
    setup.service = Service::preset(Preset::Interactive);
    setup.rates.first_token_timeout_ms = 2_000;
    setup.rates.idle_timeout_ms = 3_000;
    setup.rates.ttft_slo_ms = 1_000.0;
    setup.telemetry.loss = 0.2 * rng.unit();
    for spec in &mut setup.engines {
        spec.limits = Limits { max_num_seqs: 32, ..Limits::default() };
    }
    let asks = asks((rps * until_s) as usize, rps, SITES as usize, seed);
    Case { setup, asks, fault_s: None, drawn: format!("{rps:.0} a second"), never: vec![End::Rejected], share: None }
}

/// One fault at one site, at a time and for a time that chance says.
fn struck(rng: &mut Rng, seed: u64, rps: f64, longest_s: f64, kind: FaultKind) -> Case {
    let (begin_s, length_s) = (8.0 + 6.0 * rng.unit(), 1.0 + (longest_s - 1.0) * rng.unit());
    let site = rng.below(SITES as usize) as u32;
    let clear_s = begin_s + length_s;
    let mut case = calm(rng, seed, rps, clear_s + BACK_S + LOOK_S);
    case.setup.faults.push(fault(site, kind, begin_s, clear_s));
    case.fault_s = Some((begin_s, clear_s));
    case.drawn += &format!(", {kind:?} at site {site} from {begin_s:.1} to {clear_s:.1} s");
    case
}

fn moderate(rng: &mut Rng) -> f64 {
    10.0 + 20.0 * rng.unit()
}

fn never(case: Case, ends: &[End]) -> Case {
    let never = [&case.never[..], ends].concat();
    Case { never, ..case }
}

pub(crate) fn refused(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    never(struck(rng, seed, rps, 20.0, FaultKind::Refuse), &[End::Failed, End::Broken, End::Left])
}

pub(crate) fn black_hole(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    never(struck(rng, seed, rps, 20.0, FaultKind::BlackHole), &[End::Failed, End::Broken, End::Left])
}

pub(crate) fn errors(rng: &mut Rng, seed: u64) -> Case {
    let (rps, share) = (moderate(rng), 0.2 + 0.8 * rng.unit());
    never(struck(rng, seed, rps, 20.0, FaultKind::Errors(share)), &[End::Failed, End::Broken, End::Left])
}

pub(crate) fn busy(rng: &mut Rng, seed: u64) -> Case {
    let (rps, share) = (moderate(rng), 0.1 + 0.9 * rng.unit());
    never(struck(rng, seed, rps, 20.0, FaultKind::Busy(share)), &[End::Broken, End::Left])
}

pub(crate) fn loss(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    never(struck(rng, seed, rps, 20.0, FaultKind::Loss), &[End::Failed, End::Left])
}

pub(crate) fn stall(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    never(struck(rng, seed, rps, 12.0, FaultKind::Freeze), &[End::Failed, End::Left])
}

fn leave(rng: &mut Rng, seed: u64, rps: f64, after_s: f64) -> Case {
    let mut case = calm(rng, seed, rps, 25.0);
    case.setup.clients =
        Clients { retries: 0, leaving: 0.1 + 0.8 * rng.unit(), leave_after_us: after_s * 1e6, poison: None };
    case.drawn += &format!(", {:?}", case.setup.clients);
    never(case, &[End::Failed, End::Broken])
}

pub(crate) fn leaving(rng: &mut Rng, seed: u64) -> Case {
    let (rps, after_s) = (moderate(rng), 0.05 + 5.0 * rng.unit());
    leave(rng, seed, rps, after_s)
}

pub(crate) fn leaving_the_queue(rng: &mut Rng, seed: u64) -> Case {
    let (rps, after_s) = (BUSY_RPS * (1.5 + rng.unit()), 0.05 + rng.unit());
    leave(rng, seed, rps, after_s)
}

/// They leave after as long as an answer takes, so that many do while its last tokens are on their way.
pub(crate) fn leaving_at_the_end(rng: &mut Rng, seed: u64) -> Case {
    let (rps, tokens) = (moderate(rng), 1 + rng.below(8) as u32);
    let after_s = 0.05 + 0.4 * rng.unit();
    let mut case = leave(rng, seed, rps, after_s);
    case.setup.clients.leaving = 1.0;
    case.asks.iter_mut().for_each(|ask| ask.output_tokens = tokens);
    case
}

/// People now and then beside programs with long prompts, errors at a site, and clients that leave.
pub(crate) fn gives_way(rng: &mut Rng, seed: u64) -> Case {
    let (rps, share) = (0.2 + 3.0 * rng.unit(), 0.5 * rng.unit());
    let mut case = struck(rng, seed, rps, 20.0, FaultKind::Errors(share));
    case.setup.tenants = beside_programs(&case.setup);
    case.asks = people_and_programs(case.asks, rng);
    case.setup.clients = Clients { retries: 2, leaving: 0.3 * rng.unit(), leave_after_us: 4e6, poison: None };
    case.fault_s = None;
    case.drawn += &format!(", {:?}", case.setup.clients);
    never(case, &[End::Broken])
}

/// Everything fails, everywhere or at some sites, and clients come again.
pub(crate) fn retry_storm(rng: &mut Rng, seed: u64) -> Case {
    let (rps, sites) = (moderate(rng), 1 + rng.below(SITES as usize) as u32);
    let kind = if rng.unit() < 0.5 { FaultKind::Errors } else { FaultKind::Busy };
    let mut case = struck(rng, seed, rps, 20.0, kind(1.0));
    let Some((begin_s, clear_s)) = case.fault_s else { return case };
    case.setup.faults = (0..sites).map(|site| fault(site, kind(1.0), begin_s, clear_s)).collect();
    case.setup.clients.retries = 2;
    case.drawn += &format!(", at {sites} sites, clients retry");
    never(case, &[End::Broken, End::Left])
}

/// A site dies at 80 % load: the others cannot serve all, and their caches are cold for its sessions.
pub(crate) fn site_loss(rng: &mut Rng, seed: u64) -> Case {
    let mut case = struck(rng, seed, BUSY_RPS, 20.0, FaultKind::Loss);
    case.setup.clients.retries = 2 * rng.below(2) as u32;
    never(case, &[End::Left])
}

pub(crate) fn stale(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    let mut case = struck(rng, seed, rps, 20.0, FaultKind::StaleTelemetry);
    case.share = Some((case.setup.faults[0].site, Share::OfBefore(1.5)));
    never(case, &[End::Failed, End::Broken, End::Left, End::Shed])
}

pub(crate) fn lying(rng: &mut Rng, seed: u64) -> Case {
    const LIES: [f64; 8] = [0.0, -1.0, -1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 400.0];
    let (rps, lie) = (moderate(rng), LIES[rng.below(LIES.len())]);
    let case = struck(rng, seed, rps, 20.0, FaultKind::LyingTelemetry(lie));
    never(case, &[End::Failed, End::Broken, End::Left, End::Shed])
}

pub(crate) fn fast_failing(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    let kind = if rng.unit() < 0.5 { FaultKind::Errors(1.0) } else { FaultKind::Busy(1.0) };
    let mut case = struck(rng, seed, rps, 20.0, kind);
    case.share = Some((case.setup.faults[0].site, Share::OfAll(0.25)));
    never(case, &[End::Broken, End::Left])
}

pub(crate) fn flapping(rng: &mut Rng, seed: u64) -> Case {
    const KINDS: [FaultKind; 4] = [FaultKind::Refuse, FaultKind::Loss, FaultKind::Errors(1.0), FaultKind::BlackHole];
    let (rps, half_s, kind) = (moderate(rng), 0.5 + 3.0 * rng.unit(), KINDS[rng.below(KINDS.len())]);
    let mut case = struck(rng, seed, rps, 30.0, kind);
    let (Some((begin_s, clear_s)), site) = (case.fault_s, case.setup.faults[0].site) else { return case };
    let downs = (0..).map(|i| begin_s + 2.0 * f64::from(i) * half_s).take_while(|at| *at < clear_s);
    case.setup.faults = downs.map(|at| fault(site.0, kind, at, (at + half_s).min(clear_s))).collect();
    case.drawn += &format!(", {half_s:.1} s each");
    never(case, &[End::Left])
}

pub(crate) fn worse(rng: &mut Rng, seed: u64) -> Case {
    let (rps, by) = (moderate(rng), 1.5 + 6.0 * rng.unit());
    let kind = match rng.below(4) {
        0 => FaultKind::BrownOut(by),
        1 => FaultKind::Rtt(by),
        2 => FaultKind::Partition(None),
        _ => FaultKind::Partition(Some(rng.below(2) as u32)),
    };
    never(struck(rng, seed, rps, 20.0, kind), &[End::Failed, End::Broken, End::Left])
}

/// A fault at every site, none like the other's, with clients that retry and leave.
pub(crate) fn several(rng: &mut Rng, seed: u64) -> Case {
    let rps = moderate(rng);
    let mut case = struck(rng, seed, rps, 20.0, FaultKind::Refuse);
    let Some((begin_s, clear_s)) = case.fault_s else { return case };
    case.setup.faults.clear();
    for site in 0..SITES {
        let by = 1.5 + 6.0 * rng.unit();
        let kind = match rng.below(12) {
            0 => FaultKind::Refuse,
            1 => FaultKind::Loss,
            2 => FaultKind::BlackHole,
            3 => FaultKind::BrownOut(by),
            4 => FaultKind::Rtt(by),
            5 => FaultKind::Partition(None),
            6 => FaultKind::Errors(rng.unit()),
            7 => FaultKind::Busy(rng.unit()),
            8 => FaultKind::Freeze,
            9 => FaultKind::StaleTelemetry,
            10 => FaultKind::LyingTelemetry(by),
            _ => continue,
        };
        let (from, until) = (rng.unit(), rng.unit());
        let at_s = |share: f64| begin_s + share * (clear_s - begin_s);
        case.setup.faults.push(fault(site, kind, at_s(from.min(until)), at_s(from.max(until))));
        case.drawn += &format!(", {kind:?} at {site}");
    }
    case.setup.clients =
        Clients { retries: rng.below(3) as u32, leaving: 0.3 * rng.unit(), leave_after_us: 4e6, poison: None };
    case
}
