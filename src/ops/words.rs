//! The names of values in the contract.

use crate::domain::machine::Task;
use crate::domain::machine::record::{Intent, Liveness, Reason, Status, Trigger, Verdict};

/// The states of a task.
pub(crate) const TASK_STATES: [&str; 6] =
    ["active", "paused", "completed", "failed", "cancelled", "deleted"];
/// The statuses of an execution.
pub(crate) const STATUSES: [&str; 7] =
    ["pending", "running", "success", "failed", "timeout", "cancelled", "lost"];

/// The state of a task.
pub(crate) fn task_state(task: &Task) -> &'static str {
    let live = &task.live;
    if live.deleted.is_some() {
        return "deleted";
    }
    if live.cancelled.is_some() {
        return "cancelled";
    }
    if live.paused.is_some() {
        return "paused";
    }
    if !task.over() {
        return "active";
    }
    match task.progress.last {
        Some(Status::Failed | Status::Timeout | Status::Lost) => "failed",
        Some(Status::Success | Status::Cancelled | Status::Pending | Status::Running) | None => {
            "completed"
        }
    }
}

/// The status of an execution.
pub(crate) const fn status(status: Status) -> &'static str {
    status.word()
}

/// The trigger of an execution.
pub(crate) const fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "schedule",
        Trigger::CatchUp => "catch_up",
        Trigger::Manual => "manual",
        Trigger::Retry => "retry",
        Trigger::Claim => "claim",
        Trigger::Chain => "chain",
        Trigger::Backfill => "backfill",
    }
}

/// The verdict of a tick.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    verdict.word()
}

/// Why a tick did not fire.
pub(crate) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Overlap => "overlap",
        Reason::QueueFull => "queue_full",
        Reason::MaxLive => "max_live",
        Reason::Paused => "paused",
        Reason::Disabled => "disabled",
        Reason::Cancelled => "cancelled",
        Reason::Deleted => "deleted",
        Reason::Excluded => "excluded",
        Reason::Stopped => "stopped",
        Reason::Window => "window",
        Reason::Max => "max",
        Reason::NoMajority => "no_majority",
        Reason::NoNode => "no_node",
        Reason::Edited => "edited",
        Reason::Later => "later",
    }
}

/// A reason as part of a sentence.
pub(crate) const fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::Overlap => "an execution of the task had not ended",
        Reason::QueueFull => "too many executions were waiting",
        Reason::MaxLive => "the task had too many live executions",
        Reason::Paused => "the task was paused",
        Reason::Disabled => "the task was disabled",
        Reason::Cancelled => "the task was cancelled",
        Reason::Deleted => "the task was marked deleted",
        Reason::Excluded => "a calendar of the task left it out",
        Reason::Stopped => "the scheduler was stopped",
        Reason::Window => "it was older than the catch-up window",
        Reason::Max => "it was beyond the catch-up maximum",
        Reason::NoMajority => "the cluster had no majority",
        Reason::NoNode => "no node settled it in time, and catch_up is none",
        Reason::Edited => "the schedule was changed before it was settled",
        Reason::Later => "a later tick fired for it",
    }
}

/// The liveness of a node.
pub(crate) const fn liveness(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Starting => "starting",
        Liveness::Working => "working",
        Liveness::Down => "down",
    }
}

/// The intent for a node.
pub(crate) const fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::None => "none",
        Intent::Draining => "draining",
        Intent::Leaving => "leaving",
        Intent::Removing => "removing",
    }
}
