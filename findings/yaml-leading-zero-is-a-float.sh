#!/usr/bin/env bash
# serde-saphyr 2.2.0: `012` read into an untyped value is the float 12.0.
#
# By YAML 1.1 it would be octal (10), by the core schema of YAML 1.2 the integer 12; many would expect
# the text, since it is a postal code or a file mode. Seen, read into serde_json::Value: a JSON number
# that is a float, so that it is written back as `12.0`; `0777` becomes 777.0 and `08` 8.0. Read into a
# String the digits stay as they are, and read into an integer it is an error. Files that people write
# by hand should be read into types, or such scalars refused.
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
serde-saphyr = { version = "=2.2.0", default-features = false, features = ["deserialize"] }
serde_json = "1"
TOML
cat > src/main.rs <<'RUST'
use std::collections::BTreeMap;

use serde_json::Value;

fn main() {
    let text = "zip: 012\nmode: 0777\nday: 08\nplain: 12\n";
    let value: Value = serde_saphyr::from_str(text).expect("a document");
    let typed: BTreeMap<String, String> = serde_saphyr::from_str(text).expect("texts");
    let number = serde_saphyr::from_str::<BTreeMap<String, u64>>("zip: 012\n");
    println!("untyped: {value}");
    println!("as text: {typed:?}");
    println!("as an integer: {}", if number.is_ok() { "taken" } else { "refused" });
    let floats = ["zip", "mode", "day"].iter().all(|key| value[*key].is_f64());
    let same = floats && value["zip"] == 12.0 && value["plain"].is_u64() && typed["zip"] == "012";
    std::process::exit(i32::from(!(same && number.is_err())));
}
RUST
cargo run --quiet
