//! The names of values in the contract.

use super::told::Told;
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

/// The status of an execution as part of a sentence.
pub(crate) fn status_told(status: Status) -> Told {
    let zh = match status {
        Status::Pending => "等待中",
        Status::Running => "执行中",
        Status::Success => "成功",
        Status::Failed => "失败",
        Status::Timeout => "超时",
        Status::Cancelled => "已取消",
        Status::Lost => "丢失",
    };
    Told { en: status.word().to_owned(), zh: zh.to_owned() }
}

/// A reason as part of a sentence.
pub(crate) fn because(reason: Reason) -> Told {
    let (en, zh) = match reason {
        Reason::Overlap => ("an execution of the task had not ended", "该任务有执行尚未结束"),
        Reason::QueueFull => ("too many executions were waiting", "排队等待的执行过多"),
        Reason::MaxLive => ("the task had too many live executions", "该任务未结束的执行过多"),
        Reason::Paused => ("the task was paused", "任务已暂停"),
        Reason::Disabled => ("the task was disabled", "任务已禁用"),
        Reason::Cancelled => ("the task was cancelled", "任务已取消"),
        Reason::Deleted => ("the task was marked deleted", "任务已标记删除"),
        Reason::Excluded => ("a calendar of the task left it out", "任务的日历排除了该时间"),
        Reason::Stopped => ("the scheduler was stopped", "调度器已停止"),
        Reason::Window => ("it was older than the catch-up window", "超出补触发窗口"),
        Reason::Max => ("it was beyond the catch-up maximum", "超出补触发上限"),
        Reason::NoMajority => ("the cluster had no majority", "集群没有多数派"),
        Reason::NoNode => (
            "no node settled it in time, and catch_up is none",
            "没有节点及时处理，且 catch_up 为 none",
        ),
        Reason::Edited => {
            ("the schedule was changed before it was settled", "在其被处理之前调度已修改")
        }
        Reason::Later => ("a later tick fired for it", "由之后的一次触发代替"),
    };
    Told { en: en.to_owned(), zh: zh.to_owned() }
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
