//! What a workload hands out.

/// One request of a workload, hidden truths (the answer's length) included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it is sent, in µs since the start of the workload.
    pub at_us: u64,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Length of the answer, at least 1: what no router may read.
    pub output_tokens: u32,
    /// Number of the trace's client or user, 0 where it names none.
    pub client: u32,
    /// Number of the copy it belongs to, where a trace is played several times at once.
    pub copy: u32,
    /// Identifies a run of related calls.
    pub session: Option<u64>,
    /// Chained hashes of the prompt's full blocks of [`Workload::block_tokens`], empty where unknown: two prompts whose
    /// first `n` hashes are equal share that prefix.
    pub blocks: Vec<u64>,
    /// To be given back to [`Workload::ended`].
    pub tag: u64,
}

/// A source of calls.
pub trait Workload {
    /// The next open-loop call, in order of time; None at the end.
    fn next_call(&mut self) -> Option<Call>;

    /// Call `tag` has been answered (or given up) at `at_us`: the call that follows it in a closed loop, if any, which is
    /// sent at `at_us` or later. A tag that is unknown, or has ended before, has no follower.
    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Call> {
        let _ = (tag, at_us);
        None
    }

    /// Tokens of a prefix block, 0 where the workload has none.
    fn block_tokens(&self) -> u32 {
        0
    }
}

/// A workload cut off after so many calls, whichever way they are handed out.
pub(crate) struct Limited<W> {
    pub(crate) inner: W,
    pub(crate) left: u64,
}

impl<W: Workload> Limited<W> {
    fn count(&mut self, call: Option<Call>) -> Option<Call> {
        self.left -= u64::from(call.is_some());
        call
    }
}

impl<W: Workload> Workload for Limited<W> {
    fn next_call(&mut self) -> Option<Call> {
        if self.left == 0 {
            return None;
        }
        let call = self.inner.next_call();
        self.count(call)
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Call> {
        if self.left == 0 {
            return None;
        }
        let call = self.inner.ended(tag, at_us);
        self.count(call)
    }

    fn block_tokens(&self) -> u32 {
        self.inner.block_tokens()
    }
}
