//! The layers of the state machine: `store`, `task`, `commands`, in this order. A file of one layer
//! does not use files of a later one, and there are no cycles between files.

use std::collections::{BTreeMap, BTreeSet};

use super::complain;
use super::source::{SourceFile, begins_path, is_word, words_before};

/// The folder to which these rules apply.
const HOME: &str = "domain/machine/";

/// From the lowest layer: storage of records, tasks, commands. The files beside these folders are
/// the inputs and outputs below all layers (`command`, `envelope`, `response`, `hint`), and the
/// code built on all layers (`state`, `persist`, `check`, `apply`). For them, only the rule against
/// cycles applies.
const ROOMS: [&str; 3] = ["store", "task", "commands"];

/// The module path of a file, relative to the folder. `None` if the file is elsewhere or for tests
/// only.
fn modules(file: &SourceFile) -> Option<Vec<&str>> {
    let path = file.path.strip_prefix(HOME)?.strip_suffix(".rs")?;
    let path = path.strip_suffix("mod").map_or(path, |folder| folder.trim_end_matches('/'));
    (!file.own.is_empty()).then(|| path.split('/').filter(|name| !name.is_empty()).collect())
}

/// The segments of the path at a position, up to the first that is not followed by `::`.
fn segments(code: &str, mut at: usize) -> Vec<&str> {
    let mut found = Vec::new();
    loop {
        let rest = &code[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        found.push(&rest[..end]);
        if end == 0 || !rest[end..].starts_with("::") {
            return found;
        }
        at += end + "::".len();
    }
}

/// The modules that a file uses, with positions.
fn named<'a>(file: &'a SourceFile, own: &[&'a str]) -> Vec<(usize, Vec<&'a str>)> {
    let code = &file.own;
    let mut found = Vec::new();
    for at in words_before(code, "crate::domain::machine::") {
        found.push((at, segments(code, at + "crate::domain::machine::".len())));
    }
    for root in ["super::", "self::"] {
        for at in words_before(code, root).filter(|&at| begins_path(code, at)) {
            let mut base = own.to_vec();
            let mut path = segments(code, at).into_iter().peekable();
            while let Some(step) = path.next_if(|step| ["super", "self"].contains(step)) {
                if step == "super" && base.pop().is_none() {
                    break;
                }
            }
            base.extend(path);
            found.push((at, base));
        }
    }
    found
}

/// Violations in the files of the folder.
pub(super) fn rooms(files: &[SourceFile]) -> Vec<String> {
    let known: BTreeMap<Vec<&str>, &SourceFile> =
        files.iter().filter_map(|file| Some((modules(file)?, file))).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let room = |modules: &[&str]| ROOMS.iter().position(|room| modules.first() == Some(room));
    for (own, file) in known.iter().filter(|(own, _)| !own.is_empty()) {
        for (at, path) in named(file, own) {
            let mut target = path.clone();
            while !target.is_empty() && !known.contains_key(&target) {
                target.pop();
            }
            let Some(other) = known.get(&target).filter(|other| other.path != file.path) else {
                continue;
            };
            if target.is_empty() || ROOMS.contains(&target.join("/").as_str()) {
                let what = "name the file in which an item stands, each in a path of its own";
                wrong.push(complain(file, at, what));
                continue;
            }
            if room(&target) > room(own) && room(own).is_some() {
                let (own, other) = (own.join("/"), target.join("/"));
                wrong.push(complain(file, at, format!("`{own}` names `{other}`, a later room")));
            }
            edges.entry(&file.path).or_default().insert(&other.path);
        }
    }
    wrong.extend(circle(&edges).map(|files| format!("src/: a circle: {}", files.join(" -> "))));
    wrong
}

/// A cycle of files that use each other, if any.
fn circle<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn follow<'a>(
        edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
        file: &'a str,
    ) -> bool {
        if let Some(begin) = way.iter().position(|seen| *seen == file) {
            way.drain(..begin);
            way.push(file);
            return true;
        }
        if !done.insert(file) {
            return false;
        }
        way.push(file);
        let next = edges.get(file);
        if next.into_iter().flatten().any(|next| follow(edges, way, done, next)) {
            return true;
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|file| {
        let mut way = Vec::new();
        follow(edges, &mut way, &mut done, file).then_some(way)
    })
}

/// Bugs are injected only into the functions of `guards`, so that no other rule of the domain
/// depends on one.
fn seeded_bugs(file: &SourceFile) -> Vec<String> {
    if file.module() != "domain" || file.path.contains("/guards") {
        return Vec::new();
    }
    let found = ["bug!", "reading!"].into_iter().flat_map(|name| file.own.match_indices(name));
    let bugs = found.filter(|(at, _)| !file.own[..*at].ends_with(is_word));
    bugs.map(|(at, name)| complain(file, at, format!("`{name}` belongs in `guards`"))).collect()
}

#[test]
fn seeded_bugs_stand_in_guards() {
    super::hold(seeded_bugs);
    for (path, text, found) in [
        ("domain/settling.rs", "fn f() { if bug!(\"a\") {} }", 1),
        ("domain/settling.rs", "fn f() { debug!(\"a\") }", 0),
        ("domain/settling/guards.rs", "fn f() { if bug!(\"a\") {} }", 0),
        ("domain/machine/commands/guards/seeded.rs", "fn f() { if bug!(\"a\") {} }", 0),
        ("engine/slots.rs", "fn f() { if bug!(\"a\") {} }", 0),
    ] {
        assert_eq!(super::complaints(seeded_bugs, path, text), found, "{path}: {text}");
    }
}

#[test]
fn rooms_are_read_in_one_direction() {
    let complaints = rooms(&super::source::read(super::src()));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_rule_of_rooms_complains() {
    let fixed = [
        ("mod.rs", "mod store; mod task; pub use task::whole::Task;"),
        ("store/mod.rs", "pub mod digest;"),
        ("store/digest.rs", "pub struct Digest;"),
        ("task/mod.rs", "pub mod whole;"),
        ("task/whole.rs", "use crate::domain::machine::store::digest::{self, Digest};"),
        ("state.rs", "use super::task::whole::Task;\nfn f(x: self::g::H) {}"),
    ];
    for (path, text, found) in [
        ("commands/pause.rs", "use super::super::state::State;", 0),
        ("task/editor.rs", "use super::whole::Task;", 0),
        ("task/editor.rs", "use super::Task;", 1),
        ("task/editor.rs", "use crate::domain::machine::Task;", 1),
        ("task/editor.rs", "use crate::domain::machine::{State, Task};", 1),
        ("task/editor.rs", "use crate::domain::machine::store::{digest};", 1),
        ("store/table.rs", "use crate::domain::machine::task::whole::Task;", 1),
        ("store/table.rs", "fn f(x: super::super::task::whole::Task) {}", 1),
        ("store/table.rs", "#[cfg(test)]\nmod t { use super::super::task::whole::Task; }", 0),
        ("store/digest.rs", "use crate::domain::machine::state::State;", 1),
    ] {
        let mut files: Vec<SourceFile> =
            fixed.iter().map(|(path, text)| made(path, text)).collect();
        files.retain(|file| file.path != format!("{HOME}{path}"));
        files.push(made(path, text));
        assert_eq!(rooms(&files).len(), found, "{path}: {text}: {:?}", rooms(&files));
    }
}

fn made(path: &str, text: &str) -> SourceFile {
    SourceFile::new(&format!("{HOME}{path}"), text)
}
