//! The wide-area network between gateways and sites: base round trips, asymmetry and jitter, and what faults do to them.

use rhumb_grid::position::SiteIndex;
use rhumb_rng::{hash, unit};

use crate::setup::Jitter;

/// Every link between a gateway and a site.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    sites: usize,
    /// One way there and back without jitter, µs, by gateway and site.
    legs: Vec<(f64, f64)>,
    jitter: Jitter,
    seed: u64,
    messages: u64,
    /// Times the base, by site.
    factor: Vec<f64>,
    /// Links that carry nothing.
    cut: Vec<bool>,
}

impl Network {
    /// Links of these round trips (by gateway, then site). Which way is the longer one is drawn per link.
    pub(crate) fn new(rtt_ms: &[f64], sites: usize, jitter: Jitter, seed: u64) -> Self {
        let seed = hash(seed, rhumb_rng::label("network"));
        let leg = |(link, rtt): (usize, &f64)| {
            let lean = (unit(hash(seed, link as u64)) - 0.5) * jitter.asymmetry;
            let (there, back) = (rtt * (0.5 + lean / 2.0), rtt * (0.5 - lean / 2.0));
            (there * 1e3, back * 1e3)
        };
        let legs = rtt_ms.iter().enumerate().map(leg).collect();
        Self { sites, legs, jitter, seed, messages: 0, factor: vec![1.0; sites], cut: vec![false; rtt_ms.len()] }
    }

    fn link(&self, gateway: u32, site: SiteIndex) -> usize {
        gateway as usize * self.sites + site.at()
    }

    /// How long the next message takes from a gateway to a site, µs.
    pub(crate) fn there_us(&mut self, gateway: u32, site: SiteIndex) -> u64 {
        let base = self.legs[self.link(gateway, site)].0;
        self.draw(base, site)
    }

    /// How long the next message takes from a site to a gateway, µs.
    pub(crate) fn back_us(&mut self, gateway: u32, site: SiteIndex) -> u64 {
        let base = self.legs[self.link(gateway, site)].1;
        self.draw(base, site)
    }

    /// How long a message from a site to a gateway takes without jitter, µs.
    pub(crate) fn base_back_us(&self, gateway: u32, site: SiteIndex) -> u64 {
        (self.legs[self.link(gateway, site)].1 * self.factor[site]) as u64
    }

    /// Delay grows with distance and has an exponential tail.
    fn draw(&mut self, base_us: f64, site: SiteIndex) -> u64 {
        self.messages += 1;
        let tail = -libm::log(1.0 - unit(hash(self.seed, self.messages)));
        (base_us * self.factor[site] * (1.0 + self.jitter.share * tail)) as u64
    }

    /// The link carries nothing.
    pub(crate) fn is_cut(&self, gateway: u32, site: SiteIndex) -> bool {
        self.cut[self.link(gateway, site)]
    }

    /// Cuts or mends the links of a site: those to one gateway, or all.
    pub(crate) fn set_cut(&mut self, gateway: Option<u32>, site: SiteIndex, cut: bool) {
        for g in 0..(self.cut.len() / self.sites.max(1)) as u32 {
            if gateway.is_none_or(|only| only == g) {
                let link = self.link(g, site);
                self.cut[link] = cut;
            }
        }
    }

    /// Stretches every round trip to a site.
    pub(crate) fn stretch(&mut self, site: SiteIndex, factor: f64) {
        self.factor[site] = factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_its_base_plus_jitter_and_leans_one_way() {
        let jitter = Jitter { share: 0.02, asymmetry: 0.05 };
        let mut net = Network::new(&[100.0, 40.0], 1, jitter, 3);
        let n = 4_000;
        let mean = (0..n).map(|_| (net.there_us(0, SiteIndex(0)) + net.back_us(0, SiteIndex(0))) as f64).sum::<f64>()
            / f64::from(n);
        assert!((mean / 102_000.0 - 1.0).abs() < 0.005, "{mean}");
        assert!(net.there_us(1, SiteIndex(0)) >= 19_000);
        net.stretch(SiteIndex(0), 5.0);
        assert!(net.there_us(0, SiteIndex(0)) > 230_000);
    }

    #[test]
    fn a_cut_is_of_one_gateway_or_of_all() {
        let mut net = Network::new(&[1.0; 4], 2, Jitter::default(), 3);
        net.set_cut(Some(1), SiteIndex(0), true);
        assert_eq!(
            [net.is_cut(0, SiteIndex(0)), net.is_cut(1, SiteIndex(0)), net.is_cut(1, SiteIndex(1))],
            [false, true, false]
        );
        net.set_cut(None, SiteIndex(0), true);
        assert!(net.is_cut(0, SiteIndex(0)));
        net.set_cut(None, SiteIndex(0), false);
        assert!(!net.is_cut(0, SiteIndex(0)) && !net.is_cut(1, SiteIndex(0)));
    }
}
