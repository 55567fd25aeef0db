//! The input of decisions about attempts: the applied state, and the executions in it that concern
//! this node.

use crate::clock::BootInstant;
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, NodeId, SessionId, TaskKey};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::machine::{Line, LineKey, State, Task, WaitingExecution};
use crate::domain::time::Timestamp;

use super::waiting::waits;

/// The applied state and the time, as one decision sees them.
pub(super) struct EngineView<'a> {
    pub state: &'a State,
    /// The nodes that may own tasks.
    pub members: &'a Members,
    /// This node.
    pub node: NodeId,
    /// The session of this process; none: it is not registered.
    pub session: Option<SessionId>,
    /// Cluster time.
    pub now: Timestamp,
    /// Time since boot.
    pub boot: BootInstant,
}

impl EngineView<'_> {
    /// Whether this node owns a task.
    pub fn owns(&self, task: &Task) -> bool {
        let owner = task.spec().and_then(|spec| self.members.owner(spec));
        task.live.deleted.is_none() && owner == Some(self.node)
    }

    /// An execution of a task.
    pub fn execution(&self, task: TaskKey, execution: ExecutionId) -> Option<&Execution> {
        self.state.task(task)?.history.execution(execution)
    }

    /// The executions of a line that may start now, in their order: those of other nodes too.
    pub fn next_in_line(&self, line: &LineKey) -> Vec<WaitingExecution> {
        if bug!("line-order-ignored") {
            let waiting = self.state.lines().get(line).into_iter().flat_map(|line| line.waiting());
            return waiting.filter(|one| self.limit(line, one).is_some()).copied().collect();
        }
        let waiting = self.state.lines().get(line).map(Line::waiting);
        let first = waiting.and_then(|waiting| waiting.get_min());
        // What is to be attempted again keeps its turn among the executions of its task.
        if matches!(line, LineKey::Task(_)) && first.is_some_and(|first| self.is_delayed(first)) {
            return Vec::new();
        }
        self.state.lines().next(line, |one| self.limit(line, one))
    }

    /// Whether an execution waits for the time of its next attempt.
    fn is_delayed(&self, one: &WaitingExecution) -> bool {
        let found = self.execution(one.task, one.execution);
        found.and_then(Execution::next_attempt_at).is_some_and(|at| at > self.now)
    }

    /// The limit with which an execution asks for a place in a line; none: it cannot start now,
    /// since something holds it, its time has not come, no node owns its task, or another line of
    /// its task is full.
    fn limit(&self, line: &LineKey, one: &WaitingExecution) -> Option<u32> {
        let task = self.state.task(one.task)?;
        let execution = task.history.execution(one.execution)?;
        let stopped = execution.tick.is_some() && !self.state.cluster().scheduler;
        let owned = task.spec().and_then(|spec| self.members.owner(spec)).is_some();
        let lines = task.lines();
        if stopped || !owned || self.is_delayed(one) || !self.state.lines().have_room(&lines) {
            return None;
        }
        lines.iter().find(|(key, _)| *key == line).map(|(_, limit)| limit)
    }

    /// Whether an execution is among the next in each line of its task.
    pub fn is_next(&self, task: &Task, one: &WaitingExecution) -> bool {
        !task.lined() || task.lines().iter().all(|(line, _)| self.next_in_line(line).contains(one))
    }
}

/// An execution that concerns this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum FoundExecution {
    /// It waits for a grant.
    Waits(WaitingExecution),
    /// It is granted to this session.
    Granted(TaskKey, ExecutionId),
}

/// Finds in a state the executions that want something of the node with this session. Those that wait
/// in a line are found by a look at their lines.
pub(super) fn find_executions(state: &State, session: Option<SessionId>) -> Vec<FoundExecution> {
    let mut found = Vec::new();
    for task in state.tasks().filter(|task| task.progress.live > 0) {
        for execution in task.live_executions() {
            if runs_in(execution, session) && execution.trigger != Trigger::Claim {
                found.push(FoundExecution::Granted(task.key, execution.id));
            } else if waits(execution) && !task.lined() {
                found.push(FoundExecution::Waits(task.waiting_execution(execution)));
            }
        }
    }
    found
}

/// Whether an execution runs in a session.
pub(super) fn runs_in(execution: &Execution, session: Option<SessionId>) -> bool {
    // What an executor has accepted belongs to no session.
    let held = execution.attempt.as_ref().filter(|attempt| attempt.accepted_at().is_none());
    execution.status == Status::Running
        && held.is_some_and(|attempt| Some(attempt.session) == session)
}
