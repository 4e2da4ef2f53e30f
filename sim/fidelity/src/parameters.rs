//! What is fitted, where it starts and how far it may go: for each term, the first-principles value of its factor and
//! the standard deviation of its logarithm that the fit pays for.

use std::collections::BTreeMap;

use rhumb_engine::Deployment;
use rhumb_engine::terms::{Key, TERMS, Term, Values, absent};

use crate::sample::Sample;

/// Start and width of a term.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior {
    /// The first-principles value; 1 for a deviation.
    pub(crate) value: f64,
    /// Standard deviation of its logarithm; `None` for what is not fitted here.
    pub(crate) width: Option<f64>,
}

/// The prior of each term.
pub(crate) fn prior(term: Term) -> Prior {
    let fitted = |value: f64, width: f64| Prior { value, width: Some(width) };
    match term {
        Term::GemmMemory | Term::GemmCompute => Prior { value: 1.0, width: None },
        Term::MemoryShared => fitted(1.0, 0.1),
        Term::ComputeShared | Term::MemoryExpert => fitted(0.8, 0.2),
        Term::Spread => fitted(0.8, 0.25),
        Term::ComputeExpert => fitted(0.3, 0.4),
        Term::MemoryExpertFormat => fitted(1.0, 0.15),
        Term::ComputeExpertFormat => fitted(1.0, 0.25),
        Term::ComputeSharedFormat => fitted(1.0, 0.1),
        Term::GpuCompute => fitted(1.0, 0.05),
        Term::MemoryKv => fitted(0.7, 0.2),
        Term::ComputeAttention => fitted(0.4, 0.3),
        Term::Imbalance => fitted(1.1, 0.1),
        Term::Link => fitted(0.5, 0.3),
        Term::StepBase => fitted(1.0, 0.5),
        Term::Layer | Term::ExpertLayer => fitted(0.04, 0.5),
        Term::LatentLayer => fitted(0.02, 0.7),
        Term::FormatLayer => fitted(0.015, 0.7),
        Term::Reduce => fitted(0.01, 0.5),
        Term::Sequence => fitted(0.01, 0.7),
        Term::PromptStep => fitted(5.0, 0.7),
        Term::ComputeBackend => fitted(1.0, 0.2),
        Term::GpuMemory => fitted(1.0, 0.03),
        Term::GpuOverhead => fitted(1.0, 0.06),
        Term::FamilyCompute => fitted(1.0, 0.12),
        Term::KindOverhead => fitted(1.0, 0.2),
        Term::FamilyOverhead => fitted(1.0, 0.6),
        Term::ReleaseOverhead | Term::ReleaseCompute => fitted(1.0, 0.12),
        Term::ReleaseSequence => fitted(1.0, 0.5),
        Term::BurstStep => fitted(0.1, 1.0),
        Term::FamilyMemory => fitted(1.0, 0.05),
        Term::PairOverhead | Term::PairCompute | Term::BurstPower | Term::OwnPrefill => fitted(1.0, 0.15),
        Term::FirstBase => fitted(15.0, 0.7),
        Term::FirstLayer => fitted(0.7, 0.5),
        Term::FirstToken => fitted(0.005, 1.0),
        Term::PairFirst => fitted(1.0, 0.35),
        Term::ReleaseFirst => fitted(1.0, 0.3),
        Term::Burst => fitted(0.04, 0.5),
        Term::BurstHost => fitted(2.0, 1.0),
        Term::Queueing => fitted(0.5, 0.7),
        Term::PowerBase => fitted(0.3, 1.0),
        Term::PowerMemory => fitted(0.4, 1.0),
        Term::PowerCompute => fitted(0.6, 1.0),
        Term::PowerGpu => fitted(1.0, 0.2),
        Term::PowerFamily => fitted(1.0, 0.12),
    }
}

/// Whether a term tells of power, which is fitted after time.
pub(crate) fn is_power(term: Term) -> bool {
    term >= Term::PowerBase
}

/// Terms that only a first token tells of.
pub(crate) fn is_first_token(term: Term) -> bool {
    (Term::FirstBase..=Term::Queueing).contains(&term)
}

/// The parameters of a fit, in a fixed order, and what is held fixed.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    pub(crate) keys: Vec<Key<'static>>,
    pub(crate) start: Vec<f64>,
    pub(crate) width: Vec<f64>,
    index: BTreeMap<Key<'static>, usize>,
    fixed: BTreeMap<Key<'static>, f64>,
}

impl Parameters {
    /// Everything the samples use.
    pub(crate) fn of(samples: &[&Sample], fixed: &[(Key<'static>, f64)]) -> Self {
        let mut index = BTreeMap::new();
        for sample in samples {
            for term in TERMS {
                let Some(key) = sample.deployment.key(*term) else { continue };
                let nothing = matches!((*term, key.first), (Term::FormatLayer, "bf16" | "fp8" | "fp8-block"));
                if prior(*term).width.is_some() && !nothing {
                    index.insert(key, 0);
                }
            }
        }
        let keys: Vec<Key<'static>> = index.keys().copied().collect();
        for (at, slot) in index.values_mut().enumerate() {
            *slot = at;
        }
        let start = keys.iter().map(|key| prior(key.term).value.ln()).collect();
        let width = keys.iter().map(|key| prior(key.term).width.unwrap_or(1.0)).collect();
        Self { keys, start, width, index, fixed: fixed.iter().copied().collect() }
    }

    /// For a deployment: its values where nothing is fitted, and which parameter goes where.
    pub(crate) fn template(&self, deployment: &Deployment<'static>) -> Template {
        let mut values = crate::sample::NO_VALUES;
        let mut slots = Vec::new();
        for (at, term) in TERMS.iter().enumerate() {
            let Some(key) = deployment.key(*term) else { continue };
            if let Some(parameter) = self.index.get(&key) {
                slots.push((at, *parameter));
                continue;
            }
            values[at] = match prior(*term).width {
                None => self.fixed_value(deployment, key),
                // Never seen: the first-principles value, or nothing for what a format adds.
                Some(_) if absent(*term) != 0.0 => absent(*term),
                Some(_) => prior(*term).value.ln(),
            };
        }
        Template { values, slots }
    }

    fn fixed_value(&self, deployment: &Deployment<'static>, key: Key<'static>) -> f64 {
        let generation = Key { second: deployment.gpu.generation.name(), ..key };
        let any = Key { second: "", ..key };
        [key, generation, any].iter().find_map(|key| self.fixed.get(key)).copied().unwrap_or(0.0)
    }
}

/// How a sample's values follow from the parameters.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) values: Values,
    /// Position among the values, and the parameter that stands there.
    pub(crate) slots: Vec<(usize, usize)>,
}

impl Template {
    pub(crate) fn fill(&self, parameters: &[f64]) -> Values {
        let mut values = self.values;
        for (at, parameter) in &self.slots {
            values[*at] = parameters[*parameter];
        }
        values
    }
}
