//! Allowed dependencies between modules, and the modules that may use certain crates. Dependencies
//! go in one direction.

use super::source::{SourceFile, begins_path, name_at, words, words_before};
use super::{BINARIES, complain, complaints, hold};

/// The layers. A module uses only modules with lower numbers. `lib.rs` is exempt because it
/// declares all modules.
const LAYERS: [(&str, u8); 19] = [
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
    ("ui", 6),
    ("api", 7),
    ("node", 8),
    ("cli", 9),
];

/// Crates that only certain modules may use: path prefixes below `src/`, separated by spaces.
const HOMES: [(&str, &str); 24] = [
    ("axum", "api/ ui/ cli/executor/ cli/ui.rs"),
    // Commands of the log and records of the checkpoint, the shim's socket, the handshake.
    ("bincode", "domain/machine/ exec/shim/ transport/"),
    ("clap", "cli/"),
    ("clap_complete", "cli/manual.rs"),
    ("clap_mangen", "cli/manual.rs"),
    ("cron", "domain/schedule/fields.rs"),
    ("flate2", "ui/wire.rs api/tests/"),
    ("granit_parser", "config/files/"),
    ("hyper", "api/server/ client/http.rs exec/http/"),
    ("hyper_util", "api/server/ exec/http/"),
    ("imbl", "domain/machine/"),
    // Two uses of calendar arithmetic: ticks of schedules, and times entered by or shown to users.
    ("jiff", "domain/schedule/ domain/time.rs cli/ ui/clock.rs"),
    ("maud", "ui/"),
    // The binary's allocator. Embedding programs choose their own.
    ("mimalloc", "main.rs"),
    ("notify", "config/watch.rs"),
    ("openraft", "consensus/"),
    ("prometheus_client", "telemetry/"),
    ("ractor", "engine/"),
    ("raft_log", "storage/wal"),
    // Not in code that needs a seedable source: transport and consensus receive their random
    // numbers.
    ("rand", "api/ ui/ client/ node.rs cli/ consensus/runtime.rs"),
    // Schemas of the API types, and of the types of request bodies.
    ("schemars", "api/ dto/ domain/spec/bodies/ domain/time.rs"),
    ("serde_saphyr", "config/files/"),
    ("sled", "storage/sled.rs"),
    ("toml", "config/ cli/"),
];

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
        // An item in the crate's root: the facade is for external programs only.
        None => Some(complain(file, at, format!("`{name}` is not a module with a layer"))),
    });
    wrong.collect()
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

/// Whether a word denotes a crate: it begins a path, or a `use` contains it alone.
fn names_crate(file: &SourceFile, name: &str, at: usize) -> bool {
    let (before, after) = (&file.own[..at], &file.own[at + name.len()..]);
    let leads = after.starts_with("::") || before.trim_end().ends_with("use");
    // If there is a module with that name, the module is meant, unless the path begins with `::`.
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
