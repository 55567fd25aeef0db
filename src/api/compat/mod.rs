//! Routes compatible with other schedulers, so that existing scripts keep working: `/api/cron/…`,
//! and `/api/v1/scheduler/{jobs|start|stop}` with envelopes.
//!
//! They return data of `ops` with the field names of those schedulers and format errors in their
//! forms: see [`error`](super::error). The terms `job` and `instance` are used by these routes
//! only.

pub(super) mod history;
pub(super) mod monitor;
pub(super) mod scheduler;

use std::sync::Arc;

use super::params::Params;
use crate::domain::machine::Task;
use crate::dto::Rfc3339;
use crate::ops::context::StateView;
use crate::ops::{OpError, views};

/// Maximum number of tasks in one response. These lists are not paginated.
const TASKS_MAX: u64 = 10_000;

/// The `limit` parameter.
fn limit(params: &Params) -> Result<usize, OpError> {
    let limit = params.number("limit", 1..=TASKS_MAX)?.unwrap_or(TASKS_MAX);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The tasks sorted by name, without those marked deleted.
fn tasks(view: &StateView) -> impl Iterator<Item = &Arc<Task>> {
    view.state.by_name("").filter(|task| task.live.deleted.is_none())
}

/// The node that owns a task.
fn owner(view: &StateView, task: &Task) -> Option<String> {
    let owner = view.members.owner(task)?;
    Some(views::node_name(&view.state, owner))
}

/// Start of the last execution of a task that has started.
fn last_run(task: &Task) -> Option<Rfc3339> {
    let mut newest_first = task.history.executions.iter().rev();
    newest_first.find_map(views::start_time).map(Rfc3339)
}
