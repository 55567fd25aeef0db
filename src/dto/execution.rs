//! Executions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Rfc3339, WarningView, Word};

/// A claimed tick or a trigger being carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionView {
    /// Its number.
    pub id: String,
    /// The name of its task.
    pub task: String,
    /// The same.
    pub task_id: String,
    /// The revision of the task that it carries out.
    pub revision: u64,
    /// The incarnation of its task.
    pub incarnation: u64,
    /// Null: it was triggered.
    pub tick: Option<Rfc3339>,
    /// Not before this its first attempt starts.
    pub due: Rfc3339,
    /// When its next attempt may start; null: it does not wait for a further one.
    #[serde(default)]
    pub next_attempt_at: Option<Rfc3339>,
    /// Where it came from.
    #[schemars(extend("enum" = ["schedule", "catch_up", "manual", "retry", "claim", "chain", "backfill"]))]
    pub trigger: Word,
    /// The execution that it repeats.
    pub retry_of: Option<String>,
    /// Why it ended while it waited; null: it did not.
    #[serde(default)]
    pub reason: Option<String>,
    /// The execution whose end started it.
    #[serde(default)]
    pub parent: Option<ParentView>,
    /// The tasks that its end started, or was to start.
    #[serde(default)]
    pub chained: Vec<ChainedView>,
    /// Whether somebody has seen that it failed.
    pub dismissed: bool,
    /// How it is.
    #[schemars(extend("enum" = ["pending", "running", "success", "failed", "timeout", "cancelled", "lost"]))]
    pub status: Word,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// Where it waits; null: it does not wait in a line.
    pub queue: Option<QueueView>,
    /// Where its newest attempt is.
    pub node: Option<String>,
    /// The executor that has it.
    pub executor_id: Option<String>,
    /// The fence of its newest attempt.
    pub fence: Option<u64>,
    /// The number of its newest attempt; 0: there is none.
    pub attempt: u32,
    /// All of them, oldest first.
    pub attempts: Vec<AttemptView>,
    /// The tick, or when it was triggered.
    pub scheduled_time: Rfc3339,
    /// When the first attempt started, or will have.
    pub start_time: Option<Rfc3339>,
    /// When it ended.
    pub end_time: Option<Rfc3339>,
    /// From due to start; negative: it started early.
    pub lateness_ms: Option<i64>,
    /// From the first start to the end.
    pub duration_ms: Option<u64>,
    /// Of a process.
    pub exit_code: Option<i32>,
    /// Of an HTTP request.
    pub http_status: Option<u16>,
    /// The end of what it printed.
    pub output_tail: Option<String>,
    /// What it was given.
    pub parameters: Value,
    /// A key for what it does outside, the same for all its attempts.
    pub idempotency_key: String,
    /// Of the entry that made it.
    pub index: u64,
}

/// The execution whose end started another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParentView {
    /// The name of its task.
    pub task: String,
    /// Its number.
    pub execution_id: String,
    /// How it ended.
    #[schemars(extend("enum" = ["success", "failed", "timeout", "lost"]))]
    pub status: Word,
    /// Of a process.
    pub exit_code: Option<i32>,
    /// Of an HTTP request.
    pub http_status: Option<u16>,
    /// Why it ended so; empty where there is no more to say.
    #[serde(default)]
    pub reason: String,
    /// How many ends led to the execution that it started.
    pub depth: u32,
}

/// A task that the end of an execution was to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainedView {
    /// What the definition names it for.
    #[schemars(extend("enum" = ["success", "failure", "lost", "timeout", "recovered"]))]
    pub on: Word,
    /// Its name.
    pub task: String,
    /// The execution that was started; null: there is none.
    pub execution_id: Option<String>,
    /// Why there is none.
    #[schemars(extend("enum" = ["task_not_found", "task_deleted", "task_paused", "task_cancelled", "chain_too_long", "overlap", "queue_full", "max_live", null]))]
    pub refused: Option<Word>,
}

/// The place of an execution that waits in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueView {
    /// The line: `task NAME`, or `group NAME`.
    pub line: String,
    /// Its place among those that wait there, from 1.
    pub position: usize,
    /// How many are ahead of it: those that run, and those that wait before it.
    pub ahead: usize,
    /// How many run in the line.
    pub running: u32,
    /// How many may run there.
    pub limit: u32,
}

/// One try of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    /// From 1.
    pub attempt: u32,
    /// Its fencing token.
    pub fence: u64,
    /// Where it is.
    pub node: String,
    /// The executor that has it.
    pub executor_id: Option<String>,
    /// When it started, or will have.
    pub started_at: Option<Rfc3339>,
    /// When it ended.
    pub ended_at: Option<Rfc3339>,
    /// How it ended.
    #[schemars(extend("enum" = ["success", "failed", "timeout", "cancelled", "lost", null]))]
    pub outcome: Option<Word>,
    /// Whether it may have had effects, or may still have, that are not known here.
    #[serde(default)]
    pub unknown: bool,
    /// Why.
    pub detail: Option<String>,
}

/// An execution as it is after a request about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExecutionNow {
    /// It is there.
    Kept(Box<ExecutionView>),
    /// Its task was removed since.
    Gone {
        /// Its number.
        id: String,
    },
}

impl ExecutionNow {
    /// Whether it is there and has not ended.
    #[must_use]
    pub fn live(&self) -> bool {
        match self {
            Self::Kept(view) => matches!(&*view.status, "pending" | "running"),
            Self::Gone { .. } => false,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Kept(view) => &view.id,
            Self::Gone { id } => id,
        }
    }
}

/// An execution that a request made or changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionChanged {
    /// What it is now.
    #[serde(flatten)]
    pub execution: ExecutionNow,
    /// What is worth knowing of its task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningView>,
}

/// A caller's claim of a tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimView {
    /// The execution that it made.
    pub execution_id: String,
    /// The fence that goes with the callback.
    pub fence: Option<u64>,
    /// Null: its task was removed since.
    pub execution: Option<ExecutionView>,
}

/// A piece of a stream of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputPiece {
    /// Which attempt printed it.
    pub attempt: u32,
    /// Its first byte in the whole.
    pub from: u64,
    /// The byte behind it.
    pub next: u64,
    /// What was printed.
    pub text: String,
}

/// An attempt, in a stream of output: what it prints follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputAttempt {
    /// Its number.
    pub attempt: u32,
    /// Where it runs, or ran.
    pub node: String,
}

/// What a stream of output cannot tell: the rest of an attempt's output, or what comes of it while
/// its node does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputGone {
    /// Of which attempt.
    pub attempt: u32,
    /// Which byte of it comes next.
    pub from: u64,
    /// `output_gone`: its node does not keep it; `node_unreachable`: its node does not answer.
    pub code: Word,
    /// Why, as a sentence.
    pub detail: String,
    /// Whether the rest is given up. If not, it follows once the node answers.
    pub last: bool,
    /// The last bytes of the whole output, as far as the log has them.
    pub tail: Option<String>,
}

/// The end of a stream of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputEnd {
    /// The last attempt; 0: there was none.
    pub attempt: u32,
    /// The byte behind all that was printed.
    pub next: u64,
    /// How the execution ended; `gone`: it is no longer kept.
    pub status: Word,
}
