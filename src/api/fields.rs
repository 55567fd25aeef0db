//! Reader for small request bodies. The known fields are those of the published type of the body; all
//! others are rejected.
//! All problems are collected in one pass.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::error_code::ErrorCode;
use crate::domain::spec::{self, closest, escape};
use crate::domain::time::Timestamp;

use crate::dto::field_names;
use crate::ops::OpError;

/// An object. An absent body is read as an object without fields.
pub(super) struct BodyFields<'v> {
    map: Option<&'v Map<String, Value>>,
    problems: RefCell<Vec<spec::BodyProblem>>,
}

impl<'v> BodyFields<'v> {
    /// Starts reading a body that may have the fields of `T`, a type of `dto/`.
    ///
    /// # Errors
    /// `wrong_type` if the body is not an object.
    pub fn of<T: DeserializeOwned>(body: Option<&'v Value>) -> Result<Self, OpError> {
        let known = field_names::<T>();
        let map = match body {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                return Err(OpError::field("", ErrorCode::WrongType, "must be a JSON object"));
            }
        };
        let fields = Self { map, problems: RefCell::new(Vec::new()) };
        for key in map.into_iter().flat_map(Map::keys) {
            if known.contains(&key.as_str()) {
                continue;
            }
            let message = match closest(key, known.iter().copied()) {
                Some(near) => format!("unknown field; did you mean `{near}`?"),
                None if known.is_empty() => "unknown field; none are known here".to_owned(),
                None => format!("unknown field; known here: {}", known.join(", ")),
            };
            fields.refuse(&format!("/{}", escape(key)), ErrorCode::UnknownField, message);
        }
        Ok(fields)
    }

    /// Adds a problem.
    pub fn refuse(&self, pointer: &str, code: ErrorCode, message: impl Into<String>) {
        let (pointer, message) = (pointer.to_owned(), message.into());
        self.problems.borrow_mut().push(spec::BodyProblem { pointer, code, message });
    }

    /// The value of a field. `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&'v Value> {
        self.map.and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }

    /// Whether the field is present, even as `null`.
    pub fn has(&self, key: &str) -> bool {
        self.map.is_some_and(|map| map.contains_key(key))
    }

    /// Adds a problem if the field is absent.
    pub fn need(&self, key: &str) -> &Self {
        if self.get(key).is_none() {
            self.refuse(&format!("/{key}"), ErrorCode::MissingField, "is needed");
        }
        self
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let read = read(value);
        if read.is_none() {
            self.refuse(&format!("/{key}"), ErrorCode::WrongType, format!("must be {expected}"));
        }
        read
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<&'v str> {
        self.typed(key, "text", Value::as_str)
    }

    /// A string of at most `bytes_max` bytes.
    pub fn short_text(&self, key: &str, bytes_max: usize) -> Option<&'v str> {
        let text = self.text(key)?;
        if text.len() > bytes_max {
            let message = format!("must have at most {bytes_max} bytes");
            self.refuse(&format!("/{key}"), ErrorCode::TooLarge, message);
            return None;
        }
        Some(text)
    }

    /// A boolean. False if absent.
    pub fn flag(&self, key: &str) -> bool {
        self.typed(key, "true or false", Value::as_bool).unwrap_or(false)
    }

    /// An instant.
    pub fn instant(&self, key: &str) -> Option<Timestamp> {
        let text = self.text(key)?;
        match Timestamp::parse(text) {
            Ok(at) => Some(at),
            Err(rule) => {
                self.refuse(&format!("/{key}"), ErrorCode::InvalidTime, rule);
                None
            }
        }
    }

    /// An integer within bounds.
    pub fn number(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.typed(key, &expected, Value::as_u64)?;
        if !range.contains(&number) {
            self.refuse(&format!("/{key}"), ErrorCode::OutOfRange, format!("must be {expected}"));
            return None;
        }
        Some(number)
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<&'v Map<String, Value>> {
        self.typed(key, "an object", Value::as_object)
    }

    /// A list.
    pub fn list(&self, key: &str) -> Option<&'v Vec<Value>> {
        self.typed(key, "a list", Value::as_array)
    }

    /// One of the given words.
    pub fn word(&self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let hint = match closest(text, words.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            let message = format!("must be one of {}{hint}", words.join(", "));
            self.refuse(&format!("/{key}"), ErrorCode::InvalidValue, message);
        }
        found
    }

    /// Finishes reading.
    ///
    /// # Errors
    /// All problems of the body.
    pub fn done(&self) -> Result<(), OpError> {
        let problems = self.problems.take();
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }
}
