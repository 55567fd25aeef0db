//! Reading answers: as they came, for programs, and as types of `dto`, for people.
//!
//! An answer without a field that its kind has is an error; it is never shown as an empty word.
//! Fields that this version does not know are passed on to programs and are not shown to people.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::context::CliContext;
use super::exit::{Exit, Failure};
use crate::dto::{
    AssignmentView, BackfillTicksView, BackfillView, BackfillsView, CalendarChanged,
    CalendarRemoved, CalendarView, ClusterView, CurrentLeader, DriftView, EnvelopeView, EventView,
    ExecutionChanged, ExecutionView, ExecutorRemoved, ExecutorView, ItemsView, ListPlace, ListView,
    MemberJoined, MemberRemoved, Message, MovedTaskView, NextView, NodeView, RevisionsView,
    SchedulerSwitched, SchedulerView, StatsView, StrategyView, TaskChanged, TaskView, TasksLeft,
    TickView, WhatIfView, WhyView,
};

/// Items asked for at a time.
const PAGE: usize = 1_000;

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

/// A list of answers of one kind.
#[derive(Clone, Debug)]
pub struct ListReply<T> {
    /// The list as one answer, for programs.
    pub whole: Value,
    /// Its items as they came, for programs.
    pub items: Vec<Value>,
    /// What they say, in the same order.
    pub says: Vec<T>,
    /// Whether items were left out, because no more were asked for.
    pub more: bool,
}

impl<T> ListReply<T> {
    /// Says that older ones were left out, and that `-n` shows more.
    pub fn say_more(&self, what: &str, context: &mut CliContext) {
        if self.more {
            context.out.say(&format!("there are older {what}; -n COUNT shows more"));
        }
    }

    /// Leaves out the items of which this does not hold.
    pub fn retain(&mut self, holds: impl Fn(&T) -> bool) {
        let (items, says) = (std::mem::take(&mut self.items), std::mem::take(&mut self.says));
        (self.items, self.says) = items.into_iter().zip(says).filter(|(_, one)| holds(one)).unzip();
        if let Value::Object(whole) = &mut self.whole {
            whole.insert("items".to_owned(), Value::Array(self.items.clone()));
        }
    }
}

/// A type of `dto` that commands read.
pub trait ReplyKind: DeserializeOwned {
    /// Of what it tells, with its article.
    const WHAT: &'static str;
}

macro_rules! kinds {
    ($($name:ty = $what:literal;)+) => {
        $(impl ReplyKind for $name {
            const WHAT: &'static str = $what;
        })+
    };
}

kinds! {
    NodeView = "a node";
    ClusterView = "a cluster";
    CurrentLeader = "a leader";
    DriftView = "a drift";
    MemberJoined = "a member";
    MemberRemoved = "a member";
    SchedulerView = "a scheduler";
    StrategyView = "a strategy";
    EnvelopeView<SchedulerSwitched> = "a scheduler";
    CalendarView = "a calendar";
    CalendarChanged = "a calendar";
    CalendarRemoved = "a calendar";
    EventView = "an event";
    ExecutionView = "an execution";
    ExecutionChanged = "an execution";
    ExecutorView = "an executor";
    ExecutorRemoved = "an executor";
    Message = "a message";
    TaskView = "a task";
    TaskChanged = "a task";
    TasksLeft = "a number of tasks";
    ItemsView = "a list of results";
    NextView = "a list of ticks";
    BackfillView = "a backfill";
    BackfillsView = "a list of backfills";
    BackfillTicksView = "a list of ticks";
    TickView = "a tick";
    RevisionsView = "a list of revisions";
    StatsView = "statistics";
    WhyView = "an explanation";
    AssignmentView = "an assignment";
    MovedTaskView = "a task that would move";
    WhatIfView = "what would move";
}

/// Reads an answer; `exit` says what it means if it is of another kind.
///
/// # Errors
/// A sentence that names the field.
pub fn typed<T: ReplyKind>(body: &Value, exit: Exit) -> Result<T, Failure> {
    T::deserialize(body).map_err(|error| Failure {
        exit,
        message: format!(
            "the answer is not {}: {error}\n  Use a `punctual` of the version that the node has.",
            T::WHAT
        ),
    })
}

/// The part of a list that an answer has.
///
/// # Errors
/// The answer is no list.
pub fn page<T: ReplyKind>(body: &Value) -> Result<ListView<Value>, Failure> {
    serde::Deserialize::deserialize(body).map_err(|_error| Failure {
        exit: Exit::NotAccepted,
        message: format!(
            "the answer is no list with {} in each place\n  Use a `punctual` of the version that \
             the node has.",
            T::WHAT
        ),
    })
}

/// All items of a list.
///
/// # Errors
/// No good answer.
pub async fn all<T: ReplyKind>(
    context: &mut CliContext,
    path: &str,
    query: &[(&str, String)],
) -> Result<ListReply<T>, Failure> {
    up_to(context, path, query, usize::MAX).await
}

/// The first `most` items of a list.
///
/// # Errors
/// No good answer.
pub async fn up_to<T: ReplyKind>(
    context: &mut CliContext,
    path: &str,
    query: &[(&str, String)],
    most: usize,
) -> Result<ListReply<T>, Failure> {
    let mut items: Vec<Value> = Vec::new();
    let mut cursor = None;
    let mut rest = Value::Null;
    while items.len() < most {
        let mut query = query.to_vec();
        query.push(("limit", (most - items.len()).min(PAGE).to_string()));
        if let Some(cursor) = cursor.take() {
            query.push(("cursor", cursor));
        }
        let reply = context.get(path, &query).await?;
        let page = page::<T>(&reply.body)?;
        let empty = page.items.is_empty();
        items.extend(page.items);
        if let ListPlace::Cursor { next_cursor } = page.place {
            cursor = next_cursor;
        }
        rest = reply.body;
        if cursor.is_none() || empty {
            break;
        }
    }
    let more = cursor.is_some() || items.len() > most;
    items.truncate(most);
    let says = items.iter().map(|item| typed(item, Exit::NotAccepted)).collect::<Result<_, _>>()?;
    let mut whole = json!({ "items": items });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        for (key, value) in rest {
            whole.entry(key).or_insert(value);
        }
    }
    Ok(ListReply { whole, items, says, more })
}

/// An answer of this program itself, in the form in which a node would give it.
#[must_use]
pub fn value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::hello;
    use crate::dto::TaskHead;

    #[test]
    fn an_answer_without_a_field_of_its_kind_is_an_error() {
        let node = json!({"id": "1", "hostname": "h"});
        let failure = typed::<NodeView>(&node, Exit::Unknown).unwrap_err();
        assert_eq!(failure.exit, Exit::Unknown);
        let said = "the answer is not a node: missing field `name`";
        assert!(failure.message.starts_with(said), "{}", failure.message);
        for odd in [json!({"state": "active"}), json!("a page"), Value::Null, json!({})] {
            let failure = typed::<TaskChanged>(&odd, Exit::Unknown).unwrap_err();
            assert!(failure.message.starts_with("the answer is not a task: "), "{odd}");
        }
        for odd in [json!([]), json!({}), json!({"items": 1}), Value::Null] {
            assert!(page::<TickView>(&odd).is_err(), "{odd}");
        }
        let nobody: CurrentLeader = typed(&json!({"leader": null}), Exit::Unknown).unwrap();
        assert_eq!(nobody.leader, None, "null is an answer");
        let odd = json!({"code": 200, "message": "success", "data": {"started": 1}});
        let odd = typed::<EnvelopeView<SchedulerSwitched>>(&odd, Exit::Unknown).unwrap_err();
        assert!(odd.message.starts_with("the answer is not a scheduler: "), "{}", odd.message);
    }

    #[test]
    fn what_a_newer_node_says_beside_is_passed_over() {
        let mut task = hello();
        let before: TaskView = typed(&task, Exit::Unknown).unwrap();
        for place in ["", "/schedule", "/action/shell", "/totals", "/last_execution", "/catch_up"] {
            let object = task.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
            object.insert("newer".to_owned(), json!({"deep": [1, 2.5, null]}));
        }
        assert_eq!(typed::<TaskView>(&task, Exit::Unknown).unwrap(), before);
        assert!(before.definition.body().is_some());
        // A rule that this version does not know: the task is shown without its definition.
        let mut task = hello();
        task["schedule"] = json!({"lunar": "new moon", "timezone": null});
        let unknown: TaskView = typed(&task, Exit::Unknown).unwrap();
        assert_eq!(unknown.definition, TaskHead::Named { name: "hello".to_owned() });
    }
}
