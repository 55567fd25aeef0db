//! One entry in; responses, hints and events out.

use super::command::{Command, DecodeError};
use super::commands::guards;
use super::effects::Effects;
use super::envelope::{self, Commands, EntryHead, IdempotencyKey, Packed};
use super::response::{Answer, Refusal, Response};
use super::state::State;
use super::task::editor::EntryContext;
use crate::domain::time::Timestamp;

/// What an entry did.
#[derive(Debug, Default)]
pub struct Applied {
    /// One answer a command.
    pub responses: Vec<Response>,
    /// What else it did.
    pub effects: Effects,
}

impl State {
    /// Applies an entry.
    ///
    /// # Errors
    /// An entry that cannot be read: the node that meets it must stop.
    pub fn apply(
        &mut self,
        index: u64,
        entry: &[u8],
        out: &mut Applied,
    ) -> Result<EntryHead, DecodeError> {
        let (head, commands) = envelope::open(entry)?;
        self.set_stamp(guards::stamp(head.stamp));
        self.cluster.applied = index;
        self.warm(commands);
        let before = out.effects.hints.len();
        self.forget_old_mark(&EntryContext { index, stamp: head.stamp, by: "" }, &mut out.effects);
        for packed in commands {
            let packed = packed?;
            let cx = EntryContext { index, stamp: head.stamp, by: packed.by };
            self.step();
            let response = match packed.key {
                None => self.command(&cx, &packed, &mut out.effects)?,
                Some(key) => self.keyed(&cx, key, &packed, &mut out.effects)?,
            };
            self.follow_chains(&cx, &mut out.effects);
            out.responses.push(response);
        }
        guards::tell(&mut out.effects);
        if cfg!(debug_assertions) {
            let checked = self.check_after(out.effects.hints.get(before..).unwrap_or_default());
            debug_assert_eq!(checked, Ok(()), "after entry {index}");
        }
        Ok(head)
    }

    /// Takes the stamp of an entry. Further attempts that are due by it may start.
    fn set_stamp(&mut self, stamp: Timestamp) {
        let former = std::mem::replace(&mut self.cluster.stamp, stamp);
        let crossed = || {
            let delayed = self.delayed.between(former.min(stamp), former.max(stamp));
            delayed.filter_map(|one| {
                let task = self.tasks.get(one.task)?;
                Some((task, task.history.execution(one.execution)?))
            })
        };
        self.lines.set_time(stamp, crossed);
    }

    /// Touches the tasks that an entry is about before any of them is changed. They lie all over the
    /// memory, and here no load waits for another: the processor fetches many at a time, which
    /// applying one after the other does not let it do.
    fn warm(&self, commands: Commands<'_>) {
        let tasks = commands
            .filter_map(|packed| packed.ok().and_then(|it| Command::task(it.kind, it.body)))
            .filter_map(|key| self.tasks.peek(key));
        std::hint::black_box(tasks.fold(0, |all, task| all ^ task.warmth()));
    }

    /// Notes an entry that carries no commands; its stamp is that of the one before.
    pub const fn skip(&mut self, index: u64) {
        self.cluster.applied = index;
    }

    /// A command whose sender may repeat the request: the first answer stands for all. A refusal
    /// that asks for a look at a newer state is no answer, so the key stays free. Nor is it one that the
    /// next tick of a backfill has to wait.
    fn keyed(
        &mut self,
        cx: &EntryContext<'_>,
        key: IdempotencyKey<'_>,
        packed: &Packed<'_>,
        effects: &mut Effects,
    ) -> Result<Response, DecodeError> {
        match self.first(key) {
            Ok(Some(known)) => return Ok(known.response.clone()),
            Err(reused) => return Ok(Err(reused)),
            Ok(None) => self.forget_key(&key.text.into()),
        }
        let response = self.command(cx, packed, effects)?;
        let waits = packed.kind == Command::BACKFILL;
        let no_answer = |refusal: &Refusal| refusal.outdated() || (waits && refusal.passes());
        if !response.as_ref().is_err_and(no_answer) {
            let number = self.step();
            self.remember(cx, key, number, &response);
        }
        Ok(response)
    }

    fn command(
        &mut self,
        cx: &EntryContext<'_>,
        packed: &Packed<'_>,
        effects: &mut Effects,
    ) -> Result<Response, DecodeError> {
        Ok(match Command::decode(packed.kind, packed.body)? {
            Command::Genesis(body) => self.genesis(cx, body, effects),
            Command::Put(body) => self.put(cx, *body, effects),
            Command::MarkDeleted(body) => self.mark_deleted(cx, body, effects),
            Command::Reuse(body) => self.reuse(cx, &body, effects),
            Command::Cleanup(body) => self.cleanup(cx, &body, effects),
            Command::CleanupAll(body) => self.cleanup_all(cx, &body, effects),
            Command::Pause(body) => self.pause(cx, body, effects),
            Command::Resume(body) => self.resume(cx, &body, effects),
            Command::Cancel(body) => self.cancel(cx, &body, effects),
            Command::TriggerTask(body) => self.trigger(cx, body, effects),
            Command::Retry(body) => self.retry(cx, body, effects),
            Command::Stop(body) => self.stop(cx, body, effects),
            Command::Dismiss(body) => self.dismiss(cx, body, effects),
            Command::Settle(body) => self.settle(cx, &body, effects),
            Command::Start(body) => self.start(cx, body, effects),
            Command::Return(body) => self.give_back(cx, body, effects),
            Command::Finish(body) => self.finish(cx, *body, effects),
            Command::Lose(body) => self.lose(cx, body, effects),
            Command::NodeUp(body) => self.node_up(cx, *body, effects),
            Command::NodeLiveness(body) => self.node_liveness(cx, body, effects),
            Command::NodeIntent(body) => self.node_intent(cx, body, effects),
            Command::NodePatch(body) => self.node_patch(cx, body, effects),
            Command::NodeRemove(body) => self.node_remove(cx, body, effects),
            Command::Scheduler(body) => self.set_scheduler(cx, body, effects),
            Command::TakeKey(_) => Ok(Answer::Done),
            Command::PutCalendar(body) => self.put_calendar(cx, *body, effects),
            Command::DeleteCalendar(body) => self.delete_calendar(cx, &body, effects),
            Command::PutExecutor(body) => self.put_executor(cx, *body, effects),
            Command::ExecutorHeartbeat(body) => self.executor_heartbeat(cx, &body, effects),
            Command::ExecutorLiveness(body) => self.executor_liveness(cx, body, effects),
            Command::ExecutorStatus(body) => self.set_executor_status(cx, body, effects),
            Command::DeleteExecutor(body) => self.delete_executor(cx, &body, effects),
            Command::StartOn(body) => self.start_on(cx, body, effects),
            Command::Accept(body) => self.accept(cx, body, effects),
            Command::Fail(body) => self.fail(cx, body, effects),
            Command::SetStrategy(body) => self.set_strategy(cx, body, effects),
            Command::NodeJoin(body) => self.node_join(*body, effects),
            Command::NodeJoined(body) => self.node_joined(body, effects),
            Command::FilesRead(body) => self.files_read(&body),
            Command::Declare(body) => self.declare(cx, *body, effects),
            Command::NodeFunctions(body) => self.node_functions(cx, body, effects),
            Command::Assign(body) => self.assign(body, effects),
            Command::Backfill(body) => self.backfill(cx, *body, effects),
            Command::CancelBackfill(body) => self.cancel_backfill(cx, body),
        })
    }
}
