//! What is done to tasks.

pub(crate) mod backfill;
pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod claim;
pub(crate) mod definition;
pub(crate) mod follow;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod trigger;

use super::{Caller, OpAnswer, OpError, views};
use crate::domain::ids::Revision;
use crate::dto::{ExecutionView, TaskChanged, TaskNow};

/// A task as it is after a command about it, and what of it goes on. The revision is the one that the
/// command made: a change that is bound to it is refused if somebody has changed the task since,
/// which the body then shows.
fn changed(
    caller: &Caller,
    name: &str,
    made: Option<Revision>,
    running: Option<Vec<ExecutionView>>,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    let view = caller.context.here()?;
    let found = view.state.named(name);
    let revision = found.map(|task| made.unwrap_or(task.live.revision));
    let task = match found {
        Some(task) => TaskNow::Kept(Box::new(views::task(&view, task))),
        // Another command has removed it since.
        None => TaskNow::gone(name),
    };
    let body = TaskChanged { task, running, cancelled: None, execution_id: None };
    Ok(OpAnswer { view, body, revision })
}
