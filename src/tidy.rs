//! Rules about the code itself, as tests: what may name what, and how large things may grow.
//!
//! One crate has no walls inside that the compiler would guard, so these guard them. Each rule is a
//! function from source files to complaints `file:line: what`; one test holds it against the
//! sources, one shows on made-up text that it can complain. What is compiled for tests only is free
//! of the rules, except where one says otherwise.
//!
//! An exception is an entry in a table below, with its reason. Before adding one, look for the
//! layer in which the code would need none.

mod guards;
mod rooms;
mod source;

use std::path::Path;

use self::source::{SourceFile, is_word, item_end, line, words};

/// The layers: a module names only modules of lower numbers. `lib.rs` stands outside, it mounts
/// them all.
const LAYERS: [(&str, u8); 18] = [
    ("budget", 1),
    ("bugs", 0),
    ("domain", 0),
    ("clock", 1),
    ("config", 1),
    ("life", 1),
    ("telemetry", 1),
    ("storage", 2),
    ("transport", 2),
    ("exec", 2),
    ("consensus", 3),
    ("engine", 4),
    ("dto", 4),
    ("client", 5),
    ("ops", 5),
    ("api", 6),
    ("node", 7),
    ("cli", 8),
];

/// Programs of their own; they name what they want.
const BINARIES: [&str; 1] = ["main"];

/// Crates with a home: paths below `src/` by their beginning, separated by spaces.
const HOMES: [(&str, &str); 19] = [
    ("axum", "api/"),
    // The log's commands and the checkpoint's records, the shim's socket, the handshake.
    ("bincode", "domain/machine/ exec/shim/ transport/"),
    ("clap", "cli/"),
    ("cron", "domain/schedule/fields.rs"),
    ("granit_parser", "config/files/"),
    ("hyper", "api/server/ client/http.rs exec/http/"),
    ("hyper_util", "api/server/ exec/http/"),
    ("imbl", "domain/machine/"),
    // Two computations on calendars: the ticks of schedules, and times as people write them.
    ("jiff", "domain/schedule/ domain/time.rs cli/"),
    // The binary's choice; whoever embeds the library has one of their own.
    ("mimalloc", "main.rs"),
    ("openraft", "consensus/"),
    ("prometheus_client", "telemetry/"),
    ("ractor", "engine/"),
    ("raft_log", "storage/wal"),
    // Where a seed must be able to come in, none of it: transport and consensus are handed theirs.
    ("rand", "api/ client/ node.rs cli/ consensus/runtime.rs"),
    // The schemas of what goes over the API, and of the words that bodies are made of.
    ("schemars", "api/ dto/ domain/spec/bodies/ domain/time.rs"),
    ("serde_saphyr", "config/files/"),
    ("sled", "storage/sled.rs"),
    ("toml", "config/ cli/"),
];

/// What `domain/` is free of, and why. Paths in braces would hide from this, so they are written
/// out.
const DOMAIN_NEVER: [(&str, &str); 16] = [
    ("tokio", "it waits for nothing"),
    ("tracing", "it says what it has to say in its answers"),
    ("rand", "chance comes in as a number"),
    ("std::fs", "it has no disk"),
    ("std::net", "it has no network"),
    ("std::env", "it has no environment"),
    ("std::process", "it has no process"),
    ("std::thread", "it waits for nothing"),
    ("std::sync::Mutex", "it shares nothing"),
    ("std::sync::RwLock", "it shares nothing"),
    ("Instant", "time comes in as a number"),
    ("SystemTime", "time comes in as a number"),
    ("HashMap", "its order differs from node to node"),
    ("HashSet", "its order differs from node to node"),
    ("f32", "its results differ from machine to machine"),
    ("f64", "its results differ from machine to machine"),
];

/// Where `domain/` may use a word of that list after all.
const DOMAIN_EXCEPT: [(&str, &str); 2] = [
    // Numbers of a body pass through as they were written; nothing is computed with them.
    ("domain/spec/json.rs", "f64"),
    // Whether one of them would change on the way is the question.
    ("domain/spec/number.rs", "f64"),
];

/// Lines of a file, without test code.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from its name to its last bracket.
const FN_LINES_MAX: usize = 70;

/// Code that was meant to go away again; put together here so that it does not find itself.
const LEFT_OVERS: [&str; 5] =
    ["todo!", "unimplemented!", "dbg!", concat!("FIX", "ME"), concat!("XX", "X")];

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// Holds a rule against the sources.
fn hold(rule: impl Fn(&SourceFile) -> Vec<String>) {
    let files = source::read(src());
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// What a rule says of made-up text.
fn complaints(rule: impl Fn(&SourceFile) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&SourceFile::new(path, text)).len()
}

fn complain(file: &SourceFile, at: usize, what: impl std::fmt::Display) -> String {
    format!("src/{}:{}: {what}", file.path, line(&file.code, at))
}

// ---- layers

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn layers(file: &SourceFile) -> Vec<String> {
    let own = match file.module() {
        "lib" => return Vec::new(),
        _ if file.own.is_empty() => return Vec::new(),
        module if BINARIES.contains(&module) => u8::MAX,
        module => match layer(module) {
            Some(layer) => layer,
            None => return vec![complain(file, 0, format!("`{module}` has no layer"))],
        },
    };
    let here = file.module();
    let named = ["crate::", "punctual::"].into_iter().flat_map(|root| {
        words_before(&file.own, root).map(move |at| (at, name_at(&file.own, at + root.len())))
    });
    let wrong = named.filter_map(|(at, name)| match layer(name) {
        _ if name == here => None,
        Some(other) if other < own => None,
        Some(_) => Some(complain(file, at, format!("`{here}` names `{name}`, which is not below"))),
        None if name.is_empty() => Some(complain(file, at, "one module in each path, no braces")),
        // An item of the crate's root: the facade is for programs outside.
        None => Some(complain(file, at, format!("`{name}` is not a module with a layer"))),
    });
    wrong.collect()
}

/// Where a path begins with `root`.
fn words_before<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = usize> + 'a {
    let name = root.trim_end_matches(':');
    words(code, name).filter(move |&at| code[at..].starts_with(root) && begins_path(code, at))
}

/// Whether the word at a place is the first of its path; `::name` is.
fn begins_path(code: &str, at: usize) -> bool {
    code[..at].strip_suffix("::").is_none_or(|before| !before.ends_with(|c| is_word(c) || c == '>'))
}

fn name_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

#[test]
fn modules_name_only_lower_layers() {
    hold(layers);
}

#[test]
fn the_layer_rule_complains() {
    for (path, text, found) in [
        ("storage/wal.rs", "use crate::domain::ids::NodeId;", 0),
        ("storage/wal.rs", "use crate::storage::files;", 0),
        ("storage/wal.rs", "use crate::transport::Frame;", 1),
        ("domain/task.rs", "fn f() { crate::clock::now() }", 1),
        ("domain/task.rs", "// crate::clock\n#[cfg(test)]\nmod t { use crate::clock; }", 0),
        ("clock.rs", "use crate::{domain, node};", 1),
        ("node.rs", "use crate::VERSION;", 1),
        ("main.rs", "fn main() { punctual::cli::main() }", 0),
        ("lib.rs", "pub use crate::node::Node;", 0),
        ("attic/mod.rs", "fn f() {}", 1),
    ] {
        assert_eq!(complaints(layers, path, text), found, "{path}: {text}");
    }
}

// ---- crates

fn crates(file: &SourceFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, homes) in HOMES {
        if homes.split(' ').any(|home| file.path.starts_with(home)) {
            continue;
        }
        let found = words(&file.own, name).filter(|&at| names_crate(file, name, at));
        wrong.extend(found.map(|at| complain(file, at, format!("`{name}` belongs in {homes}"))));
    }
    wrong
}

/// Whether a word stands for a crate: it leads a path, or a `use` names it alone.
fn names_crate(file: &SourceFile, name: &str, at: usize) -> bool {
    let (before, after) = (&file.own[..at], &file.own[at + name.len()..]);
    let leads = after.starts_with("::") || before.trim_end().ends_with("use");
    // A module of that name is meant where there is one, unless the path begins with `::`.
    let module = file.mounts.iter().any(|(child, _)| child == name);
    leads && begins_path(&file.own, at) && (!module || before.ends_with("::"))
}

#[test]
fn crates_stay_in_their_homes() {
    hold(crates);
}

#[test]
fn the_crate_rule_complains() {
    for (path, text, found) in [
        ("consensus/log.rs", "use openraft::Raft;", 0),
        ("engine/mod.rs", "use openraft::Raft;", 1),
        ("engine/mod.rs", "use openraft;", 1),
        ("engine/mod.rs", "fn f(x: openraft::LogId, y: openraft::Vote) {}", 2),
        ("engine/mod.rs", "let x = \"openraft::core\"; // openraft::core", 0),
        ("storage/sled.rs", "use ::sled::Db;", 0),
        ("storage/mod.rs", "mod sled;\npub use sled::DiskStore;", 0),
        ("storage/mod.rs", "mod sled;\npub use ::sled::Db;", 1),
        ("storage/mod.rs", "use self::sled::DiskStore; use super::sled;", 0),
        ("storage/wal/writer.rs", "use raft_log::Config;", 0),
        ("api/mod.rs", "#[cfg(test)]\nmod t { use ractor::Actor; }", 0),
        ("domain/schedule/mod.rs", "fn f(cron: &str) { cron.len() }", 0),
    ] {
        assert_eq!(complaints(crates, path, text), found, "{path}: {text}");
    }
}

// ---- the domain

fn domain(file: &SourceFile) -> Vec<String> {
    if file.module() != "domain" {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (word, why) in DOMAIN_NEVER {
        if DOMAIN_EXCEPT.contains(&(file.path.as_str(), word)) {
            continue;
        }
        let found = words(&file.own, word);
        wrong.extend(found.map(|at| complain(file, at, format!("no `{word}` in domain: {why}"))));
    }
    for braces in ["std::{", "std::sync::{"] {
        let found = file.own.match_indices(braces);
        wrong.extend(found.map(|(at, _)| complain(file, at, "write paths of `std` out")));
    }
    wrong
}

#[test]
fn the_domain_only_decides() {
    hold(domain);
}

#[test]
fn the_domain_rule_complains() {
    for (path, text, found) in [
        ("domain/task.rs", "use std::collections::HashMap;", 1),
        ("domain/task.rs", "use std::collections::BTreeMap;", 0),
        ("domain/task.rs", "use std::time::{Duration, Instant};", 1),
        ("domain/task.rs", "use std::{fmt, fs};", 1),
        ("domain/task.rs", "fn f() { tokio::spawn(g()); }", 1),
        ("domain/task.rs", "struct BootInstant;", 0),
        ("domain/task.rs", "#[cfg(test)]\nmod t { use std::fs; }", 0),
        ("domain/spec/json.rs", "fn f(x: f64) {}", 0),
        ("engine/mod.rs", "use std::collections::HashMap;", 0),
    ] {
        assert_eq!(complaints(domain, path, text), found, "{path}: {text}");
    }
}

// ---- tasks of a node

/// What a simulated process runs must belong to it, so these spawn through `life/`.
const SPAWN_THROUGH_LIFE: [&str; 4] = ["consensus/", "engine/", "transport/", "exec/func.rs"];

fn spawns(file: &SourceFile) -> Vec<String> {
    if !SPAWN_THROUGH_LIFE.iter().any(|place| file.path.starts_with(place)) {
        return Vec::new();
    }
    let ways = ["tokio::spawn", "task::spawn", "task::spawn_blocking", "task::spawn_local"];
    let found = ways.into_iter().flat_map(|way| words(&file.own, way).map(move |at| (way, at)));
    found
        .map(|(way, at)| complain(file, at, format!("spawn through `life`, not `{way}`")))
        .collect()
}

#[test]
fn parts_of_a_simulated_process_spawn_through_life() {
    hold(spawns);
}

#[test]
fn the_spawn_rule_complains() {
    for (path, text, found) in [
        ("engine/mod.rs", "fn f() { tokio::spawn(g()); }", 1),
        ("engine/mod.rs", "use tokio::task;\nfn f() { task::spawn(g()); }", 1),
        ("exec/func.rs", "fn f() { tokio::task::spawn_blocking(g); }", 1),
        ("transport/server.rs", "fn f() { life::spawn(g()); shared.spawn(g()); }", 0),
        ("transport/server.rs", "#[cfg(test)]\nmod t { fn f() { tokio::spawn(g()); } }", 0),
        ("exec/shell/shim_connection.rs", "fn f() { tokio::spawn(g()); }", 0),
        ("node.rs", "fn f() { tokio::spawn(g()); }", 0),
    ] {
        assert_eq!(complaints(spawns, path, text), found, "{path}: {text}");
    }
}

// ---- decisions of the engine

/// What decides in the engine; the actors carry out.
const ENGINE_DECIDES: [&str; 10] = [
    "engine/attempts.rs",
    "engine/dispatch.rs",
    "engine/judge.rs",
    "engine/limits.rs",
    "engine/observed.rs",
    "engine/residency.rs",
    "engine/sleepers.rs",
    "engine/slots.rs",
    "engine/view.rs",
    "engine/waiting.rs",
];

/// Plain functions over plain data: they wait for nothing, send nothing and lock nothing.
fn decisions(file: &SourceFile) -> Vec<String> {
    if !ENGINE_DECIDES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let never = ["tokio", "ractor", "parking_lot", "Mutex", "async"];
    let found = never.into_iter().flat_map(|word| words(&file.own, word).map(move |at| (word, at)));
    found.map(|(word, at)| complain(file, at, format!("no `{word}` where is decided"))).collect()
}

#[test]
fn decisions_of_the_engine_are_pure() {
    hold(decisions);
    for path in ENGINE_DECIDES {
        assert!(src().join(path).exists(), "{path}");
    }
}

#[test]
fn the_decision_rule_complains() {
    for (path, text, found) in [
        ("engine/slots.rs", "use tokio::time::Instant;", 1),
        ("engine/judge.rs", "use parking_lot::Mutex;", 2),
        ("engine/residency.rs", "use ractor::ActorRef;\nasync fn f() {}", 2),
        ("engine/dispatch.rs", "use std::collections::BTreeMap;", 0),
        ("engine/context.rs", "use parking_lot::Mutex;", 0),
        ("engine/slots.rs", "#[cfg(test)]\nmod t { use tokio::test; }", 0),
    ] {
        assert_eq!(complaints(decisions, path, text), found, "{path}: {text}");
    }
}

// ---- form; holds for tests too where it says nothing else

fn introduced(file: &SourceFile) -> Vec<String> {
    let introduced = file.text.starts_with("//! ");
    (!introduced).then(|| complain(file, 0, "begins without `//! `")).into_iter().collect()
}

/// Test code does not count.
fn file_length(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count() - file.test_lines;
    let long = lines > FILE_LINES_MAX;
    long.then(|| complain(file, 0, format!("{lines} lines of at most {FILE_LINES_MAX}")))
        .into_iter()
        .collect()
}

/// Test functions do not count: a story may be long.
fn fn_length(file: &SourceFile) -> Vec<String> {
    let code = &file.own;
    // `fn(u8)` is a type, `fn name` begins an item.
    let begins = words(code, "fn").filter(|&at| code[at..].starts_with("fn "));
    let long = begins.filter_map(|at| {
        let lines = line(code, item_end(code, at)) - line(code, at) + 1;
        let name = name_at(code, at + "fn ".len());
        let what = format!("`{name}` has {lines} lines of at most {FN_LINES_MAX}");
        (lines > FN_LINES_MAX).then(|| complain(file, at, what))
    });
    long.collect()
}

fn left_over(file: &SourceFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for word in LEFT_OVERS {
        // Macros are looked for in code, words in comments too.
        let text = if word.ends_with('!') { &file.code } else { &file.text };
        let found = text.match_indices(word).filter(|(at, _)| !text[..*at].ends_with(is_word));
        wrong.extend(
            found.map(|(at, _)| {
                format!("src/{}:{}: `{word}` is left over", file.path, line(text, at))
            }),
        );
    }
    wrong
}

#[test]
fn files_say_what_they_are() {
    hold(introduced);
}

#[test]
fn files_are_short() {
    hold(file_length);
}

#[test]
fn functions_are_short() {
    hold(fn_length);
}

#[test]
fn nothing_is_left_over() {
    hold(left_over);
}

#[test]
fn the_rules_of_form_complain() {
    assert_eq!(complaints(introduced, "a.rs", "//! What it is.\n"), 0);
    assert_eq!(complaints(introduced, "a.rs", "use std::fmt;\n"), 1);

    let lines = |count: usize| "a();\n".repeat(count);
    let with_tests = format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", lines(500), lines(500));
    assert_eq!(complaints(file_length, "a.rs", &lines(500)), 0);
    assert_eq!(complaints(file_length, "a.rs", &lines(501)), 1);
    assert_eq!(complaints(file_length, "a.rs", &with_tests), 0);

    let function = |count: usize| format!("fn f(x: [u8; 4]) {{\n{}}}\n", lines(count));
    assert_eq!(complaints(fn_length, "a.rs", &function(68)), 0);
    assert_eq!(complaints(fn_length, "a.rs", &function(69)), 1);
    assert_eq!(complaints(fn_length, "a.rs", &format!("fn g();\n{}", function(68))), 0);
    let in_tests = format!("#[cfg(test)]\nmod t {{\n{}}}\n", function(90));
    assert_eq!(complaints(fn_length, "a.rs", &in_tests), 0);

    for word in LEFT_OVERS {
        assert_eq!(complaints(left_over, "a.rs", &format!("fn f() {{ {word}(x) }}")), 1, "{word}");
    }
    assert_eq!(complaints(left_over, "a.rs", &format!("// {} this", LEFT_OVERS[3])), 1);
    assert_eq!(complaints(left_over, "a.rs", "fn f() { my_dbg!(x) }"), 0);
}

// ---- the whole

/// Files that no `mod` reaches are neither compiled nor tested.
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

/// The page names every module of `src/`, so that the map cannot rot.
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
