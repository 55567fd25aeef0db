//! The executions of a task, told as they are created.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::ExecutionId;
use crate::domain::machine::{State, Task};
use crate::dto::ExecutionView;
use crate::ops::OpError;
use crate::ops::context::{Context, Freshness, StateView};
use crate::ops::queue::QueuePositions;
use crate::ops::streams::StreamPlace;
use crate::ops::views;

/// One who is told of each execution of a task. It waits for changes of the applied state.
pub(crate) struct TaskFollower {
    context: Arc<Context>,
    name: String,
    /// Executions up to this one are not reported.
    last: ExecutionId,
    ready: VecDeque<ExecutionView>,
    /// Its place among the streams.
    _place: StreamPlace,
}

/// Tells of the executions of a task that come after one; none: of those that have not ended, and of
/// those to come.
///
/// # Errors
/// `task_not_found`, `too_many_streams`.
pub(crate) fn follow(
    context: &Arc<Context>,
    view: &StateView,
    name: &str,
    after: Option<ExecutionId>,
) -> Result<TaskFollower, OpError> {
    let task = view.task(name)?;
    let executions = || task.history.executions.iter();
    let mut queues = QueuePositions::new(&view.state);
    let live = executions().filter(|one| !one.status.ended());
    let ready = match after {
        Some(_) => VecDeque::new(),
        None => live.map(|one| views::queued(&mut queues, task, one)).collect(),
    };
    let newest = executions().next_back().map_or(ExecutionId(0), |one| one.id);
    Ok(TaskFollower {
        context: Arc::clone(context),
        name: name.to_owned(),
        last: after.unwrap_or(newest),
        ready,
        _place: StreamPlace::take(context)?,
    })
}

impl TaskFollower {
    /// Waits for the next execution; none: the name is gone.
    pub async fn event(&mut self) -> Option<ExecutionView> {
        let context = Arc::clone(&self.context);
        let replica = context.running().ok()?.consensus.replica();
        loop {
            if let Some(execution) = self.ready.pop_front() {
                return Some(execution);
            }
            let last = replica.newest_event();
            let newest = newest(&replica.read(), &self.name)?;
            match newest > self.last {
                true => self.collect().await?,
                false => replica.event_after(last).await,
            }
        }
    }

    /// Takes the executions that came since.
    async fn collect(&mut self) -> Option<()> {
        let stale = Freshness { stale: true, min_index: None };
        let view = self.context.view(stale).await.ok()?;
        let task: &Arc<Task> = view.state.named(&self.name)?;
        let newer = task.history.executions.iter().rev().take_while(|one| one.id > self.last);
        let mut queues = QueuePositions::new(&view.state);
        let mut newer: Vec<ExecutionView> =
            newer.map(|one| views::queued(&mut queues, task, one)).collect();
        newer.reverse();
        self.ready.extend(newer);
        self.last = task.history.executions.back().map_or(self.last, |one| one.id);
        Some(())
    }
}

/// The newest execution of a task; none: there is no such task.
fn newest(state: &State, name: &str) -> Option<ExecutionId> {
    let task = state.named(name)?;
    Some(task.history.executions.back().map_or(ExecutionId(0), |one| one.id))
}
