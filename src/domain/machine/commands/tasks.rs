//! Commands of people and programs about tasks.

use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::schedule::Rule;
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

use super::guards;
use super::overlap;
use crate::domain::machine::command::{CleanupAll, MarkDeleted, Named, Put, PutMode};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::EventKind;
use crate::domain::machine::limits::{SWEEP_SLOTS, TASKS_MAX, TOMBSTONE_AGE, TOMBSTONES_MAX};
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::{EntryContext, TaskEditor};
use crate::domain::machine::task::record::{Definition, Reason, Status, Tombstone};
use crate::domain::machine::task::whole::Task;

/// From when a schedule counts, and where the cursor begins under it: 1 ms before the tick of
/// `immediate` and of a `once` that has passed, else at the stamp.
fn begin(spec: &TaskSpec, stamp: Timestamp, settled: Timestamp) -> (Timestamp, Timestamp) {
    match spec.schedule.rule {
        Rule::Immediate => {
            // What is settled may lie ahead of the stamp; the one tick has to come after it.
            let tick = stamp.max(settled.plus(Millis(1)));
            (tick, tick.minus(Millis(1)))
        }
        Rule::At(at) if at <= stamp => (stamp, at.minus(Millis(1))),
        _ => (stamp, stamp),
    }
}

impl State {
    fn key_of(&self, name: &str) -> Option<TaskKey> {
        self.names.get(name).copied()
    }

    /// A task that is there, not marked deleted, and as the caller saw it.
    pub(super) fn present(&self, name: &str, if_match: Option<Revision>) -> Result<&Task, Refusal> {
        let task = self.named(name).ok_or(Refusal::TaskNotFound)?;
        if task.live.deleted.is_some() {
            return Err(Refusal::TaskDeleted);
        }
        matches(task, if_match)?;
        Ok(task)
    }

    pub(in crate::domain::machine) fn put(
        &mut self,
        cx: &EntryContext<'_>,
        put: Put,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        self.calendars_known(&put.spec)?;
        let found = self.named(&put.spec.name);
        match (found, put.mode) {
            (None, PutMode::Update { .. }) => Err(Refusal::TaskNotFound),
            (None, PutMode::Add | PutMode::Force) => self.create(cx, put.spec, revision, effects),
            (Some(task), PutMode::Update { if_match }) => {
                let key = task.key;
                self.present(&put.spec.name, if_match)?;
                self.update(cx, key, put.spec, revision, effects)
            }
            (Some(task), PutMode::Add | PutMode::Force) => {
                let key = task.key;
                if put.mode == PutMode::Add {
                    guards::add_unmarked(&task.live)?;
                    if !guards::replaceable(task) {
                        return Err(Refusal::TaskExists);
                    }
                }
                self.replace(cx, key, put.spec, revision, effects)
            }
        }
    }

    fn create(
        &mut self,
        cx: &EntryContext<'_>,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Effects,
    ) -> Response {
        if self.tasks.len() >= TASKS_MAX {
            return Err(Refusal::Full);
        }
        let key = self.new_task(cx, &spec.name, revision);
        let (scheduled_at, cursor) = begin(&spec, cx.stamp, self.cluster.floor);
        self.edit(cx, key, effects, |task| {
            task.reborn(revision, scheduled_at, cursor);
            task.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
            task.revise(revision, EventKind::TaskPut);
            Ok(Answer::Task { task: key, revision, created: true })
        })
    }

    fn replace(
        &mut self,
        cx: &EntryContext<'_>,
        key: TaskKey,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, key, effects, |task| {
            task.end_all(Status::Cancelled, "replaced_task", |_| true);
            let settled = task.settled();
            let (scheduled_at, cursor) = begin(&spec, cx.stamp, settled);
            task.reborn(revision, scheduled_at, guards::carry(cursor, settled));
            task.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
            task.revise(revision, EventKind::TaskPut);
            Ok(Answer::Task { task: key, revision, created: false })
        })
    }

    fn update(
        &mut self,
        cx: &EntryContext<'_>,
        key: TaskKey,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Effects,
    ) -> Response {
        let of_files = self.task(key).is_some_and(|task| self.is_of_files(task, &spec));
        let name = of_files.then(|| spec.name.clone());
        let answer = self.edit(cx, key, effects, |task| {
            let (rescheduled, switched) = match task.spec() {
                Some(old) => (old.schedule != spec.schedule, old.enabled != spec.enabled),
                None => (true, false),
            };
            // A completed task that may fire more than once after all has ticks again.
            let revived = task.progress.exhausted && task.rules.one_shot && !spec.one_shot;
            if rescheduled || switched || revived {
                let (scheduled_at, begun) = begin(&spec, cx.stamp, task.settled());
                let becomes = (!spec.enabled).then_some(Reason::Disabled);
                // A new schedule may begin with the moment itself; what came before is closed, also
                // where its one tick lies in the past.
                let before = cx.stamp.minus(Millis(1));
                let upto = if rescheduled { begun.max(before) } else { cx.stamp };
                guards::close(task, upto, becomes);
                if rescheduled {
                    task.live_mut().scheduled_at = scheduled_at;
                }
                if rescheduled || revived {
                    task.progress_mut().exhausted = false;
                }
            }
            task.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
            task.revise(revision, EventKind::TaskPut);
            Ok(Answer::Task { task: key, revision, created: false })
        })?;
        if let Some(name) = name {
            self.note_of_files(&name, revision);
        }
        Ok(answer)
    }

    pub(in crate::domain::machine) fn mark_deleted(
        &mut self,
        cx: &EntryContext<'_>,
        body: MarkDeleted,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let key = match self.key_of(&body.name) {
            Some(key) => key,
            None if !body.tombstone || body.if_match.is_some() => {
                return Err(Refusal::TaskNotFound);
            }
            None if self.tasks.len() >= TASKS_MAX => return Err(Refusal::Full),
            None => {
                self.room_for_mark()?;
                self.new_task(cx, &body.name, revision)
            }
        };
        let marked = self.task(key).is_some_and(|task| task.live.deleted.is_some());
        if !marked {
            self.room_for_mark()?;
        }
        self.edit(cx, key, effects, |task| {
            if !marked {
                matches(task, body.if_match)?;
                mark(task, cx, revision);
            }
            let mut running: Vec<ExecutionId> =
                task.live_executions().map(|live| live.id).collect();
            running.reverse();
            if body.stop {
                running.iter().for_each(|id| overlap::stop(task, *id));
            }
            Ok(Answer::Running(running))
        })
    }

    pub(in crate::domain::machine) fn reuse(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let key = self.key_of(&body.name).ok_or(Refusal::TaskNotFound)?;
        let task = self.task(key).ok_or(Refusal::TaskNotFound)?;
        matches(task, body.if_match)?;
        if task.live.deleted.is_none() {
            let revision = task.live.revision;
            return Ok(Answer::Task { task: key, revision, created: false });
        }
        if task.live.definition.is_none() {
            // Nothing but the mark is there, so nothing is left without it.
            self.drop_task(cx, key, effects);
            return Ok(Answer::Done);
        }
        self.edit(cx, key, effects, |task| {
            guards::close(task, cx.stamp, None);
            task.relined(|task| task.live_mut().deleted = None);
            task.revise(revision, EventKind::TaskReused);
            Ok(Answer::Task { task: key, revision, created: false })
        })
    }

    pub(in crate::domain::machine) fn cleanup(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let Some(key) = self.key_of(&body.name) else { return Ok(Answer::Done) };
        if let Some(task) = self.task(key) {
            matches(task, body.if_match)?;
        }
        self.remove(cx, key, effects);
        Ok(Answer::Done)
    }

    pub(super) fn remove(&mut self, cx: &EntryContext<'_>, key: TaskKey, effects: &mut Effects) {
        let _known = self.edit(cx, key, effects, |task| {
            task.end_all(Status::Cancelled, "cleaned_up", |_| true);
            task.spare();
            Ok(())
        });
        self.drop_task(cx, key, effects);
    }

    pub(in crate::domain::machine) fn cleanup_all(
        &mut self,
        cx: &EntryContext<'_>,
        body: &CleanupAll,
        effects: &mut Effects,
    ) -> Response {
        if body.cluster != self.cluster.name {
            return Err(Refusal::ClusterName);
        }
        let upto = body.upto.unwrap_or(Revision(self.cluster.counter));
        let from = usize::try_from(body.from).unwrap_or(usize::MAX);
        let slots = from..self.tasks.end().min(from.saturating_add(SWEEP_SLOTS));
        let end = slots.end;
        let found = slots.filter_map(|slot| self.tasks.at(slot));
        let old = found.filter(|task| task.live.incarnation <= upto);
        let keys: Vec<TaskKey> = old.map(|task| task.key).collect();
        for key in keys {
            self.remove(cx, key, effects);
        }
        let more = end < self.tasks.end() && end > from;
        if !more {
            self.remove_calendars(cx, upto, effects);
        }
        let next = u32::try_from(end).ok().filter(|_| more);
        Ok(Answer::Swept { upto, next })
    }

    /// Refuses one more deleted mark than may be.
    pub(in crate::domain::machine) const fn room_for_mark(&self) -> Result<(), Refusal> {
        if self.marks.len() >= TOMBSTONES_MAX { Err(Refusal::Full) } else { Ok(()) }
    }

    /// Takes from the oldest deleted mark what it no longer has to know. Each entry does this for
    /// one, so that none takes long.
    pub(in crate::domain::machine) fn forget_old_mark(
        &mut self,
        cx: &EntryContext<'_>,
        effects: &mut Effects,
    ) {
        let Some((at, key)) = self.marks.oldest_whole() else { return };
        if cx.stamp.since(at) <= TOMBSTONE_AGE {
            return;
        }
        self.drop_backfills(key);
        let _known = self.edit(cx, key, effects, |task| {
            task.forget();
            Ok(())
        });
    }
}

/// Marks a task deleted: no tick of it fires any more, and what waits ends.
pub(super) fn mark(task: &mut TaskEditor<'_>, cx: &EntryContext<'_>, revision: Revision) {
    guards::close(task, cx.stamp, Some(Reason::Deleted));
    let mark = Tombstone { at: cx.stamp, by: cx.by.to_owned() };
    task.relined(|task| task.live_mut().deleted = Some(mark));
    task.revise(revision, EventKind::TaskDeleted);
    task.end_all(Status::Cancelled, "deleted", |execution| execution.status == Status::Pending);
}

fn matches(task: &Task, if_match: Option<Revision>) -> Result<(), Refusal> {
    match if_match {
        Some(seen) if seen != task.live.revision => {
            Err(Refusal::RevisionMismatch { current: task.live.revision })
        }
        _ => Ok(()),
    }
}
