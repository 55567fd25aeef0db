//! What a program does with executions, and ticks that it claims itself.

use super::{Error, FuncResult, Node};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::machine::Refusal;
use crate::domain::machine::record::Status;
use crate::domain::time::Timestamp;
use crate::dto::{ExecutionChanged, ExecutionNow, ExecutionView};
use crate::exec::executor::ResultText;
use crate::ops::callbacks::{self, Callback};
use crate::ops::tasks::claim;
use crate::ops::{OpAnswer, OpError, executions, views};

/// A tick of a manual task that was granted to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTick {
    /// Its execution.
    pub execution: ExecutionId,
    /// The fencing token.
    pub fence: Fence,
}

impl Node {
    /// Whether the caller may carry out a tick of a manual task: of all callers, on any node, exactly
    /// one is granted it. Ticks of a task must rise. The execution ends with [`Node::finish`], or is
    /// lost after the task's `timeout` (without one after 5 minutes).
    ///
    /// ```no_run
    /// # async fn run(node: punctual::Node, tick: std::time::SystemTime) -> Result<(), punctual::Error> {
    /// if let Some(claimed) = node.can_run("invoices", tick).await? {
    ///     node.finish(&claimed, Ok(())).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `task_not_found`, `task_deleted`, `not_manual`; `settled`: a later tick was claimed, and nobody
    /// claimed this one.
    pub async fn can_run(
        &self,
        task: &str,
        tick: impl Into<Timestamp>,
    ) -> Result<Option<ClaimedTick>, Error> {
        let claimed = match claim::claim(&self.caller(), task, tick.into()).await {
            Ok(claimed) => claimed.body,
            Err(problem) if problem.code() == ErrorCode::AlreadyClaimed => return Ok(None),
            Err(problem) => return Err(problem.into()),
        };
        let execution = claimed.execution_id.parse::<ExecutionId>().ok();
        match (execution, claimed.fence) {
            (Some(execution), Some(fence)) => {
                Ok(Some(ClaimedTick { execution, fence: Fence(fence) }))
            }
            _ => Err(OpError::internal("a claimed tick has no fence").into()),
        }
    }

    /// Ends the execution of a claimed tick.
    ///
    /// # Errors
    /// `execution_ended`: it was lost meanwhile; `execution_not_found`.
    pub async fn finish(&self, claimed: &ClaimedTick, result: FuncResult) -> Result<(), Error> {
        let (status, detail) = match result {
            Ok(()) => (Status::Success, String::new()),
            Err(error) => (Status::Failed, error.to_string()),
        };
        let callback = Callback {
            fence: Some(claimed.fence.0),
            key: None,
            signed: None,
            status,
            text: ResultText { detail, output: String::new() },
        };
        callbacks::end(&self.caller(), &claimed.execution.to_string(), &callback).await?;
        Ok(())
    }

    /// An execution.
    ///
    /// # Errors
    /// `execution_not_found`, `no_leader`.
    pub async fn execution(&self, id: ExecutionId) -> Result<ExecutionView, Error> {
        let view = self.view().await?;
        let (task, execution) = executions::find(&view, &id.to_string())?;
        Ok(views::execution(&view.state, task, execution))
    }

    /// The executions of a task that are kept, newest first: at most `limit`.
    ///
    /// # Errors
    /// `task_not_found`, `no_leader`.
    pub async fn executions(&self, task: &str, limit: usize) -> Result<Vec<ExecutionView>, Error> {
        let view = self.view().await?;
        let task = view.task(task)?;
        let newest = task.history.executions.iter().rev().take(limit);
        Ok(newest.map(|execution| views::execution(&view.state, task, execution)).collect())
    }

    /// Makes a new execution of what an ended one did.
    ///
    /// # Errors
    /// `execution_not_found`, `execution_live`, and those of a trigger.
    pub async fn retry_execution(&self, id: ExecutionId) -> Result<ExecutionView, Error> {
        kept(executions::retry(&self.caller(), &id.to_string()).await?)
    }

    /// Ends a waiting execution, or asks a running one to stop.
    ///
    /// # Errors
    /// `execution_not_found`, `execution_ended`.
    pub async fn stop_execution(&self, id: ExecutionId) -> Result<ExecutionView, Error> {
        kept(executions::stop(&self.caller(), &id.to_string()).await?)
    }
}

fn kept(changed: OpAnswer<ExecutionChanged>) -> Result<ExecutionView, Error> {
    match changed.body.execution {
        ExecutionNow::Kept(execution) => Ok(*execution),
        ExecutionNow::Gone { .. } => Err(OpError::from(Refusal::ExecutionNotFound).into()),
    }
}
