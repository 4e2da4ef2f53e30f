//! `rhumb-lab decisions` (b10): what a decision takes, of every router, and a lookup in a full index of prefixes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rhumb_lab::{Decider, ManyEndpoints, RouterName, facts};
use rhumb_route::prefix::PrefixIndex;
use serde_json::json;

use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::{out, table};

const ENDPOINTS: [u32; 3] = [10, 100, 1_000];
/// Decisions of each router over each number of endpoints that are timed, after a tenth as many that are not.
const DECISIONS: u64 = 2_000;
/// Blocks of the index, of conversations of so many.
const BLOCKS: usize = 10_000_000;
const CONVERSATION: usize = 200;
/// The longest that a decision, and a lookup, may take but for one in a hundred, microseconds.
const MOST_US: f64 = 1_000.0;

/// Arguments of `rhumb-lab decisions`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Decisions of each router over each number of endpoints that are timed
    #[arg(long, value_name = "N", default_value_t = DECISIONS)]
    requests: u64,
    /// Print the times as JSON
    #[arg(long)]
    json: bool,
}

/// Times in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(count: u64, mut once: impl FnMut(u64)) -> Self {
        (0..count / 10).for_each(&mut once);
        let mut times: Vec<Duration> = (0..count)
            .map(|i| {
                let start = Instant::now();
                once(count + i);
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        Self(times)
    }

    /// Microseconds.
    fn quantile(&self, q: f64) -> f64 {
        let at = (q * self.0.len() as f64) as usize;
        self.0[at.min(self.0.len() - 1)].as_secs_f64() * 1e6
    }

    fn json(&self) -> serde_json::Value {
        json!({"p50_us": self.quantile(0.5), "p99_us": self.quantile(0.99)})
    }
}

/// Lookups in a full index, and how many did not find all of what is there.
fn lookups(count: u64) -> (Times, u64) {
    // The index forgets by halves: with twice the room it keeps all of them.
    let mut index = PrefixIndex::new(2 * BLOCKS);
    let block = |conversation: u64, i: usize| rhumb_rng::hash(conversation, i as u64);
    let blocks = |conversation: u64| -> Vec<u64> { (0..CONVERSATION).map(|i| block(conversation, i)).collect() };
    let conversations = (BLOCKS / CONVERSATION) as u64;
    for conversation in 0..conversations {
        index.insert(&blocks(conversation), (conversation % 1_000) as u32);
    }
    let (mut hits, mut missed) = (Vec::new(), 0_u64);
    let asked: Vec<Vec<u64>> = (0..count + count / 10).map(|i| blocks(rhumb_rng::hash(1, i) % conversations)).collect();
    let mut turn = asked.iter().cycle();
    let times = Times::of(count, |_| {
        if let Some(blocks) = turn.next() {
            index.lookup(black_box(blocks), 1.0, &mut hits);
            missed += u64::from(hits.first().is_none_or(|hit| hit.tokens < CONVERSATION as f64));
        }
    });
    (times, missed)
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Outcome {
    let count = args.requests.max(10);
    let facts = facts();
    let worlds = ENDPOINTS.map(ManyEndpoints::new);
    let timed: Vec<(&str, Vec<Times>)> = RouterName::ALL
        .into_iter()
        .map(|router| {
            let times = worlds.iter().map(|world| {
                let mut decider = Decider::of(router);
                Times::of(count, |seed| {
                    black_box(decider.decide(world, black_box(&facts), seed));
                })
            });
            (router.name(), times.collect())
        })
        .collect();
    let (lookups, missed) = lookups(count);
    let own = timed.iter().find(|(name, _)| *name == RouterName::Rhumb.name());
    let own_us = own.and_then(|(_, times)| times.last()).map_or(f64::NAN, |t| t.quantile(0.99));
    let lookup_us = lookups.quantile(0.99);
    let lines = [
        ("rhumb p99 over 1,000 endpoints, µs", own_us, own_us <= MOST_US),
        ("p99 of a lookup among 10 million blocks, µs", lookup_us, lookup_us <= MOST_US && missed == 0),
    ];
    if args.json {
        let routers: serde_json::Map<String, serde_json::Value> = timed
            .iter()
            .map(|(name, times)| {
                let by = ENDPOINTS.iter().zip(times).map(|(n, t)| (n.to_string(), t.json())).collect();
                ((*name).to_owned(), serde_json::Value::Object(by))
            })
            .collect();
        let lines: Vec<_> = lines
            .iter()
            .map(|(line, got, pass)| json!({"line": line, "want": format!("at most {MOST_US}"), "got": got, "pass": pass}))
            .collect();
        let all = json!({"scenario": "b10", "decisions": count, "routers": routers, "lookup": lookups.json(),
            "lines": lines});
        out::line(serde_json::to_string_pretty(&all).map_err(|e| Failure::new(1, e))?)?;
    } else {
        out::print(human(&timed, &lookups, count))?;
        for (line, got, pass) in &lines {
            out::line(format_args!(
                "{}  {line}: {got:.0}, wanted at most {MOST_US:.0}",
                if *pass { "pass" } else { "FAIL" }
            ))?;
        }
    }
    Ok(if lines.iter().all(|(.., pass)| *pass) { exit::DONE } else { exit::FOUND })
}

fn human(timed: &[(&str, Vec<Times>)], lookups: &Times, count: u64) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "b10: what a decision takes on one core, predictions and bills included, over endpoints that are all eligible; \
         {count} of each, microseconds\n"
    );
    let header: Vec<String> = std::iter::once("router".to_owned())
        .chain(ENDPOINTS.iter().flat_map(|n| [format!(">{n}: p50"), ">p99".to_owned()]))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = timed
        .iter()
        .map(|(name, times)| {
            let cells = times.iter().flat_map(|t| [t.quantile(0.5), t.quantile(0.99)]).map(|us| format!("{us:.1}"));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        })
        .collect();
    out.push_str(&table(&header, &rows));
    let (p50, p99) = (lookups.quantile(0.5), lookups.quantile(0.99));
    let _ = writeln!(
        out,
        "\nindex of {BLOCKS} blocks, a conversation of {CONVERSATION} looked up: p50 {p50:.1}, p99 {p99:.1}\n"
    );
    out
}
