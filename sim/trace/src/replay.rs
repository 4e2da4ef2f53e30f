//! Plays a trace kept in memory: shaped once, then call by call.

use std::collections::BTreeMap;

use rhumb_rng::{Rng, hash};

use crate::options::us;
use crate::rows::{Row, Rows};
use crate::thin::kept;
use crate::{Call, Options, TraceError, Workload};

/// A trace being played.
pub(crate) struct Replay {
    rows: Rows,
    /// What is sent unasked, in order of time.
    entries: Vec<Entry>,
    copies: u64,
    /// Length of the stretch once it is brought to its rate.
    length_us: u64,
    repeat: bool,
    position: usize,
    pass: u64,
    /// Calls out whose answer is waited for, by tag.
    waiting: BTreeMap<u64, Waiting>,
    tag: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    at_us: u64,
    copy: u32,
    row: u32,
}

#[derive(Clone, Copy)]
struct Waiting {
    next: u32,
    copy: u32,
    pass: u64,
}

impl Replay {
    pub(crate) fn new(rows: Rows, options: &Options) -> Result<Self, TraceError> {
        let (from_us, until_us) = options.stretch_us(rows.length_us)?;
        let shifts_h = options.shifts_h();
        let (mut entries, mut calls) = (Vec::new(), 0_u64);
        for (copy, hours) in (0_u32..).zip(&shifts_h) {
            let shift_us = us(hours * 3600.0) % rows.length_us;
            let keep = options.thin.map(|p| {
                let seed = hash(options.seed, u64::from(copy));
                kept(&rows.list, p, &mut Rng::labelled(seed, "trace: thin"))
            });
            for (i, row) in (0_u32..).zip(&rows.list) {
                let at_us = (row.at_us + shift_us) % rows.length_us;
                let stays = keep.as_ref().is_none_or(|k| k[i as usize]);
                if stays && (from_us..until_us).contains(&at_us) {
                    calls += 1;
                    if row.think_us.is_none() {
                        entries.push(Entry { at_us: at_us - from_us, copy, row: i });
                    }
                }
            }
        }
        let mut length_us = until_us - from_us;
        if let Some(rate) = options.rate {
            let natural = calls as f64 / (length_us as f64 / 1e6);
            let stretch = natural / rate;
            entries.iter_mut().for_each(|e| e.at_us = (e.at_us as f64 * stretch) as u64);
            length_us = ((length_us as f64 * stretch) as u64).max(1);
        }
        entries.sort_by_key(|e| (e.at_us, e.copy, e.row));
        Ok(Self {
            rows,
            entries,
            copies: shifts_h.len() as u64,
            length_us,
            repeat: options.repeat,
            position: 0,
            pass: 0,
            waiting: BTreeMap::new(),
            tag: 0,
        })
    }

    fn call(&mut self, at_us: u64, row: u32, copy: u32, pass: u64) -> Call {
        let tag = self.tag;
        self.tag += 1;
        let Row { input_tokens, output_tokens, client, session, ref ids, next, .. } = self.rows.list[row as usize];
        if let Some(next) = next {
            self.waiting.insert(tag, Waiting { next, copy, pass });
        }
        let space = u64::from(copy).wrapping_add(pass.wrapping_mul(self.copies));
        let chain = ids.iter().scan(hash(space, 0), |before, id| {
            *before = hash(*before, *id);
            Some(*before)
        });
        Call {
            at_us,
            input_tokens,
            output_tokens,
            client: client.wrapping_add(copy.wrapping_mul(self.rows.clients)),
            copy,
            session: session.map(|s| s.wrapping_add(space.wrapping_mul(self.rows.sessions))),
            blocks: chain.collect(),
            tag,
        }
    }
}

impl Workload for Replay {
    fn next_call(&mut self) -> Option<Call> {
        if self.position == self.entries.len() && self.repeat {
            self.position = 0;
            self.pass += 1;
        }
        let entry = *self.entries.get(self.position)?;
        self.position += 1;
        let at_us = self.length_us.saturating_mul(self.pass).saturating_add(entry.at_us);
        Some(self.call(at_us, entry.row, entry.copy, self.pass))
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Call> {
        let Waiting { next, copy, pass } = self.waiting.remove(&tag)?;
        let think_us = self.rows.list[next as usize].think_us.unwrap_or(0);
        Some(self.call(at_us.saturating_add(think_us), next, copy, pass))
    }

    fn block_tokens(&self) -> u32 {
        self.rows.block_tokens
    }
}
