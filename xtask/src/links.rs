//! Links of the documents that lead nowhere.

use std::path::{Path, PathBuf};

/// Each link to a file that is not there.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["", "docs", "docs/adr", "docs/guide", "docs/reference", "docs/results"] {
        let entries = std::fs::read_dir(root.join(folder)).map_err(|e| format!("{folder}: {e}"))?;
        files.extend(entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "md")));
    }
    files.sort_unstable();
    let mut broken = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let folder = file.parent().unwrap_or(root);
        for link in links(&text) {
            if !folder.join(link).exists() {
                let shown = file.strip_prefix(root).unwrap_or(&file).display();
                broken.push(format!("{shown}: the link `{link}` leads nowhere"));
            }
        }
    }
    Ok(broken)
}

/// Files that a text links to: what stands between `](` and `)` and is no address, without its heading.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let link = rest.split(')').next()?.split('#').next()?;
        let is_file = !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:");
        is_file.then_some(link)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found() {
        let text = "see [a](a.md), [b](b/c.md#part), [here](#here), [there](https://example.org/x) and f(x)[0]";
        assert_eq!(links(text).collect::<Vec<_>>(), ["a.md", "b/c.md"]);
    }
}
