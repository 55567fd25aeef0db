//! A type name has one meaning in the whole workspace, including tests, so a search for it finds
//! one definition.

use std::collections::BTreeMap;
use std::path::Path;

use super::source::{self, SourceFile, item_end, line, name_at, words};

/// Source folders, relative to the workspace root.
const FOLDERS: [&str; 6] =
    ["benches", "chaos/src", "cluster-tests/src", "cluster-tests/tests", "examples", "src"];

/// Names with more than one definition, and the reason.
const ALLOWED: [(&str, &str); 1] =
    [("Life", "the feature `simulation` chooses one of two implementations")];

/// The type names that a file defines, with positions. Types that belong to a trait (`type Item` in
/// its definition or in an `impl`) are named by the trait.
fn defined(file: &SourceFile) -> Vec<(usize, &str)> {
    let code = &file.code;
    let of_traits = trait_bodies(code);
    let mut found = Vec::new();
    for keyword in ["struct", "enum", "union", "trait", "type"] {
        for at in words(code, keyword) {
            let rest = &code[at + keyword.len()..];
            let begin = at + keyword.len() + (rest.len() - rest.trim_start().len());
            let name = name_at(code, begin);
            let associated =
                keyword == "type" && of_traits.iter().any(|(from, to)| (*from..*to).contains(&at));
            if rest.starts_with(char::is_whitespace)
                && name.starts_with(char::is_uppercase)
                && !associated
            {
                found.push((at, name));
            }
        }
    }
    found
}

/// Ranges of trait definitions and implementations.
fn trait_bodies(code: &str) -> Vec<(usize, usize)> {
    let implementations = words(code, "impl").filter(|&at| {
        // In a signature `impl` denotes a type. As an item it begins a statement.
        let item = code[..at].trim_end().trim_end_matches("unsafe").trim_end();
        let item = item.is_empty() || item.ends_with(['}', ';', '{', ']']);
        let end = code[at..].find('{').map_or(code.len(), |open| at + open);
        item && words(&code[at..end], "for").any(|of| !code[at + of + 3..].starts_with('<'))
    });
    let definitions = words(code, "trait");
    implementations.chain(definitions).map(|at| (at, item_end(code, at))).collect()
}

/// Names with several definitions that are not in the table, and table entries without effect.
fn repeated(files: &[(&str, SourceFile)]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (folder, file) in files {
        for (at, name) in defined(file) {
            let place = format!("{folder}/{}:{}", file.path, line(&file.code, at));
            places.entry(name).or_default().push(place);
        }
    }
    places.retain(|_, places| places.len() > 1);
    let known = |name: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == name);
    let stale = ALLOWED.iter().filter(|(name, _)| !places.contains_key(name));
    let stale = stale.map(|(name, _)| format!("`{name}` has one definition and needs no entry"));
    let repeated = places.iter().filter(|(name, _)| !known(name));
    let repeated = repeated.map(|(name, at)| format!("`{name}` is defined in {}", at.join(", ")));
    repeated.chain(stale).collect()
}

#[test]
fn a_type_name_means_one_thing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_folder = |folder: &'static str| {
        source::read(&root.join(folder)).into_iter().map(move |file| (folder, file))
    };
    let complaints = repeated(&FOLDERS.into_iter().flat_map(in_folder).collect::<Vec<_>>());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_rule_of_names_complains() {
    let both = "#[cfg(a)]\nstruct Life;\n#[cfg(b)]\nstruct Life(u8);\n";
    for (text, found) in [
        ("struct Name;\nmod t { enum Name { A } }", 1),
        ("struct Name;\n#[cfg(test)]\nmod t { type Name = u8; }", 1),
        ("trait Name {}\nfn f() { struct Name; }", 1),
        ("struct Name; // struct Name;\nfn f() { g(\"struct Name\"); }", 0),
        ("struct Name;\nimpl A for B { type Name = u8; }", 0),
        ("struct Name;\nimpl<T: for<'a> A<'a>> A for B<T>\nwhere\n T: C,\n{ type Name = u8; }", 0),
        ("struct Name;\ntrait A { type Name; }", 0),
        ("struct Name;\nfn f(x: impl Fn()) -> u8 { for y in z {} }\ntype Name = u8;", 1),
        ("struct Name;\nimpl A for B { fn f() { struct Name; } }", 1),
        ("struct Name { r#type: Name }", 0),
    ] {
        let files = [("src", SourceFile::new("a.rs", &format!("{both}{text}")))];
        assert_eq!(repeated(&files).len(), found, "{text}: {:?}", repeated(&files));
    }
    assert_eq!(repeated(&[("src", SourceFile::new("a.rs", "struct Life;"))]).len(), 1);
}
