//! In which order the ranked targets of a request are tried.

use rhumb_grid::position::SiteIndex;

/// Most targets of one request.
pub const TARGETS_MAX: usize = 32;

/// The way of one request through its ranked targets. What failed an endpoint often fails its whole site, so targets at
/// sites where nothing has failed come first, in their order; then the others, in theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOrder {
    left: u32,
    /// Kept back of those.
    kept: u32,
    tried: u32,
}

impl TargetOrder {
    /// A request that may be tried at so many targets.
    pub fn new(max_attempts: u32) -> Self {
        Self { left: max_attempts, kept: 0, tried: 0 }
    }

    /// Admission chose this target; false when no attempt is left.
    pub fn start(&mut self, target: usize) -> bool {
        if self.left == 0 || target >= TARGETS_MAX {
            return false;
        }
        self.tried |= 1 << target;
        self.left -= 1;
        true
    }

    /// The next target, given that every one before has failed: its place in the ranking. `site` names the site of each
    /// of the `targets`, of which those beyond [`TARGETS_MAX`] are left out.
    pub fn next(&mut self, targets: usize, site: impl Fn(usize) -> SiteIndex) -> Option<usize> {
        self.next_of(targets, site, |_| true)
    }

    /// The same, of those that `suits` allows.
    pub fn next_of(
        &mut self,
        targets: usize,
        site: impl Fn(usize) -> SiteIndex,
        suits: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let targets = targets.min(TARGETS_MAX);
        let tried = |i: usize| self.tried & (1 << i) != 0;
        let suspect = |i: usize| (0..targets).any(|j| tried(j) && site(j) == site(i));
        let untried = || (0..targets).filter(|i| !tried(*i) && suits(*i));
        let next = untried().find(|i| !suspect(*i)).or_else(|| untried().next())?;
        self.start(next).then_some(next)
    }

    /// Tries that the target started last may make behind it, if it is a gateway itself: one while there is another
    /// target to go to, and all that are left when there is none, so that however long the chain, no more tries reach
    /// its end than the first gateway had.
    pub fn hand_down(&mut self, targets: usize) -> u32 {
        let is_last = self.attempts() as usize >= targets.min(TARGETS_MAX);
        1 + if is_last { core::mem::take(&mut self.left) } else { 0 }
    }

    /// Keeps a try back for when this one is taken back: it is neither made nor handed down. False when no more than one is
    /// left, which is for what fails.
    pub fn keep_back(&mut self) -> bool {
        let keeps = self.left > 1;
        if keeps {
            (self.left, self.kept) = (self.left - 1, self.kept + 1);
        }
        keeps
    }

    /// What was kept back may be used.
    pub fn give_back(&mut self) {
        self.left += core::mem::take(&mut self.kept);
    }

    /// Tries that are left, those kept back among them.
    pub fn left(&self) -> u32 {
        self.left + self.kept
    }

    /// Another target may be tried, if there is one.
    pub fn is_open(&self) -> bool {
        self.left > 0
    }

    /// Targets tried.
    pub fn attempts(&self) -> u32 {
        self.tried.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(sites: &[u32], max_attempts: u32) -> ([usize; 8], u32) {
        let mut order = TargetOrder::new(max_attempts);
        let mut out = [usize::MAX; 8];
        for slot in &mut out {
            let Some(next) = order.next(sites.len(), |i| SiteIndex(sites[i])) else { break };
            *slot = next;
        }
        (out, order.attempts())
    }

    #[test]
    fn other_sites_come_first_then_the_rest_in_order() {
        let none = usize::MAX;
        assert_eq!(order_of(&[1, 1, 2, 1, 3], 9), ([0, 2, 4, 1, 3, none, none, none], 5));
        assert_eq!(order_of(&[1, 1, 2, 1, 3], 2), ([0, 2, none, none, none, none, none, none], 2));
        assert_eq!(order_of(&[], 3).1, 0);
        assert_eq!(order_of(&[7], 0).1, 0);
    }

    #[test]
    fn it_starts_where_admission_says() {
        let mut order = TargetOrder::new(3);
        assert!(order.start(2));
        assert_eq!(
            (order.next(4, |_| SiteIndex(0)), order.next(4, |_| SiteIndex(0)), order.next(4, |_| SiteIndex(0))),
            (Some(0), Some(1), None)
        );
        assert!(!order.start(3) && !TargetOrder::new(9).start(TARGETS_MAX));
    }

    #[test]
    fn those_that_do_not_suit_are_passed_over_and_stay_for_later() {
        let mut order = TargetOrder::new(9);
        assert!(order.start(0));
        assert_eq!(order.next_of(4, SiteIndex::new, |i| i == 2), Some(2));
        assert_eq!(order.next_of(4, SiteIndex::new, |i| i == 2), None);
        assert_eq!(order.next(4, SiteIndex::new), Some(1));
    }

    /// Tries at the end of a chain in which everything fails: `targets` of each gateway, from the first on.
    fn at_the_end(targets: &[usize], tries: u32, max_attempts: u32) -> u32 {
        let Some((own, behind)) = targets.split_first() else { return 1 };
        let mut order = TargetOrder::new(tries.min(max_attempts));
        let mut sum = 0;
        while order.next(*own, SiteIndex::new).is_some() {
            sum += at_the_end(behind, order.hand_down(*own), max_attempts);
        }
        sum
    }

    #[test]
    fn f19_however_long_the_chain_no_more_tries_reach_its_end_than_the_first_gateway_had() {
        for max_attempts in 1..=4 {
            for (a, b, c) in (0..64).map(|i| (i / 16 + 1, i / 4 % 4 + 1, i % 4 + 1)) {
                let sum = at_the_end(&[a, b, c], u32::MAX, max_attempts);
                assert!((1..=max_attempts).contains(&sum), "{a} {b} {c}: {sum} of {max_attempts}");
            }
        }
        assert_eq!(at_the_end(&[1, 1, 3], u32::MAX, 3), 3, "one way in: the last gateway has them all");
        assert_eq!(at_the_end(&[3, 3, 3], u32::MAX, 3), 3);
    }

    #[test]
    fn no_target_is_tried_twice_and_too_many_are_left_out() {
        let mut order = TargetOrder::new(100);
        let mut seen = 0_u64;
        while let Some(next) = order.next(60, |i| SiteIndex(i as u32 % 3)) {
            assert_eq!(seen & (1 << next), 0);
            seen |= 1 << next;
        }
        assert_eq!(order.attempts() as usize, TARGETS_MAX);
    }

    #[test]
    fn a_try_that_is_kept_back_is_neither_made_nor_handed_down_until_it_is_given_back() {
        let mut order = TargetOrder::new(3);
        assert!(order.start(0) && order.keep_back());
        assert_eq!((order.hand_down(1), order.left(), order.is_open()), (2, 1, false));
        let mut order = TargetOrder::new(3);
        assert!(order.start(0) && order.keep_back() && !order.keep_back());
        let next = |order: &mut TargetOrder| order.next(3, SiteIndex::new);
        assert_eq!((next(&mut order), next(&mut order), order.left()), (Some(1), None, 1));
        order.give_back();
        order.give_back();
        assert_eq!((next(&mut order), order.left()), (Some(2), 0));
        let mut order = TargetOrder::new(2);
        assert!(order.start(0) && !order.keep_back(), "a try is left for what fails");
    }
}
