//! One tenant at ten times its share beside one at its own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::overload::{Stream, config, offer, ttft};
use crate::report::{Report, at, median};

const PAIRS: u64 = 5;
/// A share of a tenant, of the capacity: two of them are four fifths.
const SHARE: f64 = 0.4;
const BEFORE: Duration = Duration::from_secs(6);
const MEASURED: Duration = Duration::from_secs(24);
/// Most growth of the 99th percentile.
const WANT: f64 = 1.25;

const QUIET: &str = "soak-key-quiet-0123456789";
const LOUD: &str = "soak-key-loud-0123456789";

pub(crate) fn run(report: &mut Report, engines: &[SocketAddr], capacity: f64) {
    let tenant = |name: &str, key: &str| format!("  - {{name: {name}, keys: [{{name: k, key: {key}}}]}}\n");
    let tenants = format!("tenants:\n{}{}", tenant("quiet", QUIET), tenant("loud", LOUD));
    let gateway = config(engines).tail(&tenants).start();
    let stream = |name, key: &str, times: f64| Stream {
        name,
        per_s: times * SHARE * capacity,
        headers: vec![("authorization", format!("Bearer {key}"))],
    };
    let p99 = |seed, times| {
        let streams = [stream("quiet", QUIET, 1.0), stream("loud", LOUD, times)];
        let quiet = offer(gateway.address, &streams, seed, BEFORE, MEASURED).remove(0);
        let lost = quiet.iter().filter(|s| s.ttft_ms.is_none()).count();
        (at(&ttft(&quiet), 0.99), 100.0 * lost as f64 / quiet.len() as f64)
    };
    let mut ratios = Vec::new();
    for seed in 0..PAIRS {
        // Each comes first in turn.
        let (beside, alone) = if seed % 2 == 0 {
            let alone = p99(seed, 1.0);
            (p99(seed, 10.0), alone)
        } else {
            (p99(seed, 10.0), p99(seed, 1.0))
        };
        let text = format!(
            "p99 TTFT {:.0} ms, {:.1} % without an answer; beside ten times the share {:.0} ms, {:.1} %",
            alone.0, alone.1, beside.0, beside.1
        );
        report.note(&format!("a tenant at its share, pair {}", seed + 1), &text);
        ratios.push(beside.0 / alone.0);
    }
    let ratio = median(ratios);
    report.line("its p99 beside ten times the share", &format!("{ratio:.2} times"), "<= 1.25 times", ratio <= WANT);
    gateway.stop();
}
