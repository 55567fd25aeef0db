//! Reading answers: what each kind of answer must have, lists page by page, fields by name.
//!
//! An answer without a field that its kind has is an error; it is never shown as an empty word.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::context::CliContext;
use super::exit::{Exit, Failure};
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{
    CalendarChanged, CalendarRemoved, CalendarView, ClusterView, CurrentLeader, ExecutionChanged,
    ExecutionView, MemberReplaced, NodeView, SchedulerSwitched, SchedulerView,
};

/// Items asked for at a time.
const PAGE: usize = 1_000;

/// What an answer of one kind has; the fields may be null, but for the first.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Of what it tells, with its article.
    what: &'static str,
    fields: &'static [&'static str],
}

const fn shape(what: &'static str, fields: &'static [&'static str]) -> Shape {
    Shape { what, fields }
}

/// A task.
pub const TASK: Shape =
    shape("a task", &["name", "state", "owner", "next_tick", "last_execution", "totals"]);
/// A task that was changed; it may be gone by the time of the answer.
pub const CHANGED: Shape = shape("a task", &["name", "state"]);
/// A node.
pub const NODE: Shape = shape("a node", &["name", "state", "role", "intent"]);
/// A list, of which more is asked elsewhere.
pub const ANY: Shape = shape("a list", &["items"]);
/// A tick to come.
pub const TICK: Shape = shape("a tick", &["at"]);
/// One or more ticks that are settled.
pub const VERDICT: Shape = shape("a tick", &["verdict"]);
/// Why a task fired or did not.
pub const WHY: Shape =
    shape("an explanation", &["summary", "at", "verdict", "expected", "execution_id"]);
/// What became of one item of a batch.
pub const ITEM: Shape = shape("a result", &["status"]);

impl Shape {
    /// Whether this is such an answer; `exit` says what it means if it is not.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self, value: &Value, exit: Exit) -> Result<(), Failure> {
        let empty = |value: &Value| value.is_null() || value.as_str().is_some_and(str::is_empty);
        let missing = self.fields.iter().enumerate().find(|(at, field)| {
            value.get(**field).is_none_or(|value| *at == 0 && self.names() && empty(value))
        });
        match missing {
            None => Ok(()),
            Some((_, field)) => Err(Failure {
                exit,
                message: format!(
                    "the answer is not {}: it has no `{field}`; node and command may be of \
                     different versions",
                    self.what
                ),
            }),
        }
    }

    /// Whether the first field says which one it is.
    fn names(&self) -> bool {
        matches!(self.fields.first(), Some(&("name" | "id" | "summary")))
    }

    /// The items of a list of these.
    ///
    /// # Errors
    /// The answer is no list, or an item is none of these.
    pub fn items<'v>(&self, body: &'v Value, exit: Exit) -> Result<&'v [Value], Failure> {
        let list = body.get("items").and_then(Value::as_array);
        let list = list.ok_or_else(|| Failure {
            exit,
            message: format!("the answer is no list with {} in each place", self.what),
        })?;
        list.iter().try_for_each(|item| self.check(item, exit))?;
        Ok(list)
    }
}

/// An answer of one kind: as it came, and what it says.
#[derive(Clone, Debug)]
pub struct TypedReply<T> {
    /// HTTP status, below 400.
    pub status: u16,
    /// As it came, for programs.
    pub body: Value,
    /// What it says.
    pub says: T,
}

/// A type of `dto` that commands read.
pub trait ReplyKind: DeserializeOwned {
    /// Of what it tells, with its article.
    const WHAT: &'static str;
}

macro_rules! kinds {
    ($($name:ident = $what:literal;)+) => {
        $(impl ReplyKind for $name {
            const WHAT: &'static str = $what;
        })+
    };
}

kinds! {
    NodeView = "a node";
    ClusterView = "a cluster";
    CurrentLeader = "a leader";
    MemberReplaced = "a member";
    SchedulerView = "a scheduler";
    SchedulerSwitched = "a scheduler";
    CalendarView = "a calendar";
    CalendarChanged = "a calendar";
    CalendarRemoved = "a calendar";
    ExecutionView = "an execution";
    ExecutionChanged = "an execution";
}

/// Reads an answer; `exit` says what it means if it is of another kind.
///
/// # Errors
/// A sentence that names the field.
pub fn typed<T: ReplyKind>(body: &Value, exit: Exit) -> Result<T, Failure> {
    T::deserialize(body).map_err(|error| Failure {
        exit,
        message: format!(
            "the answer is not {}: {error}; node and command may be of different versions",
            T::WHAT
        ),
    })
}

/// All items of a list: the list as one answer, its items, and what they say.
///
/// # Errors
/// No good answer.
pub async fn all_typed<T: ReplyKind>(
    context: &mut CliContext,
    path: &str,
) -> Result<(Value, Vec<Value>, Vec<T>), Failure> {
    some_typed(context, path, &[], usize::MAX).await
}

/// The first `most` items of a list: the list as one answer, its items, and what they say.
///
/// # Errors
/// No good answer.
pub async fn some_typed<T: ReplyKind>(
    context: &mut CliContext,
    path: &str,
    query: &[(&str, String)],
    most: usize,
) -> Result<(Value, Vec<Value>, Vec<T>), Failure> {
    let any = Shape { what: T::WHAT, fields: &[] };
    let (whole, items) = up_to(context, path, query, &any, most).await?;
    let says = items.iter().map(|item| typed(item, Exit::NotAccepted)).collect::<Result<_, _>>()?;
    Ok((whole, items, says))
}

/// All items of a list, and the list as one answer.
///
/// # Errors
/// No good answer.
pub async fn all(
    context: &mut CliContext,
    path: &str,
    query: &[(&str, String)],
    shape: &Shape,
) -> Result<(Value, Vec<Value>), Failure> {
    up_to(context, path, query, shape, usize::MAX).await
}

/// The first `most` items of a list, and the list as one answer.
///
/// # Errors
/// No good answer.
pub async fn up_to(
    context: &mut CliContext,
    path: &str,
    query: &[(&str, String)],
    shape: &Shape,
    most: usize,
) -> Result<(Value, Vec<Value>), Failure> {
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = None;
    let mut rest = Value::Null;
    while found.len() < most {
        let mut query = query.to_vec();
        query.push(("limit", (most - found.len()).min(PAGE).to_string()));
        if let Some(cursor) = cursor.take() {
            query.push(("cursor", cursor));
        }
        let reply = context.get(path, &query).await?;
        let page = shape.items(&reply.body, Exit::NotAccepted)?;
        let empty = page.is_empty();
        found.extend(page.iter().cloned());
        cursor = text(&reply.body, "next_cursor").map(str::to_owned);
        rest = reply.body;
        if cursor.is_none() || empty {
            break;
        }
    }
    found.truncate(most);
    let mut whole = json!({ "items": found });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        for (key, value) in rest {
            whole.entry(key).or_insert(value);
        }
    }
    Ok((whole, found))
}

/// An answer of this program itself, in the form in which a node would give it.
#[must_use]
pub fn value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

/// A field that is a text.
#[must_use]
pub fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// A field in one word, empty if it is absent or null.
#[must_use]
pub fn word(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field that is an instant.
#[must_use]
pub fn instant(value: &Value, key: &str) -> Option<Timestamp> {
    Timestamp::parse(text(value, key)?).ok()
}

/// A field that is a count of milliseconds.
#[must_use]
pub fn millis(value: &Value, key: &str) -> Option<Millis> {
    value.get(key)?.as_u64().map(Millis)
}

/// A field that is neither absent nor null.
#[must_use]
pub fn given<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    value.get(key).filter(|value| !value.is_null())
}

/// The texts of a list, one behind the other.
#[must_use]
pub fn list(value: &Value, pointer: &str) -> String {
    let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_field_of_its_kind_is_an_error() {
        let task = json!({"name": "a", "state": null});
        assert_eq!(CHANGED.check(&task, Exit::Unknown), Ok(()));
        for (odd, missing) in [
            (json!({"state": "active"}), "`name`"),
            (json!({"name": "", "state": "active"}), "`name`"),
            (json!({"name": null, "state": "active"}), "`name`"),
            (json!({"name": "a"}), "`state`"),
            (json!("a page"), "`name`"),
            (Value::Null, "`name`"),
        ] {
            let failure = CHANGED.check(&odd, Exit::Unknown).unwrap_err();
            assert_eq!(failure.exit, Exit::Unknown);
            assert!(failure.message.contains(missing), "{odd}: {}", failure.message);
        }
        let list = json!({"items": [{"at": "x"}]});
        assert_eq!(TICK.items(&list, Exit::NotAccepted).map(<[Value]>::len), Ok(1));
        for odd in [json!([]), json!({}), json!({"items": [{}]}), Value::Null] {
            assert!(TICK.items(&odd, Exit::NotAccepted).is_err(), "{odd}");
        }
        let nobody: CurrentLeader = typed(&json!({"leader": null}), Exit::Unknown).unwrap();
        assert_eq!(nobody.leader, None, "null is an answer");
        let odd = typed::<SchedulerSwitched>(&json!({"started": 1}), Exit::Unknown).unwrap_err();
        assert!(odd.message.starts_with("the answer is not a scheduler: "), "{}", odd.message);
    }
}
