//! Callbacks: the end of an execution, told by who carried it out. That is a caller who claimed it,
//! or an executor.
//!
//! A callback is a [`Finish`] with the fence of the attempt, so an old one is refused. The key in a
//! callback URL proves that its sender was given the attempt. Without a key everybody may call back
//! who may use the API, unless callbacks are to be signed.

use super::context::StateView;
use super::executions::find;
use super::{Caller, OpError};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Fence;
use crate::domain::machine::command::Finish;
use crate::domain::machine::limits::{DETAIL_BYTES, TAIL_BYTES};
use crate::domain::machine::record::{Attempt, Execution, Report, Status, Trigger};
use crate::domain::machine::{Command, Refusal, Task};
use crate::exec::executor::{ResultText, SignatureError, is_callback_key};

/// What a callback tells.
pub(crate) struct Callback {
    /// The fence of the attempt.
    pub fence: Option<u64>,
    /// The key of the callback URL.
    pub key: Option<String>,
    /// What the signature of the request is worth; none: nothing is to be signed.
    pub signed: Option<Result<(), SignatureError>>,
    /// How it ended.
    pub status: Status,
    /// Result and logs.
    pub text: ResultText,
}

/// Ends an attempt as its callback tells.
///
/// # Errors
/// `execution_not_found`, `execution_ended`, `stale_fence`, `fence_required`,
/// `invalid_callback_key`, `invalid_signature`, `not_called_back`.
pub(crate) async fn end(
    caller: &Caller,
    id: &str,
    callback: &Callback,
) -> Result<StateView, OpError> {
    let told = caller.answer(|view| {
        let (task, execution) = find(view, id)?;
        let finish = finish(view, task, execution, callback)?;
        Ok(finish.map(|finish| Command::Finish(Box::new(finish))))
    });
    if let Err(problem) = told.await {
        if problem.code() == ErrorCode::StaleFence {
            caller.context.metrics.reports_refused.inc();
        }
        return Err(problem);
    }
    caller.context.here()
}

/// The report of an end; none: the same was told before.
fn finish(
    view: &StateView,
    task: &Task,
    execution: &Execution,
    callback: &Callback,
) -> Result<Option<Finish>, OpError> {
    let fence = fence(execution, callback)?;
    authorised(view, execution, fence, callback)?;
    let newest = execution.attempt.as_ref().filter(|attempt| attempt.fence == fence);
    let Some(attempt) = newest else { return Err(Refusal::StaleFence.into()) };
    if execution.trigger != Trigger::Claim && attempt.executor.is_none() {
        let why = "a node carries the execution out; only callers and executors call back";
        return Err(OpError::new(ErrorCode::NotCalledBack, why));
    }
    let before = attempt.report.as_ref().map(|report| report.status);
    let ended = execution.status.ended().then_some(execution.status);
    match before.or(ended) {
        // Told again by one who did not hear the answer.
        Some(before) if told_again(before, callback.status) => return Ok(None),
        // Its attempt has ended, and another one follows.
        Some(_) if ended.is_none() => return Err(Refusal::StaleFence.into()),
        Some(_) => return Err(Refusal::ExecutionEnded.into()),
        None => {}
    }
    let report = report(view, execution, attempt, callback);
    Ok(Some(Finish { task: task.key, execution: execution.id, fence, report }))
}

/// Whether a callback with this status may have been what ended an attempt with that one: a failure
/// of what was asked to stop ends it as `cancelled`.
fn told_again(ended: Status, told: Status) -> bool {
    ended == told || (ended, told) == (Status::Cancelled, Status::Failed)
}

/// The fence of a callback, or that of the only attempt that an executor was given.
fn fence(execution: &Execution, callback: &Callback) -> Result<Fence, OpError> {
    if let Some(fence) = callback.fence {
        return Ok(Fence(fence));
    }
    let only = execution.attempt.as_ref().filter(|attempt| {
        attempt.number == 1 && attempt.executor.is_some() && execution.attempts().count() == 1
    });
    only.map(|attempt| attempt.fence).ok_or_else(|| {
        let problem = OpError::new(ErrorCode::FenceRequired, "the fence of the attempt is missing");
        problem.advise("Give it as ?fence= or in the body.")
    })
}

/// Whether the sender may end the attempt.
fn authorised(
    view: &StateView,
    execution: &Execution,
    fence: Fence,
    callback: &Callback,
) -> Result<(), OpError> {
    if let Some(key) = &callback.key {
        let secret = view.state.cluster().callback_key;
        if is_callback_key(secret, execution.id, fence, key) {
            return Ok(());
        }
        let why = "`key` is not that of this execution and fence";
        return Err(OpError::new(ErrorCode::InvalidCallbackKey, why));
    }
    match &callback.signed {
        None | Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(OpError::new(ErrorCode::InvalidSignature, why.to_string())),
    }
}

fn report(
    view: &StateView,
    execution: &Execution,
    attempt: &Attempt,
    callback: &Callback,
) -> Report {
    let started_at = execution.presumed_start().unwrap_or(attempt.granted_at);
    let (tail, cut) = callback.text.tail(TAIL_BYTES);
    let mut detail = match (callback.text.detail.as_str(), callback.status) {
        ("", Status::Failed | Status::Timeout) => "reported without a reason".to_owned(),
        (detail, _) => detail.to_owned(),
    };
    if cut > 0 {
        let note = format!(" ({cut} bytes of output before the end are not kept)");
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES.saturating_sub(note.len())));
        detail.push_str(&note);
    }
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES));
    Report {
        status: callback.status,
        unknown: false,
        started_at: Some(started_at),
        ended_at: view.now.max(started_at),
        exit_code: None,
        http_status: None,
        detail: detail.trim_start().to_owned(),
        tail: tail.as_bytes().to_vec(),
    }
}
