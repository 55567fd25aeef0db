//! Carries out the decisions of [`dispatch`](super::dispatch): proposals, and actors of attempts.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::machine::command::{Command, OfFence};

use super::dispatch::{DispatchDo, DispatchEvent};
use super::execution_actor::{ExecutionActor, ExecutionArguments, ExecutionGrant, ExecutionMsg};
use super::judge::losses;
use super::node_actor::NodeState;
use super::timer::{Alarm, AlarmTarget};
use super::view::find_executions;

impl NodeState {
    /// Passes an event to the decisions about attempts, and carries the result out.
    pub(super) async fn on_attempt(&mut self, event: DispatchEvent) {
        let mut todo: VecDeque<DispatchDo> = self.context.decide(event).into();
        while let Some(next) = todo.pop_front() {
            if let Some(event) = self.carry_out_attempt(next).await {
                todo.extend(self.context.decide(event));
            }
        }
    }

    /// Finds the work in the state that lost hints would have announced.
    pub(super) async fn find_executions(&mut self) {
        let session = self.context.session();
        let found = find_executions(&self.context.consensus.replica().frozen(), session);
        self.on_attempt(DispatchEvent::Found(found)).await;
    }

    /// Carries one thing out; what came of it, where there is something to decide again.
    async fn carry_out_attempt(&mut self, todo: DispatchDo) -> Option<DispatchEvent> {
        match todo {
            DispatchDo::Ask(start) => {
                let (of, again) = ((start.task, start.execution), start.again);
                self.context.propose_start(Command::Start(start), of, again, &self.me);
            }
            DispatchDo::AskOn(start) => {
                let (of, again) = ((start.task, start.execution), start.again);
                self.context.propose_start(Command::StartOn(start), of, again, &self.me);
            }
            DispatchDo::Fail(fail) => {
                let context = Arc::clone(&self.context);
                let fail = Command::Fail(fail);
                self.context.spawn(async move { context.propose(&[fail]).await });
            }
            DispatchDo::GiveBack(grant) => {
                let context = Arc::clone(&self.context);
                let back = Command::Return(grant);
                self.context.spawn(async move { context.propose(&[back]).await });
            }
            DispatchDo::Begin(OfFence { task, execution, fence }, start_by) => {
                return self.begin(ExecutionGrant { task, execution, fence, start_by }).await;
            }
            DispatchDo::WakeAt(at) => {
                self.context.set_alarm(Alarm { at, target: AlarmTarget::Attempts });
            }
            DispatchDo::Stop(execution, fence, how) => {
                if let Some(actor) = self.executions.get(&(execution, fence)) {
                    // One that has ended has nothing left to stop.
                    let _ended = actor.send_message(ExecutionMsg::Stop(how));
                }
            }
        }
        None
    }

    async fn begin(&mut self, grant: ExecutionGrant) -> Option<DispatchEvent> {
        let (execution, fence) = (grant.execution, grant.fence);
        let context = Arc::clone(&self.context);
        let arguments = ExecutionArguments { grant, context, node: self.me.clone() };
        match self.context.actor(ExecutionActor, arguments, Some(self.me.get_cell())).await {
            Ok((actor, _ends)) => {
                self.executions.insert((execution, fence), actor);
                None
            }
            Err(error) => {
                tracing::error!(%error, "an execution's actor could not be started");
                Some(DispatchEvent::AttemptEnded(execution, fence))
            }
        }
    }

    /// As leader, ends attempts whose nodes will not report.
    pub(super) fn lose(&mut self) {
        let busy = self.losing.as_ref().is_some_and(|losing| !losing.is_finished());
        if busy || !self.context.consensus.is_leader() {
            return;
        }
        let frozen = self.context.consensus.replica().frozen();
        let lost = losses(&frozen, self.context.clock.now());
        let context = Arc::clone(&self.context);
        self.losing = Some(self.context.spawn(async move {
            context.propose_all(&lost).await;
        }));
    }
}
