//! Authenticates API keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_grid::index::Grid;
use rhumb_grid::position::TenantIndex;
use sha2::{Digest, Sha256};

/// A tenant's key, found.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Index of the tenant; `None` when none is configured.
    pub(crate) tenant: Option<TenantIndex>,
    pub(crate) tenant_name: Arc<str>,
    pub(crate) key_name: Arc<str>,
}

/// Keys by the SHA-256 of their secret. Looking a digest up says nothing of the secret by its timing, since nobody can
/// choose a digest.
pub(crate) struct Keys {
    /// No tenant is configured.
    is_open: bool,
    by_digest: BTreeMap<[u8; 32], Caller>,
    anonymous: Caller,
}

impl Keys {
    pub(crate) fn new(grid: &Grid) -> Self {
        let mut by_digest = BTreeMap::new();
        for (i, tenant) in TenantIndex::all().zip(&grid.config.tenants) {
            for key in &tenant.keys {
                let digest = match (&key.key, &key.sha256) {
                    (Some(secret), _) => Sha256::digest(secret.as_bytes()).into(),
                    (None, Some(hex)) => from_hex(hex),
                    (None, None) => continue,
                };
                let caller = Caller {
                    tenant: Some(i),
                    tenant_name: tenant.name.as_str().into(),
                    key_name: key.name.as_str().into(),
                };
                by_digest.insert(digest, caller);
            }
        }
        let is_open = grid.config.tenants.is_empty();
        Self { is_open, by_digest, anonymous: Caller { tenant: None, tenant_name: "".into(), key_name: "".into() } }
    }

    /// The caller of an `authorization` header. The same work is done for a missing, a malformed and a wrong one. No key
    /// is the empty text, whatever digests are configured.
    pub(crate) fn caller(&self, authorization: Option<&[u8]>) -> Option<Caller> {
        if self.is_open {
            return Some(self.anonymous.clone());
        }
        let header = authorization.unwrap_or_default();
        let bearer = header.len() > 7 && header[..7].eq_ignore_ascii_case(b"bearer ");
        let secret = if bearer { header[7..].trim_ascii() } else { &[] };
        let digest: [u8; 32] = Sha256::digest(secret).into();
        self.by_digest.get(&digest).filter(|_| !secret.is_empty()).cloned()
    }
}

impl Keys {
    /// Who has a key of this name, in a configuration: what was asked with a key is done while the key stands.
    pub(crate) fn named(&self, grid: &Grid, tenant: &str, key: &str) -> Option<Caller> {
        if self.is_open {
            return Some(self.anonymous.clone());
        }
        let (index, found) = TenantIndex::all().zip(&grid.config.tenants).find(|(_, t)| t.name == tenant)?;
        let key = found.keys.iter().find(|k| k.name == key)?;
        Some(Caller { tenant: Some(index), tenant_name: tenant.into(), key_name: key.name.as_str().into() })
    }
}

/// Sixty-four hexadecimal digits, which the checked configuration holds.
fn from_hex(hex: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digit = |i: usize| pair.get(i).and_then(|b| (*b as char).to_digit(16)).unwrap_or(0) as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenants: serde_json::Value) -> Keys {
        let config = serde_json::json!({ "sites": [], "models": [], "endpoints": [], "tenants": tenants });
        Keys::new(&Grid::new(serde_json::from_value(config).unwrap()))
    }

    #[test]
    fn keys_are_found_by_their_secret_or_its_digest() {
        // The digest is that of `abc`, from FIPS 180-2's examples.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let k = keys(serde_json::json!([
            {"name": "a", "keys": [{"name": "k1", "key": "secret-1"}]},
            {"name": "b", "keys": [{"name": "k2", "sha256": digest}]}
        ]));
        let who =
            |h: &str| k.caller(Some(h.as_bytes())).map(|c| (c.tenant.map(TenantIndex::at), c.key_name.to_string()));
        assert_eq!(who("Bearer secret-1"), Some((Some(0), "k1".into())));
        assert_eq!(who("bearer abc"), Some((Some(1), "k2".into())));
        for wrong in ["", "Bearer", "Bearer ", "Bearer secret-2", "Basic abc", "secret-1"] {
            assert_eq!(who(wrong), None, "{wrong}");
        }
        assert!(k.caller(None).is_none());
    }

    #[test]
    fn nothing_is_no_key_even_where_its_digest_is_configured() {
        // The digest of the empty text, from NIST's test vectors.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let k = keys(
            serde_json::json!([{"name": "a", "keys": [{"name": "k", "sha256": empty}, {"name": "l", "key": ""}]}]),
        );
        for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Bearer   "), Some("Basic x")] {
            assert!(k.caller(header.map(str::as_bytes)).is_none(), "{header:?}");
        }
        assert!(keys(serde_json::json!([{"name": "a", "keys": []}])).caller(None).is_none());
    }

    #[test]
    fn without_tenants_everybody_may_ask() {
        assert_eq!(keys(serde_json::json!([])).caller(None).map(|c| c.tenant), Some(None));
    }
}
