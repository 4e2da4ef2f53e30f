//! Each fault of the catalogue by drawn schedules: when, where, how long and how bad comes from a seed, and the oracles
//! must hold whatever it says. `RHUMB_SEEDS` is how many seeds each fault is run with, or a range of them (`7..8` is the
//! seventh alone). Those of `regressions.txt` that once failed are run first, always.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod draw;
mod hold;

use hold::hold;

macro_rules! faults {
    ($($name:ident: $draw:path),* $(,)?) => {$(
        #[test]
        fn $name() {
            hold(stringify!($name), $draw);
        }
    )*};
}

faults! {
    f01_refused_connections: draw::refused,
    f02_accepted_and_never_answered: draw::black_hole,
    f03_errors_before_content: draw::errors,
    f04_busy_sites: draw::busy,
    f05_f06_f07_death_before_and_after_content: draw::loss,
    f10_stalled_streams: draw::stall,
    f11_clients_that_leave: draw::leaving,
    f12_clients_that_leave_the_queue: draw::leaving_the_queue,
    f13_clients_that_leave_as_the_answer_ends: draw::leaving_at_the_end,
    f18_retry_storms: draw::retry_storm,
    f20_a_site_lost_at_high_load: draw::site_loss,
    f22_stale_readings: draw::stale,
    f23_lying_readings: draw::lying,
    f24_fast_failing_sites: draw::fast_failing,
    f26_flapping_sites: draw::flapping,
    batch_work_that_gives_way: draw::gives_way,
    slow_and_far_and_cut_off: draw::worse,
    several_at_once: draw::several,
}
