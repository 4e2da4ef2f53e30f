//! One candidate at one moment: everything a bill depends on that is not of the request.

use rhumb_grid::config::Accepts;
use rhumb_grid::dialects::Dialects;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::tasks::Tasks;
use serde::{Deserialize, Serialize};

/// A candidate (an endpoint × a model it serves) as the router knows it. Rows of one model stand side by side, so that
/// a decision is one pass over memory; the same row is what the log keeps for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Index of the endpoint.
    pub endpoint: EndpointIndex,
    /// Index of its site.
    pub site: SiteIndex,
    /// Index of the model.
    pub model: ModelIndex,
    /// Country of the site.
    pub country: [u8; 2],
    /// What the model and the endpoint can do.
    pub able: Able,
    /// Whether it is known to be of use.
    pub health: CandidateHealth,
    /// Which requests it takes.
    pub accepts: Accepts,
    /// Longest prompt plus answer.
    pub context_tokens: u32,
    /// Price of an uncached prompt token, USD; 0 when the capacity is committed.
    pub input_usd: f64,
    /// Price of a cached prompt token, USD.
    pub cached_usd: f64,
    /// Price of a generated token, USD.
    pub output_usd: f64,
    /// Price of a byte sent out of the site, USD.
    pub egress_usd: f64,
    /// Price of a joule at the GPU, USD, facility overhead included.
    pub joule_usd: f64,
    /// Price of the carbon of a joule at the GPU, USD, facility overhead included.
    pub carbon_usd: f64,
    /// Price of power headroom, USD per joule at the GPU: 0 far from the envelope, integrated slowly near it.
    pub power_usd: f64,
    /// Energy of one prompt token, joules.
    pub prefill_joules: f64,
    /// Energy of one decode step, joules, shared by the batch.
    pub step_joules: f64,
    /// Time of one prompt token, milliseconds.
    pub prefill_ms: f64,
    /// Time of a decode step of an empty batch, milliseconds.
    pub step_ms: f64,
    /// What each running sequence adds to a step, milliseconds.
    pub step_ms_per_seq: f64,
    /// Sequences that run at once before more wait.
    pub concurrency: f64,
    /// Observed over predicted time to first token, network aside; 1 until learnt.
    pub ttft_correction: f64,
    /// Observed over predicted time per output token; 1 until learnt.
    pub pace_correction: f64,
    /// Requests running and waiting, as the endpoint last reported; 0 when it reports nothing.
    pub reported: f64,
    /// This gateway's own requests in flight there when that report arrived.
    pub own_at_report: f64,
    /// Prompt tokens of other gateways' requests that waited there then.
    pub others_tokens: f64,
    /// For how long this gateway's requests there have been late while none of them began.
    pub stalled_ms: f64,
    /// Requests that other gateways send there, per millisecond, as far as reports let that be told.
    pub others_per_ms: f64,
    /// Mean time that is left of a prompt of theirs that is being computed there.
    pub unseen_ms: f64,
    /// Age of the report by the receiver's clock.
    pub load_age_ms: f64,
    /// Round trip between gateway and endpoint.
    pub rtt_ms: f64,
    /// Mean deviation of that round trip.
    pub rtt_dev_ms: f64,
    /// Age of the last probe.
    pub rtt_age_ms: f64,
    /// Power drawn by the site's GPUs.
    pub site_watts: f64,
    /// Power the site's GPUs must not exceed; infinite when not stated.
    pub site_watts_max: f64,
    /// Power one more request adds at this endpoint.
    pub seq_watts: f64,
    /// Share of answers that are good enough, 0 to 1.
    pub quality: f64,
    /// What a second is worth to those already in flight there, USD.
    pub others_second_usd: f64,
    /// It refuses a request whose prompt and longest answer together exceed its context. Not in the log: a candidate that is
    /// kept there has passed that gate.
    #[serde(skip)]
    pub reserves_answer: bool,
}

/// What is known against a candidate. The order is that of stored records, where the first two were `false` and `true`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CandidateHealth {
    /// Nothing.
    #[default]
    Healthy,
    /// The endpoint is confirmed unhealthy.
    Unhealthy,
    /// The endpoint refuses the gateway's credential.
    CredentialRefused,
    /// The endpoint does not have this model, although the configuration says so.
    ModelMissing,
    /// The endpoint answers questions wrongly whose answers are known.
    WrongAnswers,
}

/// Abilities, each of which a request may need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Able {
    /// Images in.
    pub vision: bool,
    /// Audio in.
    pub audio: bool,
    /// Tool calls and guided output.
    pub tools: bool,
    /// What is done instead of generating text.
    pub tasks: Tasks,
    /// Of an endpoint, the dialects it speaks; of a request, those it can be put in.
    pub dialects: Dialects,
}

/// What this gateway itself has under way at an endpoint right now. It is added to the report at once, so that a burst
/// does not herd on old telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LocalLoad {
    /// Requests in flight.
    pub in_flight: f64,
    /// Prompt tokens of those that have not answered yet.
    pub backlog_tokens: f64,
}
