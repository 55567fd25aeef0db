//! What a program does with tasks.

use serde_json::{Map, Value};

use super::{Error, FuncResult, Node, TaskBuilder};
use crate::domain::machine::record::Status;
use crate::domain::machine::{Refusal, Task};
use crate::domain::time::Timestamp;
use crate::dto::{
    BackfillRequest, BackfillView, ExecutionNow, ExecutionView, PauseRequest, Rfc3339, TaskNow,
    TaskView, TriggerRequest,
};
use crate::exec::FuncContext;
use crate::ops::tasks::backfill::{self, BackfillRange, BackfillStep};
use crate::ops::tasks::lifecycle::{self, Deletion};
use crate::ops::tasks::{definition, trigger};
use crate::ops::{OpError, views};

impl Node {
    /// Adds a task. A completed, failed or cancelled one of the same name is replaced.
    ///
    /// # Errors
    /// `task_exists`; `task_deleted`: the name is marked deleted; errors in the definition.
    pub async fn add_task(&self, task: TaskBuilder) -> Result<TaskView, Error> {
        self.put_new(task, false).await
    }

    /// Adds a task whatever there is of its name: a task, which is replaced with its history, or a
    /// deleted mark.
    ///
    /// # Errors
    /// Errors in the definition.
    pub async fn force_add_task(&self, task: TaskBuilder) -> Result<TaskView, Error> {
        self.put_new(task, true).await
    }

    /// Adds a task that fires once, see [`TaskBuilder::one_shot`].
    ///
    /// # Errors
    /// Those of [`Node::add_task`].
    pub async fn add_one_shot(&self, task: TaskBuilder) -> Result<TaskView, Error> {
        self.put_new(task.one_shot(), false).await
    }

    /// Adds a task that fires once, whatever there is of its name.
    ///
    /// # Errors
    /// Those of [`Node::force_add_task`].
    pub async fn force_add_one_shot(&self, task: TaskBuilder) -> Result<TaskView, Error> {
        self.put_new(task.one_shot(), true).await
    }

    /// Registers a function under the name that the task calls, and adds the task. Each node that is
    /// to execute it registers the function; on all but the first, adding is refused with
    /// `task_exists`, after the function was registered.
    ///
    /// # Errors
    /// Those of [`Node::register`] and [`Node::add_task`].
    pub async fn add_func<F, R>(&self, task: TaskBuilder, function: F) -> Result<TaskView, Error>
    where
        F: Fn(FuncContext) -> R + Send + Sync + 'static,
        R: Future<Output = FuncResult> + Send + 'static,
    {
        self.register(task.function_name(), function).await?;
        self.put_new(task, false).await
    }

    /// The same whatever there is of the task's name.
    ///
    /// # Errors
    /// Those of [`Node::register`] and [`Node::force_add_task`].
    pub async fn force_add_func<F, R>(
        &self,
        task: TaskBuilder,
        function: F,
    ) -> Result<TaskView, Error>
    where
        F: Fn(FuncContext) -> R + Send + Sync + 'static,
        R: Future<Output = FuncResult> + Send + 'static,
    {
        self.register(task.function_name(), function).await?;
        self.put_new(task, true).await
    }

    async fn put_new(&self, task: TaskBuilder, force: bool) -> Result<TaskView, Error> {
        let made = definition::create(&self.caller(), &task.into_body(), force).await?;
        kept(made.body.task)
    }

    /// Replaces the definition of a task. Cursor and history stay.
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`; errors in the definition.
    pub async fn update_task(&self, task: TaskBuilder) -> Result<TaskView, Error> {
        let name = task.name().to_owned();
        let changed = definition::put(&self.caller(), &name, &task.into_body()).await?;
        kept(changed.body.task)
    }

    /// Marks a name deleted, whether there is a task or not: it does not fire, and adding it is
    /// refused until [`Node::reuse`], [`Node::cleanup`] or a forced add. Waiting executions are
    /// cancelled, running ones finish. When it returns, none starts any more.
    ///
    /// # Errors
    /// `invalid_name`.
    pub async fn mark_deleted(&self, name: &str) -> Result<(), Error> {
        let how = Deletion { wait: true, tombstone: true, ..Deletion::default() };
        lifecycle::delete(&self.caller(), name, how).await?;
        Ok(())
    }

    /// Takes the deleted mark of a name away; the task is as it was. Nothing happens to a task
    /// without a mark.
    ///
    /// # Errors
    /// `task_not_found`.
    pub async fn reuse(&self, name: &str) -> Result<TaskView, Error> {
        kept(lifecycle::reuse(&self.caller(), name).await?.body.task)
    }

    /// Removes all that is known of a name: task, deleted mark, history. Running executions are
    /// stopped.
    ///
    /// # Errors
    /// `not_accepted`, `outcome_unknown`.
    pub async fn cleanup(&self, name: &str) -> Result<(), Error> {
        lifecycle::cleanup(&self.caller(), name).await?;
        Ok(())
    }

    /// Holds a task's ticks, until an instant if there is one.
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`, `task_cancelled`, `invalid_value`: `until` has passed.
    pub async fn pause(
        &self,
        name: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<TaskView, Error> {
        let reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        let pause = PauseRequest { reason, until: until.map(Rfc3339) };
        kept(lifecycle::pause(&self.caller(), name, pause, false).await?.body.task)
    }

    /// Ends a pause or a cancellation. A single run whose time came meanwhile is made up for.
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`.
    pub async fn resume(&self, name: &str) -> Result<TaskView, Error> {
        kept(lifecycle::resume(&self.caller(), name).await?.body.task)
    }

    /// Cancels a task: its waiting executions end, and its ticks do not fire until
    /// [`Node::resume`].
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`.
    pub async fn cancel(&self, name: &str) -> Result<TaskView, Error> {
        kept(lifecycle::cancel(&self.caller(), name, false).await?.body.task)
    }

    /// Starts an execution now, with these parameters over those of the task.
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`, `overlap`, `queue_full`, `max_live`, `too_large`.
    pub async fn trigger(
        &self,
        name: &str,
        parameters: Map<String, Value>,
    ) -> Result<ExecutionView, Error> {
        let parameters = Some(parameters).filter(|parameters| !parameters.is_empty());
        let made = trigger::trigger(&self.caller(), name, TriggerRequest { parameters }).await?;
        match made.body.execution {
            ExecutionNow::Kept(execution) => Ok(*execution),
            ExecutionNow::Gone { .. } => Err(gone()),
        }
    }

    /// Creates executions for the next ticks of a past range, as many as may be live at once: one step
    /// of a backfill. Repeat it until the answer says `done`. Each tick of the range is executed
    /// once, whichever nodes are asked.
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`, `task_cancelled`, `inactive`, `limit_reached`, `too_large`;
    /// `out_of_range`; `invalid_value` for a range that is not past, has no ticks or too many.
    pub async fn backfill(
        &self,
        name: &str,
        request: BackfillRequest,
    ) -> Result<BackfillView, Error> {
        let step = BackfillStep::of(&request)?;
        Ok(backfill::step(&self.caller(), name, &step).await?.body)
    }

    /// Ends a backfill before its range is complete: no further executions are created for its ticks,
    /// and those that were go on. It may be called again. What is left of the range is a range of its
    /// own, which [`Node::backfill`] executes.
    ///
    /// # Errors
    /// `task_not_found`; `backfill_not_found`: the range was not begun, or is no longer remembered.
    pub async fn cancel_backfill(
        &self,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BackfillView, Error> {
        let range = BackfillRange { from, to, parameters: false };
        Ok(backfill::cancel(&self.caller(), name, &range).await?.body)
    }

    /// A task, marked deleted or not.
    ///
    /// # Errors
    /// `task_not_found`, `no_leader`.
    pub async fn task(&self, name: &str) -> Result<TaskView, Error> {
        let view = self.view().await?;
        Ok(views::task(&view, view.task(name)?))
    }

    /// The names of all tasks that are not marked deleted, in order.
    ///
    /// # Errors
    /// `no_leader`.
    pub async fn all_tasks(&self) -> Result<Vec<String>, Error> {
        let view = self.view().await?;
        let tasks = view.state.by_name("").filter(|task| task.live.deleted.is_none());
        Ok(tasks.map(|task| task.live.name.to_string()).collect())
    }

    /// The names of the tasks of which an execution runs on this node, in order.
    ///
    /// # Errors
    /// `no_leader`.
    pub async fn running_on_me(&self) -> Result<Vec<String>, Error> {
        let view = self.view().await?;
        let runs_here = |task: &Task| {
            task.live_executions().any(|one| {
                one.status == Status::Running
                    && one.attempt.as_ref().is_some_and(|attempt| attempt.node == view.own)
            })
        };
        let mut names: Vec<String> = view
            .state
            .busy_tasks()
            .filter(|task| runs_here(task))
            .map(|task| task.live.name.to_string())
            .collect();
        names.sort();
        Ok(names)
    }
}

fn kept(task: TaskNow) -> Result<TaskView, Error> {
    match task {
        TaskNow::Kept(task) => Ok(*task),
        TaskNow::Gone { .. } => Err(gone()),
    }
}

/// What was made or changed was removed meanwhile by another command.
fn gone() -> Error {
    OpError::from(Refusal::TaskNotFound).into()
}
