//! The simulated engine against queueing theory, where theory has an answer; and the knee it predicts, where it has not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::setup;
use rhumb_engine::Limits;
use rhumb_grid::config::Router;
use rhumb_rng::Rng;
use rhumb_world::{Arrival, Jitter, Ran, Setup, run};

/// How answers are long, in steps of a millisecond.
#[derive(Clone, Copy)]
enum Service {
    /// Geometric: memoryless, as the exponential is.
    Chance(f64),
    /// All alike.
    Constant(u32),
}

/// One site whose engine is `servers` servers of a millisecond a token, and no distance.
fn servers(servers: u32) -> Setup {
    let mut setup = setup(1, 1, Router::LeastRequest);
    // The queue is the engine's own: nothing is held back from it.
    setup.grid.config.gateway.hold = false;
    setup.jitter = Jitter { share: 0.0, asymmetry: 0.0 };
    setup.rtt_ms = vec![0.0];
    setup.places[0].rtt_ms = 0.0;
    setup.rates.first_token_timeout_ms = 3_600_000_000;
    // The check is of the queue, not of what gateways see: they need not look often.
    setup.telemetry.publish_us = 10_000_000;
    setup.telemetry.probe_us = 10_000_000;
    setup.telemetry.scrape_us = 10_000_000;
    let spec = &mut setup.engines[0];
    spec.perf = spec.perf.with_constant_step_ms(1.0).with_kv_capacity_tokens(100_000_000);
    spec.limits = Limits { max_num_seqs: servers, ..Limits::default() };
    setup
}

/// Mean wait for a server, in mean services.
fn mean_wait(count: usize, load: f64, servers_: u32, service: Service) -> f64 {
    let mean = match service {
        Service::Chance(mean) => mean,
        Service::Constant(tokens) => f64::from(tokens),
    };
    let (mut gaps, mut lengths) = (Rng::labelled(21, "gaps"), Rng::labelled(21, "lengths"));
    let gap_us = mean * 1e3 / (load * f64::from(servers_));
    let mut at_us = 0.0;
    let asks = (0..count).map(move |_| {
        at_us += gaps.exponential(gap_us);
        let output_tokens = match service {
            Service::Chance(mean) => lengths.geometric(mean),
            Service::Constant(tokens) => tokens,
        };
        let at_us = at_us as u64;
        Arrival {
            at_us,
            place: 0,
            name: 0,
            tenant: 0,
            input_tokens: 1,
            output_tokens,
            session: None,
            blocks: Vec::new(),
            tag: 0,
        }
    });
    let ran = run(&servers(servers_), &mut { asks }, &mut ()).unwrap();
    let waits = ran.outcomes.iter().map(|o| f64::from(o.queue_ms));
    waits.sum::<f64>() / count as f64 / mean
}

/// Chance that all of `c` servers are busy (Erlang's C formula).
fn erlang_c(c: u32, load: f64) -> f64 {
    let a = load * f64::from(c);
    // Erlang's B by its recursion, then C from B.
    let b = (1..=c).fold(1.0, |b, k| a * b / (f64::from(k) + a * b));
    b / (1.0 - load * (1.0 - b))
}

fn close(measured: f64, theory: f64) {
    assert!((measured / theory - 1.0).abs() < 0.02, "measured {measured:.4}, theory {theory:.4} services");
}

#[test]
fn one_server_with_memoryless_services_waits_as_m_m_1() {
    // A geometric service of mean m has 2m² − m for its second moment: Pollaczek and Khinchine's formula with it.
    let (m, load) = (50.0, 0.6);
    close(mean_wait(1_500_000, load, 1, Service::Chance(m)), load / (1.0 - load) * (1.0 - 0.5 / m));
}

#[test]
fn one_server_with_equal_services_waits_as_m_d_1() {
    let load = 0.8;
    close(mean_wait(600_000, load, 1, Service::Constant(50)), load / (2.0 * (1.0 - load)));
}

#[test]
fn many_servers_wait_as_m_m_c() {
    // Long services: a free server starts at the next step, half a step late on average.
    let (c, load) = (4, 0.7);
    close(mean_wait(500_000, load, c, Service::Chance(200.0)), erlang_c(c, load) / (f64::from(c) * (1.0 - load)));
}

#[test]
fn erlang_c_is_as_tabled() {
    assert!((erlang_c(1, 0.5) - 0.5).abs() < 1e-12);
    // Two servers: C = 2ρ² / (1 + ρ).
    assert!((erlang_c(2, 0.6) - 2.0 * 0.36 / 1.6).abs() < 1e-12);
}

/// A real engine under requests of one size at a rate; the mean wait and the answers a second.
fn real(rps: f64, count: usize) -> (f64, f64) {
    let mut setup = setup(1, 1, Router::LeastRequest);
    // The queue is the engine's own: nothing is held back from it.
    setup.grid.config.gateway.hold = false;
    setup.rates.first_token_timeout_ms = 3_600_000_000;
    let mut gaps = Rng::labelled(5, "gaps");
    let mut lengths = Rng::labelled(5, "lengths");
    let mut at_us = 0.0;
    let asks = (0..count).map(move |_| {
        at_us += gaps.exponential(1e6 / rps);
        Arrival {
            at_us: at_us as u64,
            place: 0,
            name: 0,
            tenant: 0,
            input_tokens: 500,
            output_tokens: lengths.geometric(60.0).min(600),
            session: None,
            blocks: Vec::new(),
            tag: 0,
        }
    });
    let Ran { outcomes, elapsed_s, .. } = run(&setup, &mut { asks }, &mut ()).unwrap();
    let later = &outcomes[count / 5..];
    let ttft = later.iter().map(|o| f64::from(o.ttft_ms)).sum::<f64>() / later.len() as f64;
    (ttft, outcomes.len() as f64 / elapsed_s)
}

/// Theory: a queue of many servers is short up to a load near one, and grows without bound beyond it.
#[test]
fn real_engines_show_the_knee_that_theory_predicts() {
    // Far beyond what it can serve, the engine answers at its capacity.
    let (_, capacity_rps) = real(200.0, 3_000);
    let ttft = |load: f64| real(load * capacity_rps, 4_000).0;
    let (low, half, most, over) = (ttft(0.2), ttft(0.5), ttft(0.8), ttft(1.15));
    assert!(low <= half && half <= most && most < over, "{low} {half} {most} {over}");
    assert!(half < 2.0 * low, "flat up to half the capacity: {low:.0} ms, then {half:.0} ms");
    assert!(over > 5.0 * most, "a wall beyond it: {most:.0} ms, then {over:.0} ms");
    // Twice the requests wait twice as long beyond the knee, and no longer below it.
    let longer = real(1.15 * capacity_rps, 8_000).0;
    assert!(longer > 1.6 * over, "no steady state beyond capacity: {over:.0} ms, then {longer:.0} ms");
    let steady = real(0.5 * capacity_rps, 8_000).0;
    assert!((steady / half - 1.0).abs() < 0.1, "a steady state below: {half:.0} ms, then {steady:.0} ms");
}
