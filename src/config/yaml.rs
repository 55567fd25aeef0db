//! Writes JSON values as YAML in block style. Strings that could be read as another type are
//! quoted.

use serde_json::{Map, Value};

/// Words that some YAML versions read as something other than a string.
const WORDS: [&str; 12] =
    ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];

/// The value as a YAML document with a trailing newline.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a value at the beginning of a line, indented by `depth` levels.
fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => object(fields, depth, out),
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(depth, out);
                out.push('-');
                match item {
                    // The first field of an object is on the line of the dash.
                    Value::Object(fields) if !fields.is_empty() => {
                        let mut inner = String::new();
                        object(fields, depth + 1, &mut inner);
                        out.push(' ');
                        out.push_str(inner.trim_start_matches(' '));
                    }
                    other => after_key(other, depth, out),
                }
            }
        }
        other => out.push_str(&scalar(other)),
    }
}

fn object(fields: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in fields {
        indent(depth, out);
        out.push_str(&text(key));
        out.push(':');
        after_key(value, depth, out);
    }
}

/// Writes a value after a key or a dash, with the newline.
fn after_key(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn indent(depth: usize, out: &mut String) {
    out.push_str(&"  ".repeat(depth));
}

/// A value on one line. JSON is valid YAML, so values that need escaping are written as JSON.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(plain) => text(plain),
        other => other.to_string(),
    }
}

fn text(text: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || "_-./@+".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let plain = begins && text.chars().all(simple);
    if plain && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // JSON escapes fewer characters than YAML demands.
    let odd = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    let quoted = Value::String(text.to_owned()).to_string();
    let escaped = |c: char| match odd(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    quoted.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::write;

    #[test]
    fn values_are_written_in_block_style() {
        let value = json!({
            "name": "nightly-report", "on": true, "five": 5, "none": null, "empty": {}, "list": [],
            "text": "a: b", "lines": "a\nb", "yes": "yes", "number": "12", "time": "12:00",
            "deep": {"a": [1, {"b": 2, "c": [3]}, [4, 5], "x"]},
        });
        let expected = "\
name: nightly-report
\"on\": true
five: 5
none: null
empty: {}
list: []
text: \"a: b\"
lines: \"a\\nb\"
\"yes\": \"yes\"
number: \"12\"
time: \"12:00\"
deep:
  a:
    - 1
    - b: 2
      c:
        - 3
    -
      - 4
      - 5
    - x
";
        assert_eq!(write(&value), expected);
        assert_eq!(write(&json!("a b")), "\"a b\"\n");
        assert_eq!(write(&json!([])), "[]\n");
        assert_eq!(write(&json!([{"a": 1}])), "- a: 1\n");
    }
}
