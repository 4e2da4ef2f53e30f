//! The committed coefficients, as a deployment uses them.

use crate::coefficients::COEFFICIENTS;
pub use crate::coefficients::SOURCES;
use crate::deployment::{Basis, Deployment, Quant};
use crate::terms::{Key, Labels, TERM_COUNT, TERMS, Term, Values, absent};

impl<'a> Deployment<'a> {
    /// Under which labels this deployment uses `term`; `None` when it does not use it.
    #[must_use]
    pub fn key(&self, term: Term) -> Option<Key<'a>> {
        let (backend, gpu, family) = (self.backend.name(), self.gpu.name, self.shape.family);
        let generation = self.gpu.generation.name();
        let mixture = self.shape.experts.is_some();
        let (first, second) = match term.labels() {
            Labels::None => ("", ""),
            Labels::Backend => (backend, ""),
            Labels::Gpu => (gpu, ""),
            Labels::Family => (family, ""),
            Labels::BackendFamily => (backend, family),
            Labels::Release if self.release.is_empty() => return None,
            Labels::Release => (backend, self.release),
            Labels::DenseGpu => (self.dense.name(), gpu),
            Labels::DenseGeneration if !mixture => (self.dense.name(), generation),
            Labels::ExpertGeneration if mixture => (self.experts.name(), generation),
            Labels::DenseGeneration | Labels::ExpertGeneration => return None,
            Labels::KindGeneration => (if mixture { "mixture" } else { "dense" }, generation),
            Labels::Text => (self.text.name(), ""),
            Labels::Format => (self.format().name(), ""),
        };
        Some(Key { term, first, second })
    }

    /// Format of the bulk of the weights.
    pub(crate) fn format(&self) -> Quant {
        if self.shape.experts.is_some() { self.experts } else { self.dense }
    }

    /// The committed value of every term.
    #[must_use]
    pub fn values(&self) -> Values {
        let mut values = [0.0; TERM_COUNT];
        for (value, term) in values.iter_mut().zip(TERMS) {
            let Some(key) = self.key(*term) else { continue };
            let generic = Key { second: self.gpu.generation.name(), ..key };
            let any = Key { second: "", ..key };
            let found = find(key).or_else(|| match term.labels() {
                Labels::DenseGpu => find(generic).or_else(|| find(any)),
                _ => None,
            });
            *value = found.unwrap_or_else(|| absent(*term));
        }
        values
    }

    /// Where the numbers of this deployment come from.
    #[must_use]
    pub fn basis(&self) -> Basis {
        let known = |term, first| find(Key { term, first, second: "" }).is_some();
        let gpu = known(Term::GpuMemory, self.gpu.name);
        match (gpu, known(Term::FamilyMemory, self.shape.family)) {
            (true, true) => Basis::Measured,
            (true, false) => Basis::GpuMeasured,
            (false, true) => Basis::ModelMeasured,
            (false, false) => Basis::FirstPrinciples,
        }
    }
}

/// The logarithm of the entry of the committed table under exactly this key.
fn find(key: Key<'_>) -> Option<f64> {
    let at = COEFFICIENTS.binary_search_by(|row| row.key.cmp(&key)).ok()?;
    Some(libm::log(COEFFICIENTS[at].factor))
}
