//! Applies the execution mode of a task to a new execution while other executions of the task have
//! not ended.

use super::guards;
use crate::domain::ids::ExecutionId;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::Refusal;
use crate::domain::machine::task::editor::TaskEditor;
use crate::domain::machine::task::record::{Reason, Report, Status};
use crate::domain::task::ExecutionMode;

/// The party that runs a new execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A node. The execution can wait.
    Node,
    /// A caller, immediately.
    Caller,
}

/// Admits a new execution of the task, or returns the reason against it. Under `replace` it makes
/// room for it.
pub fn admit(task: &mut TaskEditor<'_>, carrier: Carrier) -> Result<(), Reason> {
    guards::overlap(task)?;
    if carrier == Carrier::Caller && guards::room(task).is_err() {
        return Err(Reason::Overlap);
    }
    if task.rules.mode == ExecutionMode::Replace && task.progress.live > 0 {
        make_room(task);
    }
    Ok(())
}

/// Stops running executions and ends waiting ones.
fn make_room(task: &mut TaskEditor<'_>) {
    task.end_all(Status::Cancelled, "replaced", |other| other.status == Status::Pending);
    task.spare();
    let running = task.live_executions().filter(|live| guards::gives_way(live));
    let running: Vec<ExecutionId> = running.map(|live| live.id).collect();
    for id in running.into_iter().rev() {
        stop(task, id);
    }
}

/// Ends a waiting execution, or requests the stop of a running one.
pub fn stop(task: &mut TaskEditor<'_>, id: ExecutionId) {
    let Some(at) = task.history.position(id) else { return };
    let status = task.history.executions.get(at).map(|execution| execution.status);
    match status {
        Some(Status::Pending) => {
            task.end(at, Report::unreported(Status::Cancelled, task.stamp, "stopped"));
        }
        Some(Status::Running) => {
            task.change(at, |execution| execution.stopping = true);
            task.hint(Hint::Stop(task.key, id));
        }
        _ => {}
    }
}

/// The refusal of a request for an execution, for the reason for which a tick would be skipped.
pub fn refusal(reason: Reason, carrier: Carrier) -> Refusal {
    match reason {
        Reason::Overlap if carrier == Carrier::Caller => Refusal::NoRoom,
        Reason::Overlap => Refusal::Overlap,
        Reason::QueueFull => Refusal::QueueFull,
        _ => Refusal::MaxLive,
    }
}
