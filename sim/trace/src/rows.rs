//! The rows of a trace that is kept in memory, checked as they come.

use std::collections::BTreeMap;

use crate::TraceError;
use crate::error::Fault;

/// Longest prompt or answer taken: above any model's context.
pub(crate) const TOKENS: std::ops::RangeInclusive<u32> = 1..=10_000_000;

/// Seconds taken: thirty years.
pub(crate) const SECONDS: std::ops::RangeInclusive<f64> = 0.0..=1e9;

/// One request of a trace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) at_us: u64,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) client: u32,
    pub(crate) session: Option<u64>,
    /// What is kept or dropped whole when the trace is thinned; a row without one stands for itself.
    pub(crate) unit: Option<u64>,
    /// Ids of the prompt's full blocks, as the trace has them.
    pub(crate) ids: Vec<u64>,
    /// Set where the row waits for the answer to the one before it in its session.
    pub(crate) think_us: Option<u64>,
    /// The row that waits for this one.
    pub(crate) next: Option<u32>,
}

/// A trace.
#[derive(Debug)]
pub(crate) struct Rows {
    /// In order of time.
    pub(crate) list: Vec<Row>,
    pub(crate) block_tokens: u32,
    /// Clients' numbers are below this.
    pub(crate) clients: u32,
    /// Sessions' numbers are below this.
    pub(crate) sessions: u64,
    /// From the start to one mean gap after the last row: where a repetition begins.
    pub(crate) length_us: u64,
}

/// A row as it is read.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    /// Name of the field that the time stands in, and the time.
    pub(crate) at: (&'static str, u64),
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) client: u32,
    /// Empty where there is none.
    pub(crate) session: &'a str,
    pub(crate) think_us: Option<u64>,
    pub(crate) ids: Vec<u64>,
    pub(crate) block_tokens: Option<u32>,
}

/// Makes rows of what is read.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    rows: Vec<Row>,
    block_tokens: Option<u32>,
    /// By name: number and latest row.
    sessions: BTreeMap<String, (u64, usize)>,
}

/// Tokens of a block where the file does not say: what Mooncake's traces use.
const BLOCK_TOKENS: u32 = 512;

impl Builder {
    pub(crate) fn push(&mut self, given: Given<'_>) -> Result<(), Fault> {
        let (field, at_us) = given.at;
        if let Some(before) = self.rows.last().filter(|before| before.at_us > at_us) {
            let what = format!("goes back, from {} s to {} s", seconds(before.at_us), seconds(at_us));
            return Err(Fault::new(field, what, "sort the lines by time"));
        }
        let ids = self.full_blocks(&given)?;
        if given.session.is_empty() && given.think_us.is_some() {
            let right = "name the session whose call before this one is waited for";
            return Err(Fault::new("think_s", "is given without a session", right));
        }
        let place = self.rows.len();
        let (mut session, mut think_us) = (None, None);
        if !given.session.is_empty() {
            let number = self.sessions.len() as u64;
            let known = self.sessions.entry(given.session.to_owned()).or_insert((number, place));
            session = Some(known.0);
            if known.1 < place && given.think_us.is_some() {
                think_us = given.think_us;
                self.rows[known.1].next = u32::try_from(place).ok();
            }
            known.1 = place;
        }
        self.rows.push(Row {
            at_us,
            input_tokens: given.input_tokens,
            output_tokens: given.output_tokens,
            client: given.client,
            session,
            unit: session,
            ids,
            think_us,
            next: None,
        });
        Ok(())
    }

    /// The ids of the blocks that the prompt fills: the last is not reusable until it is full.
    fn full_blocks(&mut self, given: &Given<'_>) -> Result<Vec<u64>, Fault> {
        let mut ids = given.ids.clone();
        let first = self.rows.is_empty();
        let block = match (self.block_tokens, given.block_tokens) {
            (Some(known), Some(stated)) if known != stated => {
                let what = format!("is {stated} after {known}");
                return Err(Fault::new("block_tokens", what, "give blocks of one length in all lines"));
            }
            (None, Some(stated)) if first => *self.block_tokens.insert(stated),
            (None, Some(stated)) if stated != BLOCK_TOKENS => {
                let right = "give it in the first line too: blocks of one length in all lines";
                return Err(Fault::new("block_tokens", format!("is {stated}, and the first line has none"), right));
            }
            (known, _) => known.unwrap_or(BLOCK_TOKENS),
        };
        let most = given.input_tokens.div_ceil(block) as usize;
        if ids.len() > most {
            let what = format!("has {} blocks of {block} tokens for {} input tokens", ids.len(), given.input_tokens);
            return Err(Fault::new("hash_ids", what, format!("give at most {most}")));
        }
        ids.truncate((given.input_tokens / block) as usize);
        Ok(ids)
    }

    /// The trace, which must have a length.
    pub(crate) fn finish(self, file: String) -> Result<Rows, TraceError> {
        let n = self.rows.len();
        let (first_us, last_us) = (self.rows.first().map_or(0, |r| r.at_us), self.rows.last().map_or(0, |r| r.at_us));
        if last_us == first_us || u32::try_from(n).is_err() {
            return Err(TraceError::Short { file, rows: n });
        }
        let gap_us = ((last_us - first_us) / (n as u64 - 1)).max(1);
        let blocks = self.rows.iter().any(|r| !r.ids.is_empty());
        Ok(Rows {
            block_tokens: if blocks { self.block_tokens.unwrap_or(BLOCK_TOKENS) } else { 0 },
            clients: self.rows.iter().map(|r| r.client).max().unwrap_or(0).saturating_add(1),
            sessions: self.sessions.len() as u64,
            length_us: last_us + gap_us,
            list: self.rows,
        })
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
