//! How much happens in a second, of late.

/// A sum that decays with a time constant of so many milliseconds, over that constant.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rate<const TIME_MS: u32> {
    sum: f64,
    first_ms: Option<u64>,
    at_ms: u64,
}

impl<const TIME_MS: u32> Rate<TIME_MS> {
    /// What of the sum is left.
    pub(crate) fn sum(&self, now_ms: u64) -> f64 {
        self.sum * libm::exp(-(now_ms.saturating_sub(self.at_ms) as f64) / f64::from(TIME_MS))
    }

    /// So much happens.
    pub(crate) fn add(&mut self, now_ms: u64, amount: f64) {
        self.first_ms.get_or_insert(now_ms);
        self.sum = self.sum(now_ms) + amount;
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// A young sum is set against the time it had, not the whole constant.
    pub(crate) fn per_s(&self, now_ms: u64) -> f64 {
        self.first_ms.map_or(0.0, |first_ms| self.per_s_since(now_ms, first_ms))
    }

    /// The same where it has been watched since then.
    pub(crate) fn per_s_since(&self, now_ms: u64, first_ms: u64) -> f64 {
        let age_ms = now_ms.saturating_sub(first_ms) as f64;
        let filled = 1.0 - libm::exp(-age_ms.max(200.0) / f64::from(TIME_MS));
        self.sum(now_ms) / (filled * f64::from(TIME_MS)) * 1e3
    }
}
