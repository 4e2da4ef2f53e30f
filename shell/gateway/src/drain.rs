//! What an operator drains while the gateway runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rhumb_grid::config::Accepts;

/// Sites and endpoints that are drained, by name. They stand in the data folder as well, so that a restart does not send
/// requests to a site under repair.
#[derive(Debug, Clone)]
pub(crate) struct Drains {
    file: PathBuf,
    by_name: BTreeMap<String, Accepts>,
}

const FILE: &str = "drains.json";

impl Drains {
    /// Those of an earlier run.
    ///
    /// # Errors
    /// The file is there and cannot be read as what it should be.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join(FILE);
        let by_name = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        Ok(Self { file, by_name })
    }

    /// These with one more change, on the disk before they take effect. Whoever writes holds nothing that requests wait
    /// for.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed.
    pub(crate) fn with(&self, name: &str, accepts: Accepts) -> io::Result<Self> {
        let mut changed = self.clone();
        changed.by_name.insert(name.to_owned(), accepts);
        changed.by_name.retain(|_, accepts| *accepts != Accepts::NewAndExisting);
        let half_written = self.file.with_extension("json.new");
        let mut file = fs::File::create(&half_written)?;
        file.write_all(&serde_json::to_vec_pretty(&changed.by_name)?)?;
        file.sync_all()?;
        fs::rename(&half_written, &self.file)?;
        if let Some(folder) = self.file.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(changed)
    }

    /// A name is drained, whether it is that of a site or an endpoint of today's or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// What an endpoint at a site takes.
    pub(crate) fn of(&self, endpoint: &str, site: &str) -> Accepts {
        if self.by_name.is_empty() {
            return Accepts::NewAndExisting;
        }
        let of = |name| self.by_name.get(name).copied().unwrap_or_default();
        of(endpoint).max(of(site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_site_and_endpoint_counts_and_stays_over_a_restart() {
        let dir = std::env::temp_dir().join(format!("rhumb-drains-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let drains = Drains::open(&dir).unwrap();
        drains.with("site", Accepts::ExistingOnly).unwrap().with("b", Accepts::None).unwrap();
        let drains = Drains::open(&dir).unwrap();
        let of = |name| drains.of(name, "site");
        assert_eq!((of("a"), of("b")), (Accepts::ExistingOnly, Accepts::None));
        assert_eq!(drains.of("a", "other"), Accepts::NewAndExisting);
        assert!(drains.has("site") && !drains.with("site", Accepts::NewAndExisting).unwrap().has("site"));
        assert_eq!(Drains::open(&dir).unwrap().by_name.len(), 1);
        fs::write(dir.join(FILE), "{").unwrap();
        assert!(Drains::open(&dir).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
