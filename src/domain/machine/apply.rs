//! One entry in, responses and effects out.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::domain::time::Timestamp;

use super::command::{Command, DecodeError};
use super::digest;
use super::effect::Effect;
use super::envelope::{self, Commands, Head, Packed};
use super::limits::{KEY_AGE, KEYS_MAX};
use super::persist::key_idempotency;
use super::record::KeyRecord;
use super::response::{Answer, Refusal, Response};
use super::state::State;

/// Where and when a command is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// Log index of its entry.
    pub index: u64,
    /// Cluster time of the leader that took the entry.
    pub stamp: Timestamp,
    /// Who sent it; empty for the engine.
    pub by: &'a str,
}

/// What an entry did.
#[derive(Debug, Default)]
pub struct Applied {
    /// One answer a command.
    pub responses: Vec<Response>,
    /// Hints, in order.
    pub effects: Vec<Effect>,
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
    ) -> Result<Head, DecodeError> {
        let (head, commands) = envelope::open(entry)?;
        self.cluster.stamp = head.stamp;
        if bug!("wall-clock-in-apply") {
            self.cluster.stamp = Timestamp(reading!());
        }
        self.cluster.applied = index;
        self.warm(commands);
        self.forget_old_mark(&Context { index, stamp: head.stamp, by: "" }, &mut out.effects);
        for packed in commands {
            let packed = packed?;
            let cx = Context { index, stamp: head.stamp, by: packed.by };
            self.step();
            let response = match packed.key {
                None => self.command(&cx, &packed, &mut out.effects)?,
                Some(key) => self.keyed(&cx, key, &packed, &mut out.effects)?,
            };
            out.responses.push(response);
        }
        Ok(head)
    }

    /// Touches the tasks that an entry is about before any of them is changed. They lie all over the
    /// memory, and here no load waits for another: the processor fetches many at a time, which
    /// applying one after the other does not let it do.
    fn warm(&self, commands: Commands<'_>) {
        let tasks = commands
            .filter_map(|packed| Command::task(&packed.ok()?))
            .filter_map(|key| self.tasks.peek(key));
        std::hint::black_box(tasks.fold(0, |all, task| all ^ task.warmth()));
    }

    /// Notes an entry that carries no commands; its stamp is that of the one before.
    pub const fn skip(&mut self, index: u64) {
        self.cluster.applied = index;
    }

    /// A command whose sender may repeat it: the first answer stands for all.
    fn keyed(
        &mut self,
        cx: &Context<'_>,
        key: &str,
        packed: &Packed<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Response, DecodeError> {
        let mut hashed = packed.kind.to_le_bytes().to_vec();
        hashed.extend_from_slice(packed.body);
        let body = xxh3_128(&hashed);
        if let Some(known) = self.keys.get(key) {
            let fresh = cx.stamp.since(known.at) <= KEY_AGE;
            if fresh && !bug!("keys-forgotten") {
                let same = known.body == body;
                return Ok(if same { known.response.clone() } else { Err(Refusal::KeyReused) });
            }
            self.forget_key(&Arc::from(key));
        }
        let response = self.command(cx, packed, effects)?;
        let number = self.step();
        let kept = KeyRecord { number, at: cx.stamp, body, response: response.clone() };
        self.digest.add(digest::hash(&key_idempotency(key), &kept));
        let key: Arc<str> = key.into();
        self.dirty.keys.insert(Arc::clone(&key));
        self.key_order.insert(number, Arc::clone(&key));
        self.keys.insert(key, Arc::new(kept));
        self.forget_old_keys(cx.stamp);
        Ok(response)
    }

    fn forget_old_keys(&mut self, stamp: Timestamp) {
        while let Some((_, key)) = self.key_order.get_min() {
            let fresh = |kept: &Arc<KeyRecord>| stamp.since(kept.at) <= KEY_AGE;
            if self.keys.len() <= KEYS_MAX && self.keys.get(key).is_some_and(fresh) {
                return;
            }
            let key = Arc::clone(key);
            self.forget_key(&key);
        }
    }

    fn forget_key(&mut self, key: &Arc<str>) {
        if let Some(kept) = self.keys.remove(key) {
            self.digest.sub(digest::hash(&key_idempotency(key), &*kept));
            self.key_order.remove(&kept.number);
            self.dirty.keys.insert(Arc::clone(key));
        }
    }

    fn command(
        &mut self,
        cx: &Context<'_>,
        packed: &Packed<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Response, DecodeError> {
        Ok(match Command::decode(packed.kind, packed.body)? {
            Command::Genesis(body) => self.genesis(body, effects),
            Command::Put(body) => self.put(cx, *body, effects),
            Command::MarkDeleted(body) => self.mark_deleted(cx, body, effects),
            Command::Reuse(body) => self.reuse(cx, &body, effects),
            Command::Cleanup(body) => self.cleanup(cx, &body, effects),
            Command::CleanupAll(body) => self.cleanup_all(cx, &body, effects),
            Command::Pause(body) => self.pause(cx, body, effects),
            Command::Resume(body) => self.resume(cx, &body, effects),
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
            Command::NodeIntent(body) => self.node_intent(body, effects),
            Command::NodePatch(body) => self.node_patch(body, effects),
            Command::NodeRemove(body) => self.node_remove(body, effects),
            Command::Scheduler(body) => self.set_scheduler(cx, body, effects),
            Command::TakeKey(_) => Ok(Answer::Done),
            Command::PutCalendar(body) => self.put_calendar(cx, *body),
            Command::DeleteCalendar(body) => self.delete_calendar(&body),
        })
    }

    /// The next value of the counter.
    pub(super) const fn step(&mut self) -> u64 {
        self.cluster.counter += 1;
        self.cluster.counter
    }
}
