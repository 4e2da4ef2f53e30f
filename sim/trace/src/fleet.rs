//! People who start coding sessions, each of which goes on as fast as it is answered.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rhumb_rng::{Rng, hash, label};

use crate::agentic::{Agentic, BLOCK_TOKENS};
use crate::options::us;
use crate::{Call, Options, Workload};

/// In which the recorded sessions start where no rate is given: a team's day.
pub(crate) const DAY_S: f64 = 86_400.0;

/// Sessions being started and going on.
pub(crate) struct Fleet {
    trace: Agentic,
    starts: Vec<Starts>,
    /// First calls of the chains of sessions that have started, by time.
    heads: BinaryHeap<Reverse<(u64, u64, Head)>>,
    /// Calls out whose answer is waited for, by tag.
    live: BTreeMap<u64, Live>,
    started: u64,
    tag: u64,
}

/// The starts of one copy: a Poisson process, each start one recorded session in an order that is drawn.
struct Starts {
    copy: u32,
    rng: Rng,
    mean_gap_s: f64,
    /// Sessions yet to start in this pass; the last one starts at `at_us`.
    left: Vec<u32>,
    /// All that start in a pass.
    chosen: Vec<u32>,
    repeat: bool,
    at_us: u64,
    until_us: u64,
}

/// The beginning of a chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    chain: u32,
    session: u32,
    copy: u32,
    /// Number of the session among those started.
    run: u64,
}

/// A chain that is going on.
struct Live {
    head: Head,
    turn: u32,
    blocks: Vec<u64>,
}

impl Starts {
    fn new(copy: u32, sessions: usize, options: &Options, copies: usize) -> Self {
        let mut rng = Rng::labelled(hash(options.seed, u64::from(copy)), "trace: session starts");
        let mut chosen: Vec<u32> = (0..sessions as u32).collect();
        shuffle(&mut chosen, &mut rng);
        let thin = options.thin.unwrap_or(1.0);
        chosen.truncate((libm::round(sessions as f64 * thin) as usize).max(1));
        let natural = sessions as f64 * thin / DAY_S;
        let rate = options.rate.map_or(natural, |rate| rate / copies as f64);
        let until_us = options.until_s.map_or(u64::MAX, |until_s| us(until_s - options.from_s));
        let mut starts = Self {
            copy,
            rng,
            mean_gap_s: 1.0 / rate,
            left: chosen.clone(),
            chosen,
            repeat: options.repeat,
            at_us: 0,
            until_us,
        };
        starts.wait();
        starts
    }

    fn wait(&mut self) {
        self.at_us = self.at_us.saturating_add(us(self.rng.exponential(self.mean_gap_s)));
    }

    /// When the next session starts.
    fn next_us(&mut self) -> Option<u64> {
        if self.left.is_empty() && self.repeat {
            self.left.clone_from(&self.chosen);
            shuffle(&mut self.left, &mut self.rng);
        }
        (!self.left.is_empty() && self.at_us < self.until_us).then_some(self.at_us)
    }
}

fn shuffle(list: &mut [u32], rng: &mut Rng) {
    for i in (1..list.len()).rev() {
        list.swap(i, rng.below(i + 1));
    }
}

impl Fleet {
    pub(crate) fn new(trace: Agentic, options: &Options) -> Self {
        let copies = options.shifts_h().len();
        // A Poisson process looks the same from any moment on, so there is nothing to shift a copy by.
        let starts = (0..copies as u32).map(|copy| Starts::new(copy, trace.sessions.len(), options, copies)).collect();
        Self { trace, starts, heads: BinaryHeap::new(), live: BTreeMap::new(), started: 0, tag: 0 }
    }

    /// Starts the sessions that begin no later than the first call that is known of.
    fn start_due(&mut self) {
        loop {
            let next = self.starts.iter_mut().enumerate().filter_map(|(i, s)| Some((s.next_us()?, i))).min();
            let Some((at_us, i)) = next else { return };
            if self.heads.peek().is_some_and(|Reverse((head_us, ..))| *head_us < at_us) {
                return;
            }
            let copy = self.starts[i].copy;
            let Some(session) = self.starts[i].left.pop() else { return };
            self.starts[i].wait();
            for chain in self.trace.sessions[session as usize].chains.clone() {
                let first = self.trace.chains[chain as usize].turns.start;
                let after_us = self.trace.turns[first as usize].at_us;
                let head = Head { chain, session, copy, run: self.started };
                self.heads.push(Reverse((at_us.saturating_add(after_us), self.started, head)));
            }
            self.started += 1;
        }
    }

    /// What every session of a client's build begins with: its tools and its system prompt.
    fn common(&self, head: Head, most: u32) -> Vec<u64> {
        let session = &self.trace.sessions[head.session as usize];
        if !self.trace.chains[head.chain as usize].main {
            return Vec::new();
        }
        let tokens = session.tool_tokens.saturating_add(session.system_tokens);
        let build = hash(u64::from(session.tool_tokens), u64::from(session.system_tokens));
        let mut before = hash(hash(label("trace: client build"), u64::from(head.copy)), build);
        (0..(tokens / BLOCK_TOKENS).min(most))
            .map(|_| {
                before = hash(before, build);
                before
            })
            .collect()
    }

    /// Sends the turn of a chain, whose prompt begins with `blocks`.
    fn send(&mut self, at_us: u64, head: Head, turn: u32, mut blocks: Vec<u64>) -> Call {
        let now = self.trace.turns[turn as usize];
        let own = hash(hash(head.run, label("trace: session")), u64::from(turn));
        let mut before = blocks.last().copied().unwrap_or(own);
        while blocks.len() < now.blocks as usize {
            before = hash(before, own);
            blocks.push(before);
        }
        let tag = self.tag;
        self.tag += 1;
        if turn + 1 < self.trace.chains[head.chain as usize].turns.end {
            self.live.insert(tag, Live { head, turn, blocks: blocks.clone() });
        }
        let sessions = self.trace.sessions.len() as u32;
        Call {
            at_us,
            input_tokens: now.input_tokens,
            output_tokens: now.output_tokens,
            client: head.session.wrapping_add(head.copy.wrapping_mul(sessions)),
            copy: head.copy,
            session: Some(head.run),
            blocks,
            tag,
        }
    }
}

impl Workload for Fleet {
    fn next_call(&mut self) -> Option<Call> {
        self.start_due();
        let Reverse((at_us, _, head)) = self.heads.pop()?;
        let turn = self.trace.chains[head.chain as usize].turns.start;
        let common = self.common(head, self.trace.turns[turn as usize].blocks);
        Some(self.send(at_us, head, turn, common))
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Call> {
        let Live { head, turn, mut blocks } = self.live.remove(&tag)?;
        let next = self.trace.turns[turn as usize + 1];
        blocks.truncate(next.shared_blocks as usize);
        Some(self.send(at_us.saturating_add(next.think_us), head, turn + 1, blocks))
    }

    fn block_tokens(&self) -> u32 {
        BLOCK_TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agentic::tests::{REQUESTS, SESSIONS, of};

    fn fleet(options: &Options) -> Fleet {
        Fleet::new(of(REQUESTS, SESSIONS).unwrap(), options)
    }

    #[test]
    fn a_call_waits_for_the_answer_before_it_and_shares_its_prefix() {
        let mut fleet = fleet(&Options::default());
        let heads: Vec<Call> = std::iter::from_fn(|| fleet.next_call()).collect();
        assert_eq!(heads.len(), 3);
        assert!(heads.is_sorted_by_key(|c| c.at_us));
        let (long, short) = (
            heads.iter().find(|c| c.input_tokens == 320).unwrap(),
            heads.iter().find(|c| c.input_tokens == 256).unwrap(),
        );
        assert_eq!(long.blocks[..3], short.blocks[..3], "192 tokens of tools and system prompt");
        assert_ne!(long.blocks[3], short.blocks[3]);
        let agent = heads.iter().find(|c| c.input_tokens == 128).unwrap();
        assert_eq!((agent.at_us - long.at_us, agent.session), (4_000_000, long.session));
        let next = fleet.ended(long.tag, long.at_us + 10).unwrap();
        assert_eq!((next.at_us, next.blocks.len()), (long.at_us + 10 + 3_000_000, 7));
        assert_eq!(next.blocks[..5], long.blocks[..]);
        let other = fleet.ended(short.tag, 99_000_000_000).unwrap();
        assert_eq!(other.blocks[..2], short.blocks[..2]);
        assert!(other.blocks[2..].iter().all(|b| !short.blocks.contains(b)));
        assert!(
            fleet.ended(long.tag, 0).is_none() && fleet.ended(next.tag, 0).is_none() && fleet.ended(77, 0).is_none()
        );
    }

    #[test]
    fn sessions_start_at_their_rate_and_again_with_names_of_their_own() {
        let options = Options { rate: Some(0.5), repeat: true, copies: vec![0.0, 6.0], ..Options::default() };
        let mut fleet = fleet(&options);
        let mains: Vec<Call> =
            std::iter::from_fn(|| fleet.next_call()).filter(|c| c.input_tokens > 128).take(2_000).collect();
        let rate = 2_000.0 / (mains[1_999].at_us as f64 / 1e6);
        assert!((rate / 0.5 - 1.0).abs() < 0.05, "{rate}");
        let mut sessions: Vec<_> = mains.iter().map(|c| c.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), 2_000);
        assert_eq!(mains.iter().map(|c| c.client).max(), Some(3));
        let until = Options { rate: Some(1.0), repeat: true, from_s: 5.0, until_s: Some(65.0), ..Options::default() };
        let mut fleet = super::tests::fleet(&until);
        let n = std::iter::from_fn(|| fleet.next_call()).filter(|c| c.input_tokens > 128).count();
        assert!((40..80).contains(&n), "{n}");
    }
}
