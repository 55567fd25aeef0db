//! Definition files in YAML, TOML or JSON, parsed to JSON values.
//!
//! All three formats give the same values, so a task has the same meaning in each of them. Unquoted
//! text that a format would convert to another type (`no`, `012`, a date) is kept as written.
//! Values that JSON cannot represent (integers beyond 64 bits, `inf`) are rejected with their
//! location. What a file says is found again by [`FileLines`], so that a rule that is broken can be
//! told with its line.

mod toml;
#[cfg(feature = "cli")]
mod yaml;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::domain::spec::parse_json;

/// Maximum file size. Larger files are not plausible as definitions.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file that was read.
#[derive(Debug)]
pub struct DefinitionFile {
    /// How it is called in messages.
    pub name: String,
    /// Its documents. Only YAML has several, or none.
    pub documents: Vec<Value>,
    text: String,
    end: String,
}

impl DefinitionFile {
    /// Reads a file in the format given by its extension. `-` is standard input, parsed as YAML,
    /// which includes JSON.
    ///
    /// # Errors
    /// A sentence with the file and the location.
    pub fn read(path: &Path) -> Result<Self, String> {
        let standard = path.as_os_str() == "-";
        let name = if standard { "stdin".to_owned() } else { path.display().to_string() };
        let mut text = String::new();
        let reading = if standard {
            std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
        } else {
            std::fs::File::open(path)
                .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        };
        reading.map_err(|error| format!("{name}: {error}"))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{name}: larger than {} MiB", FILE_BYTES_MAX >> 20));
        }
        let end = extension(path);
        let documents = parse(&text, &end).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { name, documents, text, end })
    }

    /// Where its values are. The text is parsed again, since few readers ask.
    #[must_use]
    pub fn lines(&self) -> FileLines {
        FileLines(match self.end.as_str() {
            "toml" => toml::lines(&self.text),
            _ => yaml_lines(&self.text),
        })
    }
}

/// The line of each value of a file, by document and JSON pointer.
#[derive(Debug)]
pub struct FileLines(BTreeMap<(usize, String), usize>);

impl FileLines {
    /// The line of a value, or of the nearest one around it that is written.
    #[must_use]
    pub fn of(&self, document: usize, pointer: &str) -> Option<usize> {
        let mut pointer = pointer.to_owned();
        loop {
            if let Some(line) = self.0.get(&(document, pointer.clone())) {
                return Some(*line);
            }
            pointer.truncate(pointer.rfind('/')?);
        }
    }
}

/// Reads a file that has one value. An empty one is null.
///
/// # Errors
/// A sentence with the file and the location.
#[cfg(feature = "cli")]
pub fn read(path: &Path) -> Result<Value, String> {
    let mut file = DefinitionFile::read(path)?;
    if file.documents.len() > 1 {
        let line = file.lines().of(1, "").map(|line| format!("line {line}: "));
        return Err(format!(
            "{}: {}a second document begins; one is meant here",
            file.name,
            line.unwrap_or_default()
        ));
    }
    Ok(file.documents.pop().unwrap_or_default())
}

/// Reads a text that has one value: YAML without aliases, which includes JSON. An empty one is null.
/// Without the feature `cli` it is JSON.
///
/// # Errors
/// A sentence with the location.
pub fn read_text(text: &str) -> Result<Value, String> {
    let mut documents = foreign(text)?;
    if documents.len() > 1 {
        return Err("a second document begins; one is meant here".to_owned());
    }
    Ok(documents.pop().unwrap_or_default())
}

/// Where the values of such a text are.
#[must_use]
pub fn lines_of(text: &str) -> FileLines {
    FileLines(yaml_lines(text))
}

/// Writes a value in the format that [`read_text`] reads.
#[must_use]
pub fn write_text(value: &Value) -> String {
    #[cfg(feature = "cli")]
    return crate::config::yaml::write(value);
    #[cfg(not(feature = "cli"))]
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Whether the file extension is that of a supported format.
#[must_use]
pub fn is_one(path: &Path) -> bool {
    ["yaml", "yml", "json", "toml"].contains(&extension(path).as_str())
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn parse(text: &str, end: &str) -> Result<Vec<Value>, String> {
    match end {
        "json" => parse_json(text).map(|value| vec![value]).map_err(|problem| {
            match problem.pointer.as_str() {
                "" => problem.message,
                pointer => format!("{}, at {pointer}", problem.message),
            }
        }),
        "toml" => toml::parse(text).map(|value| vec![value]),
        _ => yaml(text),
    }
}

/// A text that comes over the network.
#[cfg(feature = "cli")]
fn foreign(text: &str) -> Result<Vec<Value>, String> {
    yaml::parse_foreign(text)
}

#[cfg(not(feature = "cli"))]
fn foreign(text: &str) -> Result<Vec<Value>, String> {
    parse(text, "json")
}

#[cfg(feature = "cli")]
fn yaml(text: &str) -> Result<Vec<Value>, String> {
    yaml::parse(text)
}

#[cfg(not(feature = "cli"))]
fn yaml(_text: &str) -> Result<Vec<Value>, String> {
    Err("YAML is read with the feature `cli` only; write JSON or TOML".to_owned())
}

/// JSON is YAML, so this also finds the lines of JSON.
#[cfg(feature = "cli")]
fn yaml_lines(text: &str) -> BTreeMap<(usize, String), usize> {
    yaml::lines(text)
}

#[cfg(not(feature = "cli"))]
fn yaml_lines(_text: &str) -> BTreeMap<(usize, String), usize> {
    BTreeMap::new()
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
