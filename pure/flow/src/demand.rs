//! Who asks for more than its share of what is served.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::rate::Rate;

/// What tenants have asked for of late, against what all of them together have been served.
///
/// Shares are max-min fair: whoever asks for less than an equal part gets it all, and what it leaves is shared by the
/// others alike, each by its weight ("Data Networks", Bertsekas and Gallager, 1992, section 6.5.2).
#[derive(Debug, Clone, Default)]
pub(crate) struct Demand {
    asked: BTreeMap<u32, Asked>,
    served: Rate<TIME_MS>,
    /// Anybody has asked since then.
    since_ms: Option<u64>,
    /// Somebody asks for more than its share.
    is_any_beyond: bool,
    /// Part of what is served that is asked for by those who do not, where somebody does.
    within: f64,
    found_ms: Option<u64>,
}

/// A tenant. Whoever has not asked since the level was found asks for nothing yet.
#[derive(Debug, Clone, Default)]
struct Asked {
    rate: Rate<TIME_MS>,
    weight: f64,
    /// It asks for more than its share.
    is_beyond: bool,
}

/// For so long it is remembered what was asked for, ms: a burst of a few seconds is within a share that is used little.
const TIME_MS: u32 = 30_000;

/// How often the level is found anew, ms.
const EVERY_MS: u64 = 500;

/// Where those within their share are served this part of everything, others yield to them wholly. Engines
/// that are kept short of work serve fewer tokens, so for a few requests they are kept a little shorter only.
const GOOD_PART: f64 = 0.25;

/// From this part of its share on a tenant asks for more. What it asks for differs from one half minute to the next, and
/// what is served is less where those who ask for more are kept short: with a tenth on top, those at their share were
/// taken for over-share ones half of the time.
const BEYOND: f64 = 1.2;

impl Demand {
    /// A tenant of this weight asks for so much.
    pub(crate) fn asked(&mut self, now_ms: u64, tenant: u32, cost: f64, weight: f64) {
        let asked = self.asked.entry(tenant).or_default();
        asked.rate.add(now_ms, cost);
        asked.weight = weight;
        self.since_ms.get_or_insert(now_ms);
        if self.found_ms.is_none_or(|at| now_ms.saturating_sub(at) >= EVERY_MS) {
            self.find_level(now_ms);
        }
    }

    /// So much is served to any of them.
    pub(crate) fn served(&mut self, now_ms: u64, cost: f64) {
        self.served.add(now_ms, cost);
    }

    /// The tenant asks for no more than its share, while another does. One that has never asked is not trusted with that.
    pub(crate) fn is_within(&self, tenant: u32) -> bool {
        self.is_any_beyond && self.asked.get(&tenant).is_some_and(|asked| !asked.is_beyond)
    }

    /// How much a tenant that asks for more than its share has to leave to those who do not: from 0,
    /// nothing, to 1, where a good part of what is served is theirs.
    pub(crate) fn yields(&self, tenant: u32) -> f64 {
        let is_beyond = self.within > 0.0 && self.asked.get(&tenant).is_some_and(|asked| asked.is_beyond);
        if is_beyond { (self.within / GOOD_PART).min(1.0) } else { 0.0 }
    }

    /// Fills up those who ask for least first, to the level that a tenant of weight 1 gets that asks for more.
    fn find_level(&mut self, now_ms: u64) {
        self.found_ms = Some(now_ms);
        self.asked.retain(|_, asked| asked.rate.sum(now_ms) >= 1.0);
        let since_ms = self.since_ms.unwrap_or(now_ms);
        let of = |asked: &Asked| asked.rate.per_s_since(now_ms, since_ms) / asked.weight;
        let mut wanted: Vec<(f64, f64)> = self.asked.values().map(|asked| (of(asked), asked.weight)).collect();
        wanted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut weights: f64 = wanted.iter().map(|(_, weight)| weight).sum();
        let served = self.served.per_s_since(now_ms, since_ms);
        let mut left = served;
        let mut level = 0.0;
        for (wanted, weight) in wanted {
            level = left / weights;
            if wanted >= level {
                break;
            }
            left -= wanted * weight;
            weights -= weight;
        }
        let (mut is_any_beyond, mut within) = (false, 0.0);
        for asked in self.asked.values_mut() {
            let wanted = of(asked);
            asked.is_beyond = wanted > BEYOND * level;
            is_any_beyond |= asked.is_beyond;
            within += if asked.is_beyond { 0.0 } else { wanted * asked.weight };
        }
        self.is_any_beyond = is_any_beyond;
        self.within = if is_any_beyond && within > 0.0 { within / served } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each tenant asks for so much a second, and so much a second is served.
    fn demand(tenants: &[(f64, f64)], served: f64) -> Demand {
        let mut d = Demand::default();
        for second in 1..=120 {
            for (tenant, (cost, weight)) in (0..).zip(tenants) {
                d.asked(second * 1_000, tenant, *cost, *weight);
            }
            d.served(second * 1_000, served);
        }
        d
    }

    fn within(d: &Demand, tenants: u32) -> Vec<bool> {
        (0..tenants).map(|t| d.is_within(t)).collect()
    }

    #[test]
    fn who_asks_for_an_equal_part_at_most_is_within_its_share_beside_one_that_asks_for_more() {
        let within = |tenants: &[(f64, f64)]| within(&demand(tenants, 100.0), tenants.len() as u32);
        assert_eq!(within(&[(18.0, 1.0), (18.0, 1.0), (180.0, 1.0)]), [true, true, false]);
        assert_eq!(within(&[(5.0, 1.0), (40.0, 1.0), (180.0, 1.0)]), [true, true, false], "of the rest");
        assert_eq!(within(&[(55.0, 1.0), (180.0, 1.0)]), [true, false]);
        assert_eq!(within(&[(65.0, 1.0), (180.0, 1.0)]), [false, false]);
        assert_eq!(within(&[(50.0, 3.0), (180.0, 1.0)]), [true, false], "by weight");
        assert_eq!(within(&[(40.0, 1.0), (60.0, 1.0)]), [false, false], "there is enough for both");
    }

    #[test]
    fn who_asks_for_more_yields_by_how_much_is_of_those_who_ask_for_less() {
        let yields = |tenants: &[(f64, f64)]| {
            let d = demand(tenants, 100.0);
            [0, 1].map(|t| d.yields(t))
        };
        assert_eq!(yields(&[(40.0, 1.0), (180.0, 1.0)]), [0.0, 1.0]);
        let [quiet, loud] = yields(&[(1.0, 1.0), (180.0, 1.0)]);
        assert!(quiet == 0.0 && (0.035..0.045).contains(&loud), "{loud}");
        assert_eq!(yields(&[(90.0, 1.0), (180.0, 1.0)]), [0.0, 0.0], "nobody asks for less");
    }

    #[test]
    fn one_alone_asks_for_all_there_is_and_a_stranger_is_not_trusted() {
        assert_eq!(within(&demand(&[(100.0, 1.0)], 100.0), 1), [false]);
        assert!(!Demand::default().is_within(7) && !demand(&[(180.0, 1.0)], 100.0).is_within(7));
    }

    #[test]
    fn a_burst_of_one_that_asks_for_little_is_within_its_share() {
        let mut d = demand(&[(180.0, 1.0)], 100.0);
        d.asked(121_000, 7, 500.0, 1.0);
        assert!(d.is_within(7), "it has asked for nothing in two minutes");
        d.asked(122_000, 7, 500.0, 1.0);
        assert!(d.is_within(7) && !d.is_within(0));
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let mut d = Demand::default();
        for tenant in 0..10_000_u32 {
            d.asked(u64::from(tenant) * 1_000, tenant, 10.0, 1.0);
        }
        assert!(d.asked.len() < 1_000, "{}", d.asked.len());
    }
}
