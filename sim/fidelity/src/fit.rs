//! The fit: measurements in, table of coefficients out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rhumb_engine::Deployment;
use rhumb_engine::terms::{Key, TERMS, Values};

use crate::error::Error;
use crate::floor::Run;
use crate::parameters::{Parameters, is_first_token};
use crate::sample::Sample;
use crate::solve::{Goal, Problem};
use crate::{gemm, power_rows, series, silicon, table};

/// The measurements of a folder.
#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) samples: Vec<Sample>,
    /// The serving rows, each by itself.
    pub(crate) runs: Vec<Run>,
    pub(crate) excluded: BTreeMap<String, u32>,
    /// Fixed entries from the GEMM tables.
    pub(crate) fixed: Vec<(Key<'static>, f64)>,
    /// File name, SHA-256, licence.
    pub(crate) sources: Vec<(&'static str, String, &'static str)>,
}

impl Data {
    /// Reads what a folder has of the files a fit takes.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let mut data = Self::default();
        if let Some(path) = table::locate(folder, "perf", silicon::FILE) {
            let file = silicon::read(&path)?;
            data.samples.extend(file.samples);
            data.runs.extend(file.runs);
            data.excluded.extend(file.excluded);
            data.sources.push((silicon::FILE, file.sha256, "ai-dynamo/aiconfigurator, Apache-2.0"));
        }
        if let Some(path) = table::locate(folder, "power", power_rows::FILE) {
            let file = power_rows::read(&path)?;
            data.samples.extend(file.samples);
            data.excluded.extend(file.excluded);
            data.sources.push((power_rows::FILE, file.sha256, "the ML.ENERGY Benchmark, no licence stated"));
        }
        if let Some(path) = table::locate(folder, "perf", series::FILE) {
            let (samples, sha256) = series::read(&path)?;
            data.samples.extend(samples);
            data.sources.push((series::FILE, sha256, "casys-kaist/LLMServingSim, MIT"));
        }
        if let Some(path) = table::locate(folder, "perf", gemm::FILE) {
            let (fixed, sha256) = gemm::read(&path)?;
            data.fixed = fixed;
            data.sources.push((gemm::FILE, sha256, "ai-dynamo/aiconfigurator, Apache-2.0"));
        }
        if data.sources.is_empty() {
            let expected = [silicon::FILE, power_rows::FILE, series::FILE, gemm::FILE].join(", ");
            return Err(Error::NoData { folder: folder.to_owned(), expected });
        }
        Ok(data)
    }

    /// Whether these are the files that the committed coefficients were fitted to.
    pub(crate) fn is_the_fitted(&self) -> bool {
        let known = |(name, sha256, _): &(&str, String, &str)| {
            rhumb_engine::fitted::SOURCES.iter().any(|source| source == &(*name, sha256.as_str()))
        };
        self.sources.iter().all(known)
    }

    /// The samples a fit may use and `admit` admits.
    pub(crate) fn admitted(&self, admit: impl Fn(&Sample) -> bool) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.fit && admit(sample)).collect()
    }
}

/// Fitted parameters.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    parameters: Parameters,
    values: Vec<f64>,
}

impl Model {
    /// Fits times, then power.
    pub(crate) fn fit(samples: &[&Sample], fixed: &[(Key<'static>, f64)]) -> Self {
        let parameters = Parameters::of(samples, fixed);
        let timed = Problem::new(samples, &parameters, Goal::Time).solve(&parameters.start);
        let values = Problem::new(samples, &parameters, Goal::Power).solve(&timed);
        Self { parameters, values }
    }

    /// The values a sample is predicted with.
    pub(crate) fn values(&self, sample: &Sample) -> Values {
        self.values_of(&sample.deployment)
    }

    /// The values a deployment is predicted with.
    pub(crate) fn values_of(&self, deployment: &Deployment<'static>) -> Values {
        self.parameters.template(deployment).fill(&self.values)
    }

    fn entries(&self, fixed: &[(Key<'static>, f64)]) -> Vec<(Key<'static>, f64)> {
        let fitted = self.parameters.keys.iter().copied().zip(self.values.iter().copied());
        let mut all: Vec<_> = fitted.chain(fixed.iter().copied()).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }
}

/// The result of a fit.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The text of `pure/engine/src/coefficients.rs`.
    pub source: String,
    /// Entries in it.
    pub entries: usize,
    /// Measurements it was fitted to.
    pub points: usize,
}

/// Fits the model to the measurements in `folder` and writes the table of coefficients as source text.
///
/// # Errors
/// When a file is missing or broken.
pub fn run_fit(folder: &Path) -> Result<Fitted, Error> {
    let files = [("perf", silicon::FILE), ("power", power_rows::FILE), ("perf", series::FILE), ("perf", gemm::FILE)];
    for (sub, name) in files {
        if table::locate(folder, sub, name).is_none() {
            let path: PathBuf = folder.join(sub).join(name);
            return Err(Error::Read { path, why: "no such file, plain or with .zst".to_owned() });
        }
    }
    let data = Data::read(folder)?;
    let samples = data.admitted(|_| true);
    let model = Model::fit(&samples, &data.fixed);
    let entries = model.entries(&data.fixed);
    Ok(Fitted { source: source(&data, &entries), entries: entries.len(), points: samples.len() })
}

/// Decimals kept of a factor. The smallest are some thousandths.
const DIGITS: usize = 6;

fn source(data: &Data, entries: &[(Key<'static>, f64)]) -> String {
    let mut out = String::from(
        "//! Generated: `rhumb-lab fit --data DIR --out pure/engine/src/coefficients.rs`. Do not edit.\n//!\n//! From:\n",
    );
    for (name, sha256, licence) in &data.sources {
        let _ = writeln!(out, "//! - `{name}` ({licence}), SHA-256\n//!   `{sha256}`");
    }
    let first = entries.iter().filter(|(key, _)| is_first_token(key.term)).count();
    let _ = writeln!(
        out,
        "//!\n//! {} entries of {} terms, {first} of them for what a first token waits for. A deviation\n//! without an entry is the first-principles factor 1.",
        entries.len(),
        TERMS.len(),
    );
    out.push_str("\nuse crate::terms::{Coefficient, Key, Term};\n\n");
    out.push_str("const fn row(term: Term, first: &'static str, second: &'static str, factor: f64) -> Coefficient {\n");
    out.push_str("    Coefficient { key: Key { term, first, second }, factor }\n}\n\n");
    out.push_str("/// The files it was fitted to, each with its SHA-256.\n#[rustfmt::skip]\n");
    out.push_str("pub const SOURCES: &[(&str, &str)] = &[\n");
    for (name, sha256, _) in &data.sources {
        let _ = writeln!(out, "    ({name:?}, {sha256:?}),");
    }
    out.push_str("];\n\n");
    out.push_str("/// Every fitted factor, sorted by key.\n#[rustfmt::skip]\n");
    out.push_str("pub(crate) const COEFFICIENTS: &[Coefficient] = &[\n");
    for (key, ln) in entries {
        let _ =
            writeln!(out, "    row(Term::{:?}, {:?}, {:?}, {:.DIGITS$}),", key.term, key.first, key.second, ln.exp());
    }
    out.push_str("];\n");
    out
}
