//! The dialects in which text is asked for.

use serde::{Deserialize, Serialize};

use crate::config::{Config, Dialect, Endpoint, EngineKind};

/// A set of dialects: those of an endpoint, or those in which a request can be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dialects(u8);

impl Default for Dialects {
    /// Chat completions, which every engine speaks and every request could be put in before there were others.
    fn default() -> Self {
        Self::of(Dialect::Chat)
    }
}

impl Dialects {
    /// One alone.
    #[must_use]
    pub const fn of(dialect: Dialect) -> Self {
        Self(1 << dialect as u8)
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, dialect: Dialect) -> Self {
        Self(self.0 | Self::of(dialect).0)
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, dialect: Dialect) -> Self {
        Self(self.0 & !Self::of(dialect).0)
    }

    /// It is among them.
    #[must_use]
    pub const fn has(self, dialect: Dialect) -> bool {
        self.meet(Self::of(dialect))
    }

    /// One of them is among the others: an endpoint with the one serves a request with the other.
    #[must_use]
    pub const fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The set as bits, as records keep it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits; those that mean nothing are left out. None at all is what records say that are older than dialects.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits & 0b111 == 0 { Self::of(Dialect::Chat) } else { Self(bits & 0b111) }
    }
}

/// The dialects in which an endpoint is asked. vLLM and SGLang take the salt that keeps the cached prompts of tenants apart in
/// their other dialects but not in Messages, so these are translated where tenants are to be kept apart.
#[must_use]
pub fn spoken(config: &Config, endpoint: &Endpoint) -> Dialects {
    let spoken: Dialects = endpoint.dialects.iter().collect();
    let is_salted = config.gateway.cache_salt && !config.tenants.is_empty();
    if is_salted && takes_salt(endpoint.engine) { spoken.without(Dialect::Messages) } else { spoken }
}

/// An engine keys its cache by `cache_salt` as well.
#[must_use]
pub fn takes_salt(engine: EngineKind) -> bool {
    matches!(engine, EngineKind::Vllm | EngineKind::Sglang)
}

impl<'a> FromIterator<&'a Dialect> for Dialects {
    fn from_iter<I: IntoIterator<Item = &'a Dialect>>(dialects: I) -> Self {
        dialects.into_iter().fold(Self(0), |set, dialect| set.with(*dialect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_served_where_one_of_its_dialects_is_spoken() {
        let both: Dialects = [Dialect::Chat, Dialect::Messages].iter().collect();
        let messages = Dialects::of(Dialect::Messages);
        assert!(both.meet(messages) && both.has(Dialect::Chat) && !messages.meet(Dialects::default()));
        assert_eq!((both.without(Dialect::Chat), both.with(Dialect::Chat)), (messages, both));
        assert_eq!((Dialects::from_bits(0), Dialects::from_bits(both.bits())), (Dialects::default(), both));
    }
}
