//! What a scenario needs of the data folder.

use crate::energy;
use crate::file::Loaded;
use crate::problem::LabError;
use crate::traffic::Origin;

impl Loaded {
    /// The files of the data folder that the scenario reads; none where it runs without one.
    ///
    /// # Errors
    /// Its workload does not exist.
    pub fn data_files(&self) -> Result<Vec<String>, LabError> {
        let mut files = match Origin::of(&self.scenario.traffic.workload, &self.folder)? {
            Origin::Trace(kind) => kind.files(),
            Origin::Demo | Origin::Poisson | Origin::Sample => Vec::new(),
        };
        if self.scenario.energy.hourly {
            files.extend(energy::FILES.map(str::to_owned));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Lab, Options};

    #[test]
    fn a_scenario_that_needs_no_file_runs_without_a_folder_and_no_other_does() {
        let options = Options {
            routers: Vec::new(),
            seed: 1,
            seeds: 1,
            data: None,
            check: false,
            threads: 1,
            commit: String::new(),
        };
        for (name, _) in crate::list().unwrap() {
            if name == "grid-4400" {
                // It takes a while to lay out.
                continue;
            }
            let loaded = crate::load(name).unwrap();
            let files = loaded.data_files().unwrap();
            assert_eq!(Lab::new(&loaded, &options).is_ok(), files.is_empty(), "{name}: {files:?}");
        }
    }
}
