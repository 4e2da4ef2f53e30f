//! Load shedding: requests that are rejected because the gateway is short of memory, descriptors or connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rhumb_api::ApiError;
use rhumb_grid::config::Priority;
use xxhash_rust::xxh3::xxh3_64;

use crate::resource_limits::ResourceLimits;

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadShed {
    /// No request of its priority is taken now.
    Priority(Priority),
    /// None is.
    All,
    /// Those that wait hold as many bytes as they may.
    Held,
    /// Every descriptor for a connection to an endpoint is in use.
    Descriptors,
}

/// A client that is turned away is told to stay away for this long and up to as much again, ms.
const RETRY_AFTER_MS: f64 = 1_000.0;

/// Label of [`ResourceLimits::shed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    reason: &'static str,
}

impl LoadShed {
    fn reason(self) -> &'static str {
        match self {
            Self::Priority(priority) => priority.name(),
            Self::All => "all",
            Self::Held => "held_bytes",
            Self::Descriptors => "descriptors",
        }
    }

    /// Every reason at 0. Interactive requests are turned away only with all others.
    pub(crate) fn counters() -> Family<ReasonLabel, Counter> {
        let counters = Family::default();
        let reasons = [Priority::Batch, Priority::Standard].map(Self::Priority);
        for why in reasons.into_iter().chain([Self::All, Self::Held, Self::Descriptors]) {
            let _: Counter = counters.get_or_create_owned(&ReasonLabel { reason: why.reason() });
        }
        counters
    }
}

impl ResourceLimits {
    /// Turns a request away, and counts it.
    pub(crate) fn turn_away(&self, why: LoadShed) -> ApiError {
        let count = self.shed.get_or_create(&ReasonLabel { reason: why.reason() }).inc();
        // Spread by the count, so that those who are turned away together do not come back together.
        let jitter = (xxh3_64(&count.to_le_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
        let after_ms = (RETRY_AFTER_MS * (1.0 + jitter)) as u64;
        if why == LoadShed::Held {
            return ApiError::overloaded(
                "The requests and answers here hold as much memory as they may (`gateway.max_held_mb`).",
                after_ms,
            );
        }
        let text = "This gateway is near the limit of its memory or connections and takes no more requests like this \
                    one now.";
        ApiError::nothing_eligible(text).after_ms(after_ms)
    }
}
