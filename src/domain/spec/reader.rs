//! Reads a JSON object field by field, by name. Fields that are not read are unknown fields.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::flat::FLAT;
use super::{BodyProblem, closest};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::LocalTime;
use crate::domain::time::{Millis, Timestamp};

/// Maximum number of problems reported for one body.
const PROBLEMS_MAX: usize = 100;
/// Maximum number of characters of an invalid text that a message repeats.
const ECHO_CHARS_MAX: usize = 40;

/// A broken rule. The object that contains the value adds its place.
#[derive(Debug)]
pub(super) struct BrokenRule {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl BrokenRule {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The value does not have the type `expected`.
    pub(super) fn wrong(expected: &str, value: &Value) -> Self {
        Self::new(ErrorCode::WrongType, format!("must be {expected}, got {}", got(value)))
    }
}

/// A JSON object of the body. A missing object reads as all defaults.
pub(super) struct Object<'v, 'p> {
    fields: Option<&'v Map<String, Value>>,
    pointer: String,
    /// The names of the fields that were read.
    known: Vec<&'static str>,
    problems: &'p mut Vec<BodyProblem>,
}

impl<'v> Object<'v, '_> {
    /// Reads the object `value` with `read`, then refuses the fields that were not read.
    pub(super) fn read<T>(
        value: Option<&'v Value>,
        pointer: String,
        problems: &mut Vec<BodyProblem>,
        read: impl FnOnce(&mut Object<'v, '_>) -> T,
    ) -> T {
        let mut object = Object { fields: None, pointer, known: Vec::new(), problems };
        match value {
            Some(Value::Object(fields)) => object.fields = Some(fields),
            Some(other) => object.refuse("", BrokenRule::wrong("an object", other)),
            None => {}
        }
        let out = read(&mut object);
        object.refuse_unknown();
        out
    }

    /// Reads the object under `key` with `read`. If it is absent, all its fields are absent.
    pub(super) fn object<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Object<'v, '_>) -> T,
    ) -> T {
        let value = self.get(key);
        let pointer = format!("{}/{key}", self.pointer);
        Object::read(value, pointer, self.problems, read)
    }

    /// The value under `key`, including null.
    fn get(&mut self, key: &'static str) -> Option<&'v Value> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.fields.and_then(|fields| fields.get(key))
    }

    /// The value under `key`. Null is the same as absent.
    pub(super) fn present(&mut self, key: &'static str) -> Option<&'v Value> {
        self.get(key).filter(|value| !value.is_null())
    }

    /// The value under `key`, or `default` if it is absent.
    pub(super) fn field<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'v Value) -> Result<T, BrokenRule>,
    ) -> T {
        let value = self.get(key);
        self.checked(key, value, read).unwrap_or(default)
    }

    /// The value under `key`. None if it is null or absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'v Value) -> Result<T, BrokenRule>,
    ) -> Option<T> {
        let value = self.present(key);
        self.checked(key, value, read)
    }

    /// The value under `key`, which must exist.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'v Value) -> Result<T, BrokenRule>,
    ) -> Option<T> {
        let value = self.get(key);
        if value.is_none() && self.fields.is_some() {
            self.refuse(&format!("/{key}"), BrokenRule::new(ErrorCode::MissingField, "is needed"));
        }
        self.checked(key, value, read)
    }

    fn checked<T>(
        &mut self,
        key: &str,
        value: Option<&'v Value>,
        read: impl FnOnce(&'v Value) -> Result<T, BrokenRule>,
    ) -> Option<T> {
        match read(value?) {
            Ok(out) => Some(out),
            Err(fault) => {
                self.refuse(&format!("/{key}"), fault);
                None
            }
        }
    }

    /// The list under `key`, with each item read by `read`. None if it is absent or invalid.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'v Value) -> Result<T, BrokenRule>,
    ) -> Option<Vec<T>> {
        let items = self.field(key, None, |value| match value {
            Value::Array(items) => Ok(Some(items)),
            other => Err(BrokenRule::wrong("a list", other)),
        })?;
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            out.extend(self.checked(&format!("{key}/{index}"), Some(item), &read));
        }
        (out.len() == items.len()).then_some(out)
    }

    /// Reads an item of the list under `key` with `read`, as an object.
    pub(super) fn item<T>(
        &mut self,
        key: &str,
        index: usize,
        value: &'v Value,
        read: impl FnOnce(&mut Object<'v, '_>) -> T,
    ) -> T {
        let pointer = format!("{}/{key}/{index}", self.pointer);
        Object::read(Some(value), pointer, self.problems, read)
    }

    /// Like [`Object::list`], with at least one item.
    pub(super) fn filled_list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'v Value) -> Result<T, BrokenRule>,
    ) -> Option<Vec<T>> {
        let items = self.list(key, read)?;
        if items.is_empty() {
            self.refuse(&format!("/{key}"), BrokenRule::new(ErrorCode::Empty, "must not be empty"));
            return None;
        }
        Some(items)
    }

    /// The object under `key`, with arbitrary field names. `read` gets name and value.
    pub(super) fn map<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str, &'v Value) -> Result<T, BrokenRule>,
    ) -> BTreeMap<String, T> {
        let fields = self.field(key, None, |value| match value {
            Value::Object(fields) => Ok(Some(fields)),
            other => Err(BrokenRule::wrong("an object", other)),
        });
        let mut out = BTreeMap::new();
        for (name, value) in fields.into_iter().flatten() {
            let place = format!("{key}/{}", escape(name));
            if let Some(value) = self.checked(&place, Some(value), |value| read(name, value)) {
                out.insert(name.clone(), value);
            }
        }
        out
    }

    /// The single one of `keys` that is present. None or several are an error.
    pub(super) fn one_of(&mut self, keys: &[&'static str]) -> Option<&'static str> {
        let mut given = Vec::new();
        for key in keys {
            if self.present(key).is_some() {
                given.push(*key);
            }
        }
        if let [one] = given[..] {
            return Some(one);
        }
        if self.fields.is_some() {
            let all = keys.join(", ");
            let message = if given.is_empty() {
                format!("needs one of {all}")
            } else {
                let given = given.join(" and ");
                format!("needs exactly one of {all}, has {given} (a patch sets the other to null)")
            };
            self.refuse("", BrokenRule::new(ErrorCode::OneOf, message));
        }
        None
    }

    /// Adds a problem at `place`, a pointer relative to this object.
    pub(super) fn refuse(&mut self, place: &str, fault: BrokenRule) {
        if self.problems.len() < PROBLEMS_MAX {
            let pointer = format!("{}{place}", self.pointer);
            self.problems.push(BodyProblem { pointer, code: fault.code, message: fault.message });
        }
    }

    /// The number of problems of the body so far.
    pub(super) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    fn refuse_unknown(&mut self) {
        for key in self.fields.into_iter().flat_map(Map::keys) {
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let near = closest(key, self.known.iter().copied()).or_else(|| self.elsewhere(key));
            let message = match near {
                Some(near) => format!("unknown field; did you mean `{near}`?"),
                None => format!("unknown field; known here: {}", self.known.join(", ")),
            };
            self.refuse(
                &format!("/{}", escape(key)),
                BrokenRule::new(ErrorCode::UnknownField, message),
            );
        }
    }

    /// The correct place of fields that are often written at the top level, and of flat fields.
    fn elsewhere(&self, key: &str) -> Option<&'static str> {
        const INNER: [&str; 16] = [
            "schedule.cron",
            "schedule.interval",
            "schedule.daily",
            "schedule.weekly",
            "schedule.monthly",
            "schedule.at",
            "schedule.timezone",
            "schedule.jitter",
            "action.http",
            "action.shell",
            "action.executor",
            "action.func",
            "retry.max_retry",
            "retry.backoff",
            "assignment.strategy",
            "assignment.selector",
        ];
        let here = self.pointer.is_empty();
        let belongs = |path: &&str| path.split_once('.').is_some_and(|(_, last)| last == key);
        let inner = INNER.into_iter().find(belongs);
        let flat = FLAT.into_iter().find(|(flat, _)| *flat == key).map(|(_, canonical)| canonical);
        let near = || closest(key, FLAT.into_iter().map(|(flat, _)| flat));
        inner.or(flat).or_else(near).filter(|_| here)
    }
}

/// Escapes a key for a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value as text for messages.
pub(super) fn got(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => echo(text),
        other => other.to_string(),
    }
}

/// A text for messages: quoted, escaped and shortened.
pub(super) fn echo(text: &str) -> String {
    let short: String = text.chars().take(ECHO_CHARS_MAX).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", short.escape_debug())
}

/// Reads a text.
pub(super) fn text(value: &Value) -> Result<&str, BrokenRule> {
    value.as_str().ok_or_else(|| BrokenRule::wrong("text", value))
}

/// Reads `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, BrokenRule> {
    value.as_bool().ok_or_else(|| BrokenRule::wrong("true or false", value))
}

/// Reads an integer within bounds.
pub(super) fn whole<T: TryFrom<i64>>(
    value: &Value,
    range: RangeInclusive<i64>,
) -> Result<T, BrokenRule> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    if !value.is_i64() && !value.is_u64() {
        return Err(BrokenRule::wrong(&expected, value));
    }
    let number = value.as_i64().filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        BrokenRule::new(ErrorCode::OutOfRange, format!("must be {expected}, got {}", got(value)))
    })
}

/// Reads a duration within bounds, as text or as whole seconds.
pub(super) fn duration(value: &Value, range: RangeInclusive<Millis>) -> Result<Millis, BrokenRule> {
    let length = match value {
        Value::String(text) => Millis::parse(text).map_err(|rule| {
            BrokenRule::new(ErrorCode::InvalidDuration, format!("{rule}, got {}", echo(text)))
        })?,
        Value::Number(number) => match number.as_u64() {
            Some(secs) => Millis::from_secs(secs),
            None => {
                return Err(BrokenRule::wrong(
                    "a duration such as \"90s\", or whole seconds",
                    value,
                ));
            }
        },
        other => {
            return Err(BrokenRule::wrong("a duration such as \"90s\", or whole seconds", other));
        }
    };
    if range.contains(&length) {
        return Ok(length);
    }
    let message = format!("must be {} to {}, got {length}", range.start(), range.end());
    Err(BrokenRule::new(ErrorCode::OutOfRange, message))
}

/// Reads a timestamp.
pub(super) fn instant(value: &Value) -> Result<Timestamp, BrokenRule> {
    let text = value
        .as_str()
        .ok_or_else(|| BrokenRule::wrong("an instant such as \"2026-12-01T09:00:00Z\"", value))?;
    Timestamp::parse(text).map_err(|rule| {
        BrokenRule::new(ErrorCode::InvalidTime, format!("{rule}, got {}", echo(text)))
    })
}

/// Reads a local time of day.
pub(super) fn local_time(value: &Value) -> Result<LocalTime, BrokenRule> {
    let text =
        value.as_str().ok_or_else(|| BrokenRule::wrong("a local time such as \"02:00\"", value))?;
    LocalTime::parse(text).map_err(|rule| BrokenRule::new(ErrorCode::InvalidTime, rule))
}

/// The word of a table that this one is, if it is written with dashes.
pub(super) fn underscored(text: &str) -> String {
    text.replace('-', "_")
}

/// Reads a word that must be in a table. As in the options of the command line, it may have dashes
/// in the place of underscores.
pub(super) fn choice<T: Copy>(
    value: &Value,
    words: &'static [(&'static str, T)],
) -> Result<T, BrokenRule> {
    let all = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let text =
        value.as_str().ok_or_else(|| BrokenRule::wrong(&format!("one of {}", all()), value))?;
    let spelling = underscored(text);
    words.iter().find(|(word, _)| *word == spelling).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let hint = match closest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        BrokenRule::new(
            ErrorCode::InvalidValue,
            format!("must be one of {}, got {}{hint}", all(), echo(text)),
        )
    })
}
