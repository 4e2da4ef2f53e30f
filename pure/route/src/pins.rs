//! Which session is tied to which endpoint and model.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

/// Passes a key through that is a hash already.
#[derive(Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// A map keyed by hashes, in no random order.
pub type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;

/// A bounded map that forgets what was not used lately: two generations, of which the older is dropped when the
/// younger is full. Reading moves an entry to the younger one.
#[derive(Debug)]
pub struct Recent<V> {
    young: ByHash<V>,
    old: ByHash<V>,
    half: usize,
}

impl<V> Recent<V> {
    /// Holds at least `capacity / 2` and at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self { young: ByHash::default(), old: ByHash::default(), half: (capacity / 2).max(1) }
    }

    /// Holds so many from now on; what is too much goes as others come.
    pub fn resize(&mut self, capacity: usize) {
        self.half = (capacity / 2).max(1);
    }

    /// The entry of a key, kept young by the reading.
    pub fn get(&mut self, key: u64) -> Option<&mut V> {
        if !self.young.contains_key(&key) {
            let v = self.old.remove(&key)?;
            self.insert(key, v);
        }
        self.young.get_mut(&key)
    }

    /// Sets the entry of a key.
    pub fn insert(&mut self, key: u64, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = core::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    /// What is held, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pins of a gateway: session hash to endpoint and model, as whoever keeps them tells these apart.
pub type Pins<E, M> = Recent<(E, M)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut m = Recent::new(4);
        m.insert(1, 'a');
        m.insert(2, 'b');
        assert_eq!(m.get(1), Some(&mut 'a'));
        m.insert(3, 'c');
        assert_eq!(m.len(), 3);
        assert_eq!(m.get(1), Some(&mut 'a'));
        m.insert(4, 'd');
        assert_eq!((m.get(2).copied(), m.get(1).copied(), m.get(3).copied()), (None, Some('a'), Some('c')));
        m.insert(1, 'x');
        assert_eq!(m.get(1), Some(&mut 'x'));
        m.remove(1);
        assert_eq!(m.get(1), None);
        assert!(!m.is_empty());
    }

    #[test]
    fn capacity_is_never_exceeded() {
        let mut m = Recent::new(10);
        for k in 0..1000u64 {
            m.insert(k.wrapping_mul(0x9e37_79b9_7f4a_7c15), k);
            assert!(m.len() <= 10);
        }
        assert!(m.len() >= 5);
        m.resize(100);
        (0..1000u64).for_each(|k| m.insert(k, k));
        assert!((50..=100).contains(&m.len()));
        m.resize(10);
        (0..20u64).for_each(|k| m.insert(k, k));
        assert!(m.len() <= 10);
        let mut one = Recent::new(0);
        one.insert(1, 1);
        one.insert(1, 2);
        assert_eq!((one.len(), one.get(1).copied()), (1, Some(2)));
    }

    #[test]
    fn hashes_of_other_widths_are_spread_too() {
        let mut h = Hashed::default();
        h.write(b"ab");
        assert_eq!(h.finish(), 0x6162);
    }
}
