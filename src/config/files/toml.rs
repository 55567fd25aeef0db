//! Converts TOML to JSON values.

use std::collections::BTreeMap;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use serde_json::{Map, Value};

use super::{complaint, place};
use crate::domain::spec::number;

/// Parses a document. Dates and times become strings with their original text.
///
/// # Errors
/// The problem, with line, column and JSON pointer.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    TomlReader { text }.table(table.get_ref(), "")
}

/// The line of each value, by document, of which there is one, and pointer.
pub(super) fn lines(text: &str) -> BTreeMap<(usize, String), usize> {
    let mut found = TomlLines {
        ends: text.match_indices('\n').map(|(at, _)| at).collect(),
        found: BTreeMap::from([((0, String::new()), 1)]),
    };
    if let Ok(table) = DeTable::parse(text) {
        found.table(table.get_ref(), "");
    }
    found.found
}

struct TomlLines {
    /// Where the lines end.
    ends: Vec<usize>,
    found: BTreeMap<(usize, String), usize>,
}

impl TomlLines {
    fn add(&mut self, pointer: &str, start: usize) {
        let line = 1 + self.ends.partition_point(|end| *end < start);
        self.found.insert((0, pointer.to_owned()), line);
    }

    fn table(&mut self, table: &DeTable<'_>, pointer: &str) {
        for (key, value) in table {
            let below = below(pointer, key.get_ref());
            self.add(&below, key.span().start);
            self.value(value.get_ref(), &below);
        }
    }

    fn value(&mut self, value: &DeValue<'_>, pointer: &str) {
        match value {
            DeValue::Table(table) => self.table(table, pointer),
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let below = format!("{pointer}/{at}");
                    self.add(&below, item.span().start);
                    self.value(item.get_ref(), &below);
                }
            }
            _ => {}
        }
    }
}

/// The pointer of a key in a table.
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

struct TomlReader<'t> {
    text: &'t str,
}

impl TomlReader<'_> {
    fn table(&self, table: &DeTable<'_>, pointer: &str) -> Result<Value, String> {
        let mut out = Map::new();
        for (key, value) in table {
            let key = key.get_ref();
            let below = below(pointer, key);
            out.insert(key.to_string(), self.value(value, &below)?);
        }
        Ok(Value::Object(out))
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, pointer: &str) -> Result<Value, String> {
        let refuse = |what: String| {
            let (line, column) = place(self.text, value.span().start);
            Err(complaint(line, column, pointer, &what))
        };
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let (digits, radix) = (number.as_str(), number.radix());
                let signed = i64::from_str_radix(digits, radix).map(Value::from);
                match signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from)) {
                    Ok(number) => number,
                    Err(_) => return refuse(number::advice(&number.to_string())),
                }
            }
            DeValue::Float(written) => {
                let text = written.as_str();
                let number = text.parse().ok().and_then(serde_json::Number::from_f64);
                match number {
                    Some(number) if !number::changes(text) => Value::Number(number),
                    Some(_) => return refuse(number::advice(text)),
                    None => {
                        return refuse(format!(
                            "{text} is no number that can be kept; leave it out"
                        ));
                    }
                }
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(at) => {
                let written = self.text.get(value.span());
                Value::String(written.map_or_else(|| at.to_string(), str::to_owned))
            }
            DeValue::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(at, item)| self.value(item, &format!("{pointer}/{at}")));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table, pointer)?,
        })
    }
}
