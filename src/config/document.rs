//! The settings file: its values by key, with line numbers.

use std::ops::Range;

use toml::Value;
use toml::de::{DeTable, DeValue};

/// A value in the file.
pub(super) struct DocumentEntry {
    /// The key, such as `peer.listen`.
    pub(super) path: String,
    /// Line number, counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
    /// For a list: the line of each item.
    pub(super) item_lines: Vec<usize>,
}

/// The content of a settings file.
#[derive(Default)]
pub(super) struct Document {
    pub(super) entries: Vec<DocumentEntry>,
    /// Line and message of each TOML syntax error.
    pub(super) errors: Vec<(usize, String)>,
}

/// Parses the text of a settings file. `holds_keys` decides whether a table contains keys. Other
/// tables are values, or unknown as a whole.
pub(super) fn read(text: &str, holds_keys: &dyn Fn(&str) -> bool) -> Document {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = LineIndex(text);
    let mut out = Document::default();
    for error in errors {
        let line = error.span().map_or(1, |span| lines.of(&span));
        let message = match (error.message(), error.span().and_then(|span| text.get(span))) {
            ("duplicate key", Some(key)) => format!("the key `{key}` stands twice in its table"),
            (message, _) => message.to_owned(),
        };
        out.errors.push((line, message));
    }
    walk(table.get_ref(), "", &lines, holds_keys, &mut out);
    out
}

fn walk(
    table: &DeTable<'_>,
    above: &str,
    lines: &LineIndex<'_>,
    holds_keys: &dyn Fn(&str) -> bool,
    out: &mut Document,
) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
        let line = lines.of(&key.span());
        match value.get_ref() {
            DeValue::Table(inner) if holds_keys(&path) => {
                walk(inner, &path, lines, holds_keys, out);
            }
            DeValue::Array(items) => {
                let item_lines = items.iter().map(|item| lines.of(&item.span())).collect();
                let value = plain(value.get_ref());
                out.entries.push(DocumentEntry { path, line, value, item_lines });
            }
            other => {
                let value = plain(other);
                out.entries.push(DocumentEntry { path, line, value, item_lines: Vec::new() });
            }
        }
    }
}

/// The value without locations. Numbers out of range become the nearest representable number, which
/// no setting accepts.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            let end = if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
            Value::Integer(parsed.unwrap_or(end))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(at) => Value::Datetime(*at),
        DeValue::Array(items) => Value::Array(items.iter().map(|i| plain(i.get_ref())).collect()),
        DeValue::Table(fields) => {
            let pairs = fields.iter().map(|(k, v)| (k.get_ref().to_string(), plain(v.get_ref())));
            Value::Table(pairs.collect())
        }
    }
}

/// Converts byte positions to line numbers.
struct LineIndex<'a>(&'a str);

impl LineIndex<'_> {
    fn of(&self, span: &Range<usize>) -> usize {
        let before = self.0.as_bytes().iter().take(span.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}
