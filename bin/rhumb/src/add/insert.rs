//! Lines added to a list of a configuration, the rest of its text as it was.

/// Adds entries at the end of the list under a key of the first level; the key, too, where it is missing. Each entry is lines that
/// begin with `- `. Nothing where the list is not written with one entry to a line.
pub(super) fn under(text: &str, key: &str, entries: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_key = |line: &&str| line.strip_prefix(key).is_some_and(|rest| rest.trim_end().starts_with(':'));
    let Some(at) = lines.iter().position(is_key) else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{gap}\n{key}:\n{}", indented(entries, 2)));
    };
    let value = lines[at][key.len()..].trim_start().strip_prefix(':')?.trim();
    if !(value.is_empty() || value.starts_with('#')) {
        return None;
    }
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let is_within = |line: &str| !is_content(line) || line.starts_with([' ', '-']);
    let end = lines[at + 1..].iter().position(|line| !is_within(line)).map_or(lines.len(), |n| at + 1 + n);
    // Comments and empty lines before the next key belong to that.
    let last = (at + 1..end).rev().find(|n| is_content(lines[*n]))?;
    let indent = lines[at + 1..]
        .iter()
        .find(|line| line.trim_start().starts_with("- "))
        .map_or(2, |line| line.len() - line.trim_start().len());
    let mut out: String = lines[..=last].concat();
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out += &indented(entries, indent);
    out += &lines[last + 1..].concat();
    Some(out)
}

fn indented(entries: &str, spaces: usize) -> String {
    let indent = " ".repeat(spaces);
    entries.lines().map(|line| format!("{indent}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_at_the_end_of_their_list_and_nothing_else_moves() {
        let text =
            "models:\n    - name: a\n      tools: true\n    # the last\n\n# endpoints\nendpoints: # here\n- name: x\n";
        let models = under(text, "models", "- name: b\n  quality: 1\n").unwrap();
        assert_eq!(
            models,
            "models:\n    - name: a\n      tools: true\n    - name: b\n      quality: 1\n    # the last\n\n# endpoints\nendpoints: # here\n- name: x\n"
        );
        assert_eq!(under(text, "endpoints", "- name: y").unwrap(), format!("{text}- name: y\n"));
    }

    #[test]
    fn a_missing_key_is_added_and_a_list_in_one_line_is_left_alone() {
        assert_eq!(under("a: 1", "models", "- name: b").unwrap(), "a: 1\n\nmodels:\n  - name: b\n");
        assert_eq!(under("models: [{name: a}]\n", "models", "- name: b"), None);
        assert_eq!(under("models:\n  [{name: a}]\nx: 1\n", "modelsx", "- n").unwrap().matches("modelsx:").count(), 1);
    }
}
