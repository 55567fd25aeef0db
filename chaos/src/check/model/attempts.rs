//! Attempts: after which end an execution is attempted again, and when.
//!
//! - Attempts follow the policy: a known failure is followed by as many further attempts as the
//!   definition says, each after its delay; an unknown outcome by one only where the definition allows
//!   that work is done twice.

use punctual::domain::machine::record::Status;
use punctual::domain::task::{Backoff, Delivery, Retry, TaskSpec};

use super::ReferenceModel;

const ATTEMPTS: &str = "attempts follow the policy";
/// Further attempts after unknown outcomes.
const REDELIVERIES_MAX: u32 = 10;
/// The clock of who proposes a start may be ahead of the stamp by so much, in milliseconds.
const AHEAD_MAX: i64 = 200;

/// What a definition says of further attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptPolicy {
    retry: Retry,
    pub(super) at_least_once: bool,
}

impl AttemptPolicy {
    pub(super) fn of(spec: &TaskSpec) -> Self {
        Self { retry: spec.retry, at_least_once: spec.delivery == Delivery::AtLeastOnce }
    }

    /// The wait before a retry, after so many of them. The definitions of the simulator have no
    /// jitter.
    fn wait(&self, retries: u32) -> i64 {
        let mut delay = self.retry.delay.0;
        for _ in 0..retries {
            if self.retry.backoff == Backoff::Exponential && delay < self.retry.max_delay.0 {
                delay = (delay * 2).min(self.retry.max_delay.0);
            }
        }
        i64::try_from(delay).unwrap_or(i64::MAX)
    }
}

/// What became of the attempts of an execution.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttemptCounts {
    /// Those that were granted.
    pub(super) made: u32,
    /// Those that followed unknown outcomes.
    redeliveries: u32,
    /// Not before this the next one starts, or the newest did; none: there was one at most.
    pub(super) next_at: Option<i64>,
}

impl ReferenceModel {
    /// A report says that an attempt ended like this, or nobody will report it.
    pub(super) fn reported(&mut self, id: u64, fence: u64, status: Status, unknown: bool) {
        if self.fenced(id, fence) {
            self.end_attempt(id, status, unknown);
        }
    }

    /// An attempt of an execution ended like this: with it the execution, unless it is attempted
    /// again.
    pub(super) fn end_attempt(&mut self, id: u64, status: Status, unknown: bool) {
        let stamp = self.stamp;
        let Some(one) = self.executions.get_mut(&id) else { return };
        one.unknown += u32::from(unknown);
        let task = self.tasks.get(&one.task);
        let deleted = task.is_some_and(|task| task.deleted);
        let cancelled = one.tick.is_some() && task.is_some_and(|task| task.cancelled.is_some());
        let over =
            one.stopping || deleted || cancelled || one.by_caller || status == Status::Success;
        // What ends cancelled though nobody asked for it was interrupted by its node. What an
        // executor or a caller calls a failure, though it was asked to stop, is the stop.
        let outside = one.executor.is_some() || one.by_caller;
        let ends = match status {
            Status::Failed if one.stopping && outside => Status::Cancelled,
            Status::Cancelled if one.stopping => status,
            Status::Cancelled if unknown => Status::Lost,
            Status::Cancelled => Status::Failed,
            status => status,
        };
        let Some(policy) = one.policy.filter(|_| !over) else { return self.end_as(id, ends) };
        let counts = &mut one.attempts;
        let retries = counts.made.saturating_sub(1 + counts.redeliveries);
        let again = policy.at_least_once && counts.redeliveries < REDELIVERIES_MAX;
        if again && (unknown || status == Status::Cancelled) {
            counts.next_at = Some(stamp.saturating_add(policy.wait(counts.redeliveries)));
            counts.redeliveries += 1;
        } else if unknown {
            return self.end_as(id, ends);
        } else {
            if retries >= policy.retry.max_retry {
                return self.end_as(id, ends);
            }
            counts.next_at = Some(stamp.saturating_add(policy.wait(retries)));
        }
        one.was_next = false;
    }

    /// Whether an execution was attempted before.
    pub fn again(&self, id: u64) -> bool {
        self.executions.get(&id).is_some_and(|one| one.attempts.next_at.is_some())
    }

    /// A further attempt is granted.
    pub(super) fn judge_attempt(&mut self, id: u64) {
        let Some(next_at) = self.executions.get(&id).and_then(|one| one.attempts.next_at) else {
            return;
        };
        self.judge(ATTEMPTS);
        let early = next_at.saturating_sub(self.stamp);
        if early > AHEAD_MAX {
            self.complain(ATTEMPTS, format!("execution {id} is attempted again {early} ms early"));
        }
    }
}
