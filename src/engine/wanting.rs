//! Executions that may want something of this node: pending ones of its tasks, and grants to its
//! session that no actor carries out. A lost effect only delays them.

use std::sync::Arc;

use crate::domain::ids::{ExecutionId, SessionId, TaskKey};
use crate::domain::machine::Task;
use crate::domain::machine::command::Start;
use crate::domain::machine::record::{self, Execution, Status, Trigger};
use crate::domain::time::Millis;

use super::liveness::losses;
use super::node_actor::NodeState;
use super::shared::Purpose;

/// An execution of which a grant was asked is not asked for again before this. Asking twice is
/// harmless, since a grant is refused to whoever names an older one; waiting is not: a node that was
/// frozen sits on grants that it must give back or take anew.
const ASK_AGAIN: Millis = Millis(500);

impl NodeState {
    /// An execution waits: its task's owner asks for it.
    pub(super) fn pending(&self, task: TaskKey, execution: ExecutionId) {
        let Some(session) = self.shared.session() else { return };
        let askable = {
            let state = self.shared.consensus.replica().read();
            let scheduler = state.cluster().scheduler;
            state.task(task).is_some_and(|found| {
                self.shared.owns_task(found)
                    && found
                        .history
                        .execution(execution)
                        .is_some_and(|execution| askable(found, execution, scheduler))
            })
        };
        let asked = self.shared.was_proposed(Purpose::Start(execution), ASK_AGAIN);
        if askable && !asked && self.shared.has_slot() {
            self.shared.ask_start(Start { task, execution, session, again: None });
        }
    }

    /// As leader, ends the attempts that nobody will report.
    pub(super) async fn lose(&self) {
        if self.shared.consensus.is_leader() {
            let frozen = self.shared.consensus.replica().frozen();
            for commands in losses(&frozen, self.shared.clock.now()).chunks(200) {
                self.shared.propose(commands).await;
            }
        }
    }

    /// Finds in the state what effects told before: executions that want something of this node.
    pub(super) fn find_wanting(&mut self) {
        let session = self.shared.session();
        let frozen = self.shared.consensus.replica().frozen();
        for task in frozen.tasks().filter(|task| task.progress.live > 0) {
            for execution in task.live_executions() {
                let granted = execution.attempt.as_ref().map(|attempt| attempt.session);
                let mine = execution.status == Status::Running && granted == session;
                if execution.trigger != Trigger::Claim
                    && (mine || execution.status == Status::Pending)
                {
                    self.wanting.insert((task.key, execution.id));
                }
            }
        }
    }

    /// Asks for pending executions of this node's tasks, and for grants that no actor carries out.
    pub(super) fn look_at_wanting(&mut self) {
        let Some(session) = self.shared.session() else { return };
        for (key, id) in self.wanting.clone() {
            let found = {
                let state = self.shared.consensus.replica().read();
                state.task(key).and_then(|task| {
                    let execution = task.history.execution(id)?;
                    (!execution.status.ended()).then(|| (Arc::clone(task), execution.clone()))
                })
            };
            let Some((task, execution)) =
                found.filter(|(_, found)| found.trigger != Trigger::Claim)
            else {
                self.wanting.remove(&(key, id));
                continue;
            };
            match &execution.attempt {
                _ if execution.status == Status::Pending => self.pending(key, id),
                Some(attempt) if attempt.session == session => {
                    self.orphan(&task, &execution, attempt, session);
                }
                Some(_) | None => {}
            }
        }
    }

    fn orphan(
        &self,
        task: &Task,
        execution: &Execution,
        attempt: &record::Attempt,
        session: SessionId,
    ) {
        if bug!("act-on-answer") {
            return;
        }
        let carried =
            self.executions.get(&execution.id).is_some_and(|(fence, _)| *fence == attempt.fence);
        let asked = self.shared.was_proposed(Purpose::Start(execution.id), ASK_AGAIN);
        let young = self.shared.clock.now().since(attempt.granted_at) < ASK_AGAIN;
        if !carried && !asked && !young {
            let (task, execution) = (task.key, execution.id);
            let again = Some(attempt.fence);
            self.shared.ask_start(Start { task, execution, session, again });
        }
    }
}

fn askable(task: &Task, execution: &Execution, scheduler: bool) -> bool {
    let held = execution.tick.is_some() && (task.inactive().is_some() || !scheduler);
    execution.status == Status::Pending && !held
}
