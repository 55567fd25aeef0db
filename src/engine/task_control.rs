//! Executes the decisions of [`residency`](super::residency): actors of tasks, alarms, log
//! messages.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::{NodeId, TaskKey};
use crate::life;

use super::moved::MembersChange;
use super::node_actor::{NodeMsg, NodeState};
use super::observed::ObservedTask;
use super::residency::{Residence, ResidencyDo, ResidencyEvent};
use super::sleepers::Need;
use super::task_actor::{TaskActor, TaskArguments, TaskMsg};
use super::timer::{Alarm, AlarmTarget};

impl NodeState {
    /// Decides which tasks need an actor after an event, and executes the decisions.
    pub(super) async fn on_task(&mut self, event: ResidencyEvent) {
        let now = self.context.clock.now();
        let mut todo: VecDeque<ResidencyDo> = self.residency.on(event, now).into();
        while let Some(next) = todo.pop_front() {
            if let Some(event) = self.carry_out_task(next).await {
                todo.extend(self.residency.on(event, now));
            }
        }
    }

    /// Starts a check of every task.
    pub(super) async fn sweep(&mut self) {
        self.context.refresh_members();
        let frozen = self.context.consensus.replica().frozen();
        let tasks = frozen.tasks().map(|task| task.key).collect();
        self.on_task(ResidencyEvent::Sweep(tasks)).await;
    }

    /// Takes the members as they are now, and has the tasks checked that they give to this node or
    /// take from it. Returns whether there may be any.
    pub(super) async fn look_at_members(&mut self) -> bool {
        let Some(change) = self.context.refresh_members() else { return false };
        self.on_task(ResidencyEvent::MembersChanged(change)).await;
        true
    }

    /// Compares the owners of all tasks, on a thread for blocking work.
    fn compare(&self, change: MembersChange) {
        let (context, node) = (Arc::clone(&self.context), self.me.clone());
        let compare = async move {
            let state = context.consensus.replica().frozen();
            let comparing = Arc::clone(&context);
            let compared = life::blocking(move || {
                let (own, now) = (NodeId(comparing.consensus.id()), comparing.clock.now());
                change.compare(&state, own, now, &comparing.settings, |moved, last| {
                    // A stopping node actor makes no more decisions.
                    let _stopped = node.send_message(NodeMsg::Moved(moved, last));
                });
            });
            if let Err(error) = compared.await {
                context.fail(format!("the engine's look at the owners of tasks failed: {error}"));
            }
        };
        self.context.spawn(compare);
    }

    /// Executes one action. Returns the resulting event, if there is one.
    async fn carry_out_task(&mut self, todo: ResidencyDo) -> Option<ResidencyEvent> {
        match todo {
            ResidencyDo::Look(task) => {
                // A stopping actor accepts the message and drops it, but it also sends that it
                // sleeps, and then the task is assessed.
                let actor = self.tasks.get(&task);
                let told = actor.is_some_and(|actor| actor.send_message(TaskMsg::Look).is_ok());
                return (!told).then_some(ResidencyEvent::Unreachable(task));
            }
            ResidencyDo::Assess(task, swept) => {
                let need = self.assess(task);
                return Some(ResidencyEvent::Assessed { task, need, swept });
            }
            ResidencyDo::Activate(task, residence) => return self.activate(task, residence).await,
            ResidencyDo::Forget(task) => drop(self.tasks.remove(&task)),
            ResidencyDo::SetAlarm(task, at) => {
                self.context.set_alarm(Alarm { at, target: AlarmTarget::Sleeper(task) });
            }
            ResidencyDo::Compare(change) => self.compare(change),
            // A stopping node actor makes no more decisions.
            ResidencyDo::Continue => drop(self.me.send_message(NodeMsg::Continue)),
            ResidencyDo::TookOver(1) => tracing::info!("took over 1 task"),
            ResidencyDo::TookOver(tasks) => tracing::info!("took over {tasks} tasks"),
            ResidencyDo::Unreadable(task, error) => {
                let state = self.context.consensus.replica().read();
                let name = state.task(task).map(|task| &*task.live.name);
                tracing::error!(task = name, error, "a stored schedule cannot be computed");
            }
        }
        None
    }

    /// The needs of a task. [`Need::Nothing`] if this node does not own it or is not registered.
    fn assess(&self, task: TaskKey) -> Result<Need, String> {
        if self.context.session().is_none() {
            return Ok(Need::Nothing);
        }
        let observed = ObservedTask::of(&self.context.consensus.replica().read(), task);
        let Some(observed) = observed.filter(|found| self.context.owns_task(&found.task)) else {
            return Ok(Need::Nothing);
        };
        let need = observed.need(self.context.clock.now(), &self.context.settings);
        need.map_err(|error| error.message)
    }

    async fn activate(&mut self, key: TaskKey, residence: Residence) -> Option<ResidencyEvent> {
        let context = Arc::clone(&self.context);
        let arguments = TaskArguments { key, residence, context, node: self.me.clone() };
        match self.context.actor(TaskActor, arguments, Some(self.me.get_cell())).await {
            Ok((actor, _ends)) => {
                self.tasks.insert(key, actor);
                None
            }
            Err(error) => {
                tracing::error!(%error, "a task's actor could not be started");
                Some(ResidencyEvent::Failed(key))
            }
        }
    }
}
