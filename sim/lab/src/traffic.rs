//! The users of a scenario: a workload, spread over cities.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rhumb_rng::Rng;
use rhumb_scene::economics::MeanRequest;
use rhumb_scene::trace::{TraceRow, mean_tokens};
use rhumb_trace::{Call, Kind, Workload};
use rhumb_world::{Arrival, Source};

use crate::places::Users;
use crate::problem::LabError;
use crate::scenario::TrafficPlan;

/// Blocks of prefix caches where a workload names none, tokens.
const BLOCK_TOKENS: u32 = 16;

/// Where the calls of a scenario come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The demo's own users.
    Demo,
    /// Calls by chance.
    Poisson,
    /// The trace that is built in.
    Sample,
    /// A trace of the data folder, or of one's own.
    Trace(Kind),
}

impl Origin {
    /// What a scenario's `workload` names; paths are relative to `folder`.
    pub(crate) fn of(workload: &str, folder: &Path) -> Result<Self, LabError> {
        Ok(match workload {
            "demo" => Self::Demo,
            "poisson" => Self::Poisson,
            "azure-sample" => Self::Sample,
            other => Self::Trace(match other.parse()? {
                Kind::Own(path) if path.is_relative() => Kind::Own(folder.join(path)),
                kind => kind,
            }),
        })
    }

    /// The mean request, and the tokens of a prefix block.
    pub(crate) fn sizes(&self, plan: &TrafficPlan, data: Option<&Path>) -> Result<(MeanRequest, u32), LabError> {
        Ok(match self {
            Self::Demo | Self::Sample => {
                let (input_tokens, output_tokens) = mean_tokens(&rhumb_scene::atlas::trace());
                (MeanRequest { input_tokens, output_tokens }, BLOCK_TOKENS)
            }
            Self::Poisson => {
                let (input_tokens, output_tokens) = (f64::from(plan.input_tokens), f64::from(plan.output_tokens));
                (MeanRequest { input_tokens, output_tokens }, BLOCK_TOKENS)
            }
            Self::Trace(kind) => {
                let stats = rhumb_trace::stats(kind, data)?;
                let (input_tokens, output_tokens) = (stats.input_tokens, stats.output_tokens);
                let block_tokens = match kind {
                    Kind::Mooncake => 512,
                    Kind::Agentic => 64,
                    _ => BLOCK_TOKENS,
                };
                (MeanRequest { input_tokens, output_tokens }, block_tokens)
            }
        })
    }
}

/// What traffic needs to begin.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) plan: &'a TrafficPlan,
    pub(crate) origin: &'a Origin,
    pub(crate) rps: f64,
    pub(crate) data: Option<PathBuf>,
    pub(crate) users: Users,
    pub(crate) seed: u64,
    /// Counts calls, for whoever shows progress.
    pub(crate) came: Arc<AtomicU64>,
}

/// Calls of a workload as users of the world ask them.
pub(crate) struct ArrivalSource {
    workload: Box<dyn Workload>,
    users: Users,
    until_us: u64,
    left: u64,
    number: u64,
    came: Arc<AtomicU64>,
}

impl ArrivalSource {
    pub(crate) fn new(wanted: &Wanted<'_>) -> Result<Self, LabError> {
        let plan = wanted.plan;
        let workload: Box<dyn Workload> = match wanted.origin {
            Origin::Demo | Origin::Sample => Box::new(Sample::new(wanted.rps, wanted.seed)),
            Origin::Poisson => Box::new(Poisson::new(plan, wanted.rps, wanted.seed)),
            Origin::Trace(kind) => {
                let options = rhumb_trace::Options {
                    seed: wanted.seed,
                    limit: plan.requests,
                    rate: Some(wanted.rps),
                    from_s: plan.from_s,
                    repeat: true,
                    copies: plan.copies_hours.clone(),
                    ..rhumb_trace::Options::default()
                };
                rhumb_trace::open(kind, wanted.data.as_deref(), &options)?
            }
        };
        Ok(Self {
            workload,
            users: wanted.users.clone(),
            until_us: plan.seconds.map_or(u64::MAX, |s| (s * 1e6) as u64),
            left: plan.requests.unwrap_or(u64::MAX),
            number: 0,
            came: Arc::clone(&wanted.came),
        })
    }

    fn ask(&mut self, call: Call) -> Option<Arrival> {
        if call.at_us >= self.until_us || self.left == 0 {
            return None;
        }
        (self.left, self.number) = (self.left - 1, self.number + 1);
        self.came.fetch_add(1, Ordering::Relaxed);
        // Whoever can be told apart stays where they are; others are somebody new each time.
        let person = match (call.session, call.client) {
            (Some(session), _) => session,
            (None, 0) => self.number << 32,
            (None, client) => u64::from(client),
        };
        Some(Arrival {
            at_us: call.at_us,
            place: self.users.city(person, call.copy),
            name: 0,
            tenant: 0,
            input_tokens: call.input_tokens,
            output_tokens: call.output_tokens,
            session: call.session,
            blocks: call.blocks,
            tag: call.tag,
        })
    }
}

impl Source for ArrivalSource {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let call = self.workload.next_call()?;
        self.ask(call)
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Arrival> {
        let call = self.workload.ended(tag, at_us)?;
        self.ask(call)
    }
}

/// Calls by chance: exponential gaps, geometric lengths.
struct Poisson {
    gaps: Rng,
    lengths: Rng,
    mean_gap_us: f64,
    input_tokens: f64,
    output_tokens: f64,
    now_us: f64,
}

impl Poisson {
    fn new(plan: &TrafficPlan, rps: f64, seed: u64) -> Self {
        Self {
            gaps: Rng::labelled(seed, "gaps"),
            lengths: Rng::labelled(seed, "lengths"),
            mean_gap_us: 1e6 / rps,
            input_tokens: f64::from(plan.input_tokens),
            output_tokens: f64::from(plan.output_tokens),
            now_us: 0.0,
        }
    }
}

fn call(at_us: f64, input_tokens: u32, output_tokens: u32) -> Call {
    Call {
        at_us: at_us as u64,
        input_tokens,
        output_tokens,
        client: 0,
        copy: 0,
        session: None,
        blocks: Vec::new(),
        tag: 0,
    }
}

impl Workload for Poisson {
    fn next_call(&mut self) -> Option<Call> {
        self.now_us += self.gaps.exponential(self.mean_gap_us);
        let (input, output) = (self.lengths.geometric(self.input_tokens), self.lengths.geometric(self.output_tokens));
        Some(call(self.now_us, input, output))
    }
}

/// The built-in trace, from a place that the seed draws, round and round, its time stretched to the rate.
struct Sample {
    rows: Vec<TraceRow>,
    at: usize,
    now_us: f64,
    pace: f64,
    mean_gap_s: f64,
}

impl Sample {
    fn new(rps: f64, seed: u64) -> Self {
        let rows = rhumb_scene::atlas::trace();
        let mean_gap_s = match (rows.first(), rows.last()) {
            (Some(a), Some(b)) => (b.arrival_s - a.arrival_s) / (rows.len() - 1) as f64,
            _ => 1.0,
        };
        let at = Rng::labelled(seed, "sample").below(rows.len());
        Self { rows, at, now_us: 0.0, pace: 1e6 / (rps * mean_gap_s), mean_gap_s }
    }
}

impl Workload for Sample {
    fn next_call(&mut self) -> Option<Call> {
        let row = self.rows[self.at];
        let out = call(self.now_us, row.input_tokens, row.output_tokens);
        self.at = (self.at + 1) % self.rows.len();
        // Where the trace begins anew there is no gap to read: the mean one stands in.
        let gap_s = if self.at == 0 { self.mean_gap_s } else { self.rows[self.at].arrival_s - row.arrival_s };
        self.now_us += gap_s * self.pace;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(mut workload: impl Workload, n: usize) -> (f64, f64) {
        let calls: Vec<Call> = std::iter::from_fn(|| workload.next_call()).take(n).collect();
        assert!(calls.windows(2).all(|w| w[0].at_us <= w[1].at_us));
        let tokens = calls.iter().map(|c| f64::from(c.input_tokens)).sum::<f64>() / n as f64;
        (n as f64 / (calls[n - 1].at_us as f64 / 1e6), tokens)
    }

    #[test]
    fn chance_keeps_its_rate_and_lengths() {
        let plan: TrafficPlan =
            serde_json::from_str(r#"{"workload":"poisson","input_tokens":500,"output_tokens":50}"#).unwrap();
        let (rps, input) = rate(Poisson::new(&plan, 40.0, 3), 20_000);
        assert!((rps / 40.0 - 1.0).abs() < 0.03 && (input / 500.0 - 1.0).abs() < 0.02, "{rps} {input}");
    }

    #[test]
    fn the_sample_keeps_its_rate_over_its_rounds() {
        let (rps, _) = rate(Sample::new(25.0, 3), 9_000);
        assert!((rps / 25.0 - 1.0).abs() < 0.02, "{rps}");
    }
}
