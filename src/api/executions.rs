//! Executions: found, told, stopped, repeated, ended by their claimers.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::Value;

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, Fence, NodeId};
use crate::domain::machine::command::{Finish, OfExecution};
use crate::domain::machine::limits::{DETAIL_BYTES, TAIL_BYTES};
use crate::domain::machine::record::{Execution, Report, Status, Trigger};
use crate::domain::machine::{Command, Refusal, Task};
use crate::telemetry::metrics::Metrics;

use super::extract::{Read, Reply, Segment, Write};
use super::fields::Fields;
use super::nodes;
use super::params::Params;
use super::reply::{ok, reply};
use super::tasks::created;
use crate::ops::tasks::trigger;
use crate::api::lists::page;
use crate::dto::{ExecutionChanged, ExecutionNow, Message};
use crate::ops::OpError;
use crate::ops::context::{View, aside};
use crate::ops::stats::Ends;
use crate::ops::{views, words};

/// `GET /executions`: newest first.
pub(super) async fn list(read: Read) -> Reply {
    if read.params.get("executor_id").is_some() {
        return Err(OpError::not_supported("executors"));
    }
    let params = &read.params;
    let page = page(params)?;
    let before = match page.after() {
        None => ExecutionId(u64::MAX),
        Some(id) => id.parse().map_err(|_error| OpError::cursor())?,
    };
    let view = read.view().await?;
    let filter = Filter::of(params, &view)?;
    aside(move || {
        let state = &view.state;
        let key = |(_, one): &(&Arc<Task>, &Execution)| one.id.to_string();
        let show = |(task, one): &(&Arc<Task>, &Execution)| views::execution(state, task, one);
        let body = match &filter.task {
            // A task keeps far fewer than the cluster.
            Some(name) => {
                let task = state.named(name).into_iter();
                let own = task.flat_map(|task| {
                    task.history.executions.iter().rev().map(move |one| (task, one))
                });
                let own = own.filter(|(_, one)| one.id < before && filter.fits(one));
                page.list(own, key, show)
            }
            None => {
                let all = state.executions_before(before);
                page.list(all.filter(|(_, one)| filter.fits(one)), key, show)
            }
        };
        ok(&view, body)
    })
    .await
}

/// Which executions are asked for.
struct Filter {
    task: Option<String>,
    status: Option<&'static str>,
    node: Option<NodeId>,
    failed: bool,
}

impl Filter {
    fn of(params: &Params, view: &View) -> Result<Self, OpError> {
        let node = params.get("node").map(|node| nodes::find(view, node).map(|node| node.id));
        let node = node
            .transpose()
            .map_err(|_unknown| OpError::parameter("node", "is no node of this cluster"))?;
        Ok(Self {
            task: params.get("task_id").map(str::to_owned),
            status: params.word("status", &words::STATUSES)?,
            node,
            failed: params.flag("failed")?,
        })
    }

    fn fits(&self, execution: &Execution) -> bool {
        let ran_on = |node| views::attempts(execution).any(|attempt| attempt.node == node);
        let failed = matches!(execution.status, Status::Failed | Status::Timeout | Status::Lost);
        self.status.is_none_or(|status| words::status(execution.status) == status)
            && self.node.is_none_or(ran_on)
            && (!self.failed || (failed && !execution.dismissed()))
    }
}

/// An execution with its task.
///
/// # Errors
/// `execution_not_found`.
pub(super) fn find<'a>(
    view: &'a View,
    id: &str,
) -> Result<(&'a Arc<Task>, &'a Execution), OpError> {
    let id = id.parse::<ExecutionId>().ok();
    let found = id.and_then(|id| view.state.execution(id));
    found.ok_or_else(|| Refusal::ExecutionNotFound.into())
}

/// An execution that has ended.
fn ended(view: &View, id: &str) -> Result<OfExecution, OpError> {
    let (task, execution) = find(view, id)?;
    if execution.status.ended() {
        return Ok(OfExecution { task: task.key, execution: execution.id });
    }
    Err(OpError::new(ErrorCode::ExecutionLive, "the execution has not ended; stop it first"))
}

/// `GET /executions/{id}`.
pub(super) async fn get(Segment(id): Segment, read: Read) -> Reply {
    let view = read.view().await?;
    let (task, execution) = find(&view, &id)?;
    Ok(ok(&view, views::execution(&view.state, task, execution)))
}

/// `GET /executions/stats`: how the kept executions went, of all tasks or of one.
pub(super) async fn stats(read: Read) -> Reply {
    let task = read.params.get("task_id").map(str::to_owned);
    let view = read.view().await?;
    aside(move || {
        let mut ends = Ends::default();
        match task {
            Some(name) => {
                for one in &view.task(&name)?.history.executions {
                    ends.count(one);
                }
            }
            None => {
                for (_, one) in view.state.executions_before(ExecutionId(u64::MAX)) {
                    ends.count(one);
                }
            }
        }
        Ok(ok(&view, ends.show()))
    })
    .await?
}

/// `POST /executions/{id}/stop`: ends a waiting one, asks a running one to stop.
pub(super) async fn stop(Segment(id): Segment, write: Write) -> Reply {
    write.no_fields()?;
    let stopped = write.caller.answer(|view| {
        let (task, execution) = find(view, &id)?;
        Ok(Some(Command::Stop(OfExecution { task: task.key, execution: execution.id })))
    });
    stopped.await?;
    after_write(&write, &id, StatusCode::ACCEPTED)
}

/// `POST /executions/{id}/retry`: a new execution of what an ended one did.
pub(super) async fn retry(Segment(id): Segment, write: Write) -> Reply {
    write.no_fields()?;
    let answer = write.caller.answer(|view| Ok(Some(Command::Retry(ended(view, &id)?)))).await?;
    let made = trigger::made(&write.caller, &answer)?;
    let id = made.body.execution.id().to_owned();
    Ok(created(made, "executions", &id))
}

/// `DELETE /executions/{id}`: nobody need look at this failure any more. The record stays as long
/// as its task's history does.
pub(super) async fn dismiss(Segment(id): Segment, write: Write) -> Reply {
    write.no_fields()?;
    write.caller.answer(|view| Ok(Some(Command::Dismiss(ended(view, &id)?)))).await?;
    after_write(&write, &id, StatusCode::OK)
}

/// Answers with an execution as it is after a command about it; `live` is the status of the answer
/// as long as it has not ended.
fn after_write(write: &Write, id: &str, live: StatusCode) -> Reply {
    let view = write.caller.context.here()?;
    let (status, execution) = match find(&view, id) {
        Ok((task, execution)) => {
            let status = if execution.status.ended() { StatusCode::OK } else { live };
            let kept = views::execution(&view.state, task, execution);
            (status, ExecutionNow::Kept(Box::new(kept)))
        }
        // Its task was removed since.
        Err(_) => (StatusCode::OK, ExecutionNow::Gone { id: id.to_owned() }),
    };
    Ok(reply(&view, status, ExecutionChanged { execution, warnings: Vec::new() }))
}

/// `POST /executions/{id}/callback`: the end of an execution, told by who carried it out.
pub(super) async fn callback(Segment(id): Segment, write: Write) -> Reply {
    let params = &write.params;
    let in_query = params.number("fence", 0..=u64::MAX)?;
    let known = ["execution_id", "fence", "status", "result", "logs", "end_time"];
    let fields = Fields::of(Some(write.body()?), &known)?;
    let status = fields.need("status").word("status", &["success", "failed", "timeout"]);
    let logs = fields.text("logs").unwrap_or_default();
    let fence = in_query.or(fields.number("fence", 0..=u64::MAX));
    if fields.text("execution_id").is_some_and(|named| named != id) {
        fields.refuse(
            "/execution_id",
            ErrorCode::Conflict,
            "names another execution than the path",
        );
    }
    let result = fields.get("result").map(shown).unwrap_or_default();
    fields.done()?;
    let status = match status {
        Some("success") => Status::Success,
        Some("timeout") => Status::Timeout,
        _ => Status::Failed,
    };
    let metrics = &write.caller.context.metrics;
    let told = write.caller.answer(|view| {
        let told = (status, result, logs);
        let (task, execution) = find(view, &id)?;
        let finish = finish(view, (task, execution), fence, told, metrics)?;
        Ok(finish.map(|finish| Command::Finish(Box::new(finish))))
    });
    told.await?;
    Ok(ok(&write.caller.context.here()?, Message { message: "callback processed".to_owned() }))
}

/// The report of a claim's end; none: the same was told before.
fn finish(
    view: &View,
    (task, execution): (&Task, &Execution),
    fence: Option<u64>,
    (status, detail, logs): (Status, String, &str),
    metrics: &Metrics,
) -> Result<Option<Finish>, OpError> {
    if execution.trigger != Trigger::Claim {
        return Err(OpError::not_supported("callbacks of executions that no caller claimed"));
    }
    let Some(fence) = fence.map(Fence) else {
        return Err(OpError::new(
            ErrorCode::FenceRequired,
            "give the fence of the claim, as ?fence= or in the body",
        ));
    };
    let attempt = execution.attempt.as_ref().filter(|attempt| attempt.fence == fence);
    let Some(attempt) = attempt else {
        metrics.reports_refused.inc();
        return Err(Refusal::StaleFence.into());
    };
    if execution.status.ended() {
        // Told again by one who did not hear the answer.
        let same = execution.status == status;
        return if same { Ok(None) } else { Err(Refusal::ExecutionEnded.into()) };
    }
    let mut detail = detail;
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES));
    let tail = logs.ceil_char_boundary(logs.len().saturating_sub(TAIL_BYTES));
    let report = Report {
        status,
        started_at: Some(attempt.granted_at),
        ended_at: view.now.max(attempt.granted_at),
        exit_code: None,
        http_status: None,
        detail,
        tail: logs.get(tail..).unwrap_or_default().as_bytes().to_vec(),
    };
    Ok(Some(Finish { task: task.key, execution: execution.id, fence, report }))
}

/// A result as the record keeps it.
fn shown(result: &Value) -> String {
    match result {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
