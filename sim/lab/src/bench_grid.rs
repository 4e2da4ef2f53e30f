//! A grid of any size to measure decisions on, and every router to measure.

use rhumb_baselines::{Candidate, Policy, Request};
use rhumb_config::Purpose;
use rhumb_engine::{Perf, gpu, shape};
use rhumb_grid::config::{Preset, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_grid::rates::Rates;
use rhumb_route::decide::{Choice, Scratch, World, decide, decide_by};
use rhumb_route::facts::Facts;
use rhumb_route::lower_bound::LowerBounds;
use rhumb_route::row::{Able, LocalLoad, Row};
use rhumb_route::view::{EndpointState, LoadReport, View, Viewer};
use rhumb_world::shown;

use crate::parameters;
use crate::scenario::RouterName;

/// A view of many endpoints, all of them eligible, no two alike.
pub struct ManyEndpoints {
    view: View,
    local_loads: Vec<LocalLoad>,
}

impl ManyEndpoints {
    /// Four endpoints a site, spread over the globe, with prices, distances and loads of their own.
    ///
    /// # Panics
    /// Never: the configuration it writes is the type's own.
    #[must_use]
    pub fn new(endpoints: u32) -> Self {
        let sites: Vec<String> = (0..endpoints.div_ceil(4))
            .map(|s| {
                format!(
                    r#"{{"name":"s{s}","operator":"o","country":"DE","latitude":{},"longitude":{},"power_kw":50,"energy_usd_per_kwh":0.1,"egress_usd_per_gb":0.02,"rtt_ms":{}}}"#,
                    (s % 120) as f64 - 60.0,
                    (s % 360) as f64 - 180.0,
                    5 + (s * 37) % 300
                )
            })
            .collect();
        let list: Vec<String> = (0..endpoints)
            .map(|e| {
                let price = 0.05 + f64::from((e * 13) % 100) / 1000.0;
                format!(
                    r#"{{"name":"e{e}","site":"s{}","url":"http://10.0.0.1:{}","engine":"vllm","gpu":"l40s","models":[{{"model":"m","price":{{"input_usd_per_mtok":{price},"output_usd_per_mtok":{price}}}}}]}}"#,
                    e / 4,
                    e + 1
                )
            })
            .collect();
        let text = format!(
            r#"{{"operators":[{{"name":"o"}}],"sites":[{}],"models":[{{"name":"m","shape":"llama-3.1-8b"}}],"endpoints":[{}]}}"#,
            sites.join(","),
            list.join(",")
        );
        let loaded = rhumb_config::load(&text, &|_| None, &CATALOGUE, Purpose::Serve);
        let config = loaded.expect("JSON is YAML, and the text is valid").config;
        let perf = Perf::new(gpu("l40s").expect("in the table"), 1, shape("llama-3.1-8b").expect("in the table"), 2.0);
        let mut viewer = Viewer::new(&Grid::new(config), |_, _| perf);
        let states: Vec<EndpointState> = (0..endpoints)
            .map(|e| {
                let running = f64::from((e * 29) % 90);
                let report =
                    LoadReport { running, waiting: 0.0, kv_use: None, watts: None, own_in_flight: 3.0, at_ms: 0 };
                EndpointState { load: Some(report), ..EndpointState::default() }
            })
            .collect();
        let view = viewer.view(&states, 500);
        let local_loads = (0..endpoints)
            .map(|e| LocalLoad { in_flight: f64::from(e % 7), backlog_tokens: f64::from(e % 900) })
            .collect();
        Self { view, local_loads }
    }
}

const CATALOGUE: rhumb_config::Catalogue<'static> =
    rhumb_config::Catalogue { gpus: &["l40s"], shapes: &["llama-3.1-8b"] };

impl World for ManyEndpoints {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.view.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.local_loads[endpoint]
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        World::lower_bounds(&self.view, model)
    }
}

/// A chat request of average length.
#[must_use]
pub fn facts() -> Facts {
    Facts {
        models: vec![ModelIndex(0)],
        prompt_tokens: 1_155.0,
        output_tokens: 211.0,
        max_tokens: None,
        bytes_per_token: 190.0,
        needs: Able::default(),
        countries: Vec::new(),
        client_ms: 10.0,
        affinity: None,
        pin: None,
        hits: Vec::new(),
        longest_tokens: 1_155.0,
        certain_tokens: 1.0,
    }
}

/// A router with what it remembers from one decision to the next.
pub struct Decider(Way);

enum Way {
    ConfiguredGrid(Router, Box<Scratch>),
    Baseline(Box<dyn Policy>),
}

impl Decider {
    /// A router with the defaults of its parameters.
    #[must_use]
    pub fn of(router: RouterName) -> Self {
        Self(match router.baseline() {
            Some(baseline) => {
                let defaults: Vec<f64> = baseline.parameters().iter().map(|k| k.default).collect();
                Way::Baseline(baseline.policy(&defaults))
            }
            None => Way::ConfiguredGrid(parameters::plain(router), Box::default()),
        })
    }

    /// Decides; how many targets it keeps. `seed` differs from one decision to the next.
    pub fn decide(&mut self, world: &ManyEndpoints, facts: &Facts, seed: u64) -> usize {
        let rates = Rates::preset(Preset::Interactive);
        match &mut self.0 {
            Way::ConfiguredGrid(router, scratch) => {
                decide(world, facts, &Choice { rates, router: *router, seed }, scratch).targets.len()
            }
            Way::Baseline(policy) => {
                let (now_ms, draw) = (seed, seed);
                let Facts { affinity, prompt_tokens, output_tokens, .. } = *facts;
                let request = Request { now_ms, affinity, prompt_tokens, output_tokens, draw };
                let decision = decide_by(world, facts, &rates, |candidates, keys| {
                    let shown: Vec<Candidate> =
                        candidates.iter().map(|c| shown(c.row, &c.local_load, &c.predicted)).collect();
                    policy.rank(&request, &shown, keys);
                });
                decision.targets.len()
            }
        }
    }
}
