//! Operations on the lifecycle of a task.

use std::time::Duration;

use super::changed;
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{MarkDeleted, Named, PauseTask};
use crate::domain::machine::{Answer, Command};
use crate::domain::spec::check_name;
use crate::domain::time::Timestamp;
use crate::dto::{ExecutionView, PauseRequest, TaskChanged, TaskNow};
use crate::ops::{Caller, OpAnswer, OpError, views};

/// Options of a deletion.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deletion {
    /// Wait until no further start is possible.
    pub wait: bool,
    /// Stop running executions.
    pub stop: bool,
    /// Remove everything stored under the name.
    pub cleanup: bool,
    /// Mark the name even if there is no task.
    pub tombstone: bool,
}

/// Marks a task deleted, or removes everything stored under the name.
///
/// # Errors
/// `task_not_found`, `invalid_name`, `invalid_parameter`.
pub(crate) async fn delete(
    caller: &Caller,
    name: &str,
    how: Deletion,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    if how.cleanup && how.tombstone {
        let rule = "leaves no mark, so it does not go with tombstone";
        return Err(OpError::parameter("cleanup", rule));
    }
    if how.tombstone {
        check_name(name).map_err(|rule| OpError::field("/name", ErrorCode::InvalidName, rule))?;
    }
    if how.cleanup {
        let cancelled = remove(caller, name).await?;
        if how.wait {
            no_more_starts(caller).await;
        }
        return removed(caller, name, cancelled);
    }
    let if_match = caller.if_match_of(name)?;
    let (stop, tombstone) = (how.stop, how.tombstone);
    let mark = MarkDeleted { name: name.to_owned(), stop, tombstone, if_match };
    let answer = caller.submit(&Command::MarkDeleted(mark)).await?;
    if how.wait {
        no_more_starts(caller).await;
        let running = running(caller, name)?;
        return changed(caller, name, None, Some(running));
    }
    let ids = if let Answer::Running(ids) = answer { ids } else { Vec::new() };
    let running = views::executions(&caller.context.here()?.state, &ids);
    changed(caller, name, None, Some(running))
}

/// Pauses a task: its ticks do not fire.
///
/// # Errors
/// `task_not_found`, `task_deleted`, `task_cancelled`, `invalid_value`.
pub(crate) async fn pause(
    caller: &Caller,
    name: &str,
    pause: PauseRequest,
    wait: bool,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    let until = pause.until.map(|until| until.0);
    let answer = match check_until(until, caller.context.clock.now()) {
        Ok(()) => {
            let if_match = caller.if_match_of(name)?;
            let (name, reason) = (name.to_owned(), pause.reason.unwrap_or_default());
            caller.submit(&Command::Pause(PauseTask { name, reason, until, if_match })).await?
        }
        // The end of a repeated pause may have passed by now.
        Err(error) => caller.unless_answered(error).await?,
    };
    let mut running = None;
    if wait {
        no_more_starts(caller).await;
        running = Some(self::running(caller, name)?);
    }
    changed(caller, name, answer.revision(), running)
}

/// Checks that the end of a pause is in the future.
pub(super) fn check_until(until: Option<Timestamp>, now: Timestamp) -> Result<(), OpError> {
    match until {
        Some(until) if until <= now => {
            let rule = format!("must lie after {now}");
            Err(OpError::field("/until", ErrorCode::InvalidValue, rule))
        }
        _ => Ok(()),
    }
}

/// Ends a pause or a cancellation: the ticks fire again.
///
/// # Errors
/// `task_not_found`, `task_deleted`.
pub(crate) async fn resume(caller: &Caller, name: &str) -> Result<OpAnswer<TaskChanged>, OpError> {
    let answer = caller.submit(&Command::Resume(named(caller, name)?)).await?;
    let mut changed = changed(caller, name, answer.revision(), None)?;
    if let Answer::Resumed { execution, .. } = answer {
        changed.body.execution_id = Some(execution.to_string());
    }
    Ok(changed)
}

/// Cancels a task: its ticks do not fire, waiting executions end, and running ones continue.
///
/// # Errors
/// `task_not_found`, `task_deleted`.
pub(crate) async fn cancel(
    caller: &Caller,
    name: &str,
    wait: bool,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    let made = caller.submit(&Command::Cancel(named(caller, name)?)).await?.revision();
    if wait {
        no_more_starts(caller).await;
    }
    let running = running(caller, name)?;
    changed(caller, name, made, Some(running))
}

/// Removes the deleted mark.
///
/// # Errors
/// `task_not_found`.
pub(crate) async fn reuse(caller: &Caller, name: &str) -> Result<OpAnswer<TaskChanged>, OpError> {
    let made = caller.submit(&Command::Reuse(named(caller, name)?)).await?.revision();
    changed(caller, name, made, None)
}

/// Removes everything stored under the name, if anything.
///
/// # Errors
/// `revision_mismatch`.
pub(crate) async fn cleanup(caller: &Caller, name: &str) -> Result<OpAnswer<TaskChanged>, OpError> {
    let cancelled = remove(caller, name).await?;
    removed(caller, name, cancelled)
}

fn named(caller: &Caller, name: &str) -> Result<Named, OpError> {
    Ok(Named { name: name.to_owned(), if_match: caller.if_match_of(name)? })
}

/// Removes a name and returns its running executions.
async fn remove(caller: &Caller, name: &str) -> Result<Vec<ExecutionView>, OpError> {
    let running = running(caller, name)?;
    caller.submit(&Command::Cleanup(named(caller, name)?)).await?;
    Ok(running)
}

fn removed(
    caller: &Caller,
    name: &str,
    cancelled: Vec<ExecutionView>,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    let (task, cancelled) = (TaskNow::gone(name), Some(cancelled));
    let body = TaskChanged { task, running: None, cancelled, execution_id: None };
    Ok(OpAnswer::of(caller.context.here()?, body))
}

/// Waits until no previously proposed grant can lead to a start.
pub(crate) async fn no_more_starts(caller: &Caller) {
    if bug!("delete-does-not-wait") {
        return;
    }
    let ttl = caller.context.settings.dispatch_ttl.0;
    tokio::time::sleep(Duration::from_millis(ttl.saturating_add(ttl / 10))).await;
}

/// The running executions of a task.
fn running(caller: &Caller, name: &str) -> Result<Vec<ExecutionView>, OpError> {
    let view = caller.context.here()?;
    let running = view.state.named(name).map(|task| views::running(&view.state, task));
    Ok(running.unwrap_or_default())
}
