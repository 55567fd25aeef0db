//! The one way to change a task. `State::edit` gives an editor to a closure; when the closure ends,
//! digest, index and the list of changes are made true to what it did, once.

use std::ops::Deref;
use std::sync::Arc;

use super::calendar_users::CalendarUsers;
use super::delayed::DelayedExecutions;
use super::dispatched::{DeclaredTasks, InFlight};
use super::keys;
use super::lines::Lines;
use super::record::{
    Attempt, AttemptExecutor, ClusterStatistics, Dispatched, Execution, ExecutionEnd, FiredTick,
    LiveRecord, More, ParentExecution, Reason, Report, Span, Status, TaskProgress, Trigger,
    Verdict,
};
use super::statistics::RunTimes;
use super::strategy_users::StrategyUsers;
use super::tombstones::DeletedMarks;
use super::whole::Task;
use crate::domain::ids::{EventId, ExecutionId, Fence, NodeId, Revision, SessionId};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::{Event, EventKind, EventObject};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::machine::store::digest::{self, Digest};
use crate::domain::machine::store::dirty::Dirty;
use crate::domain::machine::store::index::Index;
use crate::domain::machine::store::table::BusyMark;
use crate::domain::time::Timestamp;

/// Where and when a command is applied.
#[derive(Clone, Copy, Debug)]
pub struct EntryContext<'a> {
    /// Log index of its entry.
    pub index: u64,
    /// Cluster time of the leader that took the entry.
    pub stamp: Timestamp,
    /// Who sent it; empty for the engine.
    pub by: &'a str,
}

/// A task being changed. It reads as the task; what changes it keeps the rest of the state true.
pub struct TaskEditor<'a> {
    pub task: &'a mut Task,
    /// Log index of the entry.
    pub index: u64,
    /// Cluster time of the entry.
    pub stamp: Timestamp,
    /// No tick up to here is claimed any more.
    pub floor: Timestamp,
    /// How many tasks there are, for their share of what is kept.
    pub tasks: u64,
    pub counter: &'a mut u64,
    pub digest: &'a mut Digest,
    pub dirty: &'a mut Dirty,
    pub executions: &'a mut Index,
    pub marks: &'a mut DeletedMarks,
    pub calendar_users: &'a mut CalendarUsers,
    pub strategy_users: &'a mut StrategyUsers,
    pub lines: &'a mut Lines,
    pub delayed: &'a mut DelayedExecutions,
    pub statistics: &'a mut Arc<ClusterStatistics>,
    pub in_flight: &'a mut InFlight,
    pub declared: &'a DeclaredTasks,
    pub busy: BusyMark<'a>,
    pub effects: &'a mut Effects,
    /// The live record as it was before the first change of it; none: it is as it was.
    pub former_live: Option<Box<LiveRecord>>,
    /// The incarnation of which an execution of a tick ended; none: none did.
    pub ran: Option<Revision>,
    /// Executions of backfills that ended, and how.
    pub backfilled: Vec<(ExecutionId, Status)>,
    /// Whether the statistics of the task were changed or dropped.
    pub counted: bool,
}

impl Deref for TaskEditor<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        self.task
    }
}

impl TaskEditor<'_> {
    /// The live record, to be changed.
    pub fn live_mut(&mut self) -> &mut LiveRecord {
        if self.former_live.is_none() {
            self.former_live = Some(Box::new(self.task.live.clone()));
        }
        &mut self.task.live
    }

    /// The progress, to be changed.
    pub fn progress_mut(&mut self) -> &mut TaskProgress {
        &mut self.task.progress
    }

    /// Writes what was changed into all that is derived of it: each record that changed is hashed
    /// once, however often it was changed.
    pub fn finish(mut self, former: &TaskProgress) {
        let task = self.task;
        let key = task.key;
        if let Some(former) = self.former_live {
            let hash = digest::hash(&keys::live(key), &task.live);
            self.digest.sub(std::mem::replace(&mut task.counted.live, hash));
            self.digest.add(hash);
            self.marks.remove(key, &former);
            self.marks.add(key, &task.live);
            self.dirty.lives.push(key);
        }
        if self.counted
            && let Some(statistics) = &mut task.statistics
        {
            let hash = statistics.recent.hash(key);
            self.digest.sub(std::mem::replace(&mut statistics.hash, hash));
            self.digest.add(hash);
        }
        if task.progress != *former || self.counted {
            let hash = task.progress.hash(key);
            self.digest.sub(std::mem::replace(&mut task.counted.progress, hash));
            self.digest.add(hash);
            self.busy.set(task.progress.live > 0);
            if task.noted != self.dirty.epoch {
                task.noted = self.dirty.epoch;
                self.dirty.tasks.push(key);
            }
        }
    }

    pub fn step(&mut self) -> u64 {
        *self.counter += 1;
        *self.counter
    }

    pub fn hint(&mut self, hint: Hint) {
        self.effects.hints.push(hint);
    }

    /// Tells those who watch what happened to the task.
    pub fn tell(&mut self, kind: EventKind) {
        let name = Arc::clone(&self.task.live.name);
        self.event(kind, EventObject::Task(name));
    }

    fn event(&mut self, kind: EventKind, object: EventObject) {
        let id = EventId(self.step());
        self.effects.events.push(Event { id, at: self.stamp, kind, object });
    }

    /// Tells of an execution that was created or changed.
    fn tell_execution(&mut self, execution: ExecutionId, status: Status) {
        let task = Arc::clone(&self.task.live.name);
        let object = EventObject::Execution { task, execution, status };
        self.event(EventKind::ExecutionChanged, object);
    }

    /// Notes that a command changed the task, and what it did to it.
    pub fn revise(&mut self, revision: Revision, kind: EventKind) {
        let stamp = self.stamp;
        let live = self.live_mut();
        live.revision = revision;
        live.updated_at = stamp;
        self.hint(Hint::Task(self.task.key));
        self.tell(kind);
    }

    /// Up to here every tick is settled.
    pub fn settled(&self) -> Timestamp {
        self.task.progress.cursor.max(self.floor)
    }

    /// Writes down what the floor passed over.
    pub fn close_floor(&mut self) {
        if self.task.progress.cursor < self.floor {
            self.span(self.floor, Verdict::Skipped, Reason::Stopped, self.uncounted());
        }
    }

    /// Closes what is unsettled up to `to`: an edit, a pause, a resume, a deletion.
    pub fn close(&mut self, to: Timestamp, becomes: Option<Reason>) {
        self.close_floor();
        if self.task.progress.cursor >= to {
            return;
        }
        match self.task.inactive().or(becomes) {
            Some(reason) => self.span(to, Verdict::Skipped, reason, self.uncounted()),
            None => self.span(to, Verdict::Missed, Reason::Edited, self.uncounted()),
        }
    }

    /// How many ticks a stretch has that nobody counts: where none is left, none.
    fn uncounted(&self) -> Option<u64> {
        self.task.progress.exhausted.then_some(0)
    }

    /// Gives `(cursor, to]` a verdict.
    pub fn span(&mut self, to: Timestamp, verdict: Verdict, reason: Reason, count: Option<u64>) {
        let key = self.task.key;
        let (index, from, revision) =
            (self.index, self.task.progress.cursor, self.task.live.definition);
        self.progress_mut().cursor = to;
        match count {
            None => self.count(|totals| totals.uncounted_spans += 1),
            Some(0) => {}
            Some(count) => self.count(|totals| totals.ticks(verdict, count)),
        }
        self.hint(Hint::Verdict(verdict, Some(reason), count.unwrap_or(0)));
        let mut span = Span { from, to, verdict, reason, count, revision, index };
        let spans = &mut self.task.history.spans;
        if let Some(last) = spans.back().copied() {
            let kin = last.to == from
                && (last.verdict, last.reason, last.revision) == (verdict, reason, revision);
            if kin {
                self.digest.sub(digest::hash(&keys::span(key, last.to), &last));
                spans.pop_back(key, self.dirty);
                span.from = last.from;
                span.count = last.count.zip(count).map(|(one, other)| one.saturating_add(other));
            }
        }
        self.digest.add(digest::hash(&keys::span(key, span.to), &span));
        spans.push(span, key, self.dirty);
        self.trim_spans();
    }

    /// Creates an execution.
    pub fn execution(&mut self, new: NewExecution) -> ExecutionId {
        let id = ExecutionId(self.step());
        let (index, stamp, key) = (self.index, self.stamp, self.task.key);
        self.progress_mut().live += 1;
        let few = new.retry_of.is_some() || new.parameters.is_some() || new.parent.is_some();
        let more = few.then(|| {
            let NewExecution { retry_of, parameters, parent, .. } = new;
            Box::new(More { retry_of, parameters, parent, ..More::default() })
        });
        let execution = Execution {
            id,
            incarnation: self.task.live.incarnation,
            revision: new.revision,
            tick: new.tick,
            due: new.due,
            created_at: stamp,
            trigger: new.trigger,
            status: if new.attempt.is_some() { Status::Running } else { Status::Pending },
            stopping: false,
            attempt: new.attempt,
            ended_at: None,
            index,
            more,
        };
        let status = execution.status;
        self.task.history.running += u32::from(status == Status::Running);
        self.digest.add(execution.hash(key));
        if self.task.lined() {
            self.lines.enter(&self.task.lines(), &execution);
            self.hint(Hint::Line(key));
        }
        self.task.history.executions.push(execution, key, self.dirty);
        self.executions.push(id, key);
        self.tell_execution(id, status);
        id
    }

    /// A first or further attempt by this session.
    pub fn attempt(&mut self, number: u32, node: NodeId, session: SessionId) -> Attempt {
        let fence = Fence(self.step());
        let (granted_at, report, executor) = (self.stamp, None, None);
        Attempt { number, fence, node, session, granted_at, report, executor }
    }

    /// Notes that an executor is asked to carry out an attempt.
    pub fn dispatch(&mut self, id: Arc<str>) -> Arc<AttemptExecutor> {
        let live = self.live_mut();
        let count = live.dispatched.as_ref().map_or(0, |dispatched| dispatched.count);
        let dispatched = Dispatched { last: Arc::clone(&id), count: count.saturating_add(1) };
        live.dispatched = Some(Box::new(dispatched));
        Arc::new(AttemptExecutor { id, accepted_at: None })
    }

    /// Whether an executor carries out an execution that keeps this revision of the definition.
    pub fn needs_executor(&self, revision: Revision) -> bool {
        self.task.needs_executor(revision, self.declared)
    }

    /// Changes an execution that stands at `at`, and tells of it.
    pub fn change(&mut self, at: RecordPlace, change: impl FnOnce(&mut Execution)) {
        if let Some((id, status)) = self.rewrite(at, change) {
            self.tell_execution(id, status);
        }
    }

    /// Changes an execution that stands at `at`; none: it is as it was. An event of the same command
    /// has to tell of it.
    pub fn rewrite(
        &mut self,
        at: RecordPlace,
        change: impl FnOnce(&mut Execution),
    ) -> Option<(ExecutionId, Status)> {
        let key = self.task.key;
        let lines = self.task.lined().then(|| self.task.lines());
        let mut execution = self.task.history.executions.get_mut(at, key, self.dirty)?;
        let former = execution.hash(key);
        if let Some(lines) = &lines {
            self.lines.leave(lines, &execution);
        }
        self.delayed.leave(key, &execution);
        self.in_flight.leave(key, &execution);
        let ran = u32::from(execution.status == Status::Running);
        change(&mut execution);
        self.delayed.enter(key, &execution);
        self.in_flight.enter(key, &execution);
        let runs = u32::from(execution.status == Status::Running);
        if let Some(lines) = &lines {
            self.lines.enter(lines, &execution);
        }
        let hash = execution.hash(key);
        let (id, status) = (execution.id, execution.status);
        drop(execution);
        self.digest.sub(former);
        self.digest.add(hash);
        self.task.history.running = self.task.history.running + runs - ran;
        if hash == former {
            return None;
        }
        if lines.is_some() {
            self.hint(Hint::Line(key));
        }
        Some((id, status))
    }

    /// Ends the execution that stands at `at`.
    pub fn end(&mut self, at: RecordPlace, mut report: Report) {
        let key = self.task.key;
        let (status, ended_at) = (report.status, report.ended_at);
        report.bound();
        let (mut ended, mut backfilled) = (None, false);
        self.change(at, |execution| {
            let granted = execution.status == Status::Running;
            let node = execution.attempt.as_ref().filter(|_| granted).map(|attempt| attempt.node);
            let end = ExecutionEnd::of(&report, node);
            match &mut execution.attempt {
                Some(attempt) if execution.status == Status::Running => {
                    attempt.report = Some(Box::new(report));
                }
                // It waited: no attempt of it was under way.
                _ => execution.more().reason = Some(report.detail.into()),
            }
            execution.status = status;
            execution.ended_at = Some(ended_at);
            execution.stopping = false;
            let tick = execution.tick.filter(|_| execution.trigger != Trigger::Backfill);
            ended = Some((execution.id, tick, end, RunTimes::of(execution)));
            backfilled = execution.trigger == Trigger::Backfill;
        });
        let Some((id, tick, ended, times)) = ended else { return };
        self.task.history.failures += usize::from(status.failure());
        self.note_run(tick);
        self.note_end(id, tick, ended);
        self.backfilled.extend(backfilled.then_some((id, status)));
        let progress = self.progress_mut();
        assert!(progress.live > 0, "what ends was live: an execution ends once");
        progress.live -= 1;
        let former = progress.last.replace(status);
        self.count_end(status, ended_at, &times);
        self.hint(Hint::Ended(key, id, status));
        self.note_chains(at, former);
        self.trim_executions();
    }

    /// Writes how an execution ended beside the tick that it was for.
    fn note_end(&mut self, id: ExecutionId, tick: Option<Timestamp>, ended: ExecutionEnd) {
        let key = self.task.key;
        let ticks = &mut self.task.history.ticks;
        let Some(place) = tick.and_then(|tick| ticks.find(tick)) else { return };
        let Some(mut fired) = ticks.get_mut(place, key, self.dirty) else { return };
        if fired.execution == id {
            self.digest.sub(fired.hash(key));
            fired.ended = Some(ended);
            self.digest.add(fired.hash(key));
        }
    }

    /// Ends executions in these states without a report from a node.
    pub fn end_all(&mut self, status: Status, detail: &str, which: impl Fn(&Execution) -> bool) {
        for id in self.live_ids(which) {
            if let Some(at) = self.task.history.position(id) {
                self.end(at, Report::unreported(status, self.stamp, detail));
            }
        }
    }

    /// Those of the executions that have not ended, the oldest first.
    pub fn live_ids(&self, which: impl Fn(&Execution) -> bool) -> Vec<ExecutionId> {
        let which = self.task.live_executions().filter(|execution| which(execution));
        let mut ids: Vec<ExecutionId> = which.map(|execution| execution.id).collect();
        ids.reverse();
        ids
    }

    /// Notes a fired tick and moves the cursor onto it.
    pub fn fired(&mut self, tick: Timestamp, execution: ExecutionId) {
        let (index, from, key) = (self.index, self.task.progress.cursor, self.task.key);
        self.progress_mut().cursor = tick;
        self.count(|totals| totals.ticks(Verdict::Fired, 1));
        let fired = FiredTick { from, tick, execution, index, ended: None };
        self.digest.add(fired.hash(key));
        self.task.history.ticks.push(fired, key, self.dirty);
        self.hint(Hint::Verdict(Verdict::Fired, None, 1));
        self.trim_ticks();
    }

    /// Ends a pause whose time has come.
    pub fn end_pause(&mut self, now: Timestamp) {
        let catch_up = self.task.rules.catch_up_on_resume;
        let over =
            self.task.live.paused.as_ref().and_then(|pause| pause.until).is_some_and(|until| {
                until <= self.task.progress.cursor || (catch_up && until <= now)
            });
        if over {
            self.relined(|task| task.live_mut().paused = None);
            self.hint(Hint::Task(self.task.key));
            self.tell(EventKind::TaskResumed);
        }
    }

    /// Notes that no tick is left.
    pub fn exhaust(&mut self) {
        if !self.task.progress.exhausted {
            self.progress_mut().exhausted = true;
            self.tell(EventKind::TaskCompleted);
        }
    }

    /// Begins a new incarnation with its ticks after `cursor`, counted from `scheduled_at`.
    pub fn reborn(&mut self, revision: Revision, scheduled_at: Timestamp, cursor: Timestamp) {
        let stamp = self.stamp;
        let live = self.live_mut();
        live.incarnation = revision;
        live.created_at = stamp;
        live.scheduled_at = scheduled_at;
        live.paused = None;
        live.deleted = None;
        live.cancelled = None;
        live.dispatched = None;
        self.drop_statistics();
        // The live executions of the incarnation before still end.
        let live = self.task.progress.live;
        *self.progress_mut() =
            TaskProgress { cursor, truncated_before: cursor, live, ..TaskProgress::default() };
    }
}

/// What a new execution is made of.
pub struct NewExecution {
    pub revision: Revision,
    pub tick: Option<Timestamp>,
    pub due: Timestamp,
    pub trigger: Trigger,
    pub retry_of: Option<ExecutionId>,
    pub attempt: Option<Attempt>,
    pub parameters: Option<Arc<str>>,
    pub parent: Option<Arc<ParentExecution>>,
}

impl Report {
    /// The end of an attempt of which no node told.
    #[must_use]
    pub fn unreported(status: Status, at: Timestamp, detail: &str) -> Self {
        Self {
            status,
            unknown: status == Status::Lost,
            started_at: None,
            ended_at: at,
            exit_code: None,
            http_status: None,
            detail: detail.to_owned(),
            tail: Vec::new(),
        }
    }
}
