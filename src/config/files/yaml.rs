//! Converts YAML to JSON values.
//!
//! The values come from serde-saphyr. It does not report numbers that it rounds, so the events of
//! the underlying parser are checked first. They contain every scalar as written, with its
//! position.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::complaint;
use crate::domain::spec::number;

/// Characters that start a special construct in an unquoted scalar.
const INDICATORS: [char; 8] = ['*', '@', '&', '!', '%', '`', '|', '>'];

/// Parses all documents but empty ones. Only `true` and `false` are booleans. Numbers with a leading
/// zero or with underscores stay text, as written.
///
/// # Errors
/// The problem with line and column, and the JSON pointer if it is known.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, String> {
    walk(text, refuse_rounded)?;
    values(text)
}

/// The same of a text whose author need not be trusted. Aliases, which make much of little, are refused.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_foreign(text: &str) -> Result<Vec<Value>, String> {
    walk(text, |node| {
        if node.alias {
            let (line, column) = (node.span.start.line(), node.span.start.col() + 1);
            return Err(complaint(line, column, &node.path.pointer(), "aliases are not used here"));
        }
        refuse_rounded(node)
    })?;
    values(text)
}

fn values(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        // The size of the file is limited. Aliases have limits of their own.
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// The line of each value, by document and pointer. Of what cannot be parsed, those up to there.
pub(super) fn lines(text: &str) -> BTreeMap<(usize, String), usize> {
    let mut found = BTreeMap::new();
    let _complete = walk(text, |node| {
        let begins =
            node.path.at_key() || !matches!(node.path.0.last(), Some(YamlLevel::Map { .. }));
        if begins && node.path.length() <= POINTER_MAX {
            let line = node.span.start.line();
            found.entry((node.document, node.path.pointer())).or_insert(line);
        }
        Ok(())
    });
    found
}

/// The line of a value with a longer pointer is not told, in bytes.
const POINTER_MAX: usize = 1_024;
/// How a document without a value is written.
const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// One level of the parser's position in the document.
enum YamlLevel {
    Map { key: String, at_key: bool },
    List(usize),
}

#[derive(Default)]
struct Path(Vec<YamlLevel>);

impl Path {
    fn pointer(&self) -> String {
        let part = |level: &YamlLevel| match level {
            YamlLevel::Map { key, .. } => {
                format!("/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            YamlLevel::List(index) => format!("/{index}"),
        };
        self.0.iter().map(part).collect()
    }

    /// How long the pointer is about, in bytes.
    fn length(&self) -> usize {
        let part = |level: &YamlLevel| match level {
            YamlLevel::Map { key, .. } => key.len() + 1,
            YamlLevel::List(_) => 8,
        };
        self.0.iter().map(part).sum()
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(self.0.last(), Some(YamlLevel::Map { at_key: true, .. }))
    }

    fn name(&mut self, name: &str) {
        if let Some(YamlLevel::Map { key, .. }) = self.0.last_mut() {
            name.clone_into(key);
        }
    }

    /// Called at the end of a node.
    fn done(&mut self) {
        match self.0.last_mut() {
            Some(YamlLevel::Map { at_key, .. }) => *at_key = !*at_key,
            Some(YamlLevel::List(index)) => *index += 1,
            None => {}
        }
    }
}

/// A node of a document, or a key, as the parser comes to it.
struct YamlNode<'n> {
    /// The number of the document among those that are not empty.
    document: usize,
    path: &'n Path,
    span: Span,
    /// Whether it repeats another node.
    alias: bool,
    /// Set if it is a scalar that is written without quotes and tag.
    plain: Option<&'n str>,
}

/// Shows all keys and values in order, and gives advice on text that is often left unquoted by
/// mistake.
fn walk(
    text: &str,
    mut see: impl FnMut(&YamlNode<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut path = Path::default();
    let mut documents = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let (line, column) = (error.marker().line(), error.marker().col() + 1);
            let what = format!("{}{}", error.info(), advice(text, line));
            complaint(line, column, &path.pointer(), &what)
        })?;
        let plain = match &event {
            Event::Scalar(value, ScalarStyle::Plain, _, None) => Some(&**value),
            _ => None,
        };
        if let (Event::Scalar(key, ..), true) = (&event, path.at_key()) {
            path.name(key);
        }
        let node = matches!(
            event,
            Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
        );
        if node {
            if path.0.is_empty() {
                // The root. The conversion leaves empty documents out.
                documents += usize::from(!plain.is_some_and(|text| NULLS.contains(&text)));
            }
            let document = documents.saturating_sub(1);
            let alias = matches!(event, Event::Alias(_));
            see(&YamlNode { document, path: &path, span, alias, plain })?;
        }
        match event {
            Event::Scalar(..) | Event::Alias(_) => path.done(),
            Event::SequenceStart(..) => path.0.push(YamlLevel::List(0)),
            Event::MappingStart(..) => {
                path.0.push(YamlLevel::Map { key: String::new(), at_key: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                path.0.pop();
                path.done();
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rejects numbers that the conversion would change.
fn refuse_rounded(node: &YamlNode<'_>) -> Result<(), String> {
    match node.plain.filter(|value| !node.path.at_key() && rounded(value)) {
        None => Ok(()),
        Some(value) => {
            let (line, column) = (node.span.start.line(), node.span.start.col() + 1);
            Err(complaint(line, column, &node.path.pointer(), &number::advice(value)))
        }
    }
}

/// Whether a plain scalar is a number that the conversion would round.
fn rounded(value: &str) -> bool {
    let unsigned = value.strip_prefix(['+', '-']).unwrap_or(value);
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && value.parse::<f64>().is_ok();
    let whole = unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let kept_as_text = whole && unsigned.len() > 1 && unsigned.starts_with('0');
    number && !kept_as_text && number::changes(value)
}

/// Advice for a line that begins with a character that is special in YAML.
fn advice(text: &str, line: usize) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim();
    let value = value.strip_prefix("- ").unwrap_or(value).trim();
    match value.chars().next() {
        Some(first) if INDICATORS.contains(&first) => {
            format!("; text that begins with {first} must be in quotes: \"{value}\"")
        }
        _ => String::new(),
    }
}
