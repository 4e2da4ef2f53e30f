//! One request on its way through the engine: how much is computed, what it holds.

use crate::batch::Request;
use crate::kv::KvPool;

/// A request with its progress.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    pub(crate) request: Request,
    /// Tokens whose KV is in memory.
    pub(crate) computed_tokens: u32,
    /// Tokens emitted so far; they survive preemption, their KV does not.
    pub(crate) generated_tokens: u32,
    /// Leading prompt blocks held as shared blocks.
    shared_blocks: usize,
    /// Blocks held alone: computed blocks without a hash, and those being computed.
    private_blocks: u64,
}

impl Sequence {
    pub(crate) fn new(request: Request) -> Self {
        Self { request, computed_tokens: 0, generated_tokens: 0, shared_blocks: 0, private_blocks: 0 }
    }

    /// Tokens to compute before the next one comes out.
    pub(crate) fn pending_tokens(&self) -> u32 {
        self.request.prompt_tokens + self.generated_tokens - self.computed_tokens
    }

    /// Whether the next computation is a decode: the last emitted token and nothing else.
    pub(crate) fn is_decoding(&self) -> bool {
        self.generated_tokens > 0 && self.pending_tokens() == 1
    }

    /// Takes the prompt's leading blocks that are in memory and returns how many tokens that saves. The last prompt
    /// token is always computed, because its output is the first token of the answer.
    pub(crate) fn reuse(&mut self, pool: &mut KvPool, block_tokens: u32) -> u32 {
        let usable = ((self.request.prompt_tokens - 1) / block_tokens) as usize;
        let hashes = &self.request.prompt_blocks[..usable.min(self.request.prompt_blocks.len())];
        let hits = pool.matched(hashes);
        pool.hold(&hashes[..hits]);
        self.shared_blocks = hits;
        self.computed_tokens = hits as u32 * block_tokens;
        self.computed_tokens
    }

    /// Whether the pool has room now for everything there is to compute before the next token.
    pub(crate) fn fits(&self, pool: &KvPool, block_tokens: u32) -> bool {
        let needed = u64::from((self.request.prompt_tokens + self.generated_tokens).div_ceil(block_tokens));
        needed.saturating_sub(self.shared_blocks as u64 + self.private_blocks) <= pool.available_blocks()
    }

    /// Takes the blocks that `tokens` more tokens need; `false`, and nothing taken, when there are too few.
    #[must_use]
    pub(crate) fn grow(&mut self, tokens: u32, pool: &mut KvPool, block_tokens: u32) -> bool {
        let needed = u64::from((self.computed_tokens + tokens).div_ceil(block_tokens));
        let missing = needed.saturating_sub(self.shared_blocks as u64 + self.private_blocks);
        if !pool.take(missing) {
            return false;
        }
        self.private_blocks += missing;
        true
    }

    /// Counts `tokens` as computed and shares the prompt blocks that became complete.
    pub(crate) fn advance(&mut self, tokens: u32, pool: &mut KvPool, block_tokens: u32) {
        self.computed_tokens += tokens;
        let complete = (self.computed_tokens.min(self.request.prompt_tokens) / block_tokens) as usize;
        while self.shared_blocks < complete.min(self.request.prompt_blocks.len()) {
            pool.publish(self.request.prompt_blocks[self.shared_blocks]);
            self.private_blocks -= 1;
            self.shared_blocks += 1;
        }
    }

    /// Gives everything back; what was computed has to be computed again.
    pub(crate) fn release(&mut self, pool: &mut KvPool) {
        pool.release(&self.request.prompt_blocks[..self.shared_blocks], self.private_blocks);
        self.shared_blocks = 0;
        self.private_blocks = 0;
        self.computed_tokens = 0;
    }
}
