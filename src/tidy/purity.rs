//! Code that makes decisions is pure: the domain, and the decisions of the engine. Code that runs
//! in a simulated process spawns its tasks there.

use super::source::{SourceFile, words};
use super::{complain, complaints, hold, src};

/// Words that `domain/` may not use, with the reason. Paths in braces would escape this search, so
/// they are not used.
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

/// Exceptions to that list.
const DOMAIN_EXCEPT: [(&str, &str); 2] = [
    // Numbers of a body are passed through as written. Nothing is computed with them.
    ("domain/spec/json.rs", "f64"),
    // It checks whether a conversion would change the number.
    ("domain/spec/number.rs", "f64"),
];

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

/// Code of a simulated process must spawn its tasks in it, so these modules spawn through `life/`.
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

/// The files of the engine that make decisions. The actors execute them.
const ENGINE_DECIDES: [&str; 11] = [
    "engine/attempts.rs",
    "engine/dispatch.rs",
    "engine/judge.rs",
    "engine/limits.rs",
    "engine/observed.rs",
    "engine/residency.rs",
    "engine/settle_cycle.rs",
    "engine/sleepers.rs",
    "engine/slots.rs",
    "engine/view.rs",
    "engine/waiting.rs",
];

/// Decisions are plain functions over plain data: no waiting, sending or locking.
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
