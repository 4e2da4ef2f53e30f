//! Where a value stands in the file, as `endpoints[2].models[0].price`.

use std::fmt;

use crate::shown::shown;

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an item of a list, counted from 0.
    Index(usize),
}

/// The steps from the root of the file to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// The whole file.
    pub fn root() -> Self {
        Self::default()
    }

    /// The value of a key of this mapping. A long key is cut: every value below it would repeat it.
    pub fn key(&self, name: &str) -> Self {
        self.step(Step::Key(shown(name)))
    }

    /// An item of this list.
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// From the root down.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if depth == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_an_expression() {
        let path = Path::root().key("endpoints").index(2).key("models").index(0).key("price");
        assert_eq!(path.to_string(), "endpoints[2].models[0].price");
        assert_eq!(Path::root().to_string(), "");
    }
}
