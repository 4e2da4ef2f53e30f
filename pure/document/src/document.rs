//! Any file of ours in YAML: read against the schema of its type, with every problem placed in the text.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::path::{Path, Step};
use crate::problem::Problem;
use crate::span::Span;
use crate::structure;
use crate::tree::{Node, Value};
use crate::yaml;

/// Where the values of a file stand.
#[derive(Debug)]
pub struct Places(Node);

/// Reads a file of type `T`. All problems come at once, in the order of the text; `example` says what an empty file
/// should hold.
///
/// # Errors
/// Everything that differs from the schema of `T`.
pub fn read<T: DeserializeOwned + JsonSchema>(text: &str, example: &str) -> Result<(T, Places), Vec<Problem>> {
    let mut tree = yaml::parse(text).map_err(|problem| vec![problem])?;
    let outcome = structure::check(&mut tree, &schemars::schema_for!(T).to_value(), example);
    let mut problems = outcome.problems;
    if problems.is_empty() && outcome.whole {
        match serde_json::from_value(tree.to_json()) {
            Ok(value) => return Ok((value, Places(tree))),
            Err(why) => {
                let right = "a report of this file: it shows a fault in rhumb".to_owned();
                problems.push(Problem::at(Span::point(1, 1), &Path::root(), why.to_string(), right));
            }
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(problems)
}

impl Places {
    /// A problem with the value of a path such as `faults[2].site`, or with the nearest one around it.
    pub fn problem(&self, path: &str, what: String, right: String) -> Problem {
        let path = parse(path);
        let mut found = &self.0;
        for step in path.steps() {
            let next = match (step, &found.value) {
                (Step::Key(name), Value::Map(_)) => found.get(name).map(|entry| &entry.node),
                (Step::Index(index), Value::Seq(items)) => items.get(*index),
                _ => None,
            };
            let Some(next) = next else { break };
            found = next;
        }
        Problem::at(found.span, &path, what, right)
    }
}

fn parse(path: &str) -> Path {
    let words = path.split(['.', '[']).filter(|word| !word.is_empty());
    words.fold(Path::root(), |path, word| match word.strip_suffix(']').and_then(|n| n.parse().ok()) {
        Some(index) => path.index(index),
        None => path.key(word),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct File {
        names: Vec<Name>,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Name {
        name: String,
    }

    #[test]
    fn problems_are_placed_in_the_text() {
        let (file, places) = read::<File>("names:\n  - name: a\n  - name: b\n", "names").unwrap();
        assert_eq!(file.names[1].name, "b");
        let problem = places.problem("names[1].name", "b is wrong".into(), "a".into());
        assert_eq!((problem.line, problem.path.as_str()), (3, "names[1].name"));
        assert_eq!(places.problem("names[7].name", String::new(), String::new()).line, 2);
        let problems = read::<File>("names:\n  - nam: a\n", "names").unwrap_err();
        assert!(problems[0].right.contains("`name`"), "{problems:?}");
        assert!(read::<File>("", "one name").unwrap_err()[0].right.contains("one name"));
    }
}
