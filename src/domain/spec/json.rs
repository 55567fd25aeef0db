//! Converts JSON text to a value, more strictly than serde: a duplicate key would silently lose one
//! of its values, and unlimited nesting would exhaust the stack.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::BodyProblem;
use super::number;
use super::reader::escape;
use crate::domain::error_code::ErrorCode;

/// Maximum nesting depth of objects and lists.
const DEPTH_MAX: usize = 64;

/// Reads JSON text. Refuses duplicate keys, text after the value, nesting deeper than 64, and
/// numbers that cannot be represented exactly.
///
/// # Errors
/// The first problem, with line and column.
pub fn parse_json(text: &str) -> Result<Value, BodyProblem> {
    let found = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let root = JsonPlace { above: None, token: Token::Root, depth: 0, found: &found };
    let value = root.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    let value = value.map_err(|error| {
        let (code, pointer) = found.take().unwrap_or((ErrorCode::InvalidJson, String::new()));
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        let message = format!("line {}, column {}: {what}", error.line(), error.column());
        BodyProblem { pointer, code, message }
    })?;
    match changed_number(text) {
        None => Ok(value),
        Some((at, pointer, literal)) => {
            let before = text.get(..at).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.rsplit('\n').next().map_or(0, |line| line.chars().count());
            let message = format!("line {line}, column {column}: {}", number::advice(literal));
            Err(BodyProblem { pointer, code: ErrorCode::InexactNumber, message })
        }
    }
}

/// The first number in valid JSON text that would change: its position, its pointer, and its text.
/// The deserializer does not return the original text of a number.
fn changed_number(text: &str) -> Option<(usize, String, &str)> {
    enum JsonLevel<'a> {
        Object { key: &'a str, at_key: bool },
        List(usize),
    }
    let mut levels: Vec<JsonLevel<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let mut len = 1;
        match byte {
            b'{' => levels.push(JsonLevel::Object { key: "", at_key: true }),
            b'[' => levels.push(JsonLevel::List(0)),
            b'}' | b']' => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(JsonLevel::Object { at_key, .. }) => *at_key = true,
                Some(JsonLevel::List(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                len = string_len(text.get(at..)?);
                if let Some(JsonLevel::Object { key, at_key: at_key @ true }) = levels.last_mut() {
                    (*key, *at_key) = (text.get(at..at + len)?, false);
                }
            }
            b'-' | b'0'..=b'9' => {
                let rest = text.get(at..)?;
                let part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                len = rest.find(|c| !part(c)).unwrap_or(rest.len());
                let literal = rest.get(..len)?;
                if number::changes(literal) {
                    let pointer = levels.iter().map(|level| match level {
                        JsonLevel::Object { key, .. } => {
                            let key: String = serde_json::from_str(key).unwrap_or_default();
                            format!("/{}", escape(&key))
                        }
                        JsonLevel::List(index) => format!("/{index}"),
                    });
                    return Some((at, pointer.collect(), literal));
                }
            }
            _ => {}
        }
        at += len;
    }
    None
}

/// Length in bytes of the string at the start of the text, including its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The place of a value in the text. It deserializes the value.
struct JsonPlace<'a> {
    above: Option<&'a JsonPlace<'a>>,
    token: Token<'a>,
    depth: usize,
    /// Code and pointer of the problem that stopped the reading, if this module found it.
    found: &'a RefCell<Option<(ErrorCode, String)>>,
}

enum Token<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> JsonPlace<'a> {
    fn below<'b>(&'b self, token: Token<'b>) -> JsonPlace<'b> {
        JsonPlace { above: Some(self), token, depth: self.depth + 1, found: self.found }
    }

    fn pointer(&self) -> String {
        let mut out = self.above.map_or_else(String::new, JsonPlace::pointer);
        match self.token {
            Token::Root => {}
            Token::Key(key) => out.push_str(&format!("/{}", escape(key))),
            Token::Index(index) => out.push_str(&format!("/{index}")),
        }
        out
    }

    fn fail<E: Error>(&self, code: ErrorCode, message: String) -> E {
        *self.found.borrow_mut() = Some((code, self.pointer()));
        E::custom(message)
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(self.fail(ErrorCode::TooDeep, format!("nested deeper than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for JsonPlace<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonPlace<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.below(Token::Index(list.len())))? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let below = self.below(Token::Key(&key));
            if map.contains_key(&key) {
                return Err(
                    below.fail(ErrorCode::DuplicateKey, format!("the key `{key}` stands twice"))
                );
            }
            let value = access.next_value_seed(below)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse_json;

    #[test]
    fn json_is_read_as_it_stands() {
        let text = r#" {"b": [1, -2, 0.5, true, null, "x\u00e9"], "a": {"b": {}},
            "n": 18446744073709551615} "#;
        let want = json!({"b": [1, -2, 0.5, true, null, "xé"], "a": {"b": {}}, "n": u64::MAX});
        let value = parse_json(text).unwrap();
        assert_eq!(value, want);
        assert_eq!(value.to_string(), want.to_string(), "keys keep their order");
    }

    #[test]
    fn problems_name_line_column_and_pointer() {
        for (text, code, pointer, message) in [
            ("", "invalid_json", "", "line 1, column 0: EOF while parsing a value"),
            ("{\n \"a\": }", "invalid_json", "", "line 2, column 7: expected value"),
            ("{} x", "invalid_json", "", "line 1, column 4: trailing characters"),
            (
                "{\"a\": 1,\n\"a\": 2}",
                "duplicate_key",
                "/a",
                "line 2, column 3: the key `a` stands twice",
            ),
            (
                r#"{"x/y": [0, {"k": 1, "k": 1}]}"#,
                "duplicate_key",
                "/x~1y/1/k",
                "line 1, column 24: the key `k` stands twice",
            ),
            ("[1,]", "invalid_json", "", "line 1, column 4: trailing comma"),
            ("NaN", "invalid_json", "", "line 1, column 1: expected value"),
            ("1e999", "invalid_json", "", "line 1, column 5: number out of range"),
        ] {
            let problem = parse_json(text).unwrap_err();
            assert_eq!(
                (problem.code.as_str(), problem.pointer.as_str()),
                (code, pointer),
                "{text}"
            );
            assert_eq!(problem.message, message, "{text}");
        }
    }

    #[test]
    fn numbers_that_would_change_are_refused_with_their_place() {
        for (text, pointer, message) in [
            (
                r#"{"a": [1, {"b/c": 20180814033133082000}]}"#,
                "/a/1/b~1c",
                "line 1, column 19: 20180814033133082000 would be changed",
            ),
            ("[0.5,\n -9223372036854775809]", "/1", "line 2, column 2: -9223372036854775809 would"),
            ("3.14159265358979323846", "", "line 1, column 1: 3.14159265358979323846 would"),
            (r#"{"\u00e9\"": {}, "k": 1e-400}"#, "/k", "line 1, column 23: 1e-400 would"),
            (r#"{"x\"1": 9007199254740993.0}"#, "/x\"1", "line 1, column 10: 9007199254740993.0"),
        ] {
            let problem = parse_json(text).unwrap_err();
            assert_eq!(
                (problem.code.as_str(), problem.pointer.as_str()),
                ("inexact_number", pointer),
                "{text}"
            );
            assert!(problem.message.starts_with(message), "{text}: {}", problem.message);
            assert!(problem.message.ends_with("write it as text in quotes"), "{}", problem.message);
        }
        for text in [
            r#"["20180814033133082000", {"99999999999999999999": 18446744073709551615}, -0, 1.50]"#,
            r#"{"a\\": "\"99999999999999999999", "b": 1e3}"#,
        ] {
            assert!(parse_json(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_json(&nested(64)).is_ok());
        assert_eq!(parse_json(&nested(65)).unwrap_err().code.as_str(), "too_deep");
        assert_eq!(parse_json(&nested(100_000)).unwrap_err().code.as_str(), "too_deep");
    }
}
