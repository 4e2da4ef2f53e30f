//! Whose turn it is among those who share something, by what each has been served.

use alloc::collections::{BTreeMap, BTreeSet};

/// What has been served to a member, as an order: counters are finite and not negative, so their bits sort as they do.
type Served = u64;

/// Members with something waiting, the one that has been served least first.
///
/// This is the virtual token counter of "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024,
/// algorithm 2): a member that comes back starts level with those who wait, so that nobody saves up turns while idle
/// and nobody is punished for what was served while nothing waited.
#[derive(Debug, Clone)]
pub struct Shares<K> {
    served: BTreeMap<K, f64>,
    waiting: BTreeSet<(Served, K)>,
    /// What the last one to have had a turn had been served: where those start who find nobody waiting.
    level: f64,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { served: BTreeMap::new(), waiting: BTreeSet::new(), level: 0.0 }
    }
}

impl<K: Ord + Copy> Shares<K> {
    /// Members remembered though nothing of theirs waits. More are forgotten, those served least first: these lose
    /// nothing, because coming back lifts them to the level of the others anyway.
    const REMEMBERED_MAX: usize = 4_096;

    /// Something of `member` waits from now on.
    pub fn join(&mut self, member: K) {
        let floor = self.floor();
        let served = self.served.entry(member).or_insert(0.0);
        if !self.waiting.contains(&(served.to_bits(), member)) {
            *served = served.max(floor);
            self.waiting.insert((served.to_bits(), member));
        }
        self.forget();
    }

    /// Nothing of `member` waits any more.
    pub fn leave(&mut self, member: K) {
        if let Some(served) = self.served.get(&member)
            && self.waiting.remove(&(served.to_bits(), member))
        {
            self.level = self.level.max(*served);
        }
    }

    /// `amount` more, in shares of its weight, has been served to `member`; less than nothing takes back what an
    /// estimate had put too high.
    pub fn charge(&mut self, member: K, amount: f64) {
        let Some(served) = self.served.get_mut(&member) else { return };
        let waits = self.waiting.remove(&(served.to_bits(), member));
        *served = (*served + amount).max(0.0);
        if waits {
            self.waiting.insert((served.to_bits(), member));
        }
    }

    /// Members with something waiting, in the order of their turns.
    pub fn in_turn(&self) -> impl Iterator<Item = K> + '_ {
        self.waiting.iter().map(|(_, member)| *member)
    }

    /// The same, with what each has been served.
    pub fn waiting(&self) -> impl Iterator<Item = (K, f64)> + '_ {
        self.waiting.iter().map(|(served, member)| (*member, f64::from_bits(*served)))
    }

    /// What `member` has been served, or would start from if something of it came to wait now.
    pub fn joins_at(&self, member: &K) -> f64 {
        let served = self.served.get(member).copied().unwrap_or(0.0);
        if self.waiting.contains(&(served.to_bits(), *member)) { served } else { served.max(self.floor()) }
    }

    /// Where those start who have been served less.
    fn floor(&self) -> f64 {
        self.waiting.first().map_or(self.level, |(served, _)| f64::from_bits(*served))
    }

    fn forget(&mut self) {
        if self.served.len() < 2 * Self::REMEMBERED_MAX.max(self.waiting.len()) {
            return;
        }
        let level = self.level;
        let waiting = &self.waiting;
        self.served.retain(|member, served| *served > level || waiting.contains(&(served.to_bits(), *member)));
        if self.served.len() >= 2 * Self::REMEMBERED_MAX.max(self.waiting.len()) {
            self.served.retain(|member, served| waiting.contains(&(served.to_bits(), *member)));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn turns(shares: &mut Shares<u32>, rounds: usize, cost: impl Fn(u32) -> f64) -> Vec<u32> {
        (0..rounds)
            .map(|_| {
                let member = shares.in_turn().next().unwrap();
                shares.charge(member, cost(member));
                member
            })
            .collect()
    }

    #[test]
    fn those_who_wait_are_served_alike_by_cost() {
        let mut shares = Shares::default();
        shares.join(1);
        shares.join(2);
        let order = turns(&mut shares, 30, |m| if m == 1 { 10.0 } else { 20.0 });
        let count = |m| order.iter().filter(|o| **o == m).count();
        assert_eq!((count(1), count(2)), (20, 10));
    }

    #[test]
    fn nobody_saves_up_turns_while_idle() {
        let mut shares = Shares::default();
        shares.join(1);
        turns(&mut shares, 100, |_| 10.0);
        shares.join(2);
        assert_eq!(turns(&mut shares, 6, |_| 10.0).iter().filter(|m| **m == 2).count(), 3);
        shares.leave(1);
        shares.leave(2);
        shares.join(3);
        shares.join(1);
        assert_eq!(turns(&mut shares, 4, |_| 10.0).iter().filter(|m| **m == 3).count(), 2, "both at the last level");
    }

    #[test]
    fn joining_twice_and_leaving_without_waiting_change_nothing() {
        let mut shares = Shares::default();
        shares.join(1);
        shares.charge(1, 5.0);
        shares.join(1);
        shares.leave(2);
        shares.charge(3, 1.0);
        assert_eq!(shares.in_turn().collect::<Vec<_>>(), [1]);
        shares.charge(1, -9.0);
        assert_eq!(shares.in_turn().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_hundred_thousand_passing_members_are_forgotten() {
        let mut shares = Shares::default();
        for member in 0..100_000_u32 {
            shares.join(member);
            shares.charge(member, 1.0);
            shares.leave(member);
        }
        assert!(shares.served.len() <= 2 * Shares::<u32>::REMEMBERED_MAX);
    }
}
