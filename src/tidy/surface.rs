//! API bodies are types of `dto/`: the API contains no JSON literals, and the command line does not
//! read JSON fields by name. Operations know nothing of routes.

use super::source::{SourceFile, is_word, name_at, words};
use super::{complain, complaints, hold};

/// Exceptions: API files with JSON literals.
const API_WRITES: [&str; 1] = [
    // The document consists of schemas, which are JSON.
    "api/routes/document.rs",
];

/// Calls that read a field of a JSON value by name. Files written by users are read in `config/`
/// and `domain/spec/`, so the command line needs no exception.
const READS: [&str; 4] = [".get(", ".get_mut(", ".pointer(", ".contains_key("];

/// Exceptions: files that look for a field by name.
const CLI_READS: [&str; 1] = [
    // A shown value of any type gets the name of its task, unless it has a name.
    "cli/output.rs",
];

fn json_literals(file: &SourceFile) -> Vec<String> {
    if file.module() != "api" || API_WRITES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let found =
        words(&file.own, "json").filter(|at| file.own[at + "json".len()..].starts_with('!'));
    found.map(|at| complain(file, at, "no `json!` in the API: a type of `dto`")).collect()
}

fn string_keys(file: &SourceFile) -> Vec<String> {
    if !["cli", "client"].contains(&file.module()) || CLI_READS.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let code = &file.own;
    // Literals are blanked: `"key"` becomes spaces.
    let literal = |at: usize, end: char| {
        let inside = code[at..].split(end).next().unwrap_or_default();
        !inside.is_empty() && inside.chars().all(char::is_whitespace)
    };
    let calls = READS.into_iter().flat_map(|call| {
        let found = code.match_indices(call).map(move |(at, _)| at);
        found.filter(move |at| literal(at + call.len(), ')'))
    });
    let indexed = code.match_indices('[').map(|(at, _)| at).filter(|&at| {
        let of_value = code[..at].ends_with(|c| is_word(c) || c == ')' || c == ']');
        of_value && literal(at + 1, ']')
    });
    let found = calls.chain(indexed);
    found.map(|at| complain(file, at, "no field by a string: a type of `dto`")).collect()
}

/// The bodies and paths of other schedulers are a matter of the API: operations know neither, so that
/// both kinds of routes do the same.
fn foreign_routes(files: &[SourceFile]) -> Vec<String> {
    let bodies = files.iter().find(|file| file.path == "dto/compat.rs");
    let items = ["pub struct ", "pub enum "];
    let foreign: Vec<&str> = bodies
        .iter()
        .flat_map(|file| items.iter().map(|item| (file.own.as_str(), *item)))
        .flat_map(|(code, item)| {
            code.match_indices(item).map(move |(at, _)| (code, at + item.len()))
        })
        .map(|(code, at)| name_at(code, at))
        .collect();
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.module() == "ops") {
        for name in &foreign {
            let found = words(&file.own, name);
            wrong.extend(found.map(|at| complain(file, at, format!("`{name}` belongs in `api/`"))));
        }
        // A path is a literal, which is blank in the code.
        let paths = file.text.match_indices("/api/");
        wrong.extend(paths.map(|(at, _)| complain(file, at, "no path of the API in `ops/`")));
        let named = |module: &'static str| {
            words(&file.own, module).filter(|at| file.own[at + module.len()..].starts_with("::"))
        };
        let modules = ["api", "compat"].into_iter().flat_map(named);
        wrong.extend(modules.map(|at| complain(file, at, "`ops/` knows no routes")));
    }
    wrong
}

#[test]
fn operations_know_no_routes_of_other_schedulers() {
    let complaints = foreign_routes(&super::source::read(super::src()));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    for (text, found) in [
        ("use crate::dto::{SchedulerView, TaskView};", 0),
        ("use crate::dto::CronTasksView;", 1),
        ("fn f(x: JobView, y: Vec<JobView>) {}", 2),
        ("fn f(path: &str) -> bool { path.starts_with(\"/api/cron\") }", 1),
        ("const P: [&str; 2] = [\"/api/v1/scheduler\", \"/api/v1/executors/register\"];", 2),
        ("use crate::api::compat::history;", 2),
        ("use super::super::dto::compat::CronRunView;", 1),
        ("struct NoJobView;", 0),
    ] {
        let files = [
            ("dto/compat.rs", "pub struct CronTasksView {}\npub enum JobView { A }"),
            ("ops/tasks.rs", text),
        ];
        let files = files.map(|(path, text)| SourceFile::new(path, text));
        assert_eq!(foreign_routes(&files).len(), found, "{text}");
    }
}

#[test]
fn the_api_writes_types() {
    hold(json_literals);
}

#[test]
fn the_command_line_reads_types() {
    hold(string_keys);
}

#[test]
fn the_rules_of_the_surface_complain() {
    for (path, text, found) in [
        ("api/bench.rs", "fn f() -> Value { json!({}) }", 1),
        ("api/bench.rs", "fn f() { serde_json::json!([1]) }", 1),
        ("api/bench.rs", "fn f() { json(1); Json(x) } // json!", 0),
        ("api/bench.rs", "#[cfg(test)]\nmod t { fn f() { json!(1) } }", 0),
        ("ops/bench.rs", "fn f() { json!(1) }", 0),
        (API_WRITES[0], "fn f() { json!(1) }", 0),
    ] {
        assert_eq!(complaints(json_literals, path, text), found, "{path}: {text}");
    }
    for (path, text, found) in [
        ("cli/words.rs", r#"fn f(v: &Value) { v.get("name"); }"#, 1),
        ("cli/words.rs", r#"fn f(v: &Value) { v["name"]["x"].pointer("/a") }"#, 3),
        ("cli/words.rs", r#"fn f(v: &Value) { g(v)["name"] }"#, 1),
        ("cli/words.rs", r#"fn f(v: &Value) { v.get(key); v.get(0); v[0]; cell.get() }"#, 0),
        ("cli/words.rs", r#"fn f() { path(["tasks"]); vec!["a"]; for x in ["a"] {} }"#, 0),
        ("cli/words.rs", "#[cfg(test)]\nmod t { fn f() { v[\"a\"] } }", 0),
        ("client/error.rs", r#"fn f(v: &Value) { v["name"] }"#, 1),
        ("ops/why.rs", r#"fn f(v: &Value) { v["name"] }"#, 0),
    ] {
        assert_eq!(complaints(string_keys, path, text), found, "{path}: {text}");
    }
}
