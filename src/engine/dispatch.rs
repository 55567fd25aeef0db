//! Decides which attempts run on this node: which grants it requests, starts, returns and stops.
//!
//! [`Dispatch::on`] takes one event and the applied state, updates plain tables and returns the
//! actions to carry out. It does not wait and takes no lock. The node actor carries the actions out
//! ([`attempt_control`](super::attempt_control)); task actors reserve slots for the ticks that they
//! claim.
//!
//! Hints of applied commands trigger work at once. Regular looks at the state find the same work
//! if a hint was lost.

use std::sync::Arc;

use crate::domain::ids::{ExecutionId, Fence, SessionId, TaskKey};
use crate::domain::machine::command::{FailPending, OfFence, Start, StartOn};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::machine::{LineKey, WaitingExecution};
use crate::domain::task::Action;
use crate::domain::time::Millis;
use crate::exec::Stop;

use super::attempts::{AttemptTable, must_stop};
use super::changed_lines::ChangedLines;
use super::choice::{ChosenCarrier, ExecutorChoices};
use super::delays::DelayWatch;
pub(super) use super::dispatch_words::{DispatchDo, DispatchEvent};
use super::limits::{ASK_AGAIN, ASK_OVER, FED_AT_ONCE, REMEMBER, SILENCE_MIN};
use super::line_turns::LineTurns;
use super::slots::{AskPurpose, GrantVerdict, SlotTable};
use super::view::{EngineView, FoundExecution, runs_in};
use super::waiting::{StartEligibility, WaitingList, eligibility, waits};

/// The requests, waiting executions and attempts of this node.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// How long after its first ask a grant may still be begun.
    dispatch_ttl: Millis,
    /// How long an execution waits for an executor.
    dispatch_wait: Millis,
    pub slots: SlotTable,
    waiting: WaitingList,
    attempts: AttemptTable,
    lines: ChangedLines,
    delays: DelayWatch,
    executors: ExecutorChoices,
    /// Whether an executor may have got room since executions last asked for one.
    room: bool,
}

impl Dispatch {
    /// One that begins a grant within `dispatch_ttl` of its first ask, and lets an execution for which
    /// no executor is there fail after `dispatch_wait`.
    pub fn new(dispatch_ttl: Millis, dispatch_wait: Millis) -> Self {
        Self { dispatch_ttl, dispatch_wait, ..Self::default() }
    }

    /// How many attempts run here.
    pub fn running(&self) -> usize {
        self.attempts.len()
    }

    /// Whether an event can change anything here. Most hints concern executions of other nodes
    /// and need no access to the state.
    pub fn concerns(&self, event: &DispatchEvent) -> bool {
        match event {
            DispatchEvent::Settled(task) => self.slots.has_claims(*task),
            DispatchEvent::TaskChanged(task) => self.waiting.has_set_aside(*task),
            DispatchEvent::StopAsked(execution) => self.attempts.of(*execution).next().is_some(),
            DispatchEvent::ExecutionEnded(task, execution) => {
                let runs = self.attempts.of(*execution).next().is_some();
                runs || self.waiting.knows(*task, *execution) || self.executors.concerns(*execution)
            }
            DispatchEvent::Fill => {
                let waiting = self.waiting.len() != 0 || self.slots.waiting() != 0;
                waiting || self.lines.any() || self.delays.changed() || self.room
            }
            DispatchEvent::Unacknowledged(_) => self.attempts.len() != 0,
            _ => true,
        }
    }

    /// Decides the consequences of an event.
    pub fn on(&mut self, event: DispatchEvent, view: &EngineView<'_>) -> Vec<DispatchDo> {
        let mut todo = Vec::new();
        if !self.concerns(&event) {
            return todo;
        }
        match event {
            DispatchEvent::Pending(task, execution) => {
                self.executors.forget(execution);
                self.pending_again(task, execution, view, &mut todo);
                self.pending(task, execution, view);
            }
            DispatchEvent::Granted(grant) => self.granted(grant, view, &mut todo),
            DispatchEvent::StopAsked(execution) => self.stop(execution, &mut todo),
            DispatchEvent::ExecutionEnded(task, execution) => {
                self.waiting.end(task, execution);
                self.executors.forget(execution);
                self.room |= self.executors.starves();
                // The result of what still runs here is discarded.
                self.stop(execution, &mut todo);
            }
            DispatchEvent::Settled(task) => self.settled(task, view),
            DispatchEvent::TaskChanged(task) => self.waiting.task_changed(task),
            DispatchEvent::LineChanged(task) => self.line_changed(task, view),
            DispatchEvent::ExecutorsChanged => self.executors_changed(view),
            DispatchEvent::MembersChanged => {
                self.executors_changed(view);
                self.delays.change();
                self.waiting.all_changed();
                self.lines.all = true;
            }
            DispatchEvent::Replaced => {
                self.stop_superseded(view, &mut todo);
                self.delays.change();
                self.waiting.all_changed();
                self.lines.all = true;
            }
            DispatchEvent::Found(found) => {
                self.lines.all = true;
                found.into_iter().for_each(|found| self.found(found));
                self.fill(view, &mut todo);
            }
            DispatchEvent::Fill | DispatchEvent::Woken => self.fill(view, &mut todo),
            DispatchEvent::AttemptEnded(execution, fence) => {
                if self.attempts.remove(execution, fence) {
                    self.slots.ended();
                    self.fill(view, &mut todo);
                }
            }
            DispatchEvent::NotStarted(grant) => self.ask_again(grant, view, &mut todo),
            DispatchEvent::AskRefused(task, execution) => {
                self.refused(task, execution, view);
                self.fill(view, &mut todo);
            }
            DispatchEvent::Dispatched(executor, took) => {
                self.executors.dispatched(executor, took, view.boot);
            }
            DispatchEvent::StopAll(how) => {
                todo.extend(
                    self.attempts.iter().map(|(id, fence)| DispatchDo::Stop(id, fence, how)),
                );
            }
            DispatchEvent::Unacknowledged(silence) => self.kill_stale(silence, view, &mut todo),
            DispatchEvent::Check => self.check(view, &mut todo),
            DispatchEvent::CheckGrants => self.check_grants(view, &mut todo),
        }
        todo
    }

    /// An execution waits again if an attempt of it was granted before. One that still runs here runs
    /// for nobody.
    fn pending_again(
        &mut self,
        task: TaskKey,
        execution: ExecutionId,
        view: &EngineView<'_>,
        todo: &mut Vec<DispatchDo>,
    ) {
        let found = view.execution(task, execution);
        if found.is_none_or(|found| found.next_attempt_at().is_none()) {
            return;
        }
        self.delays.change();
        self.waiting.ungrant(task, execution);
        let over = self.attempts.of(execution).filter(|fence| must_stop(found, *fence));
        todo.extend(over.map(|fence| DispatchDo::Stop(execution, fence, Stop::Ask)));
    }

    /// Takes in what waited for its next attempt until now.
    fn look_at_delays(&mut self, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        if bug!("delay-not-woken") {
            return;
        }
        let (due, wake) = self.delays.look(view);
        for one in due {
            self.pending(one.task, one.execution, view);
            self.line_changed(one.task, view);
        }
        todo.extend(wake.map(DispatchDo::WakeAt));
    }

    /// An execution waits: its task's owner asks for it when there is a slot.
    fn pending(&mut self, task: TaskKey, execution: ExecutionId, view: &EngineView<'_>) {
        let Some(task) = view.state.task(task).filter(|task| !task.lined()) else { return };
        let found = task.history.execution(execution).filter(|found| waits(found));
        if let Some(one) = found.map(|found| task.waiting_execution(found)) {
            match eligibility(&one, view, &mut LineTurns::default()) {
                StartEligibility::Askable => self.waiting.add(one),
                StartEligibility::Held => self.waiting.set_aside(one),
                StartEligibility::Delayed | StartEligibility::InLine | StartEligibility::Over => {}
            }
        }
    }

    /// The lines of a task changed. What waits in none any more waits by itself.
    fn line_changed(&mut self, key: TaskKey, view: &EngineView<'_>) {
        let task = view.state.task(key).filter(|_| !bug!("line-not-looked-at"));
        let Some(task) = task else { return };
        if task.lined() {
            self.lines.of.insert(key);
            return;
        }
        let waiting: Vec<ExecutionId> =
            task.live_executions().filter(|one| waits(one)).map(|one| one.id).collect();
        for execution in waiting {
            self.pending(key, execution, view);
        }
    }

    /// Takes in what may start now of the lines that changed, where this node owns it.
    fn look_at_lines(&mut self, view: &EngineView<'_>, turns: &mut LineTurns) {
        let owns = |task: &TaskKey| view.state.task(*task).is_some_and(|task| view.owns(task));
        // The own line of a task has no other's executions: most lines are those of other nodes.
        let mine = |line: &LineKey| match line {
            LineKey::Task(task) => owns(task),
            LineKey::Group(_) => true,
        };
        for line in self.lines.take(view).into_iter().filter(mine) {
            let next = turns.of(&line, view).iter().filter(|one| owns(&one.task));
            next.for_each(|one| self.waiting.add(*one));
        }
    }

    fn found(&mut self, found: FoundExecution) {
        match found {
            FoundExecution::Waits(one) => self.waiting.add(one),
            FoundExecution::Granted(task, execution) => self.waiting.grant(task, execution),
        }
    }

    /// Asks for executions that wait, the oldest first, as long as there are slots.
    fn fill(&mut self, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let mut turns = LineTurns::default();
        self.look_at_delays(view, todo);
        self.look_at_lines(view, &mut turns);
        self.executors.prune(view);
        if std::mem::take(&mut self.room) {
            // One end makes little room. All are tried again at the next check.
            self.feed(FED_AT_ONCE);
        }
        while self.slots.has_room() {
            let Some(one) = self.waiting.take_next() else { break };
            if self.slots.holds(AskPurpose::Start(one.execution)) {
                continue;
            }
            match (eligibility(&one, view, &mut turns), view.session) {
                // It is looked at when its time has come or its lines change.
                (StartEligibility::Over, _) => self.executors.forget(one.execution),
                (StartEligibility::Delayed | StartEligibility::InLine, _) => {}
                (StartEligibility::Askable, Some(session)) => {
                    if !self.ask_for(one, session, view, todo) {
                        self.waiting.add(one);
                        break;
                    }
                }
                (StartEligibility::Held | StartEligibility::Askable, _) => {
                    self.executors.forget(one.execution);
                    self.waiting.set_aside(one);
                }
            }
        }
        self.slots.set_waiting(self.waiting.len());
    }

    /// Asks for an execution that may start now; false: there is no slot. One for which no executor is
    /// there waits for one, and fails in the end.
    fn ask_for(
        &mut self,
        one: WaitingExecution,
        session: SessionId,
        view: &EngineView<'_>,
        todo: &mut Vec<DispatchDo>,
    ) -> bool {
        let (task, execution) = (one.task, one.execution);
        let start = Start { task, execution, session, again: None };
        match self.executors.choose(&one, view) {
            ChosenCarrier::Node => self.ask(start, None, view, todo),
            ChosenCarrier::Executor(executor) => {
                let asked = self.ask(start, Some(&executor), view, todo);
                if asked {
                    self.executors.asked(&one, executor);
                }
                asked
            }
            ChosenCarrier::Full => {
                self.executors.wait_for_room(one, view.boot);
                true
            }
            ChosenCarrier::Nobody => {
                if self.executors.starve(one, view.boot, self.dispatch_wait) {
                    let reason = "no_executor".to_owned();
                    todo.push(DispatchDo::Fail(FailPending { task, execution, session, reason }));
                }
                true
            }
        }
    }

    fn executors_changed(&mut self, view: &EngineView<'_>) {
        self.executors.retain(view);
        self.feed(usize::MAX);
    }

    /// Something changed: there may be an executor for those that wait for one.
    fn feed(&mut self, at_most: usize) {
        for one in self.executors.starving().take(at_most) {
            self.waiting.add(one);
        }
    }

    /// Asks for a grant if there is a slot; false: there is none.
    fn ask(
        &mut self,
        start: Start,
        executor: Option<&Arc<str>>,
        view: &EngineView<'_>,
        todo: &mut Vec<DispatchDo>,
    ) -> bool {
        let room = self.slots.ask(AskPurpose::Start(start.execution), view.boot);
        todo.extend(room.then(|| match executor {
            None => DispatchDo::Ask(start),
            Some(executor) => {
                let Start { task, execution, session, again } = start;
                let executor = executor.to_string();
                DispatchDo::AskOn(StartOn { task, execution, session, executor, again })
            }
        }));
        room
    }

    /// A request failed: its slot is free, and it is made again later.
    fn refused(&mut self, task: TaskKey, execution: ExecutionId, view: &EngineView<'_>) {
        self.slots.release(AskPurpose::Start(execution));
        self.executors.forget(execution);
        let Some(task) = view.state.task(task) else { return };
        if let Some(found) = task.history.execution(execution).filter(|found| waits(found)) {
            self.waiting.refuse(task.waiting_execution(found));
        }
    }

    fn granted(&mut self, grant: OfFence, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let OfFence { task, execution, fence } = grant;
        self.waiting.grant(task, execution);
        self.executors.forget(execution);
        let found = view.execution(task, execution);
        let claim = found.and_then(|found| found.tick).map(|tick| AskPurpose::Claim(task, tick));
        if !found.is_some_and(|found| runs_in(found, view.session)) {
            // It is over already, and so is the ask that it came from.
            self.slots.over(execution, claim);
        }
        // A newer grant has an ask of its own, and a hint that is still to come.
        let Some(found) = found.filter(|found| is_granted(found, fence)) else { return };
        // A successor may be granted: if this one began as well, both would start.
        if found.trigger == Trigger::Claim || self.waiting.gave_up(task, execution, fence) {
            return;
        }
        let replayed = bug!("replay-starts-work") && view.session.is_none();
        let asked = match self.slots.granted(execution, claim) {
            GrantVerdict::Carry(asked) => asked,
            GrantVerdict::Forgotten if replayed => view.boot,
            GrantVerdict::Forgotten => return self.ask_again(grant, view, todo),
            GrantVerdict::Full => return self.give_back(grant, todo),
        };
        let asked = if bug!("ttl-from-apply") { view.boot } else { asked };
        self.attempts.insert(execution, fence);
        todo.push(DispatchDo::Begin(grant, asked.plus(self.dispatch_ttl)));
    }

    /// A grant was not begun in time: it is asked for again, or given back. One that is over has no
    /// successor, and two requests for one successor would take the slot from each other.
    fn ask_again(&mut self, grant: OfFence, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let Some(session) = view.session else { return };
        let OfFence { task, execution, fence } = grant;
        let found = view.execution(task, execution).filter(|found| is_granted(found, fence));
        let asked = self.slots.open(AskPurpose::Start(execution), view.boot, ASK_AGAIN);
        if found.is_none() || asked {
            return;
        }
        let start = Start { task, execution, session, again: Some(fence) };
        self.waiting.give_up(task, execution, fence);
        let attempt = found.and_then(|found| found.attempt.as_ref());
        let executor = attempt.and_then(|attempt| attempt.executor.as_ref()).map(|it| &it.id);
        if !self.ask(start, executor, view, todo) {
            self.give_back(grant, todo);
        }
    }

    /// Gives a grant back for which there is no slot.
    fn give_back(&mut self, grant: OfFence, todo: &mut Vec<DispatchDo>) {
        self.waiting.give_up(grant.task, grant.execution, grant.fence);
        todo.push(DispatchDo::GiveBack(grant));
    }

    fn stop(&self, execution: ExecutionId, todo: &mut Vec<DispatchDo>) {
        let fences = self.attempts.of(execution);
        todo.extend(fences.map(|fence| DispatchDo::Stop(execution, fence, Stop::Ask)));
    }

    /// Stops attempts that the state does not have any more. Their hints may have been lost in a
    /// snapshot.
    fn stop_superseded(&self, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        if bug!("stop-in-gap-lost") {
            return;
        }
        for (execution, fence) in self.attempts.iter() {
            let found = view.state.execution(execution).map(|(_, found)| found);
            if must_stop(found, fence) {
                todo.push(DispatchDo::Stop(execution, fence, Stop::Ask));
            }
        }
    }

    /// A node without acknowledgement stops attempts that its successor may start again.
    fn kill_stale(&self, silence: Millis, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        if silence < SILENCE_MIN {
            return;
        }
        for (id, fence) in self.attempts.iter() {
            let Some((task, execution)) = view.state.execution(id) else { continue };
            let Some(definition) = task.revision(execution.revision) else { continue };
            let remote = execution.attempt.as_ref().is_some_and(|one| one.executor.is_some());
            let local = !remote && !matches!(definition.spec.action, Some(Action::Http(_)));
            if local && silence.0 * 10 >= definition.spec.lost_after.0 * 7 {
                todo.push(DispatchDo::Stop(id, fence, Stop::Kill));
            }
        }
    }

    /// Checks requests and attempts.
    fn check(&mut self, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let state = view.state;
        let open = |purpose: &AskPurpose| match *purpose {
            AskPurpose::Claim(key, tick) => {
                state.task(key).is_some_and(|task| state.settled(task) < tick)
            }
            AskPurpose::Start(id) => {
                state.execution(id).is_some_and(|(_, found)| !found.status.ended())
            }
        };
        self.slots.expire(view.boot, ASK_OVER);
        self.slots.forget(view.boot, REMEMBER, open);
        self.stop_superseded(view, todo);
        self.waiting.retry();
        self.feed(usize::MAX);
        self.fill(view, todo);
    }

    /// Asks again for grants to this session that no attempt carries out.
    fn check_grants(&mut self, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        if view.session.is_none() {
            return;
        }
        for (task, execution) in self.waiting.granted() {
            let found = view.execution(task, execution);
            let held = found.filter(|found| runs_in(found, view.session));
            let Some(attempt) = held.and_then(|found| found.attempt.as_ref()) else {
                self.waiting.ungrant(task, execution);
                continue;
            };
            let young = view.now.since(attempt.granted_at) < ASK_AGAIN;
            let carried = self.attempts.has(execution, attempt.fence);
            if !(young || carried || bug!("act-on-answer")) {
                let fence = attempt.fence;
                self.ask_again(OfFence { task, execution, fence }, view, todo);
            }
        }
    }

    /// A task's cursor moved: its claims that were not granted to this node gave their slots back.
    fn settled(&mut self, key: TaskKey, view: &EngineView<'_>) {
        if !self.slots.has_claims(key) {
            return;
        }
        let Some(task) = view.state.task(key) else { return };
        let granted = |tick| {
            let fired = task.history.fired(tick);
            let execution = fired.and_then(|fired| task.history.execution(fired.execution));
            execution.is_some_and(|found| runs_in(found, view.session))
        };
        self.slots.settled(key, view.state.settled(task), granted);
    }
}

fn is_granted(execution: &Execution, fence: Fence) -> bool {
    execution.status == Status::Running
        && execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence)
}
