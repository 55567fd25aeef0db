//! Responses about past ticks: verdicts and their causes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CatchUpBody, ListView, PauseView, Rfc3339, ScheduleBody, Word};
use crate::domain::spec;

/// The past ticks of a task and their verdicts, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TicksView {
    /// The requested ticks.
    #[serde(flatten)]
    pub list: ListView<TickView>,
    /// Earlier verdicts are no longer retained.
    pub truncated_before: Rfc3339,
}

/// A tick that fired, or a span of ticks that did not fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TickView {
    /// A tick that fired.
    Fired(FiredView),
    /// A span of ticks that did not fire.
    Span(SpanView),
}

/// A tick that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FiredView {
    /// The time of the tick.
    pub tick: Rfc3339,
    /// Always `fired`.
    pub verdict: Word,
    /// The id of its execution.
    pub execution_id: String,
    /// Whether the execution is still retained.
    pub execution_kept: bool,
    /// How the execution ended. Null: it has not ended.
    pub ended: Option<EndedView>,
    /// The index of the log entry with the verdict.
    pub index: u64,
}

/// How the execution of a tick ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedView {
    /// The final status.
    pub status: Word,
    /// The exit code of a process.
    pub exit_code: Option<i32>,
    /// The status of an HTTP response.
    pub http_status: Option<u16>,
    /// The node that ran it.
    pub node: Option<String>,
    /// The reason.
    pub reason: Option<String>,
}

/// A span of ticks that did not fire for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpanView {
    /// The start of the span, exclusive.
    pub from: Rfc3339,
    /// The end of the span, inclusive.
    pub to: Rfc3339,
    /// The verdict on these ticks.
    #[schemars(extend("enum" = ["skipped", "missed", "coalesced"]))]
    pub verdict: Word,
    /// The reason for the verdict.
    pub reason: Word,
    /// The number of ticks. Null: it cannot be computed.
    pub count: Option<u64>,
    /// The revision of the task at the time of the verdict.
    pub revision: Option<u64>,
    /// The index of the log entry with the verdict.
    pub index: u64,
}

/// Why a tick fired or did not fire, or the expected result of a future tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhyView {
    /// The task.
    pub task: String,
    /// The time in question.
    pub at: Rfc3339,
    /// Whether it is a tick. Null: unknown.
    pub tick: Option<bool>,
    /// The verdict on the tick.
    pub verdict: Option<Word>,
    /// The expected verdict in the current state.
    pub expected: Option<Word>,
    /// A machine-readable reason why it did not fire.
    pub reason: Option<Word>,
    /// Whether the verdict is final.
    pub settled: bool,
    /// If it is not a tick: the previous tick.
    pub previous_tick: Option<Rfc3339>,
    /// If it is not a tick: the next tick.
    pub next_tick: Option<Rfc3339>,
    /// The id of its execution.
    pub execution_id: Option<String>,
    /// Whether the execution is still retained.
    pub execution_kept: Option<bool>,
    /// How the execution ended.
    pub ended: Option<EndedView>,
    /// The index of the log entry with the verdict.
    pub index: Option<u64>,
    /// Kept executions of backfills for this tick, oldest first. They do not change its verdict.
    #[serde(default)]
    pub backfills: Vec<String>,
    /// When the tick is due.
    pub due: Option<Rfc3339>,
    /// The state of the task.
    pub state: Word,
    /// The schedule of the task.
    pub schedule: Option<ScheduleBody>,
    /// The policy for late ticks.
    pub catch_up: Option<CatchUpBody>,
    /// The policy for a tick while an execution has not ended.
    pub execution_mode: Option<Word>,
    /// Whether the task's ticks fire.
    pub enabled: Option<bool>,
    /// The pause of the task.
    pub paused: Option<PauseView>,
    /// Whether ticks fire in the cluster.
    pub scheduler_started: bool,
    /// The node that owns the task.
    pub owner: Option<String>,
    /// How it was chosen. Null: there is no definition.
    #[schemars(extend("enum" = super::words_or_null(&spec::strategies())))]
    pub strategy: Option<Word>,
    /// Every tick up to this time has a verdict.
    pub cursor: Rfc3339,
    /// Earlier verdicts are no longer retained.
    pub truncated_before: Rfc3339,
    /// A summary in one sentence.
    pub summary: String,
    /// The same in Chinese.
    #[serde(default)]
    pub summary_zh: String,
}
