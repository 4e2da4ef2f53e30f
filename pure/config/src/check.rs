//! What the types cannot say: names that exist, choices that fit together, addresses that can be reached.

mod address;
mod keys;
mod names;
mod references;
mod upstream;
mod values;
mod warnings;

use rhumb_document::distance::Suggestions;
use rhumb_document::find::is_address;
use rhumb_document::path::{Path, Step};
use rhumb_document::shown::shown;
use rhumb_document::tree::{Entry, Node, Origin, Value};
use rhumb_document::wrong_type::last_key;
use rhumb_document::{COLLECTED_MAX, Problem};
use rhumb_grid::config::Config;

/// The names that the performance model knows, as `rhumb engine --list` prints them.
#[derive(Debug, Clone, Copy)]
pub struct Catalogue<'a> {
    /// GPU types.
    pub gpus: &'a [&'a str],
    /// Model shapes.
    pub shapes: &'a [&'a str],
}

/// Finds every contradiction of a configuration whose structure is right.
pub(crate) fn check(config: &Config, tree: &Node, catalogue: &Catalogue<'_>) -> Vec<Problem> {
    let mut report = Report { tree, problems: Vec::new(), suggestions: Suggestions::default() };
    names::check(config, &mut report);
    references::check(config, &mut report);
    values::check(config, catalogue, &mut report);
    keys::check(config, &mut report);
    warnings::check(config, catalogue, &mut report);
    report.problems
}

/// Collects problems and finds the place of each in the text.
struct Report<'a> {
    tree: &'a Node,
    problems: Vec<Problem>,
    suggestions: Suggestions,
}

impl Report<'_> {
    /// A problem with a value. Nothing is said about a value that an unset variable keeps unknown.
    fn value(&mut self, path: &Path, what: String, right: String) {
        let (node, _) = self.find(path);
        if node.origin != Origin::Unset {
            self.add(Problem::at(node.span, path, what, right));
        }
    }

    /// A value that has not the effect that whoever wrote it expects.
    fn warning(&mut self, path: &Path, what: String, right: String) {
        let span = self.find(path).0.span;
        self.add(Problem::at(span, path, what, right).into_warning());
    }

    fn add(&mut self, problem: Problem) {
        if self.problems.len() < COLLECTED_MAX {
            self.problems.push(problem);
        }
    }

    /// Whether the file states the value.
    fn states(&self, path: &Path) -> bool {
        let (_, entry) = self.find(path);
        entry.is_some_and(|entry| entry.key == last_key(path))
    }

    /// A problem with a key being there, whatever its value.
    fn key(&mut self, path: &Path, what: String, right: String) {
        let (node, entry) = self.find(path);
        let span = entry.map_or(node.span, |entry| entry.key_span);
        self.add(Problem::at(span, path, what, right));
    }

    /// The line of a value.
    fn line(&self, path: &Path) -> usize {
        self.find(path).0.span.line
    }

    /// A text in backticks as the file has it: what the environment filled in may be a secret in the wrong place.
    fn quoted(&self, path: &Path, text: &str) -> String {
        let text = match &self.find(path).0.origin {
            Origin::Environment(written) => written,
            Origin::File | Origin::Unset => text,
        };
        // What stands before the host may be a secret.
        let text = text.rsplit_once('@').filter(|_| is_address(last_key(path))).map_or(text, |_| "***");
        format!("`{}`", shown(text))
    }

    /// The value of a path, or the nearest one around it, with its key if it has one of its own.
    fn find(&self, path: &Path) -> (&Node, Option<&Entry>) {
        let mut found = (self.tree, None);
        for step in path.steps() {
            let next = match (step, &found.0.value) {
                (Step::Key(name), Value::Map(_)) => found.0.get(name).map(|entry| (&entry.node, Some(entry))),
                (Step::Index(index), Value::Seq(items)) => items.get(*index).map(|item| (item, None)),
                _ => None,
            };
            let Some(next) = next else { return (found.0, None) };
            found = next;
        }
        found
    }
}

#[cfg(test)]
mod tests;
