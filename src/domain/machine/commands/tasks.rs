//! Commands of people and programs about tasks.

use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::schedule::Rule;
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

use crate::domain::machine::apply::Context;
use crate::domain::machine::command::{CleanupAll, MarkDeleted, Named, PauseTask, Put, PutMode};
use crate::domain::machine::effect::Effect;
use crate::domain::machine::limits::{SWEEP_SLOTS, TASKS_MAX};
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::{State, Task};
use crate::domain::machine::task::record::{Definition, Pause, Reason, Status, Tombstone};

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
    fn find(&self, name: &str) -> Option<TaskKey> {
        self.names.get(name).copied()
    }

    /// A task that is there, not marked deleted, and as the caller saw it.
    fn present(&self, name: &str, if_match: Option<Revision>) -> Result<&Task, Refusal> {
        let task = self.named(name).ok_or(Refusal::TaskNotFound)?;
        if task.live.deleted.is_some() {
            return Err(Refusal::TaskDeleted);
        }
        matches(task, if_match)?;
        Ok(task)
    }

    pub(in crate::domain::machine) fn put(
        &mut self,
        cx: &Context<'_>,
        put: Put,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        self.check_calendars(&put.spec)?;
        let found = self.named(&put.spec.name);
        match (found, put.mode) {
            (None, PutMode::Update { .. }) => Err(Refusal::TaskNotFound),
            (None, PutMode::Add | PutMode::Force) => self.create(cx, put.spec, revision, effects),
            (Some(task), PutMode::Update { if_match }) => {
                let key = task.key;
                self.present(&put.spec.name, if_match)?;
                self.update(cx, key, put.spec, revision, effects)
            }
            (Some(task), PutMode::Add)
                if task.live.deleted.is_some() && !bug!("tombstone-ignored") =>
            {
                Err(Refusal::TaskDeleted)
            }
            (Some(task), PutMode::Add) if !task.over() && task.live.deleted.is_none() => {
                Err(Refusal::TaskExists)
            }
            (Some(task), PutMode::Add | PutMode::Force) => {
                let key = task.key;
                self.replace(cx, key, put.spec, revision, effects)
            }
        }
    }

    fn create(
        &mut self,
        cx: &Context<'_>,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Vec<Effect>,
    ) -> Response {
        if self.tasks.len() >= TASKS_MAX {
            return Err(Refusal::Full);
        }
        let key = self.new_task(cx, &spec.name, revision);
        let (scheduled_at, cursor) = begin(&spec, cx.stamp, self.cluster.floor);
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        hand.reborn(revision, scheduled_at, cursor);
        hand.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
        hand.revise(revision);
        Ok(Answer::Task { task: key, revision, created: true })
    }

    fn replace(
        &mut self,
        cx: &Context<'_>,
        key: TaskKey,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        hand.end_all(Status::Cancelled, "replaced_task", |_| true);
        // No tick of the name is claimed twice, whichever incarnation it belongs to.
        let settled = hand.settled();
        let (scheduled_at, cursor) = begin(&spec, cx.stamp, settled);
        hand.reborn(revision, scheduled_at, cursor.max(settled));
        hand.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
        hand.revise(revision);
        Ok(Answer::Task { task: key, revision, created: false })
    }

    fn update(
        &mut self,
        cx: &Context<'_>,
        key: TaskKey,
        spec: TaskSpec,
        revision: Revision,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        let (rescheduled, switched) = match hand.task.spec() {
            Some(old) => (old.schedule != spec.schedule, old.enabled != spec.enabled),
            None => (true, false),
        };
        if rescheduled || switched {
            let (scheduled_at, begun) = begin(&spec, cx.stamp, hand.settled());
            let becomes = (!spec.enabled).then_some(Reason::Disabled);
            // A new schedule may begin with the moment itself; what came before is closed, also
            // where its one tick lies in the past.
            let upto = if rescheduled { begun.max(cx.stamp.minus(Millis(1))) } else { cx.stamp };
            hand.close(upto, becomes);
            if rescheduled {
                let live = hand.live();
                live.scheduled_at = scheduled_at;
                hand.progress().exhausted = false;
            }
        }
        hand.define(Definition { revision, at: cx.stamp, by: cx.by.to_owned(), spec });
        hand.revise(revision);
        Ok(Answer::Task { task: key, revision, created: false })
    }

    pub(in crate::domain::machine) fn mark_deleted(
        &mut self,
        cx: &Context<'_>,
        body: MarkDeleted,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let key = match self.find(&body.name) {
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
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        if hand.task.live.deleted.is_none() {
            matches(hand.task, body.if_match)?;
            hand.close(cx.stamp, Some(Reason::Deleted));
            hand.live().deleted = Some(Tombstone { at: cx.stamp, by: cx.by.to_owned() });
            hand.revise(revision);
            hand.end_all(Status::Cancelled, "deleted", |execution| {
                execution.status == Status::Pending
            });
        }
        let mut running: Vec<ExecutionId> =
            hand.task.live_executions().map(|live| live.id).collect();
        running.reverse();
        if body.stop {
            for id in &running {
                if let Some(at) = hand.task.history.position(*id) {
                    hand.change(at, |execution| execution.stopping = true);
                    hand.effect(Effect::Stop(key, *id));
                }
            }
        }
        Ok(Answer::Running(running))
    }

    pub(in crate::domain::machine) fn reuse(
        &mut self,
        cx: &Context<'_>,
        body: &Named,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let key = self.find(&body.name).ok_or(Refusal::TaskNotFound)?;
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        matches(hand.task, body.if_match)?;
        if hand.task.live.deleted.is_none() {
            let revision = hand.task.live.revision;
            return Ok(Answer::Task { task: key, revision, created: false });
        }
        if hand.task.live.definition.is_none() {
            // Nothing but the mark is there, so nothing is left without it.
            drop(hand);
            self.drop_task(key);
            effects.push(Effect::Task(key));
            return Ok(Answer::Done);
        }
        hand.close(cx.stamp, None);
        hand.live().deleted = None;
        hand.revise(revision);
        Ok(Answer::Task { task: key, revision, created: false })
    }

    pub(in crate::domain::machine) fn cleanup(
        &mut self,
        cx: &Context<'_>,
        body: &Named,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let Some(key) = self.find(&body.name) else { return Ok(Answer::Done) };
        if let Some(task) = self.task(key) {
            matches(task, body.if_match)?;
        }
        self.remove(cx, key, effects);
        Ok(Answer::Done)
    }

    fn remove(&mut self, cx: &Context<'_>, key: TaskKey, effects: &mut Vec<Effect>) {
        if let Some(mut hand) = self.hand(cx, key, effects) {
            hand.end_all(Status::Cancelled, "cleaned_up", |_| true);
        }
        self.drop_task(key);
        effects.push(Effect::Task(key));
    }

    pub(in crate::domain::machine) fn cleanup_all(
        &mut self,
        cx: &Context<'_>,
        body: &CleanupAll,
        effects: &mut Vec<Effect>,
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
            self.remove_calendars(upto);
        }
        let next = u32::try_from(end).ok().filter(|_| more);
        Ok(Answer::Swept { upto, next })
    }

    pub(in crate::domain::machine) fn pause(
        &mut self,
        cx: &Context<'_>,
        body: PauseTask,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let key = self.present(&body.name, body.if_match)?.key;
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        if !hand.task.rules.catch_up_on_resume {
            hand.close(cx.stamp, Some(Reason::Paused));
        }
        hand.set_pause(Some(Pause { reason: body.reason, until: body.until }));
        hand.revise(revision);
        Ok(Answer::Task { task: key, revision, created: false })
    }

    pub(in crate::domain::machine) fn resume(
        &mut self,
        cx: &Context<'_>,
        body: &Named,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let task = self.present(&body.name, body.if_match)?;
        let key = task.key;
        if task.live.paused.is_none() {
            let revision = task.live.revision;
            return Ok(Answer::Task { task: key, revision, created: false });
        }
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        if !hand.task.rules.catch_up_on_resume {
            hand.close(cx.stamp, None);
        }
        hand.set_pause(None);
        hand.revise(revision);
        let held = hand.task.live_executions();
        let held = held.filter(|execution| execution.status == Status::Pending);
        let held: Vec<ExecutionId> = held.map(|execution| execution.id).collect();
        for id in held.into_iter().rev() {
            hand.effect(Effect::Pending(key, id));
        }
        Ok(Answer::Task { task: key, revision, created: false })
    }
}

fn matches(task: &Task, if_match: Option<Revision>) -> Result<(), Refusal> {
    match if_match {
        Some(seen) if seen != task.live.revision => {
            Err(Refusal::RevisionMismatch { current: task.live.revision })
        }
        _ => Ok(()),
    }
}
