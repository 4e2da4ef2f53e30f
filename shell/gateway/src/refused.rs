//! A request without an answer, as its client hears of it.

use http::{HeaderValue, Response, header};
use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_route::decide::Target;

use crate::answer::{failed, id_header};
use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::waiting::Refused;

impl Refused {
    /// It was accepted, and has failed.
    pub(crate) fn of(epoch: &ConfigEpoch, id: u64, last: Option<Target>, error: ApiError) -> Self {
        Self { error, id: Some(id), at: last.map(|t| epoch.names.headers(t.endpoint, t.site, t.model)) }
    }

    pub(crate) fn response(self, epoch: &ConfigEpoch, dialect: Dialect) -> Response<Answer> {
        let Self { error, id, at } = self;
        if id.is_none() {
            epoch.metrics.refused();
        }
        let mut response = failed(dialect, &error, id.unwrap_or_else(|| epoch.state.ids.next().0));
        let headers = response.headers_mut();
        match id {
            Some(id) => {
                headers.insert("x-rhumb-decision", id_header(id));
            }
            // It was turned away, and its body may not have been read.
            None if error.retry => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            None => {}
        }
        if let Some([endpoint, site, model]) = at {
            headers.insert("x-rhumb-endpoint", endpoint);
            headers.insert("x-rhumb-site", site);
            headers.insert("x-rhumb-model", model);
        }
        response
    }
}
