//! Modules of a crate that use each other in a ring.

use std::collections::{BTreeMap, BTreeSet};

/// The largest set of modules of which each is reached from each other, in the order of their names (Tarjan, "Depth-first
/// search and linear graph algorithms", SIAM Journal on Computing 1972).
pub(crate) fn largest(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut search = Search { uses, ..Search::default_of(uses) };
    for module in uses.keys() {
        if !search.index.contains_key(module.as_str()) {
            search.visit(module);
        }
    }
    search.largest.sort_unstable();
    search.largest.into_iter().map(str::to_owned).collect()
}

struct Search<'a> {
    uses: &'a BTreeMap<String, BTreeSet<String>>,
    index: BTreeMap<&'a str, usize>,
    low: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    largest: Vec<&'a str>,
}

impl<'a> Search<'a> {
    fn default_of(uses: &'a BTreeMap<String, BTreeSet<String>>) -> Self {
        Self { uses, index: BTreeMap::new(), low: BTreeMap::new(), stack: Vec::new(), largest: Vec::new() }
    }

    fn visit(&mut self, module: &'a str) {
        let index = self.index.len();
        self.index.insert(module, index);
        self.low.insert(module, index);
        self.stack.push(module);
        for used in self.uses.get(module).into_iter().flatten() {
            let used = used.as_str();
            if !self.index.contains_key(used) {
                self.visit(used);
                let low = self.low[module].min(self.low[used]);
                self.low.insert(module, low);
            } else if self.stack.contains(&used) {
                let low = self.low[module].min(self.index[used]);
                self.low.insert(module, low);
            }
        }
        if self.low[module] == self.index[module] {
            let at = self.stack.iter().position(|m| *m == module).unwrap_or(0);
            let ring = self.stack.split_off(at);
            if ring.len() > self.largest.len() {
                self.largest = ring;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(uses: &[(&str, &[&str])]) -> Vec<String> {
        let of = |(module, used): &(&str, &[&str])| {
            ((*module).to_owned(), used.iter().map(|u| (*u).to_owned()).collect::<BTreeSet<_>>())
        };
        largest(&uses.iter().map(of).collect())
    }

    #[test]
    fn rings_are_found_and_chains_are_none() {
        assert_eq!(ring(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]).len(), 1);
        let uses: [(&str, &[&str]); 5] =
            [("a", &["b", "e"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &["e"]), ("e", &["d"])];
        assert_eq!(ring(&uses), ["a", "b", "c"]);
    }
}
