//! What became of each request, and of a run.

use rhumb_grid::position::EndpointIndex;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its user has the whole answer.
    Complete,
    /// Its stream broke after the first token: the user has an error event and part of the answer.
    Broken,
    /// No target served it.
    Failed,
    /// No engine has room for a request of its size, or engines die of it.
    Rejected,
    /// It would have waited too long at its gateway and was rejected with Retry-After.
    Shed,
    /// Its client left before the answer was whole.
    Left,
}

/// One request as its user saw it. The shares of the time to first token add up to it: network, queue, prefill, and
/// what attempts that failed took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When it was sent, µs since the traffic began.
    pub at_us: u64,
    /// How it ended.
    pub end: End,
    /// Whose it is.
    pub tenant: u32,
    /// Where its user is.
    pub place: u32,
    /// Where it was served; position `u32::MAX` where it was not.
    pub endpoint: EndpointIndex,
    /// Times its client sent it.
    pub sends: u32,
    /// Targets tried, over all of them.
    pub attempts: u32,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Prompt tokens found in the engine's cache.
    pub cached_tokens: u32,
    /// Tokens of the answer that its user has.
    pub output_tokens: u32,
    /// Time to first token; not a number where none came.
    pub ttft_ms: f32,
    /// Time to the last token; not a number where it did not come.
    pub e2e_ms: f32,
    /// Both legs of the attempt that served it, there and back.
    pub network_ms: f32,
    /// From reaching the engine to its first step, and before that at the gateway.
    pub queue_ms: f32,
    /// From its first step to its first token.
    pub prefill_ms: f32,
    /// What it cost at list prices, USD.
    pub usd: f64,
}

impl Outcome {
    /// Time per output token after the first; nothing for answers of one token.
    #[must_use]
    pub fn tpot_ms(&self) -> Option<f32> {
        let tpot = (self.e2e_ms - self.ttft_ms) / (self.output_tokens.saturating_sub(1)) as f32;
        tpot.is_finite().then_some(tpot)
    }
}

/// What a run as a whole came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Every request, in the order they ended in.
    pub outcomes: Vec<Outcome>,
    /// Virtual length, from the first request to the end of the last one, seconds.
    pub elapsed_s: f64,
    /// Events that happened.
    pub events: u64,
    /// Requests that clients sent, those that they sent again included.
    pub sent: u64,
    /// Attempts that gateways made at endpoints.
    pub attempts: u64,
    /// Batch requests taken back from an engine before their first byte, for more urgent ones.
    pub was_preempted: u64,
    /// Second attempts that gateways made beside a late first, and those of them that had content first.
    pub hedges: (u64, u64),
    /// Whole answers of engines that answered wrongly.
    pub wrong_answers: u64,
    /// What is left of requests that have ended: nothing, or something leaks.
    pub left_over: LeftOver,
    /// Decisions made.
    pub decisions: u64,
    /// Engine steps run.
    pub steps: u64,
    /// By site.
    pub sites: Vec<SiteTotals>,
    /// Prompt tokens engines looked up in their caches, and those found.
    pub prefix_tokens: (u64, u64),
    /// Sequences engines had to preempt.
    pub preemptions: u64,
}

/// What gateways and engines hold when no request is under way any more.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LeftOver {
    /// Requests in flight, by the gateways' count.
    pub in_flight: f64,
    /// Prompt tokens that gateways count as not computed yet.
    pub backlog_tokens: f64,
    /// Requests in the gateways' queues.
    pub waiting: usize,
    /// Requests in engines that nobody has cancelled.
    pub in_engines: usize,
}

/// What a site came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SiteTotals {
    /// Energy its GPUs drew while traffic ran, joules.
    pub joules: f64,
    /// What that cost, facility overhead included, USD.
    pub energy_usd: f64,
    /// What that emitted, facility overhead included, grams of CO2e.
    pub carbon_g: f64,
    /// Most power its GPUs drew at once, watts.
    pub watts_max: f64,
    /// Time for which its power cap slowed its engines, seconds.
    pub throttled_s: f64,
}
