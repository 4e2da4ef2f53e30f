//! Continuous batching, one iteration at a time, in the manner of vLLM's scheduler: running sequences first, then
//! waiting ones in order of arrival, prompts in chunks inside a token budget, preemption by recomputation when KV
//! memory is full.

use crate::kv::KvPool;
use crate::perf::{Perf, StepWork};
use crate::sequence::Sequence;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The scheduler's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most sequences that run at once (vLLM's `max_num_seqs`).
    pub max_num_seqs: u32,
    /// Most tokens a step computes (vLLM's `max_num_batched_tokens`).
    pub max_batched_tokens: u32,
    /// Tokens of a KV block.
    pub block_tokens: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_num_seqs: 128, max_batched_tokens: 2048, block_tokens: 16 }
    }
}

/// One request for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The caller's name for it, unique among the requests in the engine.
    pub id: u64,
    /// Chained hash of each full block of the prompt; fewer than the prompt has are allowed, and an empty list opts
    /// out of prefix caching.
    pub prompt_blocks: Vec<u64>,
    /// Length of the prompt, tokens.
    pub prompt_tokens: u32,
    /// Length of the answer, tokens: the model's true length or the client's limit, whichever is less.
    pub output_tokens: u32,
}

/// Why a request cannot be served, now or ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitError {
    /// No prompt or no answer was asked for.
    Empty,
    /// Prompt and answer together exceed KV memory.
    TooLarge {
        /// Tokens of KV the request needs at its end.
        needed_tokens: u64,
        /// Tokens of KV the engine has.
        capacity_tokens: u64,
    },
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a request needs at least one prompt token and one output token"),
            Self::TooLarge { needed_tokens, capacity_tokens } => {
                write!(f, "the request needs {needed_tokens} tokens of KV memory, the engine has {capacity_tokens}")
            }
        }
    }
}

impl core::error::Error for SubmitError {}

/// A token that came out of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted {
    /// Whose token.
    pub id: u64,
    /// Whether it is the first of its answer.
    pub first: bool,
    /// Whether it is the last of its answer; the engine has forgotten the request.
    pub finished: bool,
}

/// A request that left the queue in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Which request.
    pub id: u64,
    /// Tokens of its prompt found in the prefix cache.
    pub cached_tokens: u32,
}

/// What one iteration did. All its tokens come out at its end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// How long it took, µs; 0 when there was nothing to do.
    pub duration_us: u64,
    /// Power of all boards while it ran, watts.
    pub watts: f64,
    /// What it computed.
    pub work: StepWork,
    /// Tokens, in scheduling order, at most one per request.
    pub emitted: Vec<Emitted>,
    /// Requests that started (or started again after preemption) at its beginning.
    pub admitted: Vec<Admitted>,
    /// Requests put back to the head of the queue for want of memory.
    pub preempted: Vec<u64>,
}

/// Totals since the engine started.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counters {
    /// Prompt tokens looked up in the prefix cache.
    pub prefix_query_tokens: u64,
    /// Of those, found.
    pub prefix_hit_tokens: u64,
    /// Sequences preempted.
    pub preemptions: u64,
    /// Prompt tokens of requests whose first token came out, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens emitted.
    pub generation_tokens: u64,
    /// Requests that ran to their end.
    pub finished: u64,
    /// Energy of the steps, joules; what an idle engine draws is the caller's to add.
    pub joules: f64,
    /// Time spent in steps, µs.
    pub busy_us: u64,
}

/// One inference engine: a queue, a batch and its memory.
#[derive(Debug, Clone)]
pub struct Engine {
    perf: Perf,
    limits: Limits,
    pool: KvPool,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    /// Tokens each running sequence computes in the step being built, parallel to `running`.
    scheduled: Vec<u32>,
    counters: Counters,
}

impl Engine {
    /// An idle engine. Limits of zero are taken as one.
    #[must_use]
    pub fn new(perf: Perf, limits: Limits) -> Self {
        let limits = Limits {
            max_num_seqs: limits.max_num_seqs.max(1),
            max_batched_tokens: limits.max_batched_tokens.max(1),
            block_tokens: limits.block_tokens.max(1),
        };
        let pool = KvPool::new(perf.kv_capacity_tokens() / u64::from(limits.block_tokens));
        let counters = Counters::default();
        Self { perf, limits, pool, waiting: VecDeque::new(), running: Vec::new(), scheduled: Vec::new(), counters }
    }

    /// Puts a request at the end of the queue.
    ///
    /// # Errors
    /// When it is empty, or could not run even alone.
    pub fn submit(&mut self, request: Request) -> Result<(), SubmitError> {
        if request.prompt_tokens == 0 || request.output_tokens == 0 {
            return Err(SubmitError::Empty);
        }
        // The last token is emitted and never computed, so it needs no KV.
        let needed_tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens) - 1;
        let capacity_tokens = self.kv_capacity_tokens();
        if needed_tokens > capacity_tokens || needed_tokens > u64::from(u32::MAX) {
            return Err(SubmitError::TooLarge { needed_tokens, capacity_tokens });
        }
        self.waiting.push_back(Sequence::new(request));
        Ok(())
    }

    /// Forgets a request, waiting or running, and frees what it holds; `false` when there is no such request.
    pub fn cancel(&mut self, id: u64) -> bool {
        if let Some(at) = self.running.iter().position(|sequence| sequence.request.id == id) {
            self.running.remove(at).release(&mut self.pool);
            return true;
        }
        match self.waiting.iter().position(|sequence| sequence.request.id == id) {
            Some(at) => self.waiting.remove(at).is_some(),
            None => false,
        }
    }

    /// Runs one iteration.
    #[must_use]
    pub fn step(&mut self) -> Step {
        let mut step = Step::default();
        self.step_into(&mut step);
        step
    }

    /// Runs one iteration and writes what it did over `step`, whose buffers are kept.
    pub fn step_into(&mut self, step: &mut Step) {
        step.emitted.clear();
        step.admitted.clear();
        step.preempted.clear();
        self.scheduled.clear();
        let budget = self.schedule_running(step);
        // Memory that preemption just freed goes to those that still run, not to newcomers.
        if step.preempted.is_empty() {
            self.admit(budget, step);
        }
        step.work = self.work();
        step.duration_us = libm::round(self.perf.work_ms(&step.work) * 1000.0) as u64;
        step.watts = if self.scheduled.is_empty() { self.perf.idle_watts() } else { self.perf.work_watts(&step.work) };
        self.counters.busy_us += step.duration_us;
        self.counters.joules += step.watts * step.duration_us as f64 / 1e6;
        self.emit(step);
    }

    /// Gives each running sequence its share of the token budget and the blocks for it, the oldest first, and
    /// returns what is left of the budget.
    fn schedule_running(&mut self, step: &mut Step) -> u32 {
        let mut budget = self.limits.max_batched_tokens;
        let mut at = 0;
        while at < self.running.len() && budget > 0 {
            let tokens = self.running[at].pending_tokens().min(budget);
            while at < self.running.len() && !self.running[at].grow(tokens, &mut self.pool, self.limits.block_tokens) {
                self.preempt_newest(step);
            }
            if at < self.running.len() {
                self.scheduled.push(tokens);
                budget -= tokens;
                at += 1;
            }
        }
        budget
    }

    fn preempt_newest(&mut self, step: &mut Step) {
        let mut sequence = self.running.pop().expect("the caller found a running sequence that lacks memory");
        sequence.release(&mut self.pool);
        step.preempted.push(sequence.request.id);
        self.counters.preemptions += 1;
        self.waiting.push_front(sequence);
    }

    /// Starts waiting requests in order until the batch, the budget or the memory is full.
    fn admit(&mut self, mut budget: u32, step: &mut Step) {
        let block_tokens = self.limits.block_tokens;
        while budget > 0 && self.running.len() < self.limits.max_num_seqs as usize {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            let cached_tokens = sequence.reuse(&mut self.pool, block_tokens);
            let tokens = sequence.pending_tokens().min(budget);
            // Started only when its whole prompt fits: half a prompt that waits for memory blocks everyone.
            if !sequence.fits(&self.pool, block_tokens) || !sequence.grow(tokens, &mut self.pool, block_tokens) {
                sequence.release(&mut self.pool);
                self.waiting.push_front(sequence);
                break;
            }
            if sequence.generated_tokens == 0 {
                self.counters.prefix_query_tokens += u64::from(sequence.request.prompt_tokens);
                self.counters.prefix_hit_tokens += u64::from(cached_tokens);
            }
            step.admitted.push(Admitted { id: sequence.request.id, cached_tokens });
            budget -= tokens;
            self.scheduled.push(tokens);
            self.running.push(sequence);
        }
    }

    fn work(&self) -> StepWork {
        let mut work = StepWork::default();
        for (sequence, tokens) in self.running.iter().zip(&self.scheduled) {
            work.kv_tokens += u64::from(sequence.computed_tokens + tokens);
            if sequence.is_decoding() {
                work.decode_seqs += 1;
            } else {
                let new = f64::from(*tokens);
                work.prefill_tokens += tokens;
                work.prefill_pairs += new * (f64::from(sequence.computed_tokens) + new / 2.0);
            }
        }
        work
    }

    /// Lets every sequence that has computed all it had emit a token, and retires those that are done.
    fn emit(&mut self, step: &mut Step) {
        let mut any_finished = false;
        for (sequence, tokens) in self.running.iter_mut().zip(&self.scheduled) {
            sequence.advance(*tokens, &mut self.pool, self.limits.block_tokens);
            if sequence.pending_tokens() > 0 {
                continue;
            }
            let first = sequence.generated_tokens == 0;
            sequence.generated_tokens += 1;
            let finished = sequence.generated_tokens == sequence.request.output_tokens;
            if first {
                self.counters.prompt_tokens += u64::from(sequence.request.prompt_tokens);
            }
            self.counters.generation_tokens += 1;
            if finished {
                sequence.release(&mut self.pool);
                self.counters.finished += 1;
                any_finished = true;
            }
            step.emitted.push(Emitted { id: sequence.request.id, first, finished });
        }
        if any_finished {
            self.running.retain(|sequence| sequence.generated_tokens < sequence.request.output_tokens);
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Sequences in the batch.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Share of KV memory that sequences hold, 0 to 1.
    #[must_use]
    pub fn kv_use(&self) -> f64 {
        self.pool.held_blocks() as f64 / self.pool.capacity_blocks().max(1) as f64
    }

    /// Tokens of KV memory, in whole blocks.
    #[must_use]
    pub fn kv_capacity_tokens(&self) -> u64 {
        self.pool.capacity_blocks() * u64::from(self.limits.block_tokens)
    }

    /// Leading prompt tokens that would be found in the prefix cache now.
    #[must_use]
    pub fn cached_tokens(&self, prompt_blocks: &[u64]) -> u64 {
        self.pool.matched(prompt_blocks) as u64 * u64::from(self.limits.block_tokens)
    }

    /// Tokens of a request's answer, those of the last step included; 0 for a request that is not here.
    #[must_use]
    pub fn generated_tokens(&self, id: u64) -> u32 {
        let mut here = self.running.iter().chain(&self.waiting);
        here.find(|sequence| sequence.request.id == id).map_or(0, |sequence| sequence.generated_tokens)
    }

    /// The memory pool, to look at.
    #[must_use]
    pub fn pool(&self) -> &KvPool {
        &self.pool
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What this engine runs on.
    #[must_use]
    pub fn perf(&self) -> &Perf {
        &self.perf
    }

    /// The scheduler's bounds.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
