//! Which attempts run here: what waits is asked for as slots get free, what is granted is carried
//! out, what the state does not hold any more is stopped. Effects say so at once; looks at the state
//! find what effects did not say.

use std::sync::Arc;

use crate::domain::ids::{ExecutionId, Fence, SessionId, TaskKey};
use crate::domain::machine::command::{Command, OfFence, Start};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::time::Millis;
use crate::exec::Stop;

use super::carried::must_stop;
use super::execution_actor::{ExecutionActor, ExecutionArguments, ExecutionMsg, Grant};
use super::liveness::losses;
use super::node_actor::NodeState;
use super::slots::{Granted, Purpose};
use super::wanting::{Standing, Waiting, standing, waits};

/// A grant that was asked for again is not asked for once more before this. Asking twice is harmless,
/// since whoever names an older grant is refused; a node that was frozen must not sit on grants.
const ASK_AGAIN: Millis = Millis(500);
/// An ask that nobody answered by then gives its slot back: longer than a proposal takes.
const ASK_OVER: Millis = Millis::from_secs(5);
/// Asks are remembered this long.
const REMEMBER: Millis = Millis::from_secs(60);
/// Commands in one entry, when there are many of a kind.
const TOGETHER: usize = 200;

impl NodeState {
    /// An execution waits: its task's owner asks for it when there is a slot.
    pub(super) fn pending(&mut self, task: TaskKey, execution: ExecutionId) {
        let found = {
            let state = self.shared.consensus.replica().read();
            state.task(task).and_then(|task| task.history.execution(execution).cloned())
        };
        if let Some(found) = found.filter(waits) {
            let one = Waiting::of(task, &found);
            match self.standing(&one) {
                Standing::Askable => self.wanting.add(one),
                Standing::Held => self.wanting.set_aside(one),
                Standing::Over => {}
            }
        }
    }

    fn standing(&self, one: &Waiting) -> Standing {
        let state = self.shared.consensus.replica().read();
        let task = state.task(one.task).map(|task| &**task);
        let owned = task.is_some_and(|task| self.shared.owns_task(task));
        let owned = owned && self.shared.session().is_some();
        standing(task, one.execution, owned, state.cluster().scheduler)
    }

    /// Asks for executions that wait, the oldest first, as long as there are slots.
    pub(super) fn fill(&mut self) {
        let session = self.shared.session();
        while self.shared.slots.lock().has_room() {
            let Some(one) = self.wanting.take_next() else { break };
            if self.shared.slots.lock().holds(Purpose::Start(one.execution)) {
                continue;
            }
            match (self.standing(&one), session) {
                (Standing::Over, _) => {}
                (Standing::Askable, Some(session)) => {
                    let (task, execution) = (one.task, one.execution);
                    let start = Start { task, execution, session, again: None };
                    if !self.shared.ask_start(start, &self.me) {
                        self.wanting.add(one);
                        break;
                    }
                }
                (Standing::Held | Standing::Askable, _) => self.wanting.set_aside(one),
            }
        }
        self.shared.slots.lock().set_waiting(self.wanting.len());
    }

    /// An ask came to nothing: its slot is free, and what it was for is asked for again later.
    pub(super) fn refused(&mut self, task: TaskKey, execution: ExecutionId) {
        self.shared.slots.lock().release(Purpose::Start(execution));
        let found = {
            let state = self.shared.consensus.replica().read();
            state.task(task).and_then(|task| task.history.execution(execution).cloned())
        };
        if let Some(found) = found.filter(waits) {
            self.wanting.refuse(Waiting::of(task, &found));
        }
        self.fill();
    }

    /// An attempt was granted to this session.
    pub(super) async fn granted(&mut self, task: TaskKey, execution: ExecutionId, fence: Fence) {
        self.wanting.grant(task, execution);
        let session = self.shared.session();
        let found = {
            let state = self.shared.consensus.replica().read();
            state.task(task).and_then(|task| task.history.execution(execution).cloned())
        };
        let claim = found.as_ref().and_then(|found| found.tick);
        let claim = claim.map(|tick| Purpose::Claim(task, tick));
        if !found.as_ref().is_some_and(|found| is_held(found, session)) {
            // It is over already, and so is the ask that it came from.
            self.shared.slots.lock().over(execution, claim);
        }
        // A newer grant has an ask of its own, and an effect that is still to come.
        let Some(found) = found.filter(|found| is_granted(found, fence)) else { return };
        if found.trigger == Trigger::Claim {
            return;
        }
        let now = self.shared.clock.boot();
        let replayed = bug!("replay-starts-work") && session.is_none();
        let granted = self.shared.slots.lock().granted(execution, claim);
        let proposed = match granted {
            Granted::Carry(proposed) => proposed,
            Granted::Forgotten if replayed => now,
            Granted::Forgotten => return self.unused(task, execution, fence),
            Granted::Full => return self.give_back(task, execution, fence),
        };
        let proposed = if bug!("ttl-from-apply") { now } else { proposed };
        let start_by = proposed.plus(self.shared.settings.dispatch_ttl);
        self.carry(Grant { task, execution, fence, start_by }).await;
    }

    async fn carry(&mut self, grant: Grant) {
        let (execution, fence) = (grant.execution, grant.fence);
        let shared = Arc::clone(&self.shared);
        let arguments = ExecutionArguments { grant, shared, node: self.me.clone() };
        match self.shared.actor(ExecutionActor, arguments, Some(self.me.get_cell())).await {
            Ok((actor, _ends)) => {
                self.executions.insert(execution, fence, actor);
                self.shared.set_running(self.executions.len());
            }
            Err(error) => {
                tracing::error!(%error, "an execution's actor could not be started");
                self.shared.slots.lock().ended();
            }
        }
    }

    /// Gives a grant back for which there is no slot: the execution waits for one.
    fn give_back(&self, task: TaskKey, execution: ExecutionId, fence: Fence) {
        let back = Command::Return(OfFence { task, execution, fence });
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move { shared.propose(&[back]).await });
    }

    pub(super) fn stop(&self, execution: ExecutionId, how: Stop) {
        for actor in self.executions.of(execution) {
            // One that has ended has nothing left to stop.
            let _ended = actor.send_message(ExecutionMsg::Stop(how));
        }
    }

    pub(super) fn stop_all(&self, how: Stop) {
        for (_, _, actor) in self.executions.iter() {
            let _ended = actor.send_message(ExecutionMsg::Stop(how));
        }
    }

    /// Stops what the state does not hold any more. An effect that would have said so may have been
    /// lost in a snapshot.
    pub(super) fn stop_superseded(&self) {
        if bug!("stop-in-gap-lost") {
            return;
        }
        let state = self.shared.consensus.replica().read();
        for (execution, fence, actor) in self.executions.iter() {
            let found = state.execution(execution).map(|(_, found)| found);
            if must_stop(found, fence) {
                let _ended = actor.send_message(ExecutionMsg::Stop(Stop::Ask));
            }
        }
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, execution: ExecutionId, fence: Fence) {
        if self.executions.remove(execution, fence) {
            self.shared.slots.lock().ended();
            self.shared.set_running(self.executions.len());
            self.fill();
        }
    }

    /// A grant was not begun in time: it is asked for again, or given back.
    pub(super) fn unused(&self, task: TaskKey, execution: ExecutionId, fence: Fence) {
        let Some(session) = self.shared.session() else { return };
        let start = Start { task, execution, session, again: Some(fence) };
        if !self.shared.ask_start(start, &self.me) {
            self.give_back(task, execution, fence);
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
                if mine && execution.trigger != Trigger::Claim {
                    self.wanting.grant(task.key, execution.id);
                } else if waits(execution) {
                    self.wanting.add(Waiting::of(task.key, execution));
                }
            }
        }
        self.fill();
    }

    /// Looks after what was asked for, what runs, and grants that no actor carries out.
    pub(super) fn look_after_attempts(&mut self) {
        let now = self.shared.clock.boot();
        {
            let state = self.shared.consensus.replica().read();
            let open = |purpose: &Purpose| match *purpose {
                Purpose::Claim(key, tick) => {
                    state.task(key).is_some_and(|task| state.settled(task) < tick)
                }
                Purpose::Start(id) => {
                    state.execution(id).is_some_and(|(_, found)| !found.status.ended())
                }
            };
            let mut slots = self.shared.slots.lock();
            slots.expire(now, ASK_OVER);
            slots.forget(now, REMEMBER, open);
        }
        self.stop_superseded();
        self.wanting.retry();
        self.fill();
    }

    /// Asks again for grants to this session that no actor carries out.
    pub(super) fn look_at_grants(&mut self) {
        let Some(session) = self.shared.session() else { return };
        for (task, execution) in self.wanting.granted() {
            let held = {
                let state = self.shared.consensus.replica().read();
                let found = state.task(task).and_then(|task| task.history.execution(execution));
                let attempt = found
                    .filter(|found| found.status == Status::Running)
                    .and_then(|found| found.attempt.as_ref())
                    .filter(|attempt| attempt.session == session);
                attempt.map(|attempt| (attempt.fence, attempt.granted_at))
            };
            match held {
                Some((fence, granted_at)) => {
                    let young = self.shared.clock.now().since(granted_at) < ASK_AGAIN;
                    let carried = self.executions.has(execution, fence);
                    let now = self.shared.clock.boot();
                    let purpose = Purpose::Start(execution);
                    let asked = self.shared.slots.lock().open(purpose, now, ASK_AGAIN);
                    if !(young || carried || asked || bug!("act-on-answer")) {
                        self.unused(task, execution, fence);
                    }
                }
                None => self.wanting.end(task, execution),
            }
        }
    }

    /// As leader, ends the attempts that nobody will report.
    pub(super) fn lose(&mut self) {
        let busy = self.losing.as_ref().is_some_and(|losing| !losing.is_finished());
        if busy || !self.shared.consensus.is_leader() {
            return;
        }
        let frozen = self.shared.consensus.replica().frozen();
        let lost = losses(&frozen, self.shared.clock.now());
        let shared = Arc::clone(&self.shared);
        self.losing = Some(self.shared.spawn(async move {
            for commands in lost.chunks(TOGETHER) {
                shared.propose(commands).await;
            }
        }));
    }

    /// A task's cursor moved: its claims that were not granted to this node gave their slots back.
    pub(super) fn settled(&mut self, key: TaskKey) {
        if !self.shared.slots.lock().has_claims(key) {
            return;
        }
        let session = self.shared.session();
        let state = self.shared.consensus.replica().read();
        let Some(task) = state.task(key) else { return };
        let granted = |tick| {
            let fired = task.history.fired(tick);
            let execution = fired.and_then(|fired| task.history.execution(fired.execution));
            execution.is_some_and(|found| is_held(found, session))
        };
        self.shared.slots.lock().settled(key, state.settled(task), granted);
    }
}

/// Whether an execution runs in a session.
fn is_held(execution: &Execution, session: Option<SessionId>) -> bool {
    let holder = execution.attempt.as_ref().map(|attempt| attempt.session);
    execution.status == Status::Running && holder == session
}

fn is_granted(execution: &Execution, fence: Fence) -> bool {
    execution.status == Status::Running
        && execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence)
}
