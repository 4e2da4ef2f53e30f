use alloc::vec;

use proptest::prelude::*;
use rhumb_grid::config::{Dialect, Preset};
use rhumb_grid::dialects::Dialects;
use rhumb_grid::tasks::Tasks;

use super::*;
use crate::facts::Hit;
use crate::record::Record;
use crate::row::Able;

/// Candidates and what is under way at each, as they are.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) local_loads: Vec<LocalLoad>,
}

impl Rows {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self { rows, local_loads: Vec::new() }
    }
}

impl World for Rows {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        let start = self.rows.partition_point(|r| r.model < model);
        &self.rows[start..self.rows.partition_point(|r| r.model <= model)]
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.local_loads.get(endpoint.at()).copied().unwrap_or_default()
    }
}

/// A pin.
fn pin(endpoint: u32, model: u32) -> Option<(EndpointIndex, ModelIndex)> {
    Some((EndpointIndex(endpoint), ModelIndex(model)))
}

pub(super) fn row(endpoint: u32) -> Row {
    Row {
        endpoint: EndpointIndex(endpoint),
        site: SiteIndex(endpoint / 2),
        model: ModelIndex(0),
        country: *b"DE",
        able: Able { vision: false, audio: false, tools: true, ..Able::default() },
        health: CandidateHealth::Healthy,
        accepts: Accepts::default(),
        context_tokens: 8_192,
        input_usd: 1e-7,
        cached_usd: 1e-8,
        output_usd: 2e-7,
        egress_usd: 1e-10,
        joule_usd: 1e-8,
        carbon_usd: 2e-9,
        power_usd: 3e-9,
        prefill_joules: 0.05,
        step_joules: 8.0,
        prefill_ms: 0.1,
        step_ms: 20.0,
        step_ms_per_seq: 0.5,
        concurrency: 8.0,
        ttft_correction: 1.0,
        pace_correction: 1.0,
        reported: 0.0,
        own_at_report: 0.0,
        others_tokens: 0.0,
        stalled_ms: 0.0,
        unseen_ms: 0.0,
        others_per_ms: 0.0,
        load_age_ms: 0.0,
        rtt_ms: 10.0,
        rtt_dev_ms: 0.0,
        rtt_age_ms: 0.0,
        site_watts: 100.0,
        site_watts_max: f64::INFINITY,
        seq_watts: 1.0,
        quality: 0.5,
        others_second_usd: 0.01,
        reserves_answer: true,
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        models: vec![ModelIndex(0)],
        prompt_tokens: 1_000.0,
        output_tokens: 100.0,
        max_tokens: None,
        bytes_per_token: 200.0,
        needs: Able::default(),
        countries: Vec::new(),
        client_ms: 5.0,
        affinity: None,
        pin: None,
        hits: Vec::new(),
        longest_tokens: 1_000.0,
        certain_tokens: 1.0,
    }
}

pub(super) fn choice() -> Choice {
    let rates = Rates {
        second_usd: 0.01,
        miss_usd: 0.001,
        ttft_slo_ms: 200.0,
        reading_pace_ms: 15.0,
        ..Rates::preset(Preset::Balanced)
    };
    Choice { rates, router: Router::Rhumb, seed: 7 }
}

pub(super) fn run(world: &impl World, facts: &Facts, choice: &Choice) -> Decision {
    decide(world, facts, choice, &mut Scratch::default())
}

fn order(d: &Decision) -> Vec<u32> {
    d.targets.iter().map(|t| t.endpoint.0).collect()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-9), "{a} is not {b}");
}

#[test]
fn a_bill_worked_out_by_hand() {
    let mut r = row(3);
    (r.reported, r.own_at_report, r.ttft_correction, r.pace_correction) = (11.0, 4.0, 2.0, 1.5);
    (r.rtt_dev_ms, r.load_age_ms) = (1.0, 2_000.0);
    let mut f = facts();
    f.hits = vec![Hit { endpoint: EndpointIndex(3), tokens: 400.0 }];
    f.pin = pin(9, 0);
    let local_load = LocalLoad { in_flight: 3.0, backlog_tokens: 50.0 };
    let (p, b) = evaluate(&r, &local_load, &f, &choice().rates, Gates::Strict).unwrap();
    // 11 reported, 4 of them ours then and 3 ours now: 10 there, 8 seats.
    assert_eq!((p.running, p.waiting, p.cached_tokens, p.uncached_tokens), (8.0, 2.0, 400.0, 600.0));
    close(p.pace_ms, (20.0 + 0.5 * 9.0) * 1.5);
    close(p.queue_ms, 50.0 * 0.1 * 2.0 + 2.0 * (100.0 * 36.75 / 8.0));
    close(p.prefill_ms, (600.0 * 0.1 + 20.0 + 0.5 * 8.0) * 2.0);
    let ttft = 5.0 + 10.0 + p.queue_ms + p.prefill_ms;
    close(p.ttft_p50_ms, ttft);
    close(p.spread, 0.2 + 1.0 / ttft);
    close(p.spread_age, 0.1);
    close(p.expected_ms(), ttft * 1.05);
    assert_eq!((p.client_ms, p.site_ms), (5.0, 10.0));
    // Half-widths of the central half: the 75th percentile of the t distribution is 0.816497, the 95th 2.919986.
    close(p.ttft_p95_ms, ttft * (1.0 + 2.919_986 / 0.816_497 * (p.spread + 0.1)));
    close(b.tokens_usd, 600.0 * 1e-7 + 400.0 * 1e-8 + 100.0 * 2e-7);
    close(b.egress_usd, 100.0 * 200.0 * 1e-10);
    let joules = 600.0 * 0.05 + 100.0 * 8.0 / 9.0;
    close(b.energy_usd, joules * 1e-8);
    close(b.carbon_usd, joules * 2e-9);
    close(b.power_usd, joules * 3e-9);
    close(b.waiting_usd, 0.01 * p.expected_ms() / 1e3 + 0.001 * p.miss(200.0));
    close(b.pace_usd, 0.01 * 100.0 * (p.pace_ms - 15.0) / 1e3);
    close(b.fit_usd, 0.01 * 0.1 + 0.000_05);
    close(b.headroom_usd, 0.01 * (600.0 * 0.1 * 10.0 + 100.0 * 0.5 * 8.0) / 1e3);
    // Of readers that the engine is ahead of, a prompt costs little where places are free, and in proportion to the pace where
    // none is, as slower steps do anywhere.
    let patient = Rates { reading_pace_ms: 147.0, ..choice().rates };
    let (lost, used) = (60.0 / (60.0 + 100.0 * (147.0 - 36.75)), 36.75 / 147.0);
    let delay_ms = 600.0 * 0.1 * (2.0 + 8.0 * used) + 100.0 * 0.5 * 8.0 * used;
    close(bill(&r, &p, &f, &patient).headroom_usd, 0.01 * delay_ms / 1e3);
    let roomy = Prediction { running: 2.0, waiting: 0.0, ..p };
    let delay_ms = 600.0 * 0.1 * 2.0 * (0.25 * used + 0.75 * lost) + 100.0 * 0.5 * 2.0 * used;
    close(bill(&r, &roomy, &f, &patient).headroom_usd, 0.01 * delay_ms / 1e3);
    let lines = b.lines();
    assert!(lines.iter().all(|l| *l > 0.0), "{lines:?}");
    close(b.total_usd(), lines.iter().sum());
    let closest = Rates { network_factor: 3.0, ..choice().rates };
    close(bill(&r, &p, &f, &closest).waiting_usd, b.waiting_usd + 0.01 * 2.0 * 15.0 / 1e3);
}

#[test]
fn a_miss_is_certain_far_beyond_the_objective_and_even_at_it() {
    let p = |ms: f64, age: f64| {
        let mut r = row(0);
        r.rtt_ms = ms;
        r.load_age_ms = age;
        predict(&r, &LocalLoad::default(), &facts())
    };
    let fresh = p(100.0, 0.0);
    close(fresh.miss(fresh.ttft_p50_ms), 0.5);
    assert!(fresh.miss(1e9) < 1e-3);
    // Even with no time at all the tail of two degrees of freedom leaves a little: x is 1 / (0.2 / 0.816497).
    let x: f64 = 0.816_497 / 0.2;
    close(fresh.miss(0.0), 0.5 + 0.5 * x / libm::sqrt(2.0 + x * x));
    let half_width = fresh.ttft_p50_ms * 0.2;
    assert!((fresh.miss(fresh.ttft_p50_ms + half_width) - 0.25).abs() < 1e-6);
    let old = p(100.0, 1e9);
    assert_eq!(old.spread_age, 1.0);
    assert!(old.miss(1_000.0) > fresh.miss(1_000.0));
    close(old.miss(50.0), fresh.miss(50.0));
}

#[test]
fn own_work_counts_even_when_the_report_knows_less() {
    let mut r = row(0);
    (r.reported, r.own_at_report) = (1.0, 5.0);
    let p = predict(&r, &LocalLoad { in_flight: 2.0, backlog_tokens: 0.0 }, &facts());
    assert_eq!((p.running, p.waiting), (2.0, 0.0));
}

#[test]
fn gates_drop_with_their_reason() {
    let drop = |change: &dyn Fn(&mut Row, &mut Facts)| {
        let (mut r, mut f) = (row(0), facts());
        change(&mut r, &mut f);
        let d = run(&Rows::new(vec![r]), &f, &choice());
        assert_eq!((d.eligible, d.targets.len(), d.reason), (0, 0, Reason::Nothing));
        let got: Vec<_> = Drop::ALL.into_iter().filter(|r| d.drops[*r as usize] == 1).collect();
        assert_eq!((d.drops.iter().sum::<u32>(), got.len()), (1, 1));
        (got[0], d.largest_context)
    };
    assert_eq!(drop(&|_, f| f.needs.vision = true), (Drop::Modality, 0));
    assert_eq!(drop(&|_, f| f.needs.audio = true), (Drop::Modality, 0));
    assert_eq!(drop(&|r, f| (f.needs.tools, r.able.tools) = (true, false)), (Drop::Modality, 0));
    assert_eq!(drop(&|_, f| f.needs.tasks = Tasks::EMBEDDING), (Drop::Modality, 0));
    assert_eq!(drop(&|r, _| r.able.tasks = Tasks::EMBEDDING), (Drop::Modality, 0));
    assert_eq!(drop(&|r, _| r.able.dialects = Dialects::of(Dialect::Messages)), (Drop::Dialect, 0));
    assert_eq!(drop(&|_, f| f.needs.dialects = Dialects::of(Dialect::Responses)), (Drop::Dialect, 0));
    assert_eq!(drop(&|_, f| f.countries = vec![*b"FR", *b"US"]), (Drop::Residency, 0));
    assert_eq!(drop(&|_, f| f.certain_tokens = 8_192.0), (Drop::Context, 8_192));
    assert_eq!(drop(&|r, f| (f.certain_tokens, r.reserves_answer) = (8_193.0, false)), (Drop::Context, 8_192));
    assert_eq!(drop(&|_, f| (f.certain_tokens, f.max_tokens) = (1_000.0, Some(7_193))), (Drop::Context, 8_192));
    assert_eq!(drop(&|r, _| r.health = CandidateHealth::WrongAnswers), (Drop::Unhealthy, 0));
    assert_eq!(drop(&|r, _| r.site_watts_max = 100.5), (Drop::Power, 0));
    assert_eq!(drop(&|r, _| r.accepts = Accepts::None), (Drop::Draining, 0));
    assert_eq!(drop(&|r, _| r.accepts = Accepts::ExistingOnly), (Drop::Draining, 0));
    assert_eq!(drop(&|r, f| (r.accepts, f.pin) = (Accepts::None, pin(0, 0))), (Drop::Draining, 0));
    let codes: Vec<_> = Drop::ALL.iter().map(|d| d.code()).collect();
    let all = "modality context_length residency unhealthy power_cap draining credential model_missing dialect";
    assert_eq!(codes.join(" "), all);
}

#[test]
fn a6_a_bad_candidate_beats_none_and_wrong_answers_do_not() {
    use CandidateHealth::{CredentialRefused, ModelMissing, Unhealthy, WrongAnswers};
    for health in [Unhealthy, CredentialRefused, ModelMissing] {
        let d = run(&Rows::new(vec![Row { health, ..row(0) }, Row { health, ..row(1) }]), &facts(), &choice());
        assert_eq!((d.targets.len(), d.eligible, d.reason), (2, 2, Reason::LastResort), "{health:?}");
        let d = run(&Rows::new(vec![Row { health, ..row(0) }, row(1)]), &facts(), &choice());
        assert_eq!((d.targets.len(), d.targets[0].endpoint.0), (1, 1), "{health:?}");
    }
    let wrong = Row { health: WrongAnswers, ..row(0) };
    let d = run(&Rows::new(vec![wrong]), &facts(), &choice());
    assert_eq!((d.targets.len(), d.reason, d.drops[Drop::Unhealthy as usize]), (0, Reason::Nothing, 1));
    // What else keeps a candidate out still does.
    let far = Row { health: Unhealthy, country: *b"US", ..row(0) };
    let d = run(&Rows::new(vec![far]), &Facts { countries: vec![*b"DE"], ..facts() }, &choice());
    assert_eq!((d.targets.len(), d.reason), (0, Reason::Nothing));
}

#[test]
fn gates_let_pass_what_just_fits() {
    let pass = |change: &dyn Fn(&mut Row, &mut Facts)| {
        let (mut r, mut f) = (row(0), facts());
        change(&mut r, &mut f);
        assert_eq!(run(&Rows::new(vec![r]), &f, &choice()).eligible, 1);
    };
    pass(&|_, f| (f.certain_tokens, f.max_tokens) = (1_000.0, Some(7_192)));
    pass(&|_, f| f.certain_tokens = 8_191.0);
    pass(&|_, f| (f.certain_tokens, f.max_tokens) = (8_191.0, Some(0)));
    pass(&|r, f| (r.able.tasks, f.needs.tasks, f.certain_tokens) = (Tasks::EMBEDDING, Tasks::EMBEDDING, 8_192.0));
    // An engine that keeps no room for the answer ends it where the context does.
    pass(&|r, f| (r.reserves_answer, f.max_tokens) = (false, Some(1_000_000)));
    // An estimate refuses nothing.
    pass(&|_, f| (f.prompt_tokens, f.longest_tokens) = (1e6, 1e6));
    pass(&|_, f| f.countries = vec![*b"FR", *b"DE"]);
    pass(&|r, _| r.site_watts_max = 101.0);
    pass(&|_, f| f.needs.tools = true);
    pass(&|r, f| (r.able.vision, f.needs.vision, r.able.audio, f.needs.audio) = (true, true, true, true));
    pass(&|r, f| (r.able.tasks, f.needs.tasks) = (Tasks::EMBEDDING, Tasks::EMBEDDING));
    pass(&|r, f| (r.accepts, f.pin) = (Accepts::ExistingOnly, Some((r.endpoint, r.model))));
}

#[test]
fn those_that_the_request_may_not_fit_come_after_those_that_it_is_expected_to_fit() {
    // The dearer, the longer the context.
    let contexts = [500, 1_000, 1_100, 1_101, 9_000];
    let rows: Vec<Row> = (0..).zip(contexts).map(|(e, context_tokens)| Row { context_tokens, ..row(e) }).collect();
    let rows = |least: usize| {
        let dearer = |r: &Row| Row { output_usd: r.output_usd + 1e-5 * f64::from(r.endpoint.0), ..*r };
        Rows::new(rows[least..].iter().map(dearer).collect())
    };
    let reserved = |max_tokens| Facts { longest_tokens: 1_000.0, max_tokens, ..facts() };
    let endpoints = |d: Decision| order(&d);
    let d = run(&rows(0), &reserved(None), &choice());
    assert_eq!((d.fitting, endpoints(d)), (3, vec![2, 3, 4, 0, 1]));
    assert_eq!(endpoints(run(&rows(0), &reserved(Some(101)), &choice())), [3, 4, 0, 1, 2]);
    let nowhere = Facts { longest_tokens: 9_000.0, ..facts() };
    let d = run(&rows(0), &nowhere, &choice());
    assert_eq!((d.eligible, d.fitting, d.reason, endpoints(d)), (5, 5, Reason::Cheapest, vec![0, 1, 2, 3, 4]));
    // A pin holds among those that are alike in that, and none moves its session to a context that is too short.
    let pinned = |to, longest_tokens| {
        let d = run(&rows(0), &Facts { pin: pin(to, 0), longest_tokens, ..facts() }, &choice());
        (d.reason, d.targets[0].endpoint.0)
    };
    assert_eq!(pinned(0, 1_000.0), (Reason::MovedForDrop, 2));
    assert_eq!(pinned(1, 9_000.0), (Reason::MovedForBill, 0));
    // A baseline goes in its own order among them.
    let turns = Choice { router: Router::RoundRobin, seed: 3, ..choice() };
    assert_eq!(endpoints(run(&rows(0), &reserved(None), &turns)), [3, 4, 2, 0, 1]);
}

#[test]
fn the_lowest_bill_wins_and_the_rest_is_the_failover_order() {
    let rows = (0..20).map(|e| Row { output_usd: 2e-7 + f64::from((e * 7) % 20) * 1e-5, ..row(e) }).collect::<Vec<_>>();
    let d = run(&Rows::new(rows), &facts(), &choice());
    assert_eq!((d.eligible, d.targets.len(), d.reason), (20, KEPT, Reason::Cheapest));
    assert_eq!(order(&d), (0..16).map(|k| (k * 3) % 20).collect::<Vec<_>>());
    assert!(d.targets.windows(2).all(|w| w[0].key < w[1].key));
    assert!(d.targets.iter().all(|t| t.key == t.bill.total_usd() && t.site.0 == t.endpoint.0 / 2));
}

#[test]
fn near_equals_are_spread_by_the_seed_and_by_free_seats() {
    let world = Rows::new((0..4).map(row).collect());
    let mut wins = [0; 4];
    for seed in 0..4_000 {
        let d = run(&world, &facts(), &Choice { seed, ..choice() });
        // Of equals the first met counts as the cheapest.
        let reason = if d.targets[0].endpoint.0 == 0 { Reason::Cheapest } else { Reason::NearEqual };
        assert_eq!(d.reason, reason);
        wins[d.targets[0].endpoint] += 1;
    }
    assert!(wins.iter().all(|w| (850..1150).contains(w)), "{wins:?}");
    // A busier endpoint whose bill is still near gets less.
    let mut rows: Vec<Row> = (0..2).map(row).collect();
    rows[1].reported = 1.0;
    (rows[0].step_ms_per_seq, rows[1].step_ms_per_seq) = (0.0, 0.0);
    rows[1].others_second_usd = 0.0;
    rows[0].others_second_usd = 0.0;
    let world = Rows::new(rows);
    let busy =
        (0..4_000).filter(|&seed| run(&world, &facts(), &Choice { seed, ..choice() }).targets[0].endpoint.0 == 1);
    let busy = busy.count();
    assert!((600..1400).contains(&busy), "{busy}");
}

#[test]
fn what_is_not_near_is_never_chosen() {
    let far = Row { output_usd: 2e-7 + 1e-5, ..row(1) };
    let world = Rows::new(vec![row(0), far]);
    for seed in 0..500 {
        assert_eq!(order(&run(&world, &facts(), &Choice { seed, ..choice() })), [0, 1]);
    }
}

#[test]
fn an_affinity_key_returns_to_its_endpoint_and_only_a_lost_endpoint_moves_it() {
    let rows: Vec<Row> = (0..10).map(row).collect();
    let home = |rows: &[Row], key: u64, seed| {
        let f = Facts { affinity: Some(key), ..facts() };
        run(&Rows::new(rows.to_vec()), &f, &Choice { seed, ..choice() }).targets[0].endpoint.0
    };
    let mut used = [0; 10];
    for key in 0..1_000u64 {
        let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = home(&rows, key, 1);
        used[at as usize] += 1;
        assert_eq!(home(&rows, key, 2), at);
        let fewer: Vec<Row> = rows.iter().copied().filter(|r| r.endpoint.0 != 4).collect();
        if at != 4 {
            assert_eq!(home(&fewer, key, 1), at);
        }
    }
    assert!(used.iter().all(|n| (60..150).contains(n)), "{used:?}");
}

#[test]
fn a_pin_holds_until_another_is_enough_better() {
    let cheap = Row { input_usd: 1e-7 - 4e-8, ..row(1) };
    let world = Rows::new(vec![row(0), cheap, row(2)]);
    let mut f = facts();
    f.pin = pin(0, 0);
    // 40 microdollars cheaper is less than leaving costs; 440 is not.
    let d = run(&world, &f, &choice());
    assert_eq!((d.targets[0].endpoint.0, d.reason), (0, Reason::Pinned));
    let world = Rows::new(vec![Row { output_usd: 5e-6, ..row(0) }, cheap, row(2)]);
    let d = run(&world, &f, &choice());
    assert_eq!((d.targets[0].endpoint.0, d.reason), (1, Reason::MovedForBill));
    let world = Rows::new(vec![Row { health: CandidateHealth::Unhealthy, ..row(0) }, cheap, row(2)]);
    let d = run(&world, &f, &choice());
    assert!(d.targets[0].endpoint.0 != 0 && d.reason == Reason::MovedForDrop);
    // A pin that the ranking would have left out is still found and put first.
    let many = Rows::new((0..40).map(|e| Row { output_usd: 2e-7 + f64::from(e) * 1e-9, ..row(e) }).collect());
    f.pin = pin(39, 0);
    let d = run(&many, &f, &choice());
    assert_eq!((d.targets[0].endpoint.0, d.targets.len(), d.reason), (39, KEPT, Reason::Pinned));
    assert_eq!(order(&d)[1..], (0..15).collect::<Vec<_>>());
}

#[test]
fn several_models_compete_in_one_bill() {
    let large = Row { model: ModelIndex(1), quality: 0.9, output_usd: 1e-4, ..row(0) };
    let world = Rows::new(vec![row(0), row(1), large]);
    let mut f = facts();
    f.models = vec![ModelIndex(1), ModelIndex(0)];
    assert_eq!(run(&world, &f, &choice()).targets[0].model.0, 0);
    let mut c = choice();
    (c.rates.quality, c.rates.quality_usd) = (0.9, 1.0);
    let d = run(&world, &f, &c);
    assert_eq!((d.targets[0].model.0, d.targets[0].endpoint.0, d.eligible), (1, 0, 3));
    f.pin = pin(0, 0);
    let pinned = run(&world, &f, &choice());
    assert_eq!((pinned.targets[0].endpoint.0, pinned.targets[0].model.0, pinned.reason), (0, 0, Reason::Pinned));
}

#[test]
fn baselines_rank_by_their_own_key() {
    let mut rows: Vec<Row> = (0..4).map(row).collect();
    rows[2].rtt_ms = 3.0;
    rows[3].rtt_ms = 3.0;
    rows[0].health = CandidateHealth::Unhealthy;
    let mut world = Rows::new(rows);
    world.local_loads = [0.0, 1.0, 50.0, 20.0].map(|in_flight| LocalLoad { in_flight, backlog_tokens: 0.0 }).to_vec();
    let of = |router, seed| {
        let d = run(&world, &facts(), &Choice { router, seed, ..choice() });
        assert_eq!(d.reason, Reason::Baseline);
        order(&d)
    };
    assert_eq!(of(Router::Nearest, 0), [3, 2, 1]);
    assert_eq!(of(Router::LeastRequest, 0), [1, 3, 2]);
    assert_eq!(of(Router::RoundRobin, 0), [1, 2, 3]);
    assert_eq!(of(Router::RoundRobin, 1), [2, 3, 1]);
    assert_eq!(of(Router::RoundRobin, 5), [3, 1, 2]);
    let drawn = of(Router::Random, 0);
    assert_ne!(drawn, of(Router::Random, 1));
    let two = of(Router::PowerOfTwo, 0);
    let busy = |e: u32| world.local_loads[e as usize].in_flight;
    let less = if busy(drawn[1]) < busy(drawn[0]) { drawn[1] } else { drawn[0] };
    assert_eq!((two[0], two[2]), (less, drawn[2]));
    let none = run(&Rows::new(vec![]), &facts(), &Choice { router: Router::RoundRobin, ..choice() });
    assert_eq!((none.reason, none.eligible), (Reason::Nothing, 0));
}

#[test]
fn the_mixer_is_splitmix64_and_its_numbers_fill_the_unit_interval() {
    // The first outputs of SplitMix64 from seed 0, as its authors' reference prints them.
    assert_eq!(mix(0, EndpointIndex(0)), 0xe220_a839_7b1d_cdaf);
    assert_eq!(mix(0, EndpointIndex(1)), 0x6e78_9e6a_a1b9_65f4);
    assert_eq!(unit(0), 0.0);
    assert_eq!(unit(1 << 63), 0.5);
    assert!(unit(u64::MAX) < 1.0 && unit(u64::MAX) > 0.999_999);
}

#[test]
fn every_reason_has_a_code() {
    use Reason as R;
    let all = [R::Cheapest, R::NearEqual, R::Pinned, R::MovedForBill, R::MovedForDrop, R::Baseline, R::Nothing];
    let codes: Vec<_> = all.iter().map(|r| r.code()).collect();
    assert_eq!(
        codes,
        ["cheapest", "near_equal", "pinned", "moved_for_bill", "moved_for_drop", "baseline", "nothing_eligible"]
    );
}

#[test]
fn no_more_than_all_but_one_token_is_cached() {
    let mut f = facts();
    f.hits = vec![Hit { endpoint: EndpointIndex(1), tokens: 5e9 }];
    assert_eq!((f.cached_tokens(EndpointIndex(1)), f.cached_tokens(EndpointIndex(2))), (999.0, 0.0));
    f.prompt_tokens = 0.5;
    assert_eq!(f.cached_tokens(EndpointIndex(1)), 0.0);
}

fn any_row(endpoint: u32) -> impl Strategy<Value = Row> {
    (
        (0.0..1e-5f64, 0.0..1e-5f64, 0.0..1e-5f64, 0.0..500f64, 0.0..50f64),
        (0.001..1.0f64, 1.0..60f64, 0.0..3f64, 1.0..200f64, 0.25..4f64),
        (0.0..300f64, 0.0..300f64, 0.0..30_000f64, 0.0..1f64, any::<bool>()),
        (0u32..3, 0.0..1e-8f64, 0.0..0.1f64, 0.0..2_000f64, any::<bool>()),
    )
        .prop_map(move |(a, b, c, d)| Row {
            input_usd: a.0,
            cached_usd: a.0 * 0.1,
            output_usd: a.1,
            power_usd: a.2 * 1e-3,
            rtt_ms: a.3,
            rtt_dev_ms: a.4,
            prefill_ms: b.0,
            step_ms: b.1,
            step_ms_per_seq: b.2,
            concurrency: b.3,
            ttft_correction: b.4,
            reported: c.0,
            own_at_report: c.1,
            load_age_ms: c.2,
            others_tokens: c.2,
            stalled_ms: c.1,
            unseen_ms: c.0,
            others_per_ms: c.1 * 1e-4,
            quality: c.3,
            health: if c.4 && d.4 { CandidateHealth::Unhealthy } else { CandidateHealth::Healthy },
            model: ModelIndex(d.0),
            joule_usd: d.1,
            others_second_usd: d.2,
            site_watts: d.3,
            site_watts_max: 1_800.0,
            ..row(endpoint)
        })
}

pub(super) fn world() -> impl Strategy<Value = Rows> {
    let rows = (1u32..40).prop_flat_map(|n| (0..n).map(any_row).collect::<Vec<_>>());
    (rows, prop::collection::vec((0.0..50f64, 0.0..9_000f64), 40)).prop_map(|(mut rows, local_loads)| {
        rows.sort_by_key(|r| r.model);
        let local_loads = local_loads
            .into_iter()
            .map(|(in_flight, backlog_tokens)| LocalLoad { in_flight, backlog_tokens })
            .collect();
        Rows { rows, local_loads }
    })
}

pub(super) fn request() -> impl Strategy<Value = Facts> {
    let pin = prop::option::of((0u32..40, 0u32..3).prop_map(|(e, m)| (EndpointIndex(e), ModelIndex(m))));
    let hits = prop::collection::vec((0u32..40, 0.0..9_000f64), 0..4);
    let prompt = prop_oneof![3 => 1.0..6_000f64, 1 => 6_000.0..200_000f64];
    let out = prop_oneof![3 => 1.0..900f64, 1 => Just(0.0), 1 => 1.0..20f64];
    (prompt, out, prop::option::of(any::<u64>()), pin, hits).prop_map(|(prompt, out, affinity, pin, hits)| {
        let hits =
            hits.into_iter().map(|(endpoint, tokens)| Hit { endpoint: EndpointIndex(endpoint), tokens }).collect();
        let (prompt_tokens, longest_tokens) = (prompt, prompt);
        let models = [2, 0, 1].map(ModelIndex).to_vec();
        Facts { models, prompt_tokens, longest_tokens, output_tokens: out, affinity, pin, hits, ..facts() }
    })
}

pub(super) fn router() -> impl Strategy<Value = Router> {
    prop_oneof![
        4 => Just(Router::Rhumb), 1 => Just(Router::RoundRobin), 1 => Just(Router::Nearest), 1 => Just(Router::LeastRequest),
        1 => Just(Router::Random), 1 => Just(Router::PowerOfTwo)
    ]
}

pub(super) fn bits(d: &Decision) -> Vec<(u32, u32, u64, u64)> {
    d.targets
        .iter()
        .map(|t| (t.endpoint.0, t.model.0, t.bill.total_usd().to_bits(), t.predicted.ttft_p95_ms.to_bits()))
        .collect()
}

proptest! {
    #[test]
    fn a_dropped_candidate_is_never_a_target_and_none_is_lost(w in world(), f in request(), seed: u64, router in router()) {
        let c = Choice { seed, router, ..choice() };
        let d = run(&w, &f, &c);
        prop_assert_eq!(d.eligible as usize + d.drops.iter().sum::<u32>() as usize, w.rows.len());
        prop_assert_eq!(d.targets.len(), (d.eligible as usize).min(KEPT));
        for t in &d.targets {
            let row = w.rows(t.model).iter().find(|r| r.endpoint == t.endpoint).unwrap();
            let gates = if d.reason == Reason::LastResort { Gates::LastResort } else { Gates::Strict };
            prop_assert!(evaluate(row, &w.local_load(t.endpoint), &f, &c.rates, gates).is_ok());
        }
        let mut ids: Vec<_> = d.targets.iter().map(|t| (t.endpoint, t.model)).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), d.targets.len());
    }

    #[test]
    fn the_same_arguments_give_the_same_bits_and_so_does_the_record(w in world(), f in request(), seed: u64, router in router()) {
        let c = Choice { seed, router, ..choice() };
        let mut scratch = Scratch::default();
        let d = decide(&w, &f, &c, &mut scratch);
        prop_assert_eq!(bits(&decide(&w, &f, &c, &mut scratch)), bits(&d));
        let record = Record::new(1, &w, f, c, &crate::record::Kept::of(&d));
        let bytes = postcard::to_allocvec(&record).unwrap();
        let record: Record = postcard::from_bytes(&bytes).unwrap();
        let again = record.replay();
        prop_assert_eq!(bits(&again), bits(&d));
        prop_assert_eq!(again.reason, d.reason);
        let print = crate::record::fingerprint(&d);
        prop_assert_eq!(crate::record::fingerprint(&again), print);
        let mut other = d.clone();
        if let Some(t) = other.targets.last_mut() {
            t.predicted.pace_ms = f64::from_bits(t.predicted.pace_ms.to_bits() ^ 1);
            prop_assert_ne!(crate::record::fingerprint(&other), print);
        }
        if d.targets.len() > 1 {
            other = d.clone();
            other.targets.swap(0, 1);
            prop_assert_ne!(crate::record::fingerprint(&other), print);
        }
    }

    #[test]
    fn the_first_is_cheapest_or_near_it_or_pinned(w in world(), f in request(), seed: u64) {
        let d = run(&w, &f, &Choice { seed, ..choice() });
        let fits = |t: &Target| f.fits(w.rows(t.model).iter().find(|r| r.endpoint == t.endpoint).unwrap());
        let Some(first) = d.targets.first() else { return Ok(()) };
        let alike = d.targets.iter().take_while(|t| fits(t) == fits(first)).count();
        let (alike, others) = d.targets.split_at(alike);
        let lowest = alike.iter().map(|t| t.key).fold(f64::INFINITY, f64::min);
        prop_assert!(first.key <= lowest * (1.0 + NEAR));
        prop_assert!(others.iter().all(|t| fits(first) && !fits(t)));
        for ranked in [&alike[1..], others] {
            prop_assert!(ranked.windows(2).all(|p| p[0].key <= p[1].key));
        }
    }

    #[test]
    fn worse_readings_never_lower_a_bill(r in any_row(0), f in request(), load in 0.0..40f64, by in 0.0..2f64) {
        let rates = choice().rates;
        let o = LocalLoad { in_flight: load, backlog_tokens: load };
        let well = |r: &Row| Row { health: CandidateHealth::Healthy, site_watts: 0.0, ..*r };
        let total = |r: &Row| evaluate(&well(r), &o, &f, &rates, Gates::Strict).map(|(_, b)| b);
        let Ok(base) = total(&r) else { return Ok(()) };
        let worse: [fn(&mut Row, f64); 11] = [
            |r, by| r.input_usd += by * 1e-5,
            |r, by| r.output_usd += by * 1e-5,
            |r, by| r.joule_usd += by * 1e-8,
            |r, by| r.power_usd += by * 1e-8,
            |r, by| r.egress_usd += by * 1e-9,
            |r, by| r.rtt_ms += by * 100.0,
            |r, by| r.load_age_ms += by * 5_000.0,
            |r, by| r.prefill_ms += by,
            |r, by| r.others_tokens += by * 1_000.0,
            |r, by| r.others_second_usd += by,
            |r, by| r.quality -= by,
        ];
        for change in worse {
            let mut w = r;
            change(&mut w, by);
            let b = total(&w).unwrap();
            prop_assert!(b.total_usd() >= base.total_usd() * (1.0 - 1e-12), "{base:?} {b:?}");
        }
    }

    #[test]
    fn scaling_every_price_scales_the_bill_and_changes_no_choice(w in world(), f in request(), seed: u64) {
        // Powers of two scale floats exactly.
        let k = 8.0;
        let scaled = Rows {
            rows: w.rows.iter().map(|r| Row {
                input_usd: r.input_usd * k, cached_usd: r.cached_usd * k, output_usd: r.output_usd * k,
                egress_usd: r.egress_usd * k, joule_usd: r.joule_usd * k, carbon_usd: r.carbon_usd * k,
                power_usd: r.power_usd * k, others_second_usd: r.others_second_usd * k, ..*r
            }).collect(),
            local_loads: w.local_loads.clone(),
        };
        let c = Choice { seed, ..choice() };
        let mut ck = c;
        (ck.rates.second_usd, ck.rates.miss_usd) = (c.rates.second_usd * k, c.rates.miss_usd * k);
        (ck.rates.quality_usd, ck.rates.switch_usd) = (c.rates.quality_usd * k, c.rates.switch_usd * k);
        let (a, b) = (run(&w, &f, &c), run(&scaled, &f, &ck));
        prop_assert_eq!(order(&a), order(&b));
        for (a, b) in a.targets.iter().zip(&b.targets) {
            prop_assert_eq!(a.key * k, b.key);
        }
    }
}
