//! All of a gateway's memory, as whoever drives all of a gateway from one thread uses it.

use alloc::vec::Vec;

use rhumb_flow::admission::{Admission, AdmissionRequest, Turn, Verdict};
use rhumb_flow::fair::Ticket;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_route::decide::{Target, World};

use crate::facts::Estimates;
use crate::parts::Parts;

/// The memory of one gateway. The simulator keeps it in plain fields, and its tests run the same worlds on a live gateway's.
pub trait Memory: Parts + World {
    /// A request takes a place at an endpoint.
    fn depart(&mut self, endpoint: EndpointIndex);

    /// It gives the place up, after an answer had begun or not.
    fn depart_end(&mut self, endpoint: EndpointIndex, has_begun: bool, now_ms: u64);

    /// Places at endpoints, and who waits for one.
    fn admission<T>(&mut self, with: impl FnOnce(&mut Admission) -> T) -> T;

    /// Decides on a request that comes, given its ranked targets.
    fn arrive(&mut self, now_ms: u64, ask: &AdmissionRequest, targets: &[Target]) -> Verdict;

    /// Decides on a request whose turn it is after it waited so long, called by an endpoint or none in particular.
    fn turn(
        &mut self,
        now_ms: u64,
        ask: &AdmissionRequest,
        waited_ms: f64,
        caller: Option<EndpointIndex>,
        targets: &[Target],
    ) -> Turn;

    /// Whose turn it is at an endpoint, if that has room.
    fn next(&mut self, now_ms: u64, endpoint: EndpointIndex) -> Option<Ticket>;

    /// Those who are to look again.
    fn look_again(&mut self, now_ms: u64) -> Vec<Ticket>;

    /// What is expected of the requests of a tenant, by its stable number, for a model.
    fn estimates<T>(&mut self, tenant: u32, model: ModelIndex, with: impl FnOnce(&mut Estimates) -> T) -> T;

    /// Energy at a site costs this from now on.
    fn set_energy(&mut self, site: SiteIndex, usd_per_kwh: f64, carbon_g_per_kwh: f64);

    /// Judges all endpoints, and makes a new view of what is known.
    fn publish(&mut self, now_ms: u64);
}
