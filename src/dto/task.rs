//! Tasks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ExecutionView, FieldError, Rfc3339, TaskBody, Word};
use crate::domain::warning_code::WarningCode;

/// A task, or the deleted mark of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// Its definition.
    #[serde(flatten)]
    pub definition: TaskHead,
    /// Its name.
    pub id: String,
    /// The number of its last change; its `ETag`.
    pub revision: u64,
    /// The number of its creation.
    pub incarnation: u64,
    /// Where its definition comes from. `static`: from the files of nodes. `executor`: an executor
    /// declared it. `api`: a request made it.
    pub origin: Word,
    /// What the files say of it; absent: it did not come from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceView>,
    /// How it is.
    #[schemars(extend("enum" = ["active", "paused", "completed", "failed", "cancelled", "deleted"]))]
    pub state: Word,
    /// Its pause.
    pub paused: Option<PauseView>,
    /// The node that owns it; null: none can, or it is deleted.
    pub owner: Option<String>,
    /// Up to here every tick has a verdict.
    pub cursor: Rfc3339,
    /// The next tick that will fire as things stand.
    pub next_tick: Option<Rfc3339>,
    /// Its newest execution that is kept.
    pub last_execution: Option<LastExecution>,
    /// The kept execution that ended last. It may be older than `last_execution`.
    #[serde(default)]
    pub last_ended: Option<LastExecution>,
    /// Its executions that have not ended.
    #[serde(default)]
    pub live: LiveCounts,
    /// Of those whose time has come, the oldest one that waits for an executor; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for_executor: Option<ExecutorWait>,
    /// What became of its ticks and executions.
    pub totals: TotalsView,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it was changed last.
    pub updated_at: Rfc3339,
    /// What is worth knowing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningView>,
}

/// A task that came from the files of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceView {
    /// A hash of what they say of it; null: they have it no more.
    pub hash: Option<String>,
    /// Whether somebody else changed its definition since. Then the files change it no more, until
    /// it is what they said again.
    pub drifted: bool,
}

/// What is known of a task's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TaskHead {
    /// All of it.
    Defined(Box<TaskBody>),
    /// Its name only: a deleted mark without a task.
    Named {
        /// The name.
        name: String,
    },
}

impl TaskHead {
    /// All of the definition, if it is known.
    #[must_use]
    pub fn body(&self) -> Option<&TaskBody> {
        match self {
            Self::Defined(body) => Some(body),
            Self::Named { .. } => None,
        }
    }
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseView {
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Rfc3339>,
}

/// An execution of a task in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastExecution {
    /// Its number.
    pub id: String,
    /// Null: it was triggered.
    pub tick: Option<Rfc3339>,
    /// Not before this its first attempt starts.
    pub due: Rfc3339,
    /// Not before this its newest attempt starts; null: that is the first.
    #[serde(default)]
    pub attempt_due: Option<Rfc3339>,
    /// How it is.
    pub status: Word,
    /// From due to start.
    pub lateness_ms: Option<i64>,
    /// From the first start to the end.
    pub duration_ms: Option<u64>,
}

/// Counts of verdicts and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotalsView {
    /// Ticks that fired.
    pub fired: u64,
    /// Ticks that were skipped.
    pub skipped: u64,
    /// Ticks that were missed.
    pub missed: u64,
    /// Ticks for which a later one fired.
    pub coalesced: u64,
    /// Stretches of ticks that are not among these.
    pub uncounted_spans: u64,
    /// Executions that ended well.
    pub success: u64,
    /// Executions that failed.
    pub failed: u64,
    /// Executions that took too long.
    pub timeout: u64,
    /// Executions that were stopped.
    pub cancelled: u64,
    /// Executions whose node was gone.
    pub lost: u64,
}

impl TotalsView {
    /// Each count of ticks and executions with its name.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 9] {
        [
            ("fired", self.fired),
            ("skipped", self.skipped),
            ("missed", self.missed),
            ("coalesced", self.coalesced),
            ("success", self.success),
            ("failed", self.failed),
            ("timeout", self.timeout),
            ("cancelled", self.cancelled),
            ("lost", self.lost),
        ]
    }
}

/// What is worth knowing of something that is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarningView {
    /// For programs.
    #[schemars(extend("enum" = WarningCode::NAMES))]
    pub code: Word,
    /// For people.
    pub detail: String,
}

/// A task as it is after a request about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TaskNow {
    /// It is there, marked deleted or not.
    Kept(Box<TaskView>),
    /// It was removed, by this request or since.
    Gone {
        /// Its name.
        id: String,
        /// Its name.
        name: String,
        /// There is none.
        state: (),
    },
}

impl TaskNow {
    /// The name of the task.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Kept(task) => &task.id,
            Self::Gone { name, .. } => name,
        }
    }

    /// The task, if it is there.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn kept(&self) -> Option<&TaskView> {
        match self {
            Self::Kept(task) => Some(task),
            Self::Gone { .. } => None,
        }
    }

    /// What is left of a name that was removed.
    #[must_use]
    pub fn gone(name: &str) -> Self {
        Self::Gone { id: name.to_owned(), name: name.to_owned(), state: () }
    }
}

/// A task that a request changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskChanged {
    /// What it is now.
    #[serde(flatten)]
    pub task: TaskNow,
    /// Executions that go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<ExecutionView>>,
    /// Executions that were running and are no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Vec<ExecutionView>>,
    /// The execution that makes up for the one tick that came while the task was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
}

/// The kept definitions of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionsView {
    /// Newest first.
    pub items: Vec<RevisionView>,
    /// All of them are told at once.
    pub next_cursor: (),
}

/// One definition that a task has or had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionView {
    /// Its number.
    pub revision: u64,
    /// When it was made.
    pub at: Rfc3339,
    /// By whom.
    pub by: String,
    /// Whether it is in force.
    pub current: bool,
    /// All of it.
    pub definition: TaskBody,
    /// What differs from the one before; null: that is not kept.
    pub changes: Option<Vec<ChangeView>>,
}

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What it was.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

impl ChangeView {
    /// What differs between two values, down to the values that do.
    #[must_use]
    pub fn between(before: &Value, after: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        Self::collect("", before, after, &mut found);
        found
    }

    fn collect(pointer: &str, before: &Value, after: &Value, found: &mut Vec<Self>) {
        if before == after {
            return;
        }
        let (Value::Object(old), Value::Object(new)) = (before, after) else {
            let (before, after) = (before.clone(), after.clone());
            found.push(Self { pointer: pointer.to_owned(), before, after });
            return;
        };
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added) {
            let side = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            Self::collect(&below, &side(old), &side(new), found);
        }
    }
}

/// Who owns a task, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssignmentView {
    /// Its name.
    pub task: String,
    /// The node that owns it.
    pub owner: Option<String>,
    /// How it was chosen.
    pub strategy: Word,
    /// Labels that a node must have; null: there is no definition.
    pub selector: Option<BTreeMap<String, String>>,
    /// With `hash_slot`: the slot to which its name is hashed.
    pub slot: Option<u64>,
    /// All nodes: the eligible ones in the order in which they would own it, then the others.
    pub nodes: Vec<EligibilityView>,
    /// The reason in a sentence.
    pub why: String,
    /// The same in Chinese.
    #[serde(default)]
    pub why_zh: String,
}

/// Whether a node may own a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EligibilityView {
    /// Its name.
    pub node: String,
    /// Its place among the eligible ones, from 1, the owner: it would own the task if those before
    /// it were away. Null: it may not own the task.
    pub rank: Option<u64>,
    /// Whether it may.
    pub eligible: bool,
    /// Its weight.
    pub weight: u32,
    /// The number that it drew for the task, or for its slot; the lowest is first. Null: the
    /// strategy draws none.
    pub score: Option<u64>,
    /// Why not, for programs.
    pub reason: Option<Word>,
    /// Why not, for people.
    pub detail: Option<String>,
    /// The same in Chinese.
    #[serde(default)]
    pub detail_zh: Option<String>,
}

/// How many executions of a task have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCounts {
    /// Those that run.
    pub running: u32,
    /// Those that wait.
    pub waiting: u32,
}

/// An execution that no executor takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorWait {
    /// Its number.
    pub execution_id: String,
    /// Since when an executor could have taken it.
    pub since: Rfc3339,
    /// How its executors are, as a part of a sentence.
    pub detail: String,
}

/// What became of each item of a request about many tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemsView {
    /// In the order of the request.
    pub items: Vec<ItemView>,
    /// How many were done.
    pub succeeded: usize,
    /// How many were not.
    pub failed: usize,
}

/// What became of one item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemView {
    /// Its place in the request, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Its name, as it was given.
    pub name: Value,
    /// What is worth knowing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningView>,
    /// The status that an answer about it alone would have.
    pub status: u16,
    /// Of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The execution that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Executions that go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<String>>,
    /// Why it was refused, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Word>,
    /// Why it was refused, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What is wrong with its fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
}
