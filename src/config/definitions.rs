//! Tasks and calendars from files. A file holds one of either, a list of them, or an object with
//! both under `tasks` and `calendars`; what has `rules` is a calendar. Answers of a node do as
//! well, one (`punctual show NAME -o yaml`) or a list of them (`punctual ls -o yaml`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::files;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::{self, BodyProblem};

/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// What files define.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Bodies of tasks, each with its place.
    pub tasks: Vec<(String, Value)>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Arc<Calendar>>,
}

impl Definitions {
    /// Reads files and folders, these with all that is in them.
    ///
    /// # Errors
    /// A sentence that names the file, the place and the rule.
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
            // A list as a node answers it.
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

/// Problems in one line.
#[must_use]
pub fn told(problems: &[BodyProblem]) -> String {
    let one = |problem: &BodyProblem| match problem.pointer.as_str() {
        "" => problem.message.clone(),
        pointer => format!("{pointer} {}", problem.message),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The files of a folder and its folders, by name; or the one file.
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
        // Names with a dot in front are those of editors, and of volumes that are changed at once.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && (path.is_dir() || files::is_one(&path)) {
            list(&path, depth - 1, found)?;
        }
    }
    Ok(())
}
