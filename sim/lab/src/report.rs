//! The report of a scenario: the figures of every router, and whether what must come out did.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::figure::{figure, within};
use crate::measure::RouterReport;
use crate::plots::Plots;
use crate::scenario::{PassPlan, Slo};

/// A finished scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// The first seed.
    pub seed: u64,
    /// Runs of each router, on successive seeds.
    pub seeds: u64,
    /// The commit that ran it.
    pub commit: String,
    /// Requests a second that all engines can serve, by the model's own measure.
    pub capacity_rps: f64,
    /// The engines in use, and how far each one's model rests on measurements.
    pub engines: BTreeMap<String, &'static str>,
    /// By router: its figures, means over the seeds.
    pub routers: BTreeMap<&'static str, Value>,
    /// By router, where there are several seeds: half the width of the 95 % confidence interval of each mean.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ci95: BTreeMap<&'static str, Value>,
    /// Whether every line passes.
    pub pass: bool,
    /// What must come out.
    pub lines: Vec<Line>,
    /// What pictures are drawn from: the run on the first seed.
    #[serde(skip)]
    pub plots: BTreeMap<&'static str, Plots>,
    /// Where the users' cities lie: degrees north and east.
    #[serde(skip)]
    pub places: Vec<(f64, f64)>,
    /// Goodput over load, where the scenario asks for it: by router, pairs of the share of capacity offered and the
    /// goodput a second.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub load: BTreeMap<&'static str, Vec<(f64, f64)>>,
    /// When faults begin and end, seconds, with a name.
    #[serde(skip)]
    pub faults: Vec<(f64, f64, String)>,
    /// What a good answer is.
    #[serde(skip)]
    pub slo: Slo,
    /// The command that makes this report again.
    #[serde(skip)]
    pub command: String,
}

/// A pass condition and what came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What it is about.
    pub line: String,
    /// What was wanted.
    pub want: String,
    /// What came out; `null` where the router has no such figure.
    pub got: Option<f64>,
    /// Whether that is as wanted.
    pub pass: bool,
}

/// Quantile 0.975 of Student's t distribution, by degrees of freedom from 1.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Mean and half the width of its 95 % confidence interval, of every number of some equal trees.
pub(crate) fn mean_and_ci(runs: &[RouterReport]) -> (Value, Value) {
    let trees: Vec<Value> =
        runs.iter().map(|r| serde_json::to_value(r).expect("a report has string keys and finite numbers")).collect();
    if let [only] = trees.as_slice() {
        return (only.clone(), Value::Null);
    }
    merge(&trees.iter().collect::<Vec<_>>())
}

fn merge(trees: &[&Value]) -> (Value, Value) {
    if trees.iter().any(|t| t.is_object()) {
        let mut keys: Vec<&String> = trees.iter().filter_map(|t| t.as_object()).flat_map(|o| o.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let (mut means, mut cis) = (serde_json::Map::new(), serde_json::Map::new());
        for key in keys {
            // A site that gave no answer in a run is not in its list: it gave none.
            let none = Value::from(0);
            let (mean, ci) = merge(&trees.iter().map(|t| t.get(key).unwrap_or(&none)).collect::<Vec<_>>());
            means.insert(key.clone(), mean);
            cis.insert(key.clone(), ci);
        }
        return (means.into(), cis.into());
    }
    let values: Vec<f64> = trees.iter().filter_map(|t| t.as_f64()).collect();
    if values.len() < trees.len() || values.is_empty() {
        return (Value::Null, Value::Null);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let t = T_975[(values.len() - 2).min(T_975.len() - 1)];
    (mean.into(), (t * (variance / n).sqrt()).into())
}

/// Holds the figures against a pass condition.
pub(crate) fn line(plan: &PassPlan, routers: &BTreeMap<&'static str, Value>) -> Line {
    let of = |name: &str| routers.get(name).and_then(|r| figure(r, &plan.metric));
    let mut got = of(plan.router.name());
    let mut about = format!("{} {}", plan.router.name(), plan.metric);
    if let Some(other) = plan.of {
        about += &format!(" over {}'s", other.name());
        got = match (got, of(other.name())) {
            // Nothing over nothing is equal.
            (Some(0.0), Some(0.0)) => Some(1.0),
            (Some(a), Some(b)) => Some(a / b).filter(|ratio| ratio.is_finite()),
            _ => None,
        };
    }
    let mut wants = Vec::new();
    wants.extend(plan.at_most.map(|limit| format!("at most {limit}")));
    wants.extend(plan.at_least.map(|limit| format!("at least {limit}")));
    let holds = |v| within(v, plan.at_least, plan.at_most);
    Line { line: about, want: wants.join(" and "), got, pass: got.is_some_and(holds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::RouterName;
    use serde_json::json;

    #[test]
    fn means_and_intervals_are_taken_leaf_by_leaf() {
        let trees = [json!({"a": 1.0, "by": {"x": 2}}), json!({"a": 3.0, "by": {"y": 4}})];
        let (mean, ci) = merge(&trees.iter().collect::<Vec<_>>());
        assert_eq!(mean, json!({"a": 2.0, "by": {"x": 1.0, "y": 2.0}}));
        // Two values 2 apart: standard error 1, t of one degree of freedom 12.706.
        assert!((ci["a"].as_f64().unwrap() - 12.706).abs() < 1e-9);
        assert_eq!(merge(&[&Value::Null, &json!(1)]).0, Value::Null);
    }

    #[test]
    fn lines_compare_with_a_figure_or_a_rival() {
        let routers = BTreeMap::from([
            ("rhumb", json!({"ttft_ms": {"p95": 300.0}})),
            ("nearest", json!({"ttft_ms": {"p95": 400.0}})),
        ]);
        let plan = |of, at_most| PassPlan {
            router: RouterName::Rhumb,
            metric: "ttft_ms.p95".into(),
            at_most: Some(at_most),
            at_least: None,
            of,
        };
        assert!(line(&plan(None, 300.0), &routers).pass);
        let baseline = line(&plan(Some(RouterName::Nearest), 0.7), &routers);
        assert_eq!((baseline.got, baseline.pass), (Some(0.75), false));
        assert_eq!(baseline.line, "rhumb ttft_ms.p95 over nearest's");
        assert!(!line(&plan(Some(RouterName::Random), 2.0), &routers).pass);
    }
}
