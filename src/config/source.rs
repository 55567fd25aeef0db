//! Merges the sources of settings. Each value has its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::Value;

use super::code::{CodeSetting, CodeSettings};
use super::error::ConfigError;
use super::keys::{self, KEYS, MEMBERS, SettingKey, sections};
use super::{ENVIRONMENT_PREFIX, Sources, document};
use crate::domain::spec::closest;

/// A setting from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user wrote it, for messages: `--http`.
    pub name: String,
    /// The key that it sets: `http.listen`.
    pub key: String,
    /// As in an environment variable: text without quotes, or TOML.
    pub value: String,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File {
        name: String,
        line: usize,
    },
    Environment(String),
    Flag(String),
    /// Set by this method of the builder.
    Code(&'static str),
}

impl Origin {
    /// The origin for messages. `None` for a default.
    pub(super) fn place(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::File { name, line } => Some(format!("{name}:{line}")),
            Self::Environment(variable) => Some(variable.clone()),
            Self::Flag(flag) => Some(flag.clone()),
            Self::Code(method) => Some(format!("NodeBuilder::{method}")),
        }
    }

    /// An error at this origin.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let line = match self {
            Self::File { line, .. } => Some(*line),
            _ => None,
        };
        ConfigError { place: self.place(), line, key: key.to_owned(), message: message.into() }
    }
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub(super) struct SettingValue {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// For a list in the file: the line of each item.
    pub(super) item_lines: Vec<usize>,
}

/// The effective value of every key.
#[derive(Clone)]
pub(super) struct SettingValues(BTreeMap<String, SettingValue>);

/// Hides all values, because they may contain secrets.
impl fmt::Debug for SettingValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings")
    }
}

impl SettingValues {
    /// Applies the sources over the defaults. `None` if the file is not valid TOML, because further
    /// errors could then be misleading.
    pub(super) fn gather(sources: &Sources<'_>, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let mut out = Self(BTreeMap::new());
        for key in KEYS {
            if let Ok(value) = key.default.parse() {
                out.set(key.path(), value, Origin::Default, Vec::new());
            }
        }
        if let Some(file) = &sources.file {
            out.add_file(file, sources, errors)?;
        }
        for (variable, value) in &sources.environment {
            let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let path = rest.to_ascii_lowercase().replace("__", ".");
            out.add_text(path, value, Origin::Environment(variable.clone()), errors);
        }
        for flag in &sources.flags {
            out.add_text(flag.key.clone(), &flag.value, Origin::Flag(flag.name.clone()), errors);
        }
        Some(out)
    }

    /// Lays the settings of the embedding program over all others.
    pub(super) fn add_code(&mut self, code: CodeSettings) {
        for CodeSetting { method, key, value } in code.into_iter() {
            self.set(key.to_owned(), value, Origin::Code(method), Vec::new());
        }
    }

    /// The setting of a known key.
    pub(super) fn get(&self, path: &str) -> Option<&SettingValue> {
        self.0.get(path)
    }

    fn set(&mut self, path: String, value: Value, origin: Origin, item_lines: Vec<usize>) {
        self.0.insert(path, SettingValue { value, origin, item_lines });
    }

    fn add_file(
        &mut self,
        file: &Path,
        sources: &Sources<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<()> {
        let name = file.display().to_string();
        let text = match (sources.read_file)(file) {
            Ok(text) => text,
            Err(error) => {
                errors.push(Origin::Default.error("", format!("cannot read {name}: {error}")));
                return None;
            }
        };
        let document = document::read(&text, &keys::is_table);
        for (line, message) in &document.errors {
            errors.push(Origin::File { name: name.clone(), line: *line }.error("", message));
        }
        if !document.errors.is_empty() {
            return None;
        }
        for entry in document.entries {
            let origin = Origin::File { name: name.clone(), line: entry.line };
            if keys::find(&entry.path).is_some() {
                self.set(entry.path, entry.value, origin, entry.item_lines);
            } else {
                errors.push(origin.error(&entry.path, unknown(&entry.path)));
            }
        }
        Some(())
    }

    /// Adds an untyped value. It gets the type of the key's default.
    fn add_text(
        &mut self,
        path: String,
        text: &str,
        origin: Origin,
        errors: &mut Vec<ConfigError>,
    ) {
        let Some(default) = self.get(&path).map(|setting| &setting.value) else {
            return errors.push(origin.error(&path, unknown(&path)));
        };
        let value = match default {
            Value::String(_) => Value::String(text.to_owned()),
            // Invalid TOML stays text. Its type is rejected later.
            _ => text.parse().unwrap_or_else(|_error| Value::String(text.to_owned())),
        };
        self.set(path, value, origin, Vec::new());
    }
}

/// The error message for an unknown key.
fn unknown(path: &str) -> String {
    if keys::is_table(path) {
        return "must be a table".to_owned();
    }
    if path.starts_with(MEMBERS) {
        return format!("must be written as [[{MEMBERS}]]");
    }
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let paths: Vec<String> = KEYS.iter().map(SettingKey::path).collect();
    let inside = keys::is_table(above);
    let mut known = sections();
    if inside {
        let below = paths.iter().filter_map(|path| path.strip_prefix(above)?.strip_prefix('.'));
        known = below.filter_map(|rest| rest.split('.').next()).collect();
        known.dedup();
    }
    let what = if inside { "key" } else { "section" };
    let wanted = if inside || above.is_empty() { name } else { above };
    let last = format!(".{name}");
    let elsewhere = || paths.iter().map(String::as_str).find(|path| path.ends_with(&last));
    match closest(wanted, known.iter().copied()).or_else(elsewhere) {
        Some(near) => format!("unknown {what}; did you mean `{near}`?"),
        None => format!("unknown {what}; known here: {}", known.join(", ")),
    }
}
