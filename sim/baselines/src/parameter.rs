//! What a policy leaves to be set.

/// A number that may be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What its authors set, or recommend.
    pub default: f64,
    /// The least that tuning tries.
    pub low: f64,
    /// The most that tuning tries.
    pub high: f64,
    /// How tuning spreads its trials between them.
    pub scale: Scale,
}

/// How trials are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Evenly in the logarithm.
    Log,
}

impl Parameter {
    /// One with evenly spread trials.
    #[must_use]
    pub const fn linear(name: &'static str, default: f64, low: f64, high: f64) -> Self {
        Self { name, default, low, high, scale: Scale::Linear }
    }

    /// One with trials spread evenly in the logarithm.
    #[must_use]
    pub const fn log(name: &'static str, default: f64, low: f64, high: f64) -> Self {
        Self { name, default, low, high, scale: Scale::Log }
    }

    /// The value at a share of the range, 0 to 1.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        match self.scale {
            Scale::Linear => self.low + share * (self.high - self.low),
            Scale::Log => self.low * libm::pow(self.high / self.low, share),
        }
    }
}
