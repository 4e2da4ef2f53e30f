//! Salts that keep the prompt caches of an engine's tenants apart.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rhumb_grid::config::Config;
use sha2::{Digest, Sha256};

/// What salts are made from where the configuration states nothing. It stands in the data folder, so that a restart does not
/// empty the engines' caches.
pub(crate) struct Secret(String);

const FILE: &str = "cache-salt.key";

impl Secret {
    /// That of an earlier run, or a new one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => return Ok(Self(text.trim().to_owned())),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            // Whoever made an empty one was interrupted.
            Ok(_) | Err(_) => {}
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let secret = hex(&random);
        let half_written = file.with_extension("key.new");
        let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half_written)?;
        new.write_all(secret.as_bytes())?;
        new.sync_all()?;
        fs::rename(&half_written, &file)?;
        Ok(Self(secret))
    }
}

/// The salt of each tenant; none where salts are switched off.
pub(crate) fn salts(config: &Config, secret: &Secret) -> Vec<Option<String>> {
    let secret = config.gateway.cache_salt_secret.as_deref().unwrap_or(&secret.0);
    let salt = |tenant: &str| {
        let mut hash = Sha256::new();
        for part in ["rhumb cache salt", secret, tenant] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize()[..16])
    };
    config.tenants.iter().map(|t| config.gateway.cache_salt.then(|| salt(&t.name))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str, tenants: &[&str], gateway: serde_json::Value) -> Vec<Option<String>> {
        let tenant = |name: &&str| serde_json::json!({"name": name, "keys": [{"name": "k", "key": name}]});
        let tenants: Vec<_> = tenants.iter().map(tenant).collect();
        let config =
            serde_json::json!({"sites": [], "models": [], "endpoints": [], "tenants": tenants, "gateway": gateway});
        salts(&serde_json::from_value(config).unwrap(), &Secret(secret.into()))
    }

    #[test]
    fn a_salt_is_a_tenants_own_and_stays() {
        let salts = of("s", &["a", "b"], serde_json::json!({}));
        assert_eq!(salts, of("s", &["a", "b"], serde_json::json!({})));
        assert_ne!(salts[0], salts[1]);
        assert_ne!(salts[0], of("other", &["a"], serde_json::json!({}))[0]);
        assert_eq!(salts[0].as_ref().map(String::len), Some(32));
        let stated = serde_json::json!({"cache_salt_secret": "s"});
        assert_eq!(salts, of("other", &["a", "b"], stated));
        assert_eq!(of("s", &["a"], serde_json::json!({"cache_salt": false})), [None]);
    }

    #[test]
    fn the_secret_outlives_a_restart() {
        let folder = std::env::temp_dir().join(format!("rhumb-salt-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let first = Secret::open(&folder).unwrap().0;
        assert_eq!((first.len(), Secret::open(&folder).unwrap().0), (64, first));
        fs::remove_dir_all(&folder).unwrap();
    }
}
