//! Rules about the source code, as tests: allowed dependencies, and limits on sizes.
//!
//! The compiler does not enforce boundaries inside one crate, so these tests do. Each rule is a
//! function from source files to complaints `file:line: what`. One test applies it to the sources,
//! another shows with sample text that it detects violations. Test code is exempt unless stated
//! otherwise.
//!
//! An exception is an entry in a table below, with its reason. Before adding one, look for a layer
//! in which the code needs none.

mod form;
mod globals;
mod guards;
mod layers;
mod names;
mod purity;
mod rooms;
mod source;
mod surface;

use std::path::Path;

use self::source::{SourceFile, line};

/// Binaries. They may use every module.
const BINARIES: [&str; 1] = ["main"];

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// Applies a rule to the sources.
fn hold(rule: impl Fn(&SourceFile) -> Vec<String>) {
    let files = source::read(src());
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The number of complaints of a rule about sample text.
fn complaints(rule: impl Fn(&SourceFile) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&SourceFile::new(path, text)).len()
}

fn complain(file: &SourceFile, at: usize, what: impl std::fmt::Display) -> String {
    format!("src/{}:{}: {what}", file.path, line(&file.code, at))
}

/// Files that no `mod` item includes are neither compiled nor tested.
fn orphans(files: &[SourceFile]) -> Vec<String> {
    let root = |file: &SourceFile| file.module() == "lib" || BINARIES.contains(&file.module());
    let mounted: Vec<String> = files
        .iter()
        .flat_map(|parent| parent.mounts.iter().flat_map(|(name, _)| parent.child(name)))
        .collect();
    let lost = files.iter().filter(|file| !root(file) && !mounted.contains(&file.path));
    lost.map(|file| complain(file, 0, "no `mod` mounts it")).collect()
}

#[test]
fn every_file_is_mounted() {
    let complaints = orphans(&source::read(src()));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_orphan_rule_complains() {
    let file = |(path, text)| SourceFile::new(path, text);
    let files = [
        ("lib.rs", "mod a;\nmod b;"),
        ("a/mod.rs", "mod c;"),
        ("a/c.rs", "#[cfg(test)]\nmod tests;"),
        ("a/c/tests.rs", ""),
        ("b.rs", ""),
    ];
    assert!(orphans(&files.map(file)).is_empty());
    for lost in ["d.rs", "a/b.rs", "a/c/c.rs", "a/c/d.rs", "b/x.rs"] {
        let mut files = Vec::from(files.map(file));
        files.push(SourceFile::new(lost, ""));
        assert_eq!(orphans(&files).len(), 1, "{lost}");
    }
}

/// `ARCHITECTURE.md` must mention every module of `src/`.
fn unmapped(page: &str, files: &[SourceFile]) -> Vec<String> {
    let mut modules: Vec<&str> = files.iter().map(SourceFile::module).collect();
    modules.dedup();
    modules.retain(|module| {
        !["/`", "/mod.rs`", ".rs`"].iter().any(|end| page.contains(&format!("`{module}{end}")))
    });
    modules.iter().map(|module| format!("src/ARCHITECTURE.md: nothing about `{module}`")).collect()
}

#[test]
fn the_architecture_page_names_every_module() {
    let page = std::fs::read_to_string(src().join("ARCHITECTURE.md")).expect("the page");
    let complaints = unmapped(&page, &source::read(src()));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_page_rule_complains() {
    let files = ["lib.rs", "a.rs", "b/mod.rs", "b/c.rs"].map(|path| SourceFile::new(path, ""));
    assert!(unmapped("`lib.rs`, `a.rs` and `b/`", &files).is_empty());
    assert_eq!(unmapped("`lib.rs` and a, `b`", &files).len(), 2);
}
