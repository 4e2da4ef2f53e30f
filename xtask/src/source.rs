//! The project's Rust code, measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Block, File, ImplItemFn, ItemFn, ItemMod, Signature, UseTree};

use crate::cycles;

/// Layers whose crates are the product. Tests, benchmarks and this crate are not measured against each other.
const LAYERS: [&str; 5] = ["pure", "wire", "sim", "shell", "bin"];

/// What the house wants, file and function lines for all but one in a hundred.
const FILE_WANTED: u64 = 550;
const FUNCTION_WANTED: u64 = 45;
const ARGUMENTS_WANTED: u64 = 6;
const RING_WANTED: usize = 2;

/// What is measured.
#[derive(Default)]
pub(crate) struct Source {
    /// Lines by crate.
    crates: BTreeMap<String, u64>,
    /// Lines and name of each file.
    files: Vec<(u64, String)>,
    /// Lines and name of each function.
    functions: Vec<(u64, String)>,
    /// Arguments, the receiver not counted, and name of each function.
    arguments: Vec<(u64, String)>,
    /// The largest ring of modules of each crate.
    rings: Vec<(u64, String)>,
    /// Who uses whom within those rings.
    ring_uses: Vec<String>,
}

impl Source {
    /// Reads all crates of the product.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut source = Self::default();
        for layer in LAYERS {
            for folder in folders(&root.join(layer))? {
                source.read_crate(root, &folder)?;
            }
        }
        Ok(source)
    }

    fn read_crate(&mut self, root: &Path, folder: &Path) -> Result<(), String> {
        let name = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
        let src = folder.join("src");
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let files = rust_files(&src)?;
        let mut tests: BTreeSet<String> = BTreeSet::new();
        for file in &files {
            tests.extend(test_modules(&src, file)?);
        }
        let files = files.into_iter().filter(|f| !tests.contains(&module(&src, f)));
        let files: Vec<PathBuf> = files.collect();
        let modules: BTreeSet<String> = files.iter().map(|f| module(&src, f)).collect();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let lines = text.lines().count() as u64;
            *self.crates.entry(name.clone()).or_default() += lines;
            self.files.push((lines, shown.clone()));
            let parsed: File = syn::parse_file(&text).map_err(|e| format!("{shown}: {e}"))?;
            let mut seen = Seen { file: shown, source: self, used: BTreeSet::new() };
            seen.visit_file(&parsed);
            let own = module(&src, &file);
            let used = seen.used.iter().filter_map(|path| resolve(path, &modules)).filter(|m| *m != own);
            uses.insert(own.clone(), used.collect());
        }
        let ring = cycles::largest(&uses);
        for module in ring.iter().filter(|_| ring.len() > RING_WANTED) {
            let within: Vec<&str> = uses[module].iter().filter(|m| ring.contains(m)).map(String::as_str).collect();
            self.ring_uses.push(format!("{name}: {module} uses {}", within.join(", ")));
        }
        self.rings.push((ring.len() as u64, format!("{name}: {}", ring.join(", "))));
        Ok(())
    }

    /// Files, functions and arguments beyond what the house wants, and who uses whom in rings of modules.
    pub(crate) fn beyond(&self) -> Vec<String> {
        let over = |of: &[(u64, String)], wanted: u64, what: &str| {
            let mut over: Vec<&(u64, String)> = of.iter().filter(|(n, _)| *n > wanted).collect();
            over.sort_unstable_by(|a, b| b.cmp(a));
            over.into_iter().map(|(n, name)| format!("{what}: {name} {n}")).collect::<Vec<_>>()
        };
        let mut lines = over(&self.files, FILE_WANTED, "lines");
        lines.extend(over(&self.functions, FUNCTION_WANTED, "lines"));
        lines.extend(over(&self.arguments, ARGUMENTS_WANTED, "arguments"));
        lines.extend(self.ring_uses.iter().cloned());
        lines
    }

    /// Each figure by the name that the ratchet knows it by, with what is largest.
    pub(crate) fn figures(&self) -> Vec<(&'static str, u64, String)> {
        let all: u64 = self.crates.values().sum();
        let largest = self.crates.iter().max_by_key(|(_, lines)| **lines);
        let percent = |lines: u64| (lines * 100).div_ceil(all.max(1));
        let (crate_percent, crate_name) = largest.map_or((0, ""), |(name, lines)| (percent(*lines), name.as_str()));
        let (file, files) = p99(&self.files);
        let (function, functions) = p99(&self.functions);
        let most = |of: &[(u64, String)]| of.iter().max().cloned().unwrap_or_default();
        let ((arguments, by), (ring, modules)) = (most(&self.arguments), most(&self.rings));
        vec![
            ("crate_percent", crate_percent, format!("the largest of {} crates is {crate_name}", self.crates.len())),
            ("file_lines_p99", file, format!("of {} files, longest {files}", self.files.len())),
            ("function_lines_p99", function, format!("of {} functions, longest {functions}", self.functions.len())),
            ("arguments", arguments, by),
            ("module_cycle", ring, modules),
        ]
    }
}

/// The 99th percentile, and the three largest.
fn p99(of: &[(u64, String)]) -> (u64, String) {
    let mut sorted: Vec<&(u64, String)> = of.iter().collect();
    sorted.sort_unstable();
    let at = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
    let largest = sorted.iter().rev().take(3).map(|(n, name)| format!("{name} {n}")).collect::<Vec<_>>();
    (sorted.get(at).map_or(0, |f| f.0), largest.join(", "))
}

/// What is seen of one file. Modules of tests are left out.
struct Seen<'a> {
    file: String,
    source: &'a mut Source,
    /// Paths used that begin at the crate.
    used: BTreeSet<Vec<String>>,
}

impl Seen<'_> {
    fn function(&mut self, signature: &Signature, block: &Block) {
        let name = format!("{}::{}", self.file, signature.ident);
        let lines = block.brace_token.span.close().end().line + 1 - signature.fn_token.span.start().line;
        self.source.functions.push((lines as u64, name.clone()));
        let arguments = signature.inputs.iter().filter(|a| matches!(a, syn::FnArg::Typed(_))).count();
        self.source.arguments.push((arguments as u64, name));
    }

    fn used(&mut self, tree: &UseTree, mut path: Vec<String>) {
        match tree {
            UseTree::Path(p) => {
                path.push(p.ident.to_string());
                self.used(&p.tree, path);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.used(tree, path.clone())),
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.note(path);
            }
            UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                self.note(path);
            }
            UseTree::Glob(_) => self.note(path),
        }
    }

    fn note(&mut self, path: Vec<String>) {
        if let Some((first, rest)) = path.split_first()
            && first == "crate"
        {
            self.used.insert(rest.to_vec());
        }
    }
}

impl<'ast> Visit<'ast> for Seen<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.used(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|p| p.is_ident("test")))
}

/// The module of a path from the crate on, as the file it stands in.
fn resolve(path: &[String], modules: &BTreeSet<String>) -> Option<String> {
    (1..=path.len()).rev().map(|n| path[..n].join("::")).find(|m| modules.contains(m))
}

/// Modules of tests that a file declares and that stand in files of their own.
fn test_modules(src: &Path, file: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let parsed: File = syn::parse_file(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let own = module(src, file);
    let within = |name: String| if matches!(own.as_str(), "lib" | "main") { name } else { format!("{own}::{name}") };
    let tests = parsed.items.into_iter().filter_map(|item| match item {
        syn::Item::Mod(m) if m.content.is_none() && is_test(&m.attrs) => Some(within(m.ident.to_string())),
        _ => None,
    });
    Ok(tests.collect())
}

/// The path of a file's module.
fn module(src: &Path, file: &Path) -> String {
    let path = file.strip_prefix(src).unwrap_or(file).with_extension("");
    let parts: Vec<String> = path.iter().map(|p| p.to_string_lossy().into_owned()).filter(|p| p != "mod").collect();
    parts.join("::")
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn folders(layer: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(entries(layer)?.into_iter().filter(|p| p.join("Cargo.toml").is_file()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort_unstable();
    Ok(paths)
}
