//! What a workload amounts to.

use std::path::Path;

use crate::agentic::Agentic;
use crate::fleet::DAY_S;
use crate::mix::Stream;
use crate::open::{Loaded, load};
use crate::rows::Rows;
use crate::servegen::{Mix, WINDOW_S, Whose};
use crate::{Kind, Options, TraceError, Workload};

/// Means of a workload before any shaping, for sizing a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// Calls in all; of a client mix what its rates come to.
    pub calls: u64,
    /// Calls per second.
    pub rps: f64,
    /// Mean length of a prompt.
    pub input_tokens: f64,
    /// Mean length of an answer.
    pub output_tokens: f64,
    /// Coefficient of variation of the gaps between calls: of a client mix by a draw of its beginning, of agents' sessions
    /// between the calls of one agent as recorded.
    pub cv: f64,
}

/// Reads a workload and says what it amounts to.
///
/// # Errors
/// As [`open`](crate::open).
pub fn stats(kind: &Kind, data_dir: Option<&Path>) -> Result<Stats, TraceError> {
    match load(kind, data_dir, 0)? {
        Loaded::Rows(rows) => Ok(of_rows(&rows)),
        Loaded::Agentic(trace) => Ok(of_agentic(&trace)),
        Loaded::Mix(mix) => of_mix(mix),
    }
}

fn of_rows(rows: &Rows) -> Stats {
    let list = &rows.list;
    let length_us = list.last().map_or(0, |r| r.at_us) - list.first().map_or(0, |r| r.at_us);
    Stats {
        calls: list.len() as u64,
        rps: list.len() as f64 / (length_us.max(1) as f64 / 1e6),
        input_tokens: mean(list.iter().map(|r| f64::from(r.input_tokens))),
        output_tokens: mean(list.iter().map(|r| f64::from(r.output_tokens))),
        cv: cv(list.windows(2).map(|w| (w[1].at_us - w[0].at_us) as f64)),
    }
}

fn of_agentic(trace: &Agentic) -> Stats {
    let chains = trace.chains.iter().map(|c| &trace.turns[c.turns.start as usize..c.turns.end as usize]);
    Stats {
        calls: trace.turns.len() as u64,
        // Sessions start at the pace at which all of them would in a day.
        rps: trace.turns.len() as f64 / DAY_S,
        input_tokens: mean(trace.turns.iter().map(|t| f64::from(t.input_tokens))),
        output_tokens: mean(trace.turns.iter().map(|t| f64::from(t.output_tokens))),
        cv: cv(chains.flat_map(|c| c.windows(2).map(|w| (w[1].at_us - w[0].at_us) as f64))),
    }
}

/// Calls drawn to see how uneven a client mix is.
const DRAWN: usize = 200_000;

fn of_mix(mix: Mix) -> Result<Stats, TraceError> {
    let means: Vec<(f64, f64)> = mix.lengths.iter().map(crate::lengths::Lengths::means).collect();
    let weights: f64 = mix.lengths.iter().map(|l| l.weight).sum();
    let pool = mix.lengths.iter().zip(&means).fold((0.0, 0.0), |(i, o), (l, m)| {
        let share = l.weight / weights;
        (i + share * m.0, o + share * m.1)
    });
    let (mut calls, mut input, mut output) = (0.0, 0.0, 0.0);
    for client in &mix.clients {
        let n = client.windows.iter().map(|w| w.rate_rps).sum::<f64>() * f64::from(WINDOW_S);
        let (i, o) = match client.lengths {
            Whose::One(place) => means[place],
            Whose::Pool => pool,
        };
        (calls, input, output) = (calls + n, input + n * i, output + n * o);
    }
    let length_s = f64::from(mix.length_s);
    let mut stream = Stream::new(mix, &Options::default())?;
    let mut before_us = 0;
    let gaps = std::iter::from_fn(|| stream.next_call()).take(DRAWN).map(|call| {
        let gap_us = call.at_us - before_us;
        before_us = call.at_us;
        gap_us as f64
    });
    let cv = cv(gaps);
    let (input_tokens, output_tokens) = (input / calls, output / calls);
    Ok(Stats { calls: libm::round(calls) as u64, rps: calls / length_s, input_tokens, output_tokens, cv })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0_u64, 0.0), |(n, sum), x| (n + 1, sum + x));
    sum / n.max(1) as f64
}

/// Standard deviation over mean, 0 where there is no mean.
fn cv(values: impl Iterator<Item = f64>) -> f64 {
    // Welford's sums: the gaps of a bursty trace differ by six orders of magnitude.
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for x in values {
        n += 1.0;
        let off = x - mean;
        mean += off / n;
        squares += off * (x - mean);
    }
    if mean > 0.0 { libm::sqrt(squares / n) / mean } else { 0.0 }
}
