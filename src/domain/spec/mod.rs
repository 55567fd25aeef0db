//! The body of a task: from JSON to [`TaskSpec`] and back.
//!
//! This is the one gate through which definitions enter, whether they come by HTTP, from a file
//! or from the command line. It is written by hand because a refused body must teach: every
//! problem carries a JSON pointer and the rule that was broken, and all problems of a body are
//! found in one pass. To make that possible a field that cannot be read yields its default and a
//! [`BodyProblem`]; the half-made definition is thrown away if there is any.
//!
//! * [`parse_json`] turns text into JSON, more strictly than serde: no duplicate keys, and no
//!   number that reading would change.
//! * [`read`] turns JSON into a definition; `support` then refuses what this version cannot do.
//! * [`write()`] is its inverse: the canonical body with every default shown.
//! * [`definition`] takes the fields away that only answers have.
//! * [`patch`] is `write`, an RFC 7396 merge, and `read`.
//!
//! The flat spellings of other schedulers' bodies are rewritten into the canonical form in front of
//! `body::read`, by `flat`. A patch is of the canonical form: there they are unknown fields.

mod action;
mod answer;
pub mod bodies;
mod body;
mod calendar;
mod flat;
mod json;
pub mod number;
mod parameters;
mod reader;
mod rules;
mod schedule;
mod suggest;
mod support;
mod words;
mod write;

#[cfg(test)]
mod bad_bodies;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use self::action::check_url;
pub use self::answer::{calendar_definition, definition};
pub use self::calendar::{read_calendar, write_calendar};
pub use self::json::parse_json;
pub use self::parameters::{NO_NUL, is_command, shared_variables, variable, with_nul};
pub use self::reader::escape;
pub use self::rules::{check_label, check_name};
pub use self::suggest::closest;
pub use self::write::write;
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::State;
use crate::domain::schedule::Schedule;
use crate::domain::task::{
    AfterRun, Backoff, CatchUpPolicy, Delivery, ExecutionMode, Strategy, TaskSpec,
};
use crate::domain::time::{Millis, Timestamp};

/// One rule that a body broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyProblem {
    /// Where, as a JSON pointer (RFC 6901); empty: the body as a whole.
    pub pointer: String,
    /// Which kind of rule, for programs; it never changes.
    pub code: ErrorCode,
    /// What the rule says, for people; reads on after the name of the field.
    pub message: String,
}

/// What reading needs to know beyond the body.
#[derive(Clone, Copy, Debug)]
pub struct ReadContext<'a> {
    /// The cluster's time zone, for schedules that name none.
    pub default_zone: &'a str,
    /// Cluster time; a schedule must have a tick after it.
    pub now: Timestamp,
    /// The shortest interval that the cluster accepts.
    pub min_interval: Millis,
    /// Whether some node can carry out functions of an embedding program.
    pub functions_allowed: bool,
    /// Whether the program of this node has a strategy of its own.
    pub custom_strategy: bool,
    /// For an update: the schedule that the task has. One that stays as it is may have no tick
    /// left, else a finished task could not even be described anew.
    pub current: Option<&'a Schedule>,
    /// No tick up to here fires any more; an update settles all of them up to its own moment.
    pub settled: Timestamp,
    /// The state whose calendars a schedule may leave out; none: they are not known here.
    pub calendars: Option<&'a State>,
}

/// Reads a task's body: the canonical form, with or without flat spellings.
///
/// # Errors
/// Every rule that the body breaks, at most 100 of them.
pub fn read(value: &Value, ctx: ReadContext<'_>) -> Result<TaskSpec, Vec<BodyProblem>> {
    let mut flat = flat::expand(value);
    let problems = std::mem::take(&mut flat.problems);
    canonical(&flat.body, ctx, problems).map_err(|mut problems| {
        flat.point(&mut problems);
        problems
    })
}

/// Why a node does not take the strategy `custom`: its program has none. The pointer is that of a field
/// `strategy`.
#[must_use]
pub fn no_strategy() -> BodyProblem {
    let (pointer, message) = ("/strategy".to_owned(), support::NO_STRATEGY.to_owned());
    BodyProblem { pointer, code: ErrorCode::NotSupported, message }
}

/// Reads the word of a strategy by which tasks are given to nodes.
///
/// # Errors
/// It is none; the pointer is that of a field `strategy`.
pub fn strategy(value: &Value) -> Result<Strategy, BodyProblem> {
    reader::choice(value, words::STRATEGIES).map_err(|reader::BrokenRule { code, message }| {
        BodyProblem { pointer: "/strategy".to_owned(), code, message }
    })
}

/// The words of the strategies.
#[must_use]
pub fn strategies() -> Vec<&'static str> {
    words::STRATEGIES.iter().map(|(word, _)| *word).collect()
}

/// The word of a strategy.
#[must_use]
pub fn strategy_word(strategy: Strategy) -> &'static str {
    words::word(words::STRATEGIES, &strategy)
}

/// The word of an execution mode.
#[must_use]
pub fn execution_mode_word(mode: ExecutionMode) -> &'static str {
    words::word(words::EXECUTION_MODES, &mode)
}

/// The word of a delivery.
#[must_use]
pub fn delivery_word(delivery: Delivery) -> &'static str {
    words::word(words::DELIVERIES, &delivery)
}

/// The word of what becomes of late ticks.
#[must_use]
pub fn catch_up_word(policy: CatchUpPolicy) -> &'static str {
    words::word(words::CATCH_UP_POLICIES, &policy)
}

/// The word of how retry delays grow.
#[must_use]
pub fn backoff_word(backoff: Backoff) -> &'static str {
    words::word(words::BACKOFFS, &backoff)
}

/// The word of what becomes of a task after a run.
#[must_use]
pub fn after_run_word(after: AfterRun) -> &'static str {
    words::word(words::AFTER_RUNS, &after)
}

/// Reads a task's canonical body, of which these problems are known.
fn canonical(
    value: &Value,
    ctx: ReadContext<'_>,
    mut problems: Vec<BodyProblem>,
) -> Result<TaskSpec, Vec<BodyProblem>> {
    let spec = body::read(value, ctx, &mut problems);
    support::refuse(&spec, ctx, &mut problems);
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

/// Applies a JSON merge patch (RFC 7396) to a task's canonical body and reads the result.
///
/// # Errors
/// Every rule that the resulting body breaks; among them that a task's name is its identity.
pub fn patch(
    existing: &TaskSpec,
    merge_patch: &Value,
    ctx: ReadContext<'_>,
) -> Result<TaskSpec, Vec<BodyProblem>> {
    if !merge_patch.is_object() {
        let message = format!("must be a JSON object, got {}", reader::got(merge_patch));
        return Err(vec![BodyProblem {
            pointer: String::new(),
            code: ErrorCode::WrongType,
            message,
        }]);
    }
    let mut body = write(existing);
    merge(&mut body, merge_patch);
    let name = body.get("name").and_then(Value::as_str);
    let renamed = name.is_some_and(|name| name != existing.name);
    let ctx = ReadContext { current: Some(&existing.schedule), ..ctx };
    let result = canonical(&body, ctx, Vec::new());
    if !renamed {
        return result;
    }
    let mut problems = result.err().unwrap_or_default();
    let message = format!("must stay `{}`: a task's name is its identity", existing.name);
    problems.push(BodyProblem {
        pointer: "/name".to_owned(),
        code: ErrorCode::NameChanged,
        message,
    });
    Err(problems)
}

/// `MergePatch` of RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.shift_remove(key);
        } else {
            merge(fields.entry(key.as_str()).or_insert(Value::Null), change);
        }
    }
}
