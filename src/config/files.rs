//! Definition files in YAML, TOML or JSON, parsed to JSON values.
//!
//! All three formats give the same values, so a task has the same meaning in each of them. Unquoted
//! text that a format would convert to another type (`no`, `012`, a date) is kept as written.
//! Values that JSON cannot represent (integers beyond 64 bits, `inf`) are rejected with their
//! location.

mod toml;
#[cfg(feature = "cli")]
mod yaml;

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::domain::spec::parse_json;

/// Maximum file size. Larger files are not plausible as handwritten definitions.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file in the format given by its extension. `-` is standard input, parsed as YAML, which
/// includes JSON.
///
/// # Errors
/// A sentence with the file and the location.
pub fn read(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let mut text = String::new();
    let reading = if path.as_os_str() == "-" {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    reading.map_err(|error| format!("{shown}: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown}: larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    parse(&text, &end.to_ascii_lowercase()).map_err(|error| format!("{shown}: {error}"))
}

/// Whether the file extension is that of a supported format.
#[must_use]
pub fn is_one(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    ["yaml", "yml", "json", "toml"].contains(&end.to_ascii_lowercase().as_str())
}

fn parse(text: &str, end: &str) -> Result<Value, String> {
    match end {
        "json" => parse_json(text).map_err(|problem| match problem.pointer.as_str() {
            "" => problem.message,
            pointer => format!("{}, at {pointer}", problem.message),
        }),
        "toml" => toml::parse(text),
        _ => yaml(text),
    }
}

#[cfg(feature = "cli")]
fn yaml(text: &str) -> Result<Value, String> {
    yaml::parse(text)
}

#[cfg(not(feature = "cli"))]
fn yaml(_text: &str) -> Result<Value, String> {
    Err("YAML is read with the feature `cli` only; write JSON or TOML".to_owned())
}

/// An error with its location: `line 3, column 5: …, at /schedule/cron`.
fn complaint(line: usize, column: usize, pointer: &str, what: &str) -> String {
    let at = if pointer.is_empty() { String::new() } else { format!(", at {pointer}") };
    format!("line {line}, column {column}: {what}{at}")
}

/// Line and column of a byte offset, both counted from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    (1 + before.matches('\n').count(), 1 + column)
}

#[cfg(test)]
mod tests;
