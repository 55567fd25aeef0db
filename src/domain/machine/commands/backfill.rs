//! Backfills: executions for the ticks of a past range, each tick of a range once.
//!
//! A range has a record with a cursor. A command names the cursor that its proposer saw and the ticks
//! that follow it, and moves the cursor over those that got their executions. So a repeated command
//! creates nothing, whichever node proposes it. The ticks' verdicts stay as they are.

use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::machine::command::Backfill;
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::{
    AHEAD_MAX, BACKFILL_PARALLEL_MAX, BACKFILL_TICKS_MAX, BACKFILLS_MAX, TASK_BACKFILLS_MAX,
};
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::backfills::{BackfillKey, BackfillRecord};
use crate::domain::machine::task::editor::{EntryContext, NewExecution, TaskEditor};
use crate::domain::machine::task::record::{Status, Trigger};
use crate::domain::machine::task::whole::Task;
use crate::domain::task::ExecutionMode;
use crate::domain::time::Timestamp;

impl State {
    /// The ranges of a task, of any incarnation, by their begin.
    pub fn backfills(
        &self,
        task: TaskKey,
    ) -> impl Iterator<Item = (&BackfillKey, &BackfillRecord)> {
        let (least, most) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        let first = BackfillKey { task, from: least, to: least };
        let last = BackfillKey { task, from: most, to: most };
        let found = self.registers.backfills.range(first..=last);
        found.map(|(key, kept)| (key, &**kept))
    }

    /// All ranges of all tasks.
    pub fn all_backfills(&self) -> impl Iterator<Item = (&BackfillKey, &BackfillRecord)> {
        self.registers.backfills.iter().map(|(key, kept)| (key, &**kept))
    }

    /// A range of the present incarnation of a task; none: it was not begun.
    #[must_use]
    pub fn backfill_of(&self, task: &Task, key: &BackfillKey) -> Option<&BackfillRecord> {
        let kept = self.registers.backfills.get(key)?;
        (kept.incarnation == task.live.incarnation).then_some(kept)
    }

    pub(in crate::domain::machine) fn backfill(
        &mut self,
        cx: &EntryContext<'_>,
        body: Backfill,
        effects: &mut Effects,
    ) -> Response {
        let key = BackfillKey { task: body.task, from: body.from, to: body.to };
        let task = self.task(body.task).ok_or(Refusal::TaskNotFound)?;
        self.check_backfill(task, &body)?;
        let definition = task.live.definition.ok_or(Refusal::TaskDeleted)?;
        let incarnation = task.live.incarnation;
        let known = self.backfill_of(task, &key).cloned();
        let begins = known.is_none();
        let begun = || BackfillRecord::begun(incarnation, body.from, cx.stamp);
        let mut record = known.unwrap_or_else(begun);
        guards::backfill_cursor(record.cursor, body.after)?;
        check_ticks(&record, &body, cx.stamp)?;
        let live = u32::try_from(record.live.len()).unwrap_or(u32::MAX);
        let room = body.parallel.saturating_sub(live);
        if room == 0 && !body.ticks.is_empty() {
            return Err(Refusal::NoRoom);
        }
        if begins && !self.has_room_for_backfill(body.task, incarnation) {
            return Err(Refusal::Full);
        }
        let created = self.edit(cx, body.task, effects, |task| create(task, &body, room))?;

        let left = body.ticks.get(created.len()..).unwrap_or_default().len();
        record.remaining = body.remaining.saturating_add(left as u64);
        record.cursor = match created.len().checked_sub(1).and_then(|last| body.ticks.get(last)) {
            _ if record.complete() => body.to,
            Some(last) => *last,
            None => record.cursor,
        };
        record.created += created.len() as u64;
        (record.definition, record.calendars) = (definition, body.calendars);
        record.changed_at = cx.stamp;
        record.live.extend(&created);
        if begins {
            self.make_room_for_backfill(body.task, incarnation);
        }
        self.registers.backfills.set(key, record);
        Ok(Answer::Backfilled { task: body.task, executions: created })
    }

    /// Whether the task is as the proposer saw it, and its ticks are not held.
    fn check_backfill(&self, task: &Task, body: &Backfill) -> Result<(), Refusal> {
        if task.live.deleted.is_some() {
            return Err(Refusal::TaskDeleted);
        }
        guards::revision(task.live.revision, body.revision)?;
        let calendars = self.calendars_of(task);
        if calendars != body.calendars {
            return Err(Refusal::RevisionMismatch { current: calendars });
        }
        if task.live.cancelled.is_some() {
            return Err(Refusal::TaskCancelled);
        }
        if task.inactive().is_some() || !self.cluster.scheduler || task.rules.one_shot {
            return Err(Refusal::Inactive);
        }
        Ok(())
    }

    /// Whether a further range of a task may be remembered, after one that is over is forgotten.
    fn has_room_for_backfill(&self, task: TaskKey, incarnation: Revision) -> bool {
        let former = |kept: &BackfillRecord| kept.incarnation != incarnation;
        let goes = |kept: &BackfillRecord| former(kept) || over(kept);
        let (all, mut ranges) = (self.backfills(task).count(), self.backfills(task));
        let room = all < TASK_BACKFILLS_MAX && self.registers.backfills.len() < BACKFILLS_MAX;
        room || ranges.any(|(_, kept)| goes(kept))
    }

    /// Forgets the ranges of former incarnations, and the one that is over and began first, if there
    /// is no room for a further one.
    fn make_room_for_backfill(&mut self, task: TaskKey, incarnation: Revision) {
        let former = self.backfills(task).filter(|(_, kept)| kept.incarnation != incarnation);
        let former: Vec<BackfillKey> = former.map(|(key, _)| *key).collect();
        for key in former {
            self.registers.backfills.remove(&key);
        }
        let all = self.backfills(task).count();
        if all < TASK_BACKFILLS_MAX && self.registers.backfills.len() < BACKFILLS_MAX {
            return;
        }
        let over = self.backfills(task).filter(|(_, kept)| over(kept));
        let oldest = over.min_by_key(|(key, kept)| (kept.begun_at, **key)).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.registers.backfills.remove(&oldest);
        }
    }

    /// Notes with its range that an execution of it ended.
    pub(in crate::domain::machine) fn end_backfilled(
        &mut self,
        cx: &EntryContext<'_>,
        task: TaskKey,
        execution: ExecutionId,
        status: Status,
    ) {
        let found = self.backfills(task).find(|(_, kept)| kept.live.contains(&execution));
        let Some((key, record)) = found.map(|(key, kept)| (*key, kept.clone())) else { return };
        let mut record = record;
        record.live.retain(|live| *live != execution);
        record.ended.count(status);
        record.changed_at = cx.stamp;
        self.registers.backfills.set(key, record);
    }

    /// Forgets the ranges of a task.
    pub(in crate::domain::machine) fn drop_backfills(&mut self, task: TaskKey) {
        let keys: Vec<BackfillKey> = self.backfills(task).map(|(key, _)| *key).collect();
        for key in keys {
            self.registers.backfills.remove(&key);
        }
    }
}

/// Whether every tick of a range has an execution that ended.
const fn over(kept: &BackfillRecord) -> bool {
    kept.complete() && kept.live.is_empty()
}

/// Whether the ticks rise within what is left of the range, and all of it is past.
fn check_ticks(record: &BackfillRecord, body: &Backfill, stamp: Timestamp) -> Result<(), Refusal> {
    if body.to > stamp.plus(AHEAD_MAX) {
        return Err(Refusal::Ahead);
    }
    let parallel = (1..=BACKFILL_PARALLEL_MAX).contains(&body.parallel);
    if !parallel || body.ticks.len() > BACKFILL_TICKS_MAX {
        return Err(Refusal::Full);
    }
    // A range that has no tick left may be completed, and one without ticks is not begun.
    let completes = body.remaining == 0 && record.created > 0;
    let rises = body.ticks.is_sorted_by(|one, next| one < next)
        && body.ticks.first().is_some_and(|first| *first >= body.from && *first > body.after)
        && body.ticks.last().is_some_and(|last| *last < body.to);
    let empty = body.ticks.is_empty() && completes;
    if record.complete() || !(rises || empty) { Err(Refusal::Order) } else { Ok(()) }
}

/// Creates executions for the first of the ticks, as many as the room and the task's mode allow.
///
/// # Errors
/// Why there is none for the first of them.
fn create(
    task: &mut TaskEditor<'_>,
    body: &Backfill,
    room: u32,
) -> Result<Vec<ExecutionId>, Refusal> {
    let revision = task.live.definition.ok_or(Refusal::TaskDeleted)?;
    let parameters = body.parameters.as_deref().map(Into::into);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let mut created = Vec::new();
    for tick in body.ticks.iter().take(room) {
        if let Err(refusal) = admit(task) {
            if created.is_empty() {
                return Err(refusal);
            }
            break;
        }
        let execution = task.execution(NewExecution {
            revision,
            tick: Some(*tick),
            due: task.stamp,
            trigger: Trigger::Backfill,
            retry_of: None,
            attempt: None,
            parameters: Option::clone(&parameters),
            parent: None,
        });
        task.hint(Hint::Pending(task.key, execution));
        created.push(execution);
    }
    Ok(created)
}

/// Admits an execution beside those that have not ended. A backfill takes the place of none.
fn admit(task: &mut TaskEditor<'_>) -> Result<(), Refusal> {
    if task.rules.mode == ExecutionMode::Replace && task.progress.live > 0 {
        return Err(Refusal::Overlap);
    }
    let admitted = overlap::admit(task, Carrier::Node);
    admitted.map_err(|reason| overlap::refusal(reason, Carrier::Node))
}
