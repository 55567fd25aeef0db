//! `GET /api/cron/tasks/{name}/history`: executions and skipped ticks in one list.
//!
//! The state keeps skipped ticks as spans. Here each is one entry, computed from the schedule that the
//! span belongs to, from the newest back. Ticks of a schedule that is no longer kept are left out.

use std::collections::BTreeMap;

use crate::api::extract::{HandlerResult, PathSegment, ReadRequest};
use crate::api::tasks::about::tell;
use crate::domain::ids::Revision;
use crate::domain::machine::record::{Execution, Reason, Status, Verdict};
use crate::domain::machine::{State, Task};
use crate::domain::schedule::Plan;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{CronHistoryView, CronRunView, Rfc3339};
use crate::ops::{plans, views, words};

/// Entries that are told, unless asked otherwise.
const LIMIT: u64 = 100;
/// At most so many.
const LIMIT_MAX: u64 = 1_000;

/// `GET /api/cron/tasks/{name}/history`.
pub(in crate::api) async fn history(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let limit = read.params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    tell(&read, name, move |view, task| {
        let history = runs(&view.state, task, limit);
        let count = history.len();
        Ok(CronHistoryView { task_name: task.live.name.to_string(), history, count })
    })
    .await
}

/// The newest executions and skipped ticks of a task.
fn runs(state: &State, task: &Task, limit: usize) -> Vec<CronRunView> {
    let executions = task.history.executions.iter().rev().take(limit);
    let executed = executions.map(|one| {
        let at = one.tick.unwrap_or(one.created_at);
        (at, executed(state, task, one))
    });
    let skipped = skipped(state, task, limit);
    let skipped = skipped.into_iter().map(|(tick, reason)| (tick, skip(task, tick, reason)));
    let mut runs: Vec<(Timestamp, CronRunView)> = executed.chain(skipped).collect();
    runs.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    runs.truncate(limit);
    runs.into_iter().map(|(_, run)| run).collect()
}

/// The newest skipped ticks of a task that is there, newest first.
fn skipped(state: &State, task: &Task, limit: usize) -> Vec<(Timestamp, Reason)> {
    let mut plans: BTreeMap<Revision, Option<Plan>> = BTreeMap::new();
    let mut found = Vec::new();
    // What lies before is of a former task of the name.
    let begin = task.progress.truncated_before;
    let spans = task.history.spans.iter().rev().take_while(|span| span.to > begin);
    for span in spans.filter(|span| span.verdict == Verdict::Skipped) {
        let Some(revision) = span.revision else { continue };
        let plan = plans.entry(revision);
        let plan = plan.or_insert_with(|| plans::of_revision(state, task, revision));
        // Going back from there would find what lies before the span.
        let first = plan.as_ref().and_then(|plan| plan.next_after(span.from));
        let (Some(plan), Some(first)) = (plan, first) else { continue };
        let mut before = span.to.plus(Millis(1));
        while found.len() < limit
            && first < before
            && let Some(tick) = plan.last_before(before)
        {
            found.push((tick, span.reason));
            before = tick;
        }
        if found.len() >= limit {
            break;
        }
    }
    found
}

/// How this route calls a status.
const fn word(status: Status) -> &'static str {
    match status {
        Status::Success => "completed",
        Status::Failed | Status::Timeout | Status::Lost => "failed",
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Cancelled => "cancelled",
    }
}

fn executed(state: &State, task: &Task, execution: &Execution) -> CronRunView {
    let newest = execution.attempt.as_ref();
    let told = newest.and_then(|attempt| attempt.report.as_ref()).map(|report| &report.detail);
    let told = told.filter(|detail| !detail.is_empty()).cloned();
    // One that ended while it waited for its next attempt did not end by the last one.
    let told = execution.reason().map(str::to_owned).or(told);
    let bad = execution.status.ended() && execution.status != Status::Success;
    let error = bad.then(|| told.unwrap_or_else(|| words::status(execution.status).to_owned()));
    CronRunView {
        task_name: task.live.name.to_string(),
        instance_id: newest.map(|attempt| views::node_name(state, attempt.node)),
        status: word(execution.status).into(),
        started_at: views::start_time(execution).map(Rfc3339),
        completed_at: execution.ended_at.map(Rfc3339),
        duration: execution.duration().map(|lasted| lasted.to_string()),
        error,
        retry_count: newest.map_or(0, |attempt| attempt.number.saturating_sub(1)),
    }
}

fn skip(task: &Task, tick: Timestamp, reason: Reason) -> CronRunView {
    CronRunView {
        task_name: task.live.name.to_string(),
        instance_id: None,
        status: "skipped".into(),
        started_at: Some(Rfc3339(tick)),
        completed_at: Some(Rfc3339(tick)),
        duration: Some(Millis(0).to_string()),
        error: Some(words::because(reason).en),
        retry_count: 0,
    }
}
