//! The canonical bodies as types: what [`super::write()`] makes, and what answers carry.
//!
//! Each has a schema of its own. A request may leave out most fields: `x-input-required` names those
//! that it may not. Reading a body is not done through these types, since a refused body must name
//! every problem.

mod action;
mod calendar;
mod schedule;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::words::{
    AFTER_RUNS, BACKOFFS, CATCH_UP_POLICIES, DELIVERIES, EXECUTION_MODES, STRATEGIES, word,
};
use crate::domain::task::TaskSpec;

pub use self::action::{ActionBody, ExecutorBody, FuncBody, HttpBody, ShellBody};
pub use self::calendar::CalendarBody;
pub use self::schedule::{DailyBody, DstBody, RuleBody, ScheduleBody};

/// One of a few words.
pub type Word = Cow<'static, str>;

/// The schema of a duration: text in answers, also whole seconds in requests.
fn duration(generator: &mut SchemaGenerator) -> Schema {
    if generator.contract().is_serialize() {
        return json_schema!({"type": "string"});
    }
    json_schema!({"type": ["string", "integer"], "minimum": 0})
}

/// The same, or null.
fn optional_duration(generator: &mut SchemaGenerator) -> Schema {
    if generator.contract().is_serialize() {
        return json_schema!({"type": ["string", "null"]});
    }
    json_schema!({"type": ["string", "integer", "null"], "minimum": 0})
}

/// A task's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["name", "schedule"]))]
pub struct TaskBody {
    /// Its identity.
    pub name: String,
    /// For people.
    pub description: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// When it ticks.
    pub schedule: ScheduleBody,
    /// What is done.
    pub action: Option<ActionBody>,
    /// Given to the action.
    #[schemars(with = "Map<String, Value>")]
    pub parameters: Value,
    /// Given to the action as it is.
    pub payload: String,
    /// What becomes of a tick while an execution has not ended.
    #[schemars(extend("enum" = ["parallel", "skip", "sequential", "replace"]))]
    pub execution_mode: Word,
    /// Executions that may be there at once without having ended.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_live: u32,
    /// Executions that may wait.
    pub queue_max: u32,
    /// A limit that several tasks share.
    pub concurrency: Option<ConcurrencyBody>,
    /// Higher ones start first.
    pub priority: u8,
    /// What becomes of ticks that nobody settled in time.
    pub catch_up: CatchUpBody,
    /// Whether the same holds for ticks of a pause.
    pub catch_up_on_resume: bool,
    /// What becomes of an attempt whose node is gone.
    #[schemars(extend("enum" = ["at_most_once", "at_least_once"]))]
    pub delivery: Word,
    /// An attempt that takes longer is stopped; `0s`: never.
    #[schemars(schema_with = "duration")]
    pub timeout: String,
    /// From the request to stop to the kill.
    #[schemars(schema_with = "duration")]
    pub kill_grace: String,
    /// An attempt is lost if its node is gone for so long.
    #[schemars(schema_with = "duration")]
    pub lost_after: String,
    /// How what failed is tried again.
    pub retry: RetryBody,
    /// Which nodes may own it, and how one is chosen.
    pub assignment: AssignmentBody,
    /// How much of its past is kept.
    pub keep: KeepBody,
    /// The tasks that the end of an execution starts.
    pub then: ChainsBody,
    /// What becomes of it when an execution of a tick has ended.
    #[schemars(extend("enum" = ["keep", "mark_deleted", "cleanup"]))]
    pub after_run: Word,
    /// Whether its first tick completes it, be it fired or missed.
    pub one_shot: bool,
}

/// A limit that several tasks share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConcurrencyBody {
    /// The name of the limit.
    pub group: String,
    /// Executions at once.
    pub limit: u32,
}

/// What becomes of ticks that nobody settled in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct CatchUpBody {
    /// Which of them fire.
    #[schemars(extend("enum" = ["last", "all", "none"]))]
    pub policy: Word,
    /// Older ones do not.
    #[schemars(schema_with = "duration")]
    pub window: String,
    /// Nor more than so many.
    pub max: u32,
}

/// How what failed is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct RetryBody {
    /// So many times.
    pub max_retry: u32,
    /// Before the first time.
    #[schemars(schema_with = "duration")]
    pub delay: String,
    /// How the delay grows.
    #[schemars(extend("enum" = ["fixed", "exponential"]))]
    pub backoff: Word,
    /// It does not grow beyond this.
    #[schemars(schema_with = "duration")]
    pub max_delay: String,
    /// At most this is added to each delay, a fixed part of it for each retry.
    #[schemars(schema_with = "duration")]
    pub jitter: String,
}

/// Which nodes may own a task, and how one is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct AssignmentBody {
    /// How; null: as the cluster does.
    #[schemars(extend("enum" = ["consistent", "hash_sharding", "hash_slot", "range", "weighted", "round_robin", "custom", null]))]
    pub strategy: Option<Word>,
    /// Labels that a node must have.
    pub selector: BTreeMap<String, String>,
}

/// The tasks that the end of an execution starts, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct ChainsBody {
    /// When it succeeded.
    pub success: Vec<String>,
    /// When it failed.
    pub failure: Vec<String>,
    /// When what became of it is unknown.
    pub lost: Vec<String>,
    /// When it took too long.
    pub timeout: Vec<String>,
    /// When it succeeded, and the one before it did not.
    pub recovered: Vec<String>,
}

/// How much of a task's past is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct KeepBody {
    /// Executions.
    pub executions: u32,
    /// Ticks.
    pub ticks: u32,
    /// Nothing that is older.
    #[schemars(schema_with = "duration")]
    pub age: String,
}

impl From<&TaskSpec> for TaskBody {
    fn from(spec: &TaskSpec) -> Self {
        // Parameters are the text of an object, made by `read`; anything else would be refused there.
        let parameters = serde_json::from_str(&spec.parameters)
            .unwrap_or_else(|_error| Value::String(spec.parameters.clone()));
        let concurrency = spec
            .concurrency
            .as_ref()
            .map(|shared| ConcurrencyBody { group: shared.group.clone(), limit: shared.limit });
        Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            labels: spec.labels.clone(),
            enabled: spec.enabled,
            schedule: ScheduleBody::from(&spec.schedule),
            action: spec.action.as_ref().map(ActionBody::from),
            parameters,
            payload: spec.payload.clone(),
            execution_mode: word(EXECUTION_MODES, &spec.execution_mode).into(),
            max_live: spec.max_live,
            queue_max: spec.queue_max,
            concurrency,
            priority: spec.priority,
            catch_up: CatchUpBody {
                policy: word(CATCH_UP_POLICIES, &spec.catch_up.policy).into(),
                window: spec.catch_up.window.to_string(),
                max: spec.catch_up.max,
            },
            catch_up_on_resume: spec.catch_up_on_resume,
            delivery: word(DELIVERIES, &spec.delivery).into(),
            timeout: spec.timeout.to_string(),
            kill_grace: spec.kill_grace.to_string(),
            lost_after: spec.lost_after.to_string(),
            retry: RetryBody {
                max_retry: spec.retry.max_retry,
                delay: spec.retry.delay.to_string(),
                backoff: word(BACKOFFS, &spec.retry.backoff).into(),
                max_delay: spec.retry.max_delay.to_string(),
                jitter: spec.retry.jitter.to_string(),
            },
            assignment: AssignmentBody {
                strategy: spec.assignment.strategy.map(|one| word(STRATEGIES, &one).into()),
                selector: spec.assignment.selector.clone(),
            },
            keep: KeepBody {
                executions: spec.keep.executions,
                ticks: spec.keep.ticks,
                age: spec.keep.age.to_string(),
            },
            then: ChainsBody {
                success: spec.then.success.clone(),
                failure: spec.then.failure.clone(),
                lost: spec.then.lost.clone(),
                timeout: spec.then.timeout.clone(),
                recovered: spec.then.recovered.clone(),
            },
            after_run: word(AFTER_RUNS, &spec.after_run).into(),
            one_shot: spec.one_shot,
        }
    }
}
