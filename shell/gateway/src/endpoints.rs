//! Each endpoint as this gateway sees it now.

use rhumb_flow::condition::Found;
use rhumb_grid::config::Accepts;
use rhumb_route::explain::Names as _;
use serde::{Deserialize, Serialize};

use crate::live::lock;
use crate::shared::Shared;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointNow {
    /// Its name.
    pub endpoint: String,
    /// The name of its site.
    pub site: String,
    /// Which requests it takes.
    pub accepts: Accepts,
    /// How it was found ill: `requests`, `probes`, `peers`, `canary`; nothing when it is well.
    pub ill: Option<String>,
    /// This gateway's requests in flight there.
    pub in_flight: f64,
    /// How many of them it is of use with at once, as learnt; nothing when nothing limits them.
    pub window: Option<f64>,
    /// What its GPUs cost an hour, used or not; nothing where tokens are paid.
    #[serde(default)]
    pub provisioned_usd_per_h: Option<f64>,
}

/// The endpoints for which `which` holds, given the names of endpoint and site.
pub(crate) fn endpoints(shared: &Shared, which: impl Fn(&str, &str) -> bool) -> Vec<EndpointNow> {
    let view = shared.view.load();
    let now = shared.now_ms();
    let endpoint_now = |(i, site): (usize, &u32)| {
        let (endpoint, site) = (shared.names.endpoint(i as u32), shared.names.site(*site));
        which(endpoint, site).then(|| {
            let accepts = view.rows.iter().find(|r| r.endpoint == i as u32).map_or(Accepts::None, |r| r.accepts);
            let configured = &shared.grid.config.endpoints[i];
            let found = lock(&shared.live[i].learnt).condition.found(now);
            EndpointNow {
                endpoint: endpoint.to_owned(),
                site: site.to_owned(),
                accepts,
                ill: found.map(|f: Found| f.code().to_owned()),
                in_flight: shared.live[i].overlay().in_flight,
                window: lock(&shared.lasting.hold).window(shared.numbers.endpoints[i]).learnt(now),
                provisioned_usd_per_h: configured.gpu_hour_usd.map(|usd| usd * f64::from(configured.gpus)),
            }
        })
    };
    shared.grid.endpoint_site.iter().enumerate().filter_map(endpoint_now).collect()
}
