//! Which tasks have an actor: owned ones whose next tick is near. All others sleep.

use std::sync::Arc;

use ractor::ActorId;

use crate::domain::ids::TaskKey;
use crate::domain::time::{Millis, Timestamp};

use super::node_actor::{NodeMsg, NodeState};
use super::seen::Seen;
use super::sleepers::Need;
use super::task_actor::{TaskActor, TaskArguments, TaskMsg};
use super::timer::{Alarm, Whom};

/// Tasks considered before other messages get a turn.
const SLICE: usize = 500;
/// A task whose actor failed is looked at again after this: it may fail again.
const AFTER_FAILURE: Millis = Millis::from_secs(1);

impl NodeState {
    /// Has a task's actor look at the state, if it has one.
    pub(super) async fn look(&mut self, key: TaskKey) {
        let Some(actor) = self.tasks.get(&key) else { return };
        // An actor that is stopping takes the message and drops it, but it also says that it
        // sleeps, and then the task is considered. Of one that has ended there is nothing to wait
        // for.
        if actor.send_message(TaskMsg::Look).is_err() {
            self.tasks.remove(&key);
            self.consider(key).await;
        }
    }

    /// Looks at a task that may have changed.
    pub(super) async fn look_or_consider(&mut self, key: TaskKey) {
        if self.tasks.contains_key(&key) {
            self.look(key).await;
        } else {
            self.consider(key).await;
        }
    }

    /// Begins a look at every task.
    pub(super) fn consider_all(&mut self) {
        self.shared.refresh_members();
        self.queue =
            self.shared.consensus.replica().frozen().tasks().map(|task| task.key).collect();
        self.go_on_considering();
    }

    /// Begins a look at sleeping tasks whose alarms rang.
    pub(super) fn awake(&mut self, alarms: Vec<(TaskKey, Timestamp)>) {
        for (key, at) in alarms {
            if self.asleep.rang(key, at) {
                self.awake.push_back(key);
            }
        }
        self.go_on_considering();
    }

    fn go_on_considering(&mut self) {
        let some = !self.awake.is_empty() || !self.queue.is_empty();
        if some && !self.considering {
            self.considering = self.me.send_message(NodeMsg::Consider).is_ok();
        }
    }

    /// Considers some of the tasks that are to be considered; those that woke come first.
    pub(super) async fn consider_slice(&mut self) {
        self.considering = false;
        for _ in 0..SLICE {
            if let Some(key) = self.awake.pop_front() {
                self.look_or_consider(key).await;
                continue;
            }
            let Some(key) = self.queue.pop_front() else { return self.news.considered() };
            let known = self.has(key);
            self.look_or_consider(key).await;
            self.news.took(self.has(key) && !known);
        }
        self.go_on_considering();
    }

    /// Whether a task of this node has an actor or an alarm.
    fn has(&self, key: TaskKey) -> bool {
        self.tasks.contains_key(&key) || self.asleep.has(key)
    }

    /// Gives an owned task an actor if its next tick is near, else an alarm.
    pub(super) async fn consider(&mut self, key: TaskKey) {
        if self.shared.session().is_none() || self.tasks.contains_key(&key) {
            return;
        }
        match self.needs(key) {
            Need::Nothing => {}
            Need::Actor => self.activate(key).await,
            Need::Alarm(at) => self.sleep_until(key, at),
        }
    }

    fn sleep_until(&mut self, key: TaskKey, at: Timestamp) {
        if self.asleep.arm(key, at) {
            self.shared.set_alarm(Alarm { at, whom: Whom::Sleeper(key) });
        }
    }

    fn needs(&mut self, key: TaskKey) -> Need {
        let seen = Seen::of(&self.shared.consensus.replica().read(), key);
        let Some(seen) = seen.filter(|seen| self.shared.owns_task(&seen.task)) else {
            return Need::Nothing;
        };
        match seen.need(self.shared.clock.now(), &self.shared.settings) {
            Ok(need) => {
                self.unreadable.remove(&key);
                need
            }
            Err(error) => {
                if self.unreadable.insert(key) {
                    let (task, error) = (seen.task.spec().map(|spec| &*spec.name), error.message);
                    tracing::error!(task, error, "a stored schedule cannot be read");
                }
                Need::Nothing
            }
        }
    }

    async fn activate(&mut self, key: TaskKey) {
        let shared = Arc::clone(&self.shared);
        let arguments = TaskArguments { key, shared, node: self.me.clone() };
        match self.shared.actor(TaskActor, arguments, Some(self.me.get_cell())).await {
            Ok((actor, _ends)) => drop(self.tasks.insert(key, actor)),
            Err(error) => {
                tracing::error!(%error, "a task's actor could not be started");
                self.sleep_until(key, self.shared.clock.now().plus(AFTER_FAILURE));
            }
        }
    }

    /// A task's actor ended, with nothing to do before `until`. What changed between its last look
    /// and now reached nobody, so the task is looked at here.
    pub(super) async fn fell_asleep(
        &mut self,
        key: TaskKey,
        actor: ActorId,
        until: Option<Timestamp>,
    ) {
        if self.tasks.get(&key).is_some_and(|resident| resident.get_id() == actor) {
            self.tasks.remove(&key);
        }
        match until {
            Some(until) if bug!("change-slept-over") => self.sleep_until(key, until),
            Some(_) | None => self.consider(key).await,
        }
    }

    /// An actor failed. Whatever it was for is looked at again.
    pub(super) fn actor_failed(&mut self, actor: ActorId, why: &str) {
        let task =
            self.tasks.iter().find(|(_, other)| other.get_id() == actor).map(|(key, _)| *key);
        if let Some(key) = task {
            tracing::error!(%key, why, "a task's actor failed; the task is looked at again");
            self.tasks.remove(&key);
            self.sleep_until(key, self.shared.clock.now().plus(AFTER_FAILURE));
        }
        let attempt = self.executions.iter().find(|(_, _, other)| other.get_id() == actor);
        if let Some((execution, fence, _)) = attempt {
            tracing::error!(%execution, why, "an attempt's actor failed; the attempt ends as lost");
            self.ended(execution, fence);
        }
    }
}
