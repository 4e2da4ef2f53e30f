//! The quantities that are fitted, and which of them a deployment uses.
//!
//! Each term is a factor, kept as its natural logarithm. A term is looked up under two labels (say backend and model
//! family); a pair never measured has no entry, which is the factor 1: the first-principles form.

macro_rules! terms {
    ($($(#[$doc:meta])* $name:ident: $labels:ident,)*) => {
        /// One fitted quantity.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Term { $($(#[$doc])* $name,)* }

        /// Every term, in the order of [`Values`].
        pub const TERMS: &[Term] = &[$(Term::$name,)*];

        impl Term {
            /// What its two labels mean.
            #[must_use]
            pub const fn labels(self) -> Labels {
                match self { $(Self::$name => Labels::$labels,)* }
            }
        }
    };
}

/// What the two labels of a term are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// None: one value for all.
    None,
    /// The backend.
    Backend,
    /// The board.
    Gpu,
    /// The model family.
    Family,
    /// Backend and model family.
    BackendFamily,
    /// Backend and its release.
    Release,
    /// Number format of dense layers, and board.
    DenseGpu,
    /// Number format of dense layers, and generation of the board; dense models only.
    DenseGeneration,
    /// Number format of experts, and generation of the board; mixtures only.
    ExpertGeneration,
    /// Kind of model (dense or mixture) and generation of the board.
    KindGeneration,
    /// Number format of the expert layers, or of all in a dense model.
    Format,
    /// What the prompts are made of.
    Text,
}

terms! {
    /// Share of peak bandwidth at which a matrix product of few rows reads its weights (from the GEMM tables).
    GemmMemory: DenseGpu,
    /// Share of the peak rate that a matrix product of many rows reaches (from the GEMM tables).
    GemmCompute: DenseGpu,
    /// The same two shares inside a running engine, against the GEMM tables.
    MemoryShared: None,
    /// See [`Term::MemoryShared`].
    ComputeShared: None,
    /// Share of peak bandwidth at which experts are read.
    MemoryExpert: None,
    /// Deviation by number format and generation.
    MemoryExpertFormat: ExpertGeneration,
    /// Share of the peak rate that expert layers reach.
    ComputeExpert: None,
    /// Deviation by number format and generation.
    ComputeExpertFormat: ExpertGeneration,
    /// Deviation of dense models by number format and generation.
    ComputeSharedFormat: DenseGeneration,
    /// Share of peak bandwidth at which KV is read.
    MemoryKv: None,
    /// Share of the peak 16-bit rate that prefill attention reaches.
    ComputeAttention: None,
    /// A batch of `n` tokens touches the experts that `n` to this power independent tokens would: texts
    /// choose alike, random tokens less so.
    Spread: Text,
    /// Time of experts spread over boards (expert parallel) against tensor parallel: the slowest board counts.
    Imbalance: None,
    /// Share of the peak link rate that an all-reduce of activations reaches.
    Link: None,
    /// Launch, scheduling and sampling of a step, ms.
    StepBase: Backend,
    /// Kernels of a layer that do not shrink with its work, ms.
    Layer: Backend,
    /// What an expert layer adds to that, ms.
    ExpertLayer: Backend,
    /// What a layer of latent attention adds, ms.
    LatentLayer: None,
    /// What 4-bit numbers (scales, conversions) add to a layer, ms; other formats have no entry and add nothing.
    FormatLayer: Format,
    /// Start-up of one all-reduce over eight boards, ms; a layer makes two.
    Reduce: Backend,
    /// Sampling, detokenising and bookkeeping per decoding sequence, ms.
    Sequence: Backend,
    /// Host work of a step that starts a prompt, ms.
    PromptStep: Backend,
    /// Prefill arithmetic against that of all backends.
    ComputeBackend: Backend,
    /// Deviation of the board: bandwidth (time, not rate: above 1 is slower, in all that follow).
    GpuMemory: Gpu,
    /// Deviation of the board: fixed costs.
    GpuOverhead: Gpu,
    /// Deviation of the board: arithmetic.
    GpuCompute: Gpu,
    /// Deviation of fixed costs by kind of model and generation.
    KindOverhead: KindGeneration,
    /// Deviation of the model family: bandwidth.
    FamilyMemory: Family,
    /// Deviation of the model family: fixed costs.
    FamilyOverhead: Family,
    /// Deviation of the model family: arithmetic.
    FamilyCompute: Family,
    /// Deviation of the model family on the backend: fixed costs.
    PairOverhead: BackendFamily,
    /// Deviation of the model family on the backend: arithmetic.
    PairCompute: BackendFamily,
    /// Deviation of the backend's release: fixed costs.
    ReleaseOverhead: Release,
    /// Deviation of the backend's release: arithmetic.
    ReleaseCompute: Release,
    /// Deviation of the backend's release: what a decoding sequence costs (newer ones hide it behind the step).
    ReleaseSequence: Release,
    /// Latency of a first token outside the steps (HTTP, tokenising, queues between processes), ms.
    FirstBase: Backend,
    /// What a layer adds to that, ms: prompts run without captured graphs.
    FirstLayer: Backend,
    /// What a prompt token adds to that, ms.
    FirstToken: Backend,
    /// Deviation of that latency: the model family on the backend.
    PairFirst: BackendFamily,
    /// Deviation of that latency: the backend's release.
    ReleaseFirst: Release,
    /// Share of the users that wait for each other at the start of a run: a property of how loads are made, as are the
    /// next five.
    Burst: Backend,
    /// Power of the number of users with which that wait grows.
    BurstPower: Backend,
    /// Host work per prompt that waits, ms.
    BurstHost: Backend,
    /// Share of a decoding step that each of these prompts waits for besides.
    BurstStep: Backend,
    /// Own prefill against its marginal cost.
    OwnPrefill: Backend,
    /// Weight of queueing behind others' prefills.
    Queueing: Backend,
    /// Share of board power, above idle, that a running step draws whatever it does.
    PowerBase: None,
    /// Share it adds with memory bandwidth in use.
    PowerMemory: None,
    /// Share it adds with arithmetic in use.
    PowerCompute: None,
    /// Deviation of the board's power above idle.
    PowerGpu: Gpu,
    /// Deviation of the model family's power above idle.
    PowerFamily: Family,
}

/// Number of terms.
pub const TERM_COUNT: usize = TERMS.len();

/// The logarithm of each term for one deployment, by `Term as usize`.
pub type Values = [f64; TERM_COUNT];

/// Under which labels a deployment uses a term. Empty labels mean "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    /// The term.
    pub term: Term,
    /// Its first label.
    pub first: &'a str,
    /// Its second label.
    pub second: &'a str,
}

/// One line of the table of coefficients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficient {
    /// What it is and for whom.
    pub key: Key<'static>,
    /// The factor.
    pub factor: f64,
}

/// The value of a term that has no entry: the factor 1, or nothing where the term is a time.
#[must_use]
pub fn absent(term: Term) -> f64 {
    if term == Term::FormatLayer { f64::NEG_INFINITY } else { 0.0 }
}
