//! One log line for each change made by a request, on the node that received it. The surrounding
//! span contains the request id.

use crate::domain::machine::Command;
use crate::domain::machine::command::{DeclaredObject, PutMode};
use crate::telemetry::line::one_line;

/// Maximum number of lines per request. Further changes are only counted.
const LINES_MAX: usize = 10;

/// The log line of a command. `None` if the command is not relevant to operators.
pub(crate) fn line(command: &Command) -> Option<String> {
    Some(match command {
        Command::Put(put) => {
            let what = match put.mode {
                PutMode::Add => "added",
                PutMode::Force => "replaced",
                PutMode::Update { .. } => "changed",
            };
            format!("task {} was {what}", put.spec.name)
        }
        Command::MarkDeleted(mark) => format!("task {} was deleted", mark.name),
        Command::Reuse(named) => format!("task {} was brought back", named.name),
        Command::Cleanup(named) => format!("task {} was cleaned up", named.name),
        Command::CleanupAll(_) => "all tasks were cleaned up".to_owned(),
        Command::Pause(pause) if pause.reason.is_empty() => {
            format!("task {} was paused", pause.name)
        }
        Command::Pause(pause) => {
            format!("task {} was paused: {}", pause.name, one_line(&pause.reason))
        }
        Command::Resume(named) => format!("task {} was resumed", named.name),
        Command::Cancel(named) => format!("task {} was cancelled", named.name),
        Command::Stop(stop) => format!("execution {} was asked to stop", stop.execution),
        Command::NodeJoin(join) => {
            format!("n{} is being added at {}", join.node.configured(), join.peer)
        }
        Command::PutCalendar(put) => format!("calendar {} was set", put.calendar.name),
        Command::DeleteCalendar(named) => format!("calendar {} was deleted", named.name),
        Command::PutExecutor(put) => format!("executor {} was registered", put.info.id),
        Command::ExecutorStatus(set) if set.reason.is_empty() => {
            format!("executor {} was set to {}", set.id, set.status.word())
        }
        Command::ExecutorStatus(set) => {
            let reason = one_line(&set.reason);
            format!("executor {} was set to {}: {reason}", set.id, set.status.word())
        }
        Command::Declare(declare) => match &declare.object {
            DeclaredObject::Task { spec, .. } => format!("task {} was set by files", spec.name),
            DeclaredObject::TaskGone(name) => format!("task {name} was deleted by files"),
            DeclaredObject::Calendar { calendar, .. } => {
                format!("calendar {} was set by files", calendar.name)
            }
            DeclaredObject::CalendarGone(name) => format!("calendar {name} was deleted by files"),
        },
        Command::DeleteExecutor(named) => format!("executor {} was deleted", named.name),
        // These every node tells, or nobody looks for.
        _ => return None,
    })
}

/// Logs changes.
pub(crate) fn log(lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter();
    for line in lines.by_ref().take(LINES_MAX) {
        tracing::info!("{line}");
    }
    let more = lines.count();
    if more > 0 {
        tracing::info!("and {more} more of the same request");
    }
}
