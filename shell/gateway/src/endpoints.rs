//! Each endpoint as this gateway sees it now.

use rhumb_flow::endpoint_health::Found;
use rhumb_grid::config::Accepts;
use rhumb_grid::position::{EndpointIndex, SiteIndex};
use rhumb_route::explain::Names as _;
use serde::{Deserialize, Serialize};

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::numbers::ModelNumber;
use crate::troubles::LastError;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointNow {
    /// Its name.
    pub endpoint: String,
    /// The name of its site.
    pub site: String,
    /// Which requests it takes.
    pub accepts: Accepts,
    /// How it was found unhealthy: `requests`, `probes`, `credential`, `peers`, `canary`; nothing when it is well.
    pub ill: Option<String>,
    /// For how long it has been, in milliseconds.
    #[serde(default)]
    pub ill_since_ms: Option<u64>,
    /// Models that it is left alone for, because it refuses them where others serve them.
    #[serde(default)]
    pub models_refused: Vec<String>,
    /// What failed there last, since it last answered.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// This gateway's requests in flight there.
    pub in_flight: f64,
    /// How many of them it is of use with at once, as learnt; nothing when nothing limits them.
    pub window: Option<f64>,
    /// Models that it should serve and does not list.
    #[serde(default)]
    pub models_missing: Vec<String>,
    /// Why it could not be asked for its models.
    #[serde(default)]
    pub probe_error: Option<String>,
    /// What its GPUs cost an hour, used or not; nothing where tokens are paid.
    #[serde(default)]
    pub provisioned_usd_per_h: Option<f64>,
}

/// The endpoints for which `which` holds, given the names of endpoint and site.
pub(crate) fn endpoints(epoch: &ConfigEpoch, which: impl Fn(&str, &str) -> bool) -> Vec<EndpointNow> {
    let view = epoch.view.load();
    let now = epoch.now_ms();
    let endpoint_now = |(i, site): (EndpointIndex, &SiteIndex)| {
        let (endpoint, site) = (epoch.names.endpoint(i), epoch.names.site(*site));
        which(endpoint, site).then(|| {
            let accepts = view.rows.iter().find(|r| r.endpoint == i).map_or(Accepts::None, |r| r.accepts);
            let (learnt, configured) = (lock(&epoch.live[i].learnt), &epoch.grid.config.endpoints[i]);
            let tracker = &learnt.tracker;
            let found = tracker.health.found(now);
            let (ill_since_ms, last_error) = (tracker.health.unhealthy_for_ms(now), learnt.troubles.last(now));
            let name = |number| epoch.numbers.model_at(ModelNumber(number)).map(|m| epoch.names.model(m).to_owned());
            let models_refused = tracker.models.missing(now).filter_map(name).collect();
            let (models_missing, probe_error) = (learnt.models_missing.clone(), learnt.probe_error.clone());
            drop(learnt);
            EndpointNow {
                endpoint: endpoint.to_owned(),
                site: site.to_owned(),
                accepts,
                ill: found.map(|f: Found| f.code().to_owned()),
                ill_since_ms,
                models_refused,
                last_error,
                in_flight: epoch.live[i].local_load().in_flight,
                window: lock(&epoch.state.queue).window(epoch.numbers.endpoints[i]).learnt(now),
                models_missing,
                probe_error,
                provisioned_usd_per_h: configured.gpu_hour_usd.map(|usd| usd * f64::from(configured.gpus)),
            }
        })
    };
    EndpointIndex::all().zip(&epoch.grid.endpoint_site).filter_map(endpoint_now).collect()
}
