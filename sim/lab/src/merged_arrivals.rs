//! The requests of several tenants as one stream.

use rhumb_rng::hash;
use rhumb_world::{Arrival, Source};

use crate::traffic::ArrivalSource;

/// Crowds side by side, each as it would be alone.
pub(crate) struct MergedArrivals {
    crowds: Vec<ArrivalSource>,
    /// By crowd, the request of it that comes next.
    heads: Vec<Option<Arrival>>,
    left: u64,
}

impl MergedArrivals {
    /// One crowd for each tenant, and so many requests of all together at most.
    pub(crate) fn new(mut crowds: Vec<ArrivalSource>, requests: Option<u64>) -> Self {
        let heads = crowds.iter_mut().map(Source::next_arrival).collect();
        Self { crowds, heads, left: requests.unwrap_or(u64::MAX) }
    }

    fn of_tenant(&self, tenant: usize, ask: Arrival) -> Arrival {
        Arrival {
            tenant: tenant as u32,
            // Sessions and tags of different crowds may be numbered alike.
            session: ask.session.map(|s| hash(tenant as u64, s)),
            tag: ask.tag * self.crowds.len() as u64 + tenant as u64,
            ..ask
        }
    }
}

impl Source for MergedArrivals {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let come = self.heads.iter().enumerate().filter_map(|(i, head)| Some((head.as_ref()?.at_us, i)));
        let (_, tenant) = come.min().filter(|_| self.left > 0)?;
        self.left -= 1;
        let next = self.crowds[tenant].next_arrival();
        let ask = std::mem::replace(&mut self.heads[tenant], next)?;
        Some(self.of_tenant(tenant, ask))
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Arrival> {
        let count = self.crowds.len() as u64;
        let tenant = (tag % count) as usize;
        let ask = self.crowds[tenant].ended(tag / count, at_us).filter(|_| self.left > 0)?;
        self.left -= 1;
        Some(self.of_tenant(tenant, ask))
    }
}
