//! The machines together, on a small grid: what was seen in, what follows out.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use rhumb_flow::admission::QueueClasses;
use rhumb_flow::blame::Failure;
use rhumb_flow::evidence::Source;
use rhumb_flow::peers::groups;
use rhumb_grid::config::Accepts;
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_route::decide::{Choice, Decision, Scratch, decide};
use rhumb_route::row::CandidateHealth;
use rhumb_route::view::{Viewer, perf_of};

use crate::attempt::Attempt;
use crate::endpoint::{CanaryAnswer, CanaryNews};
use crate::facts::{Estimates, PromptSize, RequestShape, facts};
use crate::failover::{Action, Failed, Failover, Noted, Request, note_failure};
use crate::judge::{Finding, judge};
use crate::memory::Memory as _;
use crate::plain::PlainMemory;
use crate::refusal::{RETRY_AFTER_MS, Refusal};

const BY: Source = Source { tenant: 1, request: 7 };

/// So many endpoints for one model, each at a site of its own.
fn grid(endpoints: usize) -> Grid {
    let site = |i| serde_json::json!({"name": format!("s{i}"), "operator": "o", "country": "DE", "latitude": 50, "longitude": i});
    let endpoint = |i| {
        let context_tokens = 1_000 * (i + 1);
        serde_json::json!({"name": format!("e{i}"), "site": format!("s{i}"), "url": format!("http://e{i}"),
            "models": [{"model": "m", "context_tokens": context_tokens}]})
    };
    let config = serde_json::json!({
        "operators": [{"name": "o"}],
        "sites": (0..endpoints).map(site).collect::<Vec<_>>(),
        "models": [{"name": "m"}],
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
    });
    Grid::new(serde_json::from_value(config).unwrap())
}

struct Gateway {
    grid: Grid,
    parts: PlainMemory,
}

impl Gateway {
    fn new(endpoints: usize) -> Self {
        let grid = grid(endpoints);
        let viewer = Viewer::new(&grid, perf_of(&grid));
        let parts = PlainMemory::new(&grid, viewer, &QueueClasses::of(&grid), 1);
        Self { grid, parts }
    }

    fn decide(&mut self, now_ms: u64) -> Decision {
        self.parts.publish(now_ms);
        let policy = self.grid.policy_for(None, None).unwrap();
        let choice = Choice { rates: policy.rates, router: self.grid.config.gateway.router, seed: 1 };
        decide(&self.parts, &facts(chat(), &Estimates::default()), &choice, &mut Scratch::default())
    }

    /// What a request comes to that fails at each target in this way, and how often it was tried.
    fn all_fail(&mut self, failures: &[Failed], max_attempts: u32) -> (Refusal, u32) {
        let decision = self.decide(0);
        let request = request(&decision);
        let mut failover = Failover::new(max_attempts);
        let mut place = 0;
        assert!(failover.start(&mut self.parts, &request, place, true));
        for failed in failures.iter().cycle() {
            let target = request.targets[place];
            let noted = note_failure(&mut self.parts, BY, &target, failed, 0);
            match failover.failed(&mut self.parts, &request, &target, (failed, noted), false, 0) {
                Action::Send(next) => place = next,
                Action::GiveUp => break,
                Action::Wait => panic!("nothing else is under way"),
            }
        }
        (failover.refusal(&mut self.parts, &request, 0), failover.order().attempts())
    }

    /// All endpoints have answered another client.
    fn proven(mut self) -> Self {
        for endpoint in &mut self.parts.endpoints {
            endpoint.health.answered(0, 0, Source { tenant: 2, request: 1 });
        }
        self
    }
}

fn chat() -> RequestShape {
    RequestShape {
        models: vec![ModelIndex(0)],
        prompt: PromptSize { inputs: 1.0, text: 100.0, longest_text: 100.0, ..PromptSize::default() },
        certain_tokens: 1.0,
        max_tokens: None,
        sequences: 1.0,
        streams: true,
        needs: Default::default(),
        countries: Vec::new(),
        client_ms: 0.0,
        affinity: None,
        pin: None,
        hits: Vec::new(),
    }
}

fn request(decision: &Decision) -> Request<'_> {
    Request { source: BY, targets: &decision.targets, fitting: decision.fitting, is_last_resort: false }
}

fn busy(after_ms: u64) -> Failed {
    Failed { after_ms: Some(after_ms), ..Failure::Busy.into() }
}

#[test]
fn what_a_client_is_told_follows_from_what_its_attempts_came_to() {
    let too_long = Failed { context: Some(None), ..Failure::ContextLength.into() };
    for (failures, refusal, tries) in [
        (vec![busy(700), busy(300)], Refusal::Busy(700), 3),
        (vec![busy(700), Failure::Server.into()], Refusal::Failed, 3),
        (vec![Failure::Unavailable.into()], Refusal::Busy(RETRY_AFTER_MS), 3),
        (vec![Failure::Silent.into()], Refusal::Timeout, 3),
        (vec![Failure::Missing.into()], Refusal::ModelMissing, 3),
        (vec![Failure::Died.into()], Refusal::Failed, 3),
        (vec![Failure::TooLarge.into()], Refusal::AnswerTooLarge, 2),
        (vec![Failure::Invalid.into()], Refusal::Invalid, 2),
        (vec![Failure::Looped.into(), Failure::Silent.into()], Refusal::Looped, 3),
        (vec![too_long], Refusal::ContextLength, 3),
    ] {
        let got = Gateway::new(4).all_fail(&failures, 3);
        assert_eq!(got, (refusal, tries), "{failures:?}");
        let may = matches!(refusal, Refusal::Busy(_) | Refusal::Failed | Refusal::Timeout);
        assert_eq!(refusal.retry().may, may);
    }
}

#[test]
fn a1_what_two_endpoints_that_serve_others_fail_alike_is_tried_no_third_time_and_known_from_then_on() {
    let mut gateway = Gateway::new(4).proven();
    assert_eq!(gateway.all_fail(&[Failure::Server.into()], 4), (Refusal::RequestFailed, 2));
    assert_eq!(gateway.all_fail(&[Failure::Server.into()], 4), (Refusal::RequestFailed, 1));
}

#[test]
fn a_503_without_a_time_is_charged_to_the_retry_budget_once() {
    // Twenty retries are saved up, and a request earns a fifth of one: two tries in vain of each take two out.
    let mut gateway = Gateway::new(4);
    let tries: Vec<u32> = (0..15).map(|_| gateway.all_fail(&[Failure::Unavailable.into()], 3).1).collect();
    assert_eq!(tries.iter().position(|n| *n < 3), Some(11), "{tries:?}");
}

#[test]
fn a_context_that_is_too_short_leads_to_longer_ones_first() {
    let mut gateway = Gateway::new(4);
    let decision = gateway.decide(0);
    let request = request(&decision);
    let by_context = |tokens: u32| decision.targets.iter().position(|t| t.endpoint.0 == tokens / 1_000 - 1).unwrap();
    let mut failover = Failover::new(4);
    let first = by_context(2_000);
    assert!(failover.start(&mut gateway.parts, &request, first, true));
    let failed = Failed { context: Some(Some(2_000)), ..Failure::ContextLength.into() };
    let target = request.targets[first];
    let noted = note_failure(&mut gateway.parts, BY, &target, &failed, 0);
    let next = failover.failed(&mut gateway.parts, &request, &target, (&failed, noted), false, 0);
    assert_ne!(next, Action::Send(by_context(1_000)));
    assert_eq!(gateway.parts.endpoints[1].state.context, Some((ModelIndex(0), 2_000)), "its word is remembered");
}

#[test]
fn while_another_attempt_runs_a_failure_decides_nothing() {
    let mut gateway = Gateway::new(3);
    let decision = gateway.decide(0);
    let request = request(&decision);
    let mut failover = Failover::new(3);
    assert!(failover.start(&mut gateway.parts, &request, 0, true));
    assert_eq!(failover.hedge(&mut gateway.parts, &request, || 0, 0), Some((1, ())));
    let failed: Failed = Failure::Died.into();
    let noted = Noted { is_proven: false, is_unhealthy: false };
    let mut fail = |place: usize, beside| {
        failover.failed(&mut gateway.parts, &request, &request.targets[place], (&failed, noted), beside, 0)
    };
    assert_eq!((fail(0, true), fail(1, false)), (Action::Wait, Action::Send(2)));
}

#[test]
fn engines_that_die_of_a_request_are_three_at_most() {
    let mut gateway = Gateway::new(6);
    let decision = gateway.decide(0);
    let request = request(&decision);
    let mut failover = Failover::new(6);
    let (mut place, failed) = (0, Failed::from(Failure::Died));
    assert!(failover.start(&mut gateway.parts, &request, place, true));
    let deaths = (1..).find(|_| {
        let target = request.targets[place];
        let noted = note_failure(&mut gateway.parts, BY, &target, &failed, 0);
        failover.struck(&mut gateway.parts, target.endpoint, 99, 0);
        match failover.failed(&mut gateway.parts, &request, &target, (&failed, noted), false, 0) {
            Action::Send(next) => place = next,
            _ => return true,
        }
        false
    });
    assert_eq!((deaths, failover.refusal(&mut gateway.parts, &request, 0)), (Some(3), Refusal::Quarantined));
}

#[test]
fn what_another_endpoint_serves_counts_against_those_that_failed_it() {
    let mut gateway = Gateway::new(2);
    for request_hash in 0..3 {
        let source = Source { tenant: 1, request: request_hash };
        let decision = gateway.decide(0);
        let request = Request { source, ..request(&decision) };
        let ill = request.targets.iter().position(|t| t.endpoint.0 == 0).unwrap();
        let mut failover = Failover::new(2);
        failover.start(&mut gateway.parts, &request, ill, true);
        let failed: Failed = Failure::Server.into();
        let noted = note_failure(&mut gateway.parts, source, &request.targets[ill], &failed, 0);
        assert!(!noted.is_unhealthy);
        let next = failover.failed(&mut gateway.parts, &request, &request.targets[ill], (&failed, noted), false, 0);
        assert_eq!(next, Action::Send(1 - ill));
        let mut confirmed = Vec::new();
        failover.served(&mut gateway.parts, source, 0, |attempt, _| confirmed.push(attempt.endpoint.0));
        assert_eq!(confirmed, if request_hash == 2 { vec![0] } else { vec![] });
    }
    let health = |e: usize| gateway.parts.endpoints[e].snapshot(0, None, 0.0, Accepts::NewAndExisting).health;
    assert_eq!((health(0), health(1)), (CandidateHealth::Unhealthy, CandidateHealth::Healthy));
}

#[test]
fn an_attempt_leaves_nothing_behind_however_it_ends() {
    let mut gateway = Gateway::new(1);
    let target = gateway.decide(0).targets[0];
    for end in 0..4 {
        let mut attempt = Attempt::sent(&mut gateway.parts, target, true, 1_000);
        assert!(gateway.parts.local_loads[0].backlog_tokens > 0.0);
        match end {
            0 => attempt.over(&mut gateway.parts),
            1 => {
                attempt.began(&mut gateway.parts, BY, 0.0, 300_000);
                assert_eq!(gateway.parts.local_loads[0].backlog_tokens, 0.0, "its prompt is computed");
                attempt.over(&mut gateway.parts);
            }
            2 => {
                attempt.began(&mut gateway.parts, BY, 0.0, 300_000);
                assert_eq!(attempt.completed(&mut gateway.parts, Some(101), BY, 2_300_000), Some(20.0));
                attempt.over(&mut gateway.parts);
            }
            _ => {
                attempt.over(&mut gateway.parts);
                attempt.over(&mut gateway.parts);
            }
        }
        assert_eq!(gateway.parts.local_loads[0].backlog_tokens, 0.0);
        let later = gateway.parts.endpoints[0].snapshot(60_000, None, 0.0, Accepts::NewAndExisting);
        assert_eq!(later.stalled_ms, 0.0, "nobody is waited for");
    }
    let plain = Attempt::sent(&mut gateway.parts, target, false, 1_000);
    assert_eq!(gateway.parts.local_loads[0].backlog_tokens, 0.0, "a plain answer does not show when it begins");
    assert_eq!(plain.completed(&mut gateway.parts, Some(101), BY, 2_300_000), None);
}

#[test]
fn a_canary_that_one_endpoint_answers_wrongly_makes_it_unhealthy_and_one_that_nobody_answers_rightly_does_not() {
    let mut gateway = Gateway::new(2);
    let peers = groups(&gateway.grid);
    let canary = |gateway: &mut Gateway, e: usize, answer| gateway.parts.endpoints[e].canary(0, "m", answer);
    assert_eq!(canary(&mut gateway, 0, CanaryAnswer::Wrong), CanaryNews::Wrong);
    assert_eq!(canary(&mut gateway, 0, CanaryAnswer::Wrong), CanaryNews::None, "said once");
    let doubted = Finding::CanaryDoubted { endpoint: EndpointIndex(0), model: String::from("m") };
    assert_eq!(judge(&mut gateway.parts, 2, &peers, 0), [doubted]);
    assert_eq!(judge(&mut gateway.parts, 2, &peers, 0), []);
    let health = |gateway: &Gateway| gateway.parts.endpoints[0].snapshot(0, None, 0.0, Accepts::NewAndExisting).health;
    assert_eq!(health(&gateway), CandidateHealth::Healthy);
    canary(&mut gateway, 1, CanaryAnswer::Right);
    judge(&mut gateway.parts, 2, &peers, 0);
    assert_eq!(health(&gateway), CandidateHealth::WrongAnswers);
    assert_eq!(canary(&mut gateway, 0, CanaryAnswer::Right), CanaryNews::None);
    judge(&mut gateway.parts, 2, &peers, 0);
    assert_eq!(health(&gateway), CandidateHealth::Healthy);
}

#[test]
fn an_endpoint_that_is_far_slower_than_its_peers_is_found_and_comes_back() {
    let mut gateway = Gateway::new(3);
    let peers = groups(&gateway.grid);
    for (endpoint, ms) in [(0, 20.0), (1, 400.0), (2, 20.0)] {
        let performance = gateway.parts.endpoints[endpoint].health.performance_mut();
        performance.expect_modelled();
        (0..20).for_each(|_| performance.token(ms, 20.0));
    }
    assert_eq!(judge(&mut gateway.parts, 3, &peers, 1_000), [Finding::Outlier { endpoint: EndpointIndex(1) }]);
    let back = (1..).find_map(|i| judge(&mut gateway.parts, 3, &peers, 1_000 + i * 1_000).pop());
    assert!(matches!(back, Some(Finding::Back { endpoint: EndpointIndex(1), .. })), "{back:?}");
}
