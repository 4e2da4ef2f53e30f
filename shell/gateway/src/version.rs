//! Which configuration is in force.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The beginning of the SHA-256 of a configuration's text: what tells it from others, in this gateway and elsewhere.
/// `sha256sum rhumb.yaml` begins with the same twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 6]);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &[u8]) -> Self {
        let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(Sha256::digest(text));
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A configuration in force, as `3-0a1b2c3d4e5f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Counts the configurations that this run of the gateway has had, from 1: the same text may come back.
    pub(crate) ordinal: u64,
    pub(crate) digest: Digest,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ordinal, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_count_and_twelve_digits() {
        // The digest is that of `abc`, from FIPS 180-2's examples.
        let version = Version { ordinal: 3, digest: Digest::of(b"abc") };
        assert_eq!(version.to_string(), "3-ba7816bf8f01");
    }
}
