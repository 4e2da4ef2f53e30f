//! `${NAME}` in the text of the file stands for an environment variable.

use crate::path::Path;
use crate::problem::{COLLECTED_MAX, Problem};
use crate::shown::shown;
use crate::tree::{Node, Origin, Value};
use crate::variable::is_name;

/// Replaces every `${NAME}` in the strings of the tree and returns what could not be replaced. A variable that is not set
/// is a warning: the text itself is right.
pub fn fill(root: &mut Node, env: &dyn Fn(&str) -> Option<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(root, &Path::root(), env, &mut problems);
    problems
}

fn walk(node: &mut Node, path: &Path, env: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) {
    if problems.len() >= COLLECTED_MAX {
        return;
    }
    match &mut node.value {
        Value::Seq(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &path.index(index), env, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                walk(&mut entry.node, &path.key(&entry.key), env, problems);
            }
        }
        Value::Str(text) if text.contains("${") => {
            let (filled, faults) = fill_text(text, env);
            // A string that cannot be filled stays as written, so that no message repeats the half that could.
            node.origin = match faults.is_empty() {
                true => Origin::Environment(std::mem::replace(text, filled)),
                false => Origin::Unset,
            };
            problems.extend(faults.into_iter().take(COLLECTED_MAX).map(|fault| fault.problem(node, path)));
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {}
    }
}

/// Why a `${` could not be replaced.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Unset(String),
    Open,
    Name,
}

impl Fault {
    fn problem(self, node: &Node, path: &Path) -> Problem {
        let is_unset = matches!(self, Self::Unset(_));
        let (what, right) = match self {
            Self::Unset(name) => (
                format!("environment variable `{}` is not set", shown(&name)),
                format!("`export {}=...` in the shell that starts rhumb", shown(&name)),
            ),
            Self::Open => (
                "`${` without its `}`".to_owned(),
                "`${NAME}` for an environment variable, or `$${` for these two characters themselves".to_owned(),
            ),
            Self::Name => (
                "what stands in `${}` is not the name of an environment variable".to_owned(),
                "letters, digits and `_`, no digit first, as in `${ACME_KEY}`; or `$${` for these two characters \
                 themselves"
                    .to_owned(),
            ),
        };
        let problem = Problem::at(node.span, path, what, right);
        if is_unset { problem.into_warning() } else { problem }
    }
}

/// Replaces the variables of one string and tells which could not be.
fn fill_text(text: &str, env: &dyn Fn(&str) -> Option<String>) -> (String, Vec<Fault>) {
    let (mut filled, mut faults) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at - 1]);
            filled.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let Some(end) = inside.find('}') else {
            faults.push(Fault::Open);
            filled.push_str(&rest[at..]);
            return (filled, faults);
        };
        let name = &inside[..end];
        match is_name(name).then(|| env(name)) {
            None => faults.push(Fault::Name),
            Some(None) => faults.push(Fault::Unset(name.to_owned())),
            Some(Some(value)) => filled.push_str(&value),
        }
        rest = &inside[end + 1..];
    }
    filled.push_str(rest);
    (filled, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "KEY").then(|| "s3${KEY}".to_owned())
    }

    #[test]
    fn replaces() {
        for (text, expected) in [
            ("${KEY}", "s3${KEY}"),
            ("a ${KEY} b", "a s3${KEY} b"),
            ("$${KEY}", "${KEY}"),
            ("$ {KEY} $", "$ {KEY} $"),
            ("$$${KEY}", "$${KEY}"),
        ] {
            assert_eq!(fill_text(text, &env), (expected.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn says_what_it_could_not_replace() {
        assert_eq!(fill_text("${A}${B}", &env).1, [Fault::Unset("A".into()), Fault::Unset("B".into())]);
        assert_eq!(fill_text("x${KEY", &env).1, [Fault::Open]);
        for text in ["${}", "${1A}", "${a-b}", "${A:-x}"] {
            assert_eq!(fill_text(text, &env).1, [Fault::Name], "{text}");
        }
    }
}
