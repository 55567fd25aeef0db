//! Responses about past ticks: verdicts and their causes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CatchUpBody, ListView, PauseView, Rfc3339, ScheduleBody, Word};

/// What became of a task's ticks, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TicksView {
    /// Those that were asked for.
    #[serde(flatten)]
    pub list: ListView<TickView>,
    /// What is known begins after this.
    pub truncated_before: Rfc3339,
}

/// A tick that fired, or a stretch of ticks that did not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TickView {
    /// One that fired.
    Fired(FiredView),
    /// A stretch of others.
    Span(SpanView),
}

/// A tick that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FiredView {
    /// The instant.
    pub tick: Rfc3339,
    /// Always `fired`.
    pub verdict: Word,
    /// Its execution.
    pub execution_id: String,
    /// Whether that is still kept.
    pub execution_kept: bool,
    /// How it ended; null: it has not.
    pub ended: Option<EndedView>,
    /// Of the entry that decided it.
    pub index: u64,
}

/// How the execution of a tick ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedView {
    /// How.
    pub status: Word,
    /// Of a process.
    pub exit_code: Option<i32>,
    /// Of an HTTP request.
    pub http_status: Option<u16>,
    /// Where.
    pub node: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A stretch of ticks that did not fire, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpanView {
    /// After this.
    pub from: Rfc3339,
    /// Up to this and with it.
    pub to: Rfc3339,
    /// What became of them.
    #[schemars(extend("enum" = ["skipped", "missed", "coalesced"]))]
    pub verdict: Word,
    /// Why.
    pub reason: Word,
    /// How many; null: it cannot be computed.
    pub count: Option<u64>,
    /// Of the task when it was decided.
    pub revision: Option<u64>,
    /// Of the entry that decided it.
    pub index: u64,
}

/// Why a tick fired or not, or what will become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhyView {
    /// The task.
    pub task: String,
    /// The instant.
    pub at: Rfc3339,
    /// Whether it is a tick; null: that is not known.
    pub tick: Option<bool>,
    /// What became of it.
    pub verdict: Option<Word>,
    /// What will become of it as things stand.
    pub expected: Option<Word>,
    /// Why it did not fire, for programs.
    pub reason: Option<Word>,
    /// Whether it is decided.
    pub settled: bool,
    /// Of what is no tick: the one before.
    pub previous_tick: Option<Rfc3339>,
    /// Of what is no tick: the one after.
    pub next_tick: Option<Rfc3339>,
    /// Its execution.
    pub execution_id: Option<String>,
    /// Whether that is still kept.
    pub execution_kept: Option<bool>,
    /// How that ended.
    pub ended: Option<EndedView>,
    /// Of the entry that decided it.
    pub index: Option<u64>,
    /// When it is due.
    pub due: Option<Rfc3339>,
    /// How the task is.
    pub state: Word,
    /// Its schedule.
    pub schedule: Option<ScheduleBody>,
    /// What becomes of late ticks.
    pub catch_up: Option<CatchUpBody>,
    /// What becomes of a tick while an execution has not ended.
    pub execution_mode: Option<Word>,
    /// Whether its ticks fire.
    pub enabled: Option<bool>,
    /// Its pause.
    pub paused: Option<PauseView>,
    /// Whether ticks fire in the cluster.
    pub scheduler_started: bool,
    /// The node that owns it.
    pub owner: Option<String>,
    /// Up to here every tick has a verdict.
    pub cursor: Rfc3339,
    /// What is known begins after this.
    pub truncated_before: Rfc3339,
    /// All of it in a sentence.
    pub summary: String,
}
