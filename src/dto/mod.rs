//! What goes over the API, as types: bodies of requests, and answers.
//!
//! The API writes these, the command line reads them, and `/openapi.json` describes them by their
//! schemas. The order of the fields is the order in which they are written. A field that is not
//! known to the reader is passed over; one that is missing is an error, unless it may be null.
//! The bodies of tasks and calendars are those of `domain::spec::bodies`.

mod backfill;
mod bench;
mod calendar;
mod cluster;
mod compat;
mod drift;
mod error;
mod event;
mod execution;
mod executor;
mod field_names;
mod list;
mod node;
mod preview;
#[cfg(test)]
mod published;
mod request;
pub(crate) mod short;
mod stats;
mod task;
mod tick;
mod what_if;

pub use self::backfill::{BackfillRequest, BackfillTicksView, BackfillView, BackfillsView};
pub use self::bench::{
    BenchClaims, BenchClaimsReport, BenchPrefix, BenchStart, BenchState, BenchTasks, BenchUncovered,
};
pub use self::calendar::{CalendarChanged, CalendarGone, CalendarRemoved, CalendarView};
pub use self::cluster::{
    ClusterView, CurrentLeader, HealthView, InstanceView, LiveView, MemberJoined, MemberRemoved,
    MemberView, Message, ReadyView, SchedulerSwitched, SchedulerView, StrategyView, TasksLeft,
};
pub use self::compat::{
    CronCounts, CronErrorView, CronHistoryView, CronInstanceView, CronInstancesView, CronRunView,
    CronStatusView, CronTaskStatsView, CronTaskView, CronTasksView, EnvelopeView, JobView,
    TaskRequest,
};
pub use self::drift::{DriftApplied, DriftItem, DriftView, NodeFilesView};
pub use self::error::{FieldError, ProblemView};
pub use self::event::{EventObjectView, EventView};
pub use self::execution::{
    AttemptView, ChainedView, ClaimView, ExecutionChanged, ExecutionNow, ExecutionView,
    OutputAttempt, OutputEnd, OutputGone, OutputPiece, ParentView, QueueView,
};
pub use self::executor::{
    DeclaredTaskRequest, DeclaredTaskView, ExecutorHead, ExecutorRegistered, ExecutorRemoved,
    ExecutorStatusRequest, ExecutorView, RegisterRequest,
};
pub use self::field_names::field_names;
pub use self::list::{ListPlace, ListView};
pub use self::node::{NodeOverridesView, NodeView};
pub use self::preview::{ExpressionView, NextTick, NextView, PreviewView};
pub use self::request::{
    BatchItems, BatchRequest, BulkRequest, CallbackRequest, ClaimRequest, CleanupAllRequest,
    LabelChanges, MemberAddRequest, MergePatch, NodePatchRequest, PauseRequest, PreviewRequest,
    StrategyRequest, TransferRequest, TriggerRequest,
};
pub use self::stats::{DayView, Percentiles, StatsView, StreaksView, TaskStatsView};
pub use self::task::{
    AssignmentView, ChangeView, EligibilityView, ExecutorWait, ItemView, ItemsView, LastExecution,
    LiveCounts, PauseView, RevisionView, RevisionsView, SourceView, TaskChanged, TaskHead, TaskNow,
    TaskView, TotalsView, WarningView,
};
pub use self::tick::{EndedView, FiredView, SpanView, TickView, TicksView, WhyView};
pub use self::what_if::{MovedTaskView, MovesView, ShareView, WhatIfView};
pub use crate::domain::spec::bodies::ActionBody;
pub use crate::domain::spec::bodies::{
    CalendarBody, CatchUpBody, DailyBody, RuleBody, ScheduleBody, TaskBody, Word,
};
#[cfg(feature = "cli")]
pub use crate::domain::spec::bodies::{ChainsBody, RetryBody};
pub use crate::domain::time::Rfc3339;

/// The values of a field that has one of these words, or null.
fn words_or_null(words: &[&'static str]) -> Vec<Option<&'static str>> {
    words.iter().copied().map(Some).chain([None]).collect()
}
