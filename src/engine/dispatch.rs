//! Decides which attempts run on this node: which grants it requests, starts, returns and stops.
//!
//! [`Dispatch::on`] takes one event and the applied state, updates plain tables and returns the
//! actions to carry out. It does not wait and takes no lock. The node actor carries the actions out
//! ([`attempt_control`](super::attempt_control)); task actors reserve slots for the ticks that they
//! claim.
//!
//! Hints of applied commands trigger work at once. Regular looks at the state find the same work
//! if a hint was lost.

use std::collections::BTreeSet;

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, Fence, TaskKey};
use crate::domain::machine::LineKey;
use crate::domain::machine::command::{OfFence, Start};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::task::Action;
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Stop;

use super::attempts::{AttemptTable, must_stop};
use super::delays::DelayWatch;
use super::limits::{ASK_AGAIN, ASK_OVER, REMEMBER, SILENCE_MIN};
use super::slots::{AskPurpose, GrantVerdict, SlotTable};
use super::view::{EngineView, FoundExecution, runs_in};
use super::waiting::{StartEligibility, WaitingList, eligibility, waits};

/// An event.
#[derive(Clone, Debug)]
pub(super) enum DispatchEvent {
    /// An execution waits to be granted, for the first time or again.
    Pending(TaskKey, ExecutionId),
    /// An attempt was granted to this session.
    Granted(OfFence),
    /// A stop was asked for.
    StopAsked(ExecutionId),
    /// An execution ended in the state.
    ExecutionEnded(TaskKey, ExecutionId),
    /// A task's cursor moved.
    Settled(TaskKey),
    /// A task changed.
    TaskChanged(TaskKey),
    /// The lines of a task changed.
    LineChanged(TaskKey),
    /// A node or the scheduler changed.
    MembersChanged,
    /// The state was replaced by a snapshot; hints may be missing.
    Replaced,
    /// A look at the whole state found these.
    Found(Vec<FoundExecution>),
    /// The time has come that [`DispatchDo::WakeAt`] named.
    Woken,
    /// All hints of a batch were given: free slots are to be filled.
    Fill,
    /// An attempt is over on this node.
    AttemptEnded(ExecutionId, Fence),
    /// A grant was not begun in time.
    NotStarted(OfFence),
    /// An ask for a grant came to nothing.
    AskRefused(TaskKey, ExecutionId),
    /// Every attempt is to be stopped.
    StopAll(Stop),
    /// No leader has acknowledged this node for so long.
    Unacknowledged(Millis),
    /// It is time to look after asks and attempts.
    Check,
    /// It is time to look after grants that no attempt carries out.
    CheckGrants,
}

/// An action to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DispatchDo {
    /// Propose a start; if it comes to nothing, [`DispatchEvent::AskRefused`] says so.
    Ask(Start),
    /// Propose that a grant is returned.
    GiveBack(OfFence),
    /// Carry a grant out; no start after this instant.
    Begin(OfFence, BootInstant),
    /// Stop an attempt.
    Stop(ExecutionId, Fence, Stop),
    /// Say [`DispatchEvent::Woken`] at this time.
    WakeAt(Timestamp),
}

/// The requests, waiting executions and attempts of this node.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// How long after its first ask a grant may still be begun.
    dispatch_ttl: Millis,
    pub slots: SlotTable,
    waiting: WaitingList,
    attempts: AttemptTable,
    lines: ChangedLines,
    delays: DelayWatch,
}

/// The lines that are to be looked at.
#[derive(Debug, Default)]
struct ChangedLines {
    all: bool,
    /// Those of these tasks.
    of: BTreeSet<TaskKey>,
}

impl ChangedLines {
    fn any(&self) -> bool {
        self.all || !self.of.is_empty()
    }

    /// Takes the names of the lines.
    fn take(&mut self, view: &EngineView<'_>) -> BTreeSet<LineKey> {
        let of = std::mem::take(&mut self.of);
        if std::mem::take(&mut self.all) {
            return view.state.lines().contended().cloned().collect();
        }
        let tasks = of.into_iter().filter_map(|key| view.state.task(key));
        let mut keys = BTreeSet::new();
        for task in tasks {
            keys.extend(task.lines().iter().map(|(key, _)| key.clone()));
        }
        keys
    }
}

impl Dispatch {
    /// One that begins a grant within `dispatch_ttl` of its first ask.
    pub fn new(dispatch_ttl: Millis) -> Self {
        Self { dispatch_ttl, ..Self::default() }
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
                runs || self.waiting.knows(*task, *execution)
            }
            DispatchEvent::Fill => {
                let waiting = self.waiting.len() != 0 || self.slots.waiting() != 0;
                waiting || self.lines.any() || self.delays.changed()
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
                self.pending_again(task, execution, view, &mut todo);
                self.pending(task, execution, view);
            }
            DispatchEvent::Granted(grant) => self.granted(grant, view, &mut todo),
            DispatchEvent::StopAsked(execution) => self.stop(execution, &mut todo),
            DispatchEvent::ExecutionEnded(task, execution) => {
                self.waiting.end(task, execution);
                // Whatever runs here of it runs for nobody.
                self.stop(execution, &mut todo);
            }
            DispatchEvent::Settled(task) => self.settled(task, view),
            DispatchEvent::TaskChanged(task) => self.waiting.task_changed(task),
            DispatchEvent::LineChanged(task) => self.line_changed(task, view),
            DispatchEvent::MembersChanged => {
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
            match eligibility(&one, view) {
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
    fn look_at_lines(&mut self, view: &EngineView<'_>) {
        let owns = |task: &TaskKey| view.state.task(*task).is_some_and(|task| view.owns(task));
        // The own line of a task has no other's executions: most lines are those of other nodes.
        let mine = |line: &LineKey| match line {
            LineKey::Task(task) => owns(task),
            LineKey::Group(_) => true,
        };
        for line in self.lines.take(view).into_iter().filter(mine) {
            for one in view.next_in_line(&line) {
                if owns(&one.task) {
                    self.waiting.add(one);
                }
            }
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
        self.look_at_delays(view, todo);
        self.look_at_lines(view);
        while self.slots.has_room() {
            let Some(one) = self.waiting.take_next() else { break };
            if self.slots.holds(AskPurpose::Start(one.execution)) {
                continue;
            }
            match (eligibility(&one, view), view.session) {
                // It is looked at when its time has come or its lines change.
                (
                    StartEligibility::Over | StartEligibility::Delayed | StartEligibility::InLine,
                    _,
                ) => {}
                (StartEligibility::Askable, Some(session)) => {
                    let (task, execution) = (one.task, one.execution);
                    let start = Start { task, execution, session, again: None };
                    if !self.ask(start, view, todo) {
                        self.waiting.add(one);
                        break;
                    }
                }
                (StartEligibility::Held | StartEligibility::Askable, _) => {
                    self.waiting.set_aside(one);
                }
            }
        }
        self.slots.set_waiting(self.waiting.len());
    }

    /// Asks for a grant if there is a slot; false: there is none.
    fn ask(&mut self, start: Start, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) -> bool {
        let room = self.slots.ask(AskPurpose::Start(start.execution), view.boot);
        todo.extend(room.then_some(DispatchDo::Ask(start)));
        room
    }

    /// A request failed: its slot is free, and it is made again later.
    fn refused(&mut self, task: TaskKey, execution: ExecutionId, view: &EngineView<'_>) {
        self.slots.release(AskPurpose::Start(execution));
        let Some(task) = view.state.task(task) else { return };
        if let Some(found) = task.history.execution(execution).filter(|found| waits(found)) {
            self.waiting.refuse(task.waiting_execution(found));
        }
    }

    fn granted(&mut self, grant: OfFence, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let OfFence { task, execution, fence } = grant;
        self.waiting.grant(task, execution);
        let found = view.execution(task, execution);
        let claim = found.and_then(|found| found.tick).map(|tick| AskPurpose::Claim(task, tick));
        if !found.is_some_and(|found| runs_in(found, view.session)) {
            // It is over already, and so is the ask that it came from.
            self.slots.over(execution, claim);
        }
        // A newer grant has an ask of its own, and a hint that is still to come.
        let Some(found) = found.filter(|found| is_granted(found, fence)) else { return };
        if found.trigger == Trigger::Claim {
            return;
        }
        let replayed = bug!("replay-starts-work") && view.session.is_none();
        let asked = match self.slots.granted(execution, claim) {
            GrantVerdict::Carry(asked) => asked,
            GrantVerdict::Forgotten if replayed => view.boot,
            GrantVerdict::Forgotten => return self.ask_again(grant, view, todo),
            GrantVerdict::Full => return todo.push(DispatchDo::GiveBack(grant)),
        };
        let asked = if bug!("ttl-from-apply") { view.boot } else { asked };
        self.attempts.insert(execution, fence);
        todo.push(DispatchDo::Begin(grant, asked.plus(self.dispatch_ttl)));
    }

    /// A grant was not begun in time: it is asked for again, or given back.
    fn ask_again(&mut self, grant: OfFence, view: &EngineView<'_>, todo: &mut Vec<DispatchDo>) {
        let Some(session) = view.session else { return };
        let OfFence { task, execution, fence } = grant;
        let start = Start { task, execution, session, again: Some(fence) };
        if !self.ask(start, view, todo) {
            todo.push(DispatchDo::GiveBack(grant));
        }
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
            let local = !matches!(definition.spec.action, Some(Action::Http(_)));
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
            let asked = self.slots.open(AskPurpose::Start(execution), view.boot, ASK_AGAIN);
            if !(young || carried || asked || bug!("act-on-answer")) {
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
