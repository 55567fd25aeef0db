//! Task and calendar definitions from files. A file contains one definition, a list of them, or an
//! object with lists under `tasks` and `calendars`. An object with `rules` is a calendar. The
//! output of a node is also accepted: one object (`punctual show NAME -o yaml`) or a list
//! (`punctual ls -o yaml`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::files;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::{self, BodyProblem};

/// Maximum depth of nested folders.
const DEPTH_MAX: usize = 16;

/// Definitions from files.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Task bodies, each with its location.
    pub tasks: Vec<(String, Value)>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Arc<Calendar>>,
}

impl Definitions {
    /// Reads files and folders. Folders are read recursively.
    ///
    /// # Errors
    /// A sentence with the file, the location and the violated rule.
    pub fn load(paths: &[PathBuf]) -> Result<Self, String> {
        let mut found = Vec::new();
        for path in paths {
            list(path, DEPTH_MAX, &mut found)?;
        }
        let mut all = Self::default();
        for file in &found {
            all.sort(&file.display().to_string(), files::read(file)?)?;
        }
        Ok(all)
    }

    fn sort(&mut self, place: &str, value: Value) -> Result<(), String> {
        match value {
            Value::Array(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.one(format!("{place}, item {}", index + 1), item)?;
                }
            }
            Value::Object(mut fields)
                if fields.contains_key("tasks") || fields.contains_key("calendars") =>
            {
                for key in ["calendars", "tasks"] {
                    match fields.shift_remove(key) {
                        Some(Value::Array(items)) => {
                            for (index, item) in items.into_iter().enumerate() {
                                self.one(format!("{place}, {key}, item {}", index + 1), item)?;
                            }
                        }
                        None => {}
                        Some(_) => return Err(format!("{place}: {key} must be a list")),
                    }
                }
                if let Some((key, _)) = fields.iter().next() {
                    return Err(format!("{place}: {key} is unknown beside tasks and calendars"));
                }
            }
            // A list in the form of a node's response.
            Value::Object(mut fields) if fields.get("items").is_some_and(Value::is_array) => {
                let items = fields.shift_remove("items").unwrap_or_default();
                self.sort(place, items)?;
            }
            other => self.one(place.to_owned(), other)?,
        }
        Ok(())
    }

    fn one(&mut self, place: String, body: Value) -> Result<(), String> {
        if body.get("rules").is_none() {
            self.tasks.push((place, spec::definition(&body)));
            return Ok(());
        }
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        let read = spec::read_calendar(name, &spec::calendar_definition(&body));
        let calendar = read.map_err(|problems| format!("{place}: {}", told(&problems)))?;
        if self.calendars.insert(name.to_owned(), Arc::new(calendar)).is_some() {
            return Err(format!("{place}: there is another calendar {name}"));
        }
        Ok(())
    }
}

/// Formats problems as one line.
#[must_use]
pub fn told(problems: &[BodyProblem]) -> String {
    let one = |problem: &BodyProblem| match problem.pointer.as_str() {
        "" => problem.message.clone(),
        pointer => format!("{pointer} {}", problem.message),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The files of a folder and its subfolders, sorted by name, or the single file.
fn list(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Err(format!("{}: folders lie too deep", path.display()));
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut inside: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(failed)?;
    inside.sort();
    for path in inside {
        // Files with a leading dot are editor files or parts of atomically updated volumes.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && (path.is_dir() || files::is_one(&path)) {
            list(&path, depth - 1, found)?;
        }
    }
    Ok(())
}
