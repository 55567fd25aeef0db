#!/usr/bin/env bash
# toml 1.2.1: a date read into serde_json::Value becomes a map with a private key.
#
# TOML has dates of its own, JSON has none; one would expect their text, or an error. Seen: the value is
# an object whose only key is an internal name of the crate, and the text is below it. Into a String a
# date is an error that speaks of a map. Infinity, which JSON has not either, becomes null. A program that
# reads settings or parameters through serde_json::Value hands these on unless it looks for them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
serde_json = "1"
toml = "=1.2.1"
TOML
cat > src/main.rs <<'RUST'
use std::collections::BTreeMap;

use serde_json::Value;

fn main() {
    let text = "at = 2026-12-01T09:00:00Z\nlimit = inf\n";
    let value: Value = toml::from_str(text).expect("a document");
    let typed = toml::from_str::<BTreeMap<String, String>>("at = 2026-12-01\n");
    println!("untyped: {value}");
    println!("as text: {}", typed.as_ref().map_or_else(|error| error.message().to_owned(), |_| "taken".to_owned()));
    let map = value["at"].as_object().is_some_and(|map| map.len() == 1 && map.values().all(Value::is_string));
    std::process::exit(i32::from(!(map && value["limit"].is_null() && typed.is_err())));
}
RUST
cargo run --quiet
