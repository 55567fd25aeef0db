//! API bodies are types of `dto/`: the API contains no JSON literals, and the command line does not
//! read JSON fields by name.

use super::source::{SourceFile, is_word, words};
use super::{complain, complaints, hold};

/// Exceptions: API files with JSON literals.
const API_WRITES: [&str; 1] = [
    // The document consists of schemas, which are JSON.
    "api/routes/document.rs",
];

/// Calls that read a field of a JSON value by name. Files written by users are read in `config/`
/// and `domain/spec/`, so the command line needs no exception.
const READS: [&str; 3] = [".get(", ".get_mut(", ".pointer("];

fn json_literals(file: &SourceFile) -> Vec<String> {
    if file.module() != "api" || API_WRITES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let found =
        words(&file.own, "json").filter(|at| file.own[at + "json".len()..].starts_with('!'));
    found.map(|at| complain(file, at, "no `json!` in the API: a type of `dto`")).collect()
}

fn string_keys(file: &SourceFile) -> Vec<String> {
    if !["cli", "client"].contains(&file.module()) {
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
