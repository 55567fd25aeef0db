//! What an executor says about an attempt: in the answer to `/execute`, or in a callback.

use serde_json::Value;

use crate::exec::outcome::AttemptStatus;

/// The end of an attempt as its executor tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecutorResult {
    /// Success, failure or timeout.
    pub status: AttemptStatus,
    /// What it tells of it.
    pub text: ResultText,
}

/// Result and logs of an executor, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultText {
    /// The result in one line.
    pub detail: String,
    /// The logs; without any, the result.
    pub output: String,
}

impl ResultText {
    /// The text of a result and of logs, each of any JSON type.
    #[must_use]
    pub fn new(result: Option<&Value>, logs: Option<&Value>) -> Self {
        let result = result.map(plain).unwrap_or_default();
        let logs = logs.map(plain).unwrap_or_default();
        let detail = result.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { detail, output: if logs.is_empty() { result } else { logs } }
    }

    /// The end of the output, of at most `max` bytes, and how many bytes are before it.
    #[must_use]
    pub fn tail(&self, max: usize) -> (&str, usize) {
        let from = self.output.len().saturating_sub(max);
        let from = self.output.ceil_char_boundary(from);
        (self.output.get(from..).unwrap_or_default(), from)
    }
}

/// Text as it is, a list line by line, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// What executors say when the end comes later.
const ACCEPTING: [&str; 4] = ["accepted", "running", "pending", "queued"];

/// The status that a word of an executor stands for.
fn status_of(word: &str) -> Option<AttemptStatus> {
    match word {
        "success" => Some(AttemptStatus::Success),
        "failed" => Some(AttemptStatus::Failed),
        "timeout" => Some(AttemptStatus::Timeout),
        _ => None,
    }
}

/// An answer to `/execute` with a status from 200 to 299.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExecuteAnswer {
    /// The end comes later.
    Accepted,
    /// So it counts, but it has a `status` that is no word of the protocol.
    Unclear(String),
    /// This is the end.
    Ended(ExecutorResult),
}

impl ExecuteAnswer {
    /// A 200 with the status of an end is that end. Anything else accepts: an answer that makes no
    /// sense may come from an executor that works all the same.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let body = if status == 200 { serde_json::from_slice(body).ok() } else { None };
        let Some(Value::Object(fields)) = body else { return Self::Accepted };
        let word = match fields.get("status") {
            None => return Self::Accepted,
            Some(Value::String(word)) if ACCEPTING.contains(&word.as_str()) => {
                return Self::Accepted;
            }
            Some(word) => word,
        };
        let Some(status) = word.as_str().and_then(status_of) else {
            // As JSON, in which nothing ends the line.
            return Self::Unclear(word.to_string().chars().take(40).collect());
        };
        let text = ResultText::new(fields.get("result"), fields.get("logs"));
        Self::Ended(ExecutorResult { status, text })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exec::outcome::TAIL_MAX_BYTES;

    #[test]
    fn only_the_words_of_an_end_are_an_end() {
        for (status, body) in [
            (202, r#"{"status":"success"}"#),
            (200, ""),
            (200, "fine"),
            (200, "[]"),
            (200, r#"{"status":"accepted"}"#),
            (202, r#"{"status":"ok"}"#),
            (200, r#"{"state":"success"}"#),
            (200, r#"{"status":"success""#),
        ] {
            assert_eq!(
                ExecuteAnswer::read(status, body.as_bytes()),
                ExecuteAnswer::Accepted,
                "{body}"
            );
        }
        for (body, word) in [(r#"{"status":"ok"}"#, "\"ok\""), (r#"{"status":1}"#, "1")] {
            let unclear = ExecuteAnswer::Unclear(word.to_owned());
            assert_eq!(ExecuteAnswer::read(200, body.as_bytes()), unclear);
        }
        for (word, status) in [
            ("success", AttemptStatus::Success),
            ("failed", AttemptStatus::Failed),
            ("timeout", AttemptStatus::Timeout),
        ] {
            let body = json!({"status": word, "result": "3 rows", "logs": "a\nb"}).to_string();
            let text = ResultText { detail: "3 rows".to_owned(), output: "a\nb".to_owned() };
            let ended = ExecuteAnswer::Ended(ExecutorResult { status, text });
            assert_eq!(ExecuteAnswer::read(200, body.as_bytes()), ended);
        }
    }

    #[test]
    fn results_of_any_type_are_text() {
        let text = |result: Value, logs: Value| {
            let text = ResultText::new(Some(&result), Some(&logs));
            (text.detail, text.output)
        };
        let pair = |detail: &str, output: &str| (detail.to_owned(), output.to_owned());
        assert_eq!(text(json!({"rows": 3}), json!(["a", "b"])), pair("{\"rows\":3}", "a\nb"));
        assert_eq!(text(json!(null), json!("a\n")), pair("", "a\n"));
        assert_eq!(text(json!("one\n two"), json!("")), pair("one two", "one\n two"));
        assert_eq!(ResultText::new(None, None), ResultText::default());
    }

    #[test]
    fn a_long_output_is_cut_at_a_character_and_says_how_much() {
        let long = Value::String("é".repeat(TAIL_MAX_BYTES));
        let text = ResultText::new(None, Some(&long));
        let (tail, cut) = text.tail(TAIL_MAX_BYTES);
        assert_eq!((tail.len(), cut), (TAIL_MAX_BYTES, TAIL_MAX_BYTES));
        let odd = Value::String(format!("x{}", "é".repeat(TAIL_MAX_BYTES)));
        let text = ResultText::new(None, Some(&odd));
        let (tail, cut) = text.tail(TAIL_MAX_BYTES);
        assert_eq!((tail.len(), cut), (TAIL_MAX_BYTES, TAIL_MAX_BYTES + 1));
        let odd = Value::String(format!("{}x", "é".repeat(TAIL_MAX_BYTES)));
        let text = ResultText::new(None, Some(&odd));
        let (tail, cut) = text.tail(TAIL_MAX_BYTES);
        assert_eq!((tail.len(), cut), (TAIL_MAX_BYTES - 1, TAIL_MAX_BYTES + 2));
    }
}
