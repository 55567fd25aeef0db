//! Backfills: executions for the ticks of a past range, each tick of a range once.
//!
//! A range has a record with a cursor. A command names the cursor that its proposer saw and the ticks
//! that follow it, and moves the cursor over those that got their executions. So a repeated command
//! creates nothing, whichever node proposes it. The ticks' verdicts stay as they are. A range that is
//! cancelled is closed where its cursor stands.

use imbl::OrdSet;

use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::machine::command::{Backfill, CancelBackfill};
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
        if record.cancelled(&key) {
            // No tick is left, as at the end of the range.
            return Err(Refusal::Cursor { at: key.to });
        }
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
            _ if record.closed() => body.to,
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
        self.set_backfill(key, record);
        Ok(Answer::Backfilled { task: body.task, executions: created })
    }

    /// Ends a range before it is complete. The executions that it created go on.
    pub(in crate::domain::machine) fn cancel_backfill(
        &mut self,
        cx: &EntryContext<'_>,
        body: CancelBackfill,
    ) -> Response {
        let key = BackfillKey { task: body.task, from: body.from, to: body.to };
        let task = self.task(body.task).ok_or(Refusal::TaskNotFound)?;
        let known = self.backfill_of(task, &key).cloned().ok_or(Refusal::BackfillNotFound)?;
        if !known.closed() {
            self.set_backfill(key, BackfillRecord { remaining: 0, changed_at: cx.stamp, ..known });
        }
        Ok(Answer::Done)
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

    /// Whether a further range of a task may be remembered, after others are forgotten.
    fn has_room_for_backfill(&self, task: TaskKey, incarnation: Revision) -> bool {
        let present = || self.backfills(task).filter(|(_, kept)| kept.incarnation == incarnation);
        let of_task =
            present().count() < TASK_BACKFILLS_MAX || present().any(|(_, kept)| kept.over());
        let all = self.registers.backfills.len() < BACKFILLS_MAX || !self.finished.is_empty();
        of_task && all
    }

    /// Forgets the ranges of former incarnations of a task. If there is no room for a further range
    /// of it, forgets the one that is over and began first; if there is none in the cluster, the one
    /// that is finished and began first, of any task.
    fn make_room_for_backfill(&mut self, task: TaskKey, incarnation: Revision) {
        let former = self.backfills(task).filter(|(_, kept)| kept.incarnation != incarnation);
        let former: Vec<BackfillKey> = former.map(|(key, _)| *key).collect();
        for key in former {
            self.remove_backfill(&key);
        }
        if self.backfills(task).count() >= TASK_BACKFILLS_MAX {
            let over = self.backfills(task).filter(|(_, kept)| kept.over());
            let oldest = over.min_by_key(|(key, kept)| (kept.begun_at, **key)).map(|(key, _)| *key);
            oldest.into_iter().for_each(|key| self.remove_backfill(&key));
        }
        if self.registers.backfills.len() >= BACKFILLS_MAX
            && let Some((_, key)) = self.finished.get_min().copied()
        {
            self.remove_backfill(&key);
        }
    }

    /// Stores a range, and lists it if it is finished.
    pub(in crate::domain::machine) fn set_backfill(
        &mut self,
        key: BackfillKey,
        record: BackfillRecord,
    ) {
        self.remove_backfill(&key);
        if self.is_finished(&key, &record) {
            self.finished.insert((record.begun_at, key));
        }
        self.registers.backfills.set(key, record);
    }

    fn remove_backfill(&mut self, key: &BackfillKey) {
        if let Some(former) = self.registers.backfills.remove(key) {
            self.finished.remove(&(former.begun_at, *key));
        }
    }

    /// Whether nothing comes of a range any more: it is over, or of a former incarnation.
    fn is_finished(&self, key: &BackfillKey, kept: &BackfillRecord) -> bool {
        let task = self.tasks.get(key.task);
        kept.over() || task.is_none_or(|task| task.live.incarnation != kept.incarnation)
    }

    /// The finished ranges, each with the time at which it began.
    pub(in crate::domain::machine) fn finished_backfills(
        &self,
    ) -> OrdSet<(Timestamp, BackfillKey)> {
        let finished = self.all_backfills().filter(|(key, kept)| self.is_finished(key, kept));
        finished.map(|(key, kept)| (kept.begun_at, *key)).collect()
    }

    /// Lists the ranges of a task, whose incarnation ended, as finished.
    pub(in crate::domain::machine) fn end_backfills(&mut self, task: TaskKey) {
        let former = self.backfills(task).map(|(key, kept)| (kept.begun_at, *key));
        let former: Vec<(Timestamp, BackfillKey)> = former.collect();
        self.finished.extend(former);
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
        self.set_backfill(key, record);
    }

    /// Forgets the ranges of a task.
    pub(in crate::domain::machine) fn drop_backfills(&mut self, task: TaskKey) {
        let keys: Vec<BackfillKey> = self.backfills(task).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove_backfill(&key);
        }
    }
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
    if record.closed() || !(rises || empty) { Err(Refusal::Order) } else { Ok(()) }
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
        if let Err(refusal) = task.admits_backfill() {
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

impl Task {
    /// Whether one more execution of a backfill comes in beside those that have not ended. A backfill
    /// takes the place of none.
    ///
    /// # Errors
    /// Why it does not.
    pub fn admits_backfill(&self) -> Result<(), Refusal> {
        if self.rules.mode == ExecutionMode::Replace && self.progress.live > 0 {
            return Err(Refusal::Overlap);
        }
        guards::overlap(self).map_err(|reason| overlap::refusal(reason, Carrier::Node))
    }
}
