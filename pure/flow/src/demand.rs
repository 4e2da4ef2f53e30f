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
    /// What a tenant of weight 1 gets that asks for more.
    level: f64,
    /// Part of what is served that goes to those who ask for less than their share.
    within: f64,
    found_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Asked {
    rate: Rate<TIME_MS>,
    weight: f64,
}

/// For so long it is remembered what was asked for, ms: a burst of a few seconds is within a share that is used little.
const TIME_MS: u32 = 30_000;

/// How often the level is found anew, ms.
const EVERY_MS: u64 = 500;

/// From this part of its share on, a tenant counts as asking for all of it, as one that is alone always does.
const WHOLE: f64 = 0.9;

/// Where those who ask for less than their share are served this part of everything, others yield to them wholly. Engines
/// that are kept short of work serve fewer tokens, so for a few requests they are kept a little shorter only.
const GOOD_PART: f64 = 0.25;

/// From this part on it asks for more, whatever chance adds.
const BEYOND: f64 = 1.1;

impl Demand {
    /// A tenant of this weight asks for so much.
    pub(crate) fn asked(&mut self, now_ms: u64, tenant: u32, cost: f64, weight: f64) {
        let asked = self.asked.entry(tenant).or_default();
        asked.rate.add(now_ms, cost);
        asked.weight = weight;
        if self.found_ms.is_none_or(|at| now_ms.saturating_sub(at) >= EVERY_MS) {
            self.find_level(now_ms);
        }
    }

    /// So much is served to any of them.
    pub(crate) fn served(&mut self, now_ms: u64, cost: f64) {
        self.served.add(now_ms, cost);
    }

    /// The tenant asks for its whole share, or more. One that has never asked is not trusted with less.
    pub(crate) fn is_whole_share(&self, now_ms: u64, tenant: u32) -> bool {
        self.asked.get(&tenant).is_none_or(|asked| asked.rate.per_s(now_ms) >= WHOLE * self.level * asked.weight)
    }

    /// How much a tenant that asks for more than its share has to leave to those who ask for less than theirs: from 0,
    /// nothing, to 1, where a good part of what is served is theirs.
    pub(crate) fn yields(&self, now_ms: u64, tenant: u32) -> f64 {
        if self.within == 0.0 {
            return 0.0;
        }
        let is_beyond = |asked: &Asked| asked.rate.per_s(now_ms) > BEYOND * self.level * asked.weight;
        if self.asked.get(&tenant).is_some_and(is_beyond) { (self.within / GOOD_PART).min(1.0) } else { 0.0 }
    }

    /// Fills up those who ask for least first.
    fn find_level(&mut self, now_ms: u64) {
        self.found_ms = Some(now_ms);
        self.asked.retain(|_, asked| asked.rate.sum(now_ms) >= 1.0);
        let of = |asked: &Asked| (asked.rate.per_s(now_ms) / asked.weight, asked.weight);
        let mut wanted: Vec<(f64, f64)> = self.asked.values().map(of).collect();
        wanted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut weights: f64 = wanted.iter().map(|(_, weight)| weight).sum();
        let mut left = self.served.per_s(now_ms);
        self.level = 0.0;
        for (level, weight) in &wanted {
            self.level = left / weights;
            if *level >= self.level {
                break;
            }
            left -= level * weight;
            weights -= weight;
        }
        let within = wanted.iter().filter(|(level, _)| *level < WHOLE * self.level);
        let within: f64 = within.map(|(level, weight)| level * weight).sum();
        self.within = if within > 0.0 { within / self.served.per_s(now_ms) } else { 0.0 };
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

    fn whole(d: &Demand, tenants: u32) -> Vec<bool> {
        (0..tenants).map(|t| d.is_whole_share(120_000, t)).collect()
    }

    #[test]
    fn who_asks_for_less_than_an_equal_part_is_within_its_share() {
        assert_eq!(whole(&demand(&[(18.0, 1.0), (18.0, 1.0), (180.0, 1.0)], 100.0), 3), [false, false, true]);
        assert_eq!(
            whole(&demand(&[(5.0, 1.0), (40.0, 1.0), (180.0, 1.0)], 100.0), 3),
            [false, false, true],
            "of the rest"
        );
        assert_eq!(whole(&demand(&[(50.0, 1.0), (180.0, 1.0)], 100.0), 2), [true, true]);
        assert_eq!(whole(&demand(&[(50.0, 3.0), (180.0, 1.0)], 100.0), 2), [false, true], "by weight");
    }

    #[test]
    fn who_asks_for_more_yields_by_how_much_is_of_those_who_ask_for_less() {
        let yields = |tenants: &[(f64, f64)]| {
            let d = demand(tenants, 100.0);
            [0, 1].map(|t| d.yields(120_000, t))
        };
        assert_eq!(yields(&[(40.0, 1.0), (180.0, 1.0)]), [0.0, 1.0]);
        let [quiet, loud] = yields(&[(1.0, 1.0), (180.0, 1.0)]);
        assert!(quiet == 0.0 && (0.035..0.045).contains(&loud), "{loud}");
        assert_eq!(yields(&[(90.0, 1.0), (180.0, 1.0)]), [0.0, 0.0], "nobody asks for less");
    }

    #[test]
    fn one_alone_asks_for_all_there_is_and_a_stranger_is_not_trusted() {
        assert_eq!(whole(&demand(&[(100.0, 1.0)], 100.0), 1), [true]);
        assert!(Demand::default().is_whole_share(0, 7));
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
