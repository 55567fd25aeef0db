//! The one way to change a task: a hand takes it, keeps digest, index and the list of changes
//! true to what it does, and lets it go when dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::OrdMap;

use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use crate::domain::time::Timestamp;

use super::apply::Context;
use super::digest::{self, Digest};
use super::effect::Effect;
use super::history::History;
use super::limits::{DETAIL_BYTES, REVISIONS_MAX, TAIL_BYTES};
use super::persist::{key_definition, key_execution, key_live, key_span, key_tick};
use super::record::{
    Attempt, Definition, Execution, FiredTick, Live, Pause, Reason, Report, Span, Status, Totals,
    Trigger, Verdict,
};
use super::state::{Dirty, Rules, State, Task};

/// A task being changed.
pub(super) struct Hand<'a> {
    pub task: &'a mut Task,
    pub index: u64,
    pub stamp: Timestamp,
    floor: Timestamp,
    pub tasks: u64,
    counter: &'a mut u64,
    pub digest: &'a mut Digest,
    dirty: &'a mut Dirty,
    pub executions: &'a mut OrdMap<ExecutionId, TaskKey>,
    effects: &'a mut Vec<Effect>,
    touched: bool,
}

impl State {
    /// Takes a task in hand.
    pub(super) fn hand<'a>(
        &'a mut self,
        cx: &Context<'_>,
        key: TaskKey,
        effects: &'a mut Vec<Effect>,
    ) -> Option<Hand<'a>> {
        let tasks = u64::try_from(self.tasks.len()).unwrap_or(u64::MAX);
        Some(Hand {
            task: Arc::make_mut(self.tasks.get_mut(&key)?),
            index: cx.index,
            stamp: cx.stamp,
            floor: self.cluster.floor,
            tasks,
            counter: &mut self.cluster.counter,
            digest: &mut self.digest,
            dirty: &mut self.dirty,
            executions: &mut self.executions,
            effects,
            touched: false,
        })
    }

    /// Makes an empty record for a name; the caller fills it.
    pub(super) fn new_task(&mut self, cx: &Context<'_>, name: &str, revision: Revision) -> TaskKey {
        let key = TaskKey(revision.0);
        let name: Arc<str> = name.into();
        let live = Live {
            name: Arc::clone(&name),
            revision,
            incarnation: revision,
            created_at: cx.stamp,
            updated_at: cx.stamp,
            definition: None,
            scheduled_at: cx.stamp,
            cursor: cx.stamp,
            truncated_before: cx.stamp,
            paused: None,
            deleted: None,
            exhausted: false,
            live: 0,
            last: None,
            totals: Totals::default(),
        };
        let counted = digest::hash(&key_live(key), &live);
        self.digest.replace(0, counted);
        let (definitions, history) = (VecDeque::new(), History::default());
        let rules = Rules::of(None);
        let task = Task { key, live, definitions, history, counted, rules, noted: 0 };
        self.names.insert(name, key);
        self.tasks.insert(key, Arc::new(task));
        key
    }

    /// Removes all that is known of a task.
    pub(super) fn drop_task(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.remove(&key) else { return };
        self.names.remove(&task.live.name);
        self.digest.replace(task.counted, 0);
        for definition in &task.definitions {
            self.digest.sub(&key_definition(key, definition.revision), &**definition);
            self.dirty.definitions.push((key, definition.revision));
        }
        for tick in &task.history.ticks {
            self.digest.sub(&key_tick(key, tick.tick), tick);
        }
        for span in &task.history.spans {
            self.digest.sub(&key_span(key, span.to), span);
        }
        for execution in &task.history.executions {
            self.digest.replace(execution.counted, 0);
            self.executions.remove(&execution.id);
        }
        self.dirty.tasks.push(key);
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if self.touched {
            let hash = digest::hash(&key_live(self.task.key), &self.task.live);
            self.digest.replace(self.task.counted, hash);
            self.task.counted = hash;
        }
    }
}

impl Hand<'_> {
    /// The live record, to be changed.
    pub fn live(&mut self) -> &mut Live {
        if !self.touched {
            self.touched = true;
            if self.task.noted != self.dirty.epoch {
                self.task.noted = self.dirty.epoch;
                self.dirty.tasks.push(self.task.key);
            }
        }
        &mut self.task.live
    }

    pub fn step(&mut self) -> u64 {
        *self.counter += 1;
        *self.counter
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Notes that a command changed the task.
    pub fn revise(&mut self, revision: Revision) {
        let stamp = self.stamp;
        let live = self.live();
        live.revision = revision;
        live.updated_at = stamp;
        let key = self.task.key;
        self.effect(Effect::Task(key));
    }

    /// Puts a new definition in force.
    pub fn define(&mut self, definition: Definition) {
        let revision = definition.revision;
        let key = self.task.key;
        self.live().definition = Some(revision);
        self.digest.add(&key_definition(key, revision), &definition);
        self.dirty.definitions.push((key, revision));
        self.task.rules = Rules::of(Some(&definition.spec));
        self.task.definitions.push_back(Arc::new(definition));
        self.drop_old_definitions();
    }

    fn drop_old_definitions(&mut self) {
        while self.task.definitions.len() > REVISIONS_MAX {
            let history = &self.task.history;
            let free = self.task.definitions.iter().position(|kept| {
                Some(kept.revision) != self.task.live.definition
                    && !history.live().any(|execution| execution.revision == kept.revision)
            });
            let Some(gone) = free.and_then(|at| self.task.definitions.remove(at)) else { return };
            let key = self.task.key;
            self.digest.sub(&key_definition(key, gone.revision), &*gone);
            self.dirty.definitions.push((key, gone.revision));
        }
    }

    /// Up to here every tick is settled.
    pub fn settled(&self) -> Timestamp {
        self.task.live.cursor.max(self.floor)
    }

    /// Writes down what the floor passed over.
    pub fn close_floor(&mut self) {
        if self.task.live.cursor < self.floor {
            self.span(self.floor, Verdict::Skipped, Reason::Stopped, None);
        }
    }

    /// Closes what is unsettled up to `to`: an edit, a pause, a resume, a deletion.
    pub fn close(&mut self, to: Timestamp, becomes: Option<Reason>) {
        self.close_floor();
        if self.task.live.cursor >= to {
            return;
        }
        match self.task.inactive().or(becomes) {
            Some(reason) => self.span(to, Verdict::Skipped, reason, None),
            None => self.span(to, Verdict::Missed, Reason::Edited, None),
        }
    }

    /// Gives `(cursor, to]` a verdict.
    pub fn span(&mut self, to: Timestamp, verdict: Verdict, reason: Reason, count: Option<u64>) {
        let key = self.task.key;
        let (index, from, revision) =
            (self.index, self.task.live.cursor, self.task.live.definition);
        let live = self.live();
        live.cursor = to;
        let totals = &mut live.totals;
        match (count, verdict) {
            (None, _) => totals.uncounted_spans += 1,
            (Some(count), Verdict::Skipped) => add(&mut totals.skipped, count),
            (Some(count), Verdict::Missed) => add(&mut totals.missed, count),
            (Some(count), Verdict::Coalesced) => add(&mut totals.coalesced, count),
            (Some(_), Verdict::Fired) => {}
        }
        self.effects.push(Effect::Verdict(verdict, Some(reason), count.unwrap_or(0)));
        let mut span = Span { from, to, verdict, reason, count, revision, index };
        if let Some(last) = self.task.history.spans.back().copied() {
            let kin = last.to == from
                && (last.verdict, last.reason, last.revision) == (verdict, reason, revision);
            if kin {
                self.digest.sub(&key_span(key, last.to), &last);
                self.task.history.spans.pop_back();
                span.from = last.from;
                span.count = last.count.zip(count).map(|(one, other)| one.saturating_add(other));
            }
        }
        self.digest.add(&key_span(key, span.to), &span);
        self.task.history.spans.push_back(span);
        self.trim_spans();
    }

    /// Creates an execution.
    pub fn execution(&mut self, new: NewExecution) -> ExecutionId {
        let id = ExecutionId(self.step());
        let (index, stamp, key) = (self.index, self.stamp, self.task.key);
        let live = self.live();
        live.live += 1;
        let mut execution = Execution {
            id,
            incarnation: live.incarnation,
            revision: new.revision,
            tick: new.tick,
            due: new.due,
            created_at: stamp,
            trigger: new.trigger,
            retry_of: new.retry_of,
            status: if new.attempt.is_some() { Status::Running } else { Status::Pending },
            stopping: false,
            attempt: new.attempt,
            earlier: Vec::new(),
            ended_at: None,
            reason: None,
            parameters: new.parameters,
            index,
            counted: 0,
        };
        execution.counted = digest::hash(&key_execution(key, id), &execution);
        self.digest.replace(0, execution.counted);
        self.task.history.executions.push_back(Arc::new(execution));
        self.executions.insert(id, key);
        id
    }

    /// A first or further attempt by this session.
    pub fn attempt(&mut self, number: u32, node: NodeId, session: SessionId) -> Attempt {
        let fence = Fence(self.step());
        Attempt { number, fence, node, session, granted_at: self.stamp, report: None }
    }

    /// Changes an execution that stands at `at`.
    pub fn change(&mut self, at: usize, change: impl FnOnce(&mut Execution)) {
        let key = self.task.key;
        self.live();
        if let Some(slot) = self.task.history.executions.get_mut(at) {
            let execution = Arc::make_mut(slot);
            change(execution);
            let hash = digest::hash(&key_execution(key, execution.id), execution);
            self.digest.replace(execution.counted, hash);
            execution.counted = hash;
        }
    }

    /// Ends the execution that stands at `at`.
    pub fn end(&mut self, at: usize, mut report: Report) {
        let key = self.task.key;
        let (status, ended_at) = (report.status, report.ended_at);
        report.tail.drain(..report.tail.len().saturating_sub(TAIL_BYTES));
        cut(&mut report.detail, DETAIL_BYTES);
        let mut id = None;
        self.change(at, |execution| {
            id = Some(execution.id);
            match &mut execution.attempt {
                Some(attempt) if execution.status == Status::Running => {
                    attempt.report = Some(Box::new(report));
                }
                // It waited: no attempt of it was under way.
                _ => execution.reason = Some(report.detail.into()),
            }
            execution.status = status;
            execution.ended_at = Some(ended_at);
            execution.stopping = false;
        });
        let Some(id) = id else { return };
        let live = self.live();
        live.live = live.live.saturating_sub(1);
        live.last = Some(status);
        match status {
            Status::Success => live.totals.success += 1,
            Status::Failed => live.totals.failed += 1,
            Status::Timeout => live.totals.timeout += 1,
            Status::Cancelled => live.totals.cancelled += 1,
            Status::Lost => live.totals.lost += 1,
            Status::Pending | Status::Running => {}
        }
        self.effect(Effect::Ended(key, id, status));
        self.trim_executions();
    }

    /// Ends executions in these states without a report from a node.
    pub fn end_all(&mut self, status: Status, detail: &str, which: impl Fn(&Execution) -> bool) {
        let ids: Vec<ExecutionId> = self
            .task
            .history
            .live()
            .filter(|execution| which(execution))
            .map(|execution| execution.id)
            .collect();
        for id in ids {
            if let Some(at) = self.task.history.position(id) {
                self.end(at, Report::unreported(status, self.stamp, detail));
            }
        }
    }

    /// Notes a fired tick and moves the cursor onto it.
    pub fn fired(&mut self, tick: Timestamp, execution: ExecutionId) {
        let (index, from, key) = (self.index, self.task.live.cursor, self.task.key);
        let live = self.live();
        live.cursor = tick;
        live.totals.fired += 1;
        let fired = FiredTick { from, tick, execution, index };
        self.digest.add(&key_tick(key, tick), &fired);
        self.task.history.ticks.push_back(fired);
        self.effects.push(Effect::Verdict(Verdict::Fired, None, 1));
        self.trim_ticks();
    }

    /// Ends a pause whose time has come.
    pub fn end_pause(&mut self, now: Timestamp) {
        let catch_up = self.task.rules.catch_up_on_resume;
        let over = self
            .task
            .live
            .paused
            .as_ref()
            .and_then(|pause| pause.until)
            .is_some_and(|until| until <= self.task.live.cursor || (catch_up && until <= now));
        if over {
            self.live().paused = None;
            let key = self.task.key;
            self.effect(Effect::Task(key));
        }
    }

    /// Begins a new incarnation with its ticks after `cursor`, counted from `scheduled_at`.
    pub fn reborn(&mut self, revision: Revision, scheduled_at: Timestamp, cursor: Timestamp) {
        let stamp = self.stamp;
        let live = self.live();
        live.incarnation = revision;
        live.created_at = stamp;
        live.scheduled_at = scheduled_at;
        live.cursor = cursor;
        live.truncated_before = cursor;
        live.paused = None;
        live.deleted = None;
        live.exhausted = false;
        live.last = None;
        live.totals = Totals::default();
    }

    pub fn set_pause(&mut self, pause: Option<Pause>) {
        self.live().paused = pause;
    }
}

/// What a new execution is made of.
pub(super) struct NewExecution {
    pub revision: Revision,
    pub tick: Option<Timestamp>,
    pub due: Timestamp,
    pub trigger: Trigger,
    pub retry_of: Option<ExecutionId>,
    pub attempt: Option<Attempt>,
    pub parameters: Option<Arc<str>>,
}

impl Report {
    /// The end of an attempt of which no node told.
    pub(super) fn unreported(status: Status, at: Timestamp, detail: &str) -> Self {
        Self {
            status,
            started_at: None,
            ended_at: at,
            exit_code: None,
            http_status: None,
            detail: detail.to_owned(),
            tail: Vec::new(),
        }
    }
}

/// A proposer's count is not to be trusted with an overflow.
const fn add(total: &mut u64, count: u64) {
    *total = total.saturating_add(count);
}

/// Shortens text to at most `max` bytes at a character.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
