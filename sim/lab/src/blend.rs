//! The requests of several tenants as one stream.

use rhumb_chance::hash;
use rhumb_world::{Ask, Source};

use crate::traffic::Crowd;

/// Crowds side by side, each as it would be alone.
pub(crate) struct Blend {
    crowds: Vec<Crowd>,
    /// By crowd, the request of it that comes next.
    heads: Vec<Option<Ask>>,
    left: u64,
}

impl Blend {
    /// One crowd for each tenant, and so many requests of all together at most.
    pub(crate) fn new(mut crowds: Vec<Crowd>, requests: Option<u64>) -> Self {
        let heads = crowds.iter_mut().map(Source::next_ask).collect();
        Self { crowds, heads, left: requests.unwrap_or(u64::MAX) }
    }

    fn of_tenant(&self, tenant: usize, ask: Ask) -> Ask {
        Ask {
            tenant: tenant as u32,
            // Sessions and tags of different crowds may be numbered alike.
            session: ask.session.map(|s| hash(tenant as u64, s)),
            tag: ask.tag * self.crowds.len() as u64 + tenant as u64,
            ..ask
        }
    }
}

impl Source for Blend {
    fn next_ask(&mut self) -> Option<Ask> {
        let come = self.heads.iter().enumerate().filter_map(|(i, head)| Some((head.as_ref()?.at_us, i)));
        let (_, tenant) = come.min().filter(|_| self.left > 0)?;
        self.left -= 1;
        let next = self.crowds[tenant].next_ask();
        let ask = std::mem::replace(&mut self.heads[tenant], next)?;
        Some(self.of_tenant(tenant, ask))
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Ask> {
        let count = self.crowds.len() as u64;
        let tenant = (tag % count) as usize;
        let ask = self.crowds[tenant].ended(tag / count, at_us).filter(|_| self.left > 0)?;
        self.left -= 1;
        Some(self.of_tenant(tenant, ask))
    }
}
