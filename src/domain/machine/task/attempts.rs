//! Attempts of an execution after the first: how many there were, and the wait for the next one.

use super::editor::TaskEditor;
use super::record::{Attempt, Execution, Report, Status, Trigger, cut};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::{DETAIL_BYTES, EARLIER_MAX, REASON_BYTES, TAIL_BYTES};
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::time::{Millis, Timestamp};

/// Why an execution is attempted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// Its attempt failed, and the retry policy has attempts left.
    Retry,
    /// The outcome of its attempt is unknown, and its definition asks for a known one.
    Redelivery,
}

impl TaskEditor<'_> {
    /// Ends the attempt that runs of the execution at `at`; its next one may start at `due`.
    pub fn wait_again(
        &mut self,
        at: RecordPlace,
        mut report: Report,
        next: NextAttempt,
        due: Timestamp,
    ) {
        let task = self.task.key;
        let Some(id) = self.history.executions.get(at).map(|execution| execution.id) else {
            return;
        };
        report.bound();
        self.change(at, |execution| {
            execution.status = Status::Pending;
            let first = execution.attempt.as_ref().map(|attempt| {
                report.started_at.unwrap_or_else(|| attempt.granted_at.max(execution.due))
            });
            let more = execution.more();
            more.first_start = more.first_start.or(first);
            more.next_at = Some(due);
            more.redeliveries += u32::from(next == NextAttempt::Redelivery);
            if let Some(attempt) = &mut execution.attempt {
                attempt.report = Some(Box::new(report));
            }
        });
        self.hint(Hint::AttemptEnded(task, id));
        self.hint(Hint::Pending(task, id));
    }
}

impl Report {
    /// Cuts what is kept of output and detail.
    pub fn bound(&mut self) {
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        cut(&mut self.detail, DETAIL_BYTES);
    }
}

impl Report {
    /// Cuts what is kept of an attempt that another one follows.
    pub(in crate::domain::machine) fn shorten(&mut self) {
        self.tail = Vec::new();
        cut(&mut self.detail, REASON_BYTES);
    }
}

impl Execution {
    /// When its first attempt started; one that nobody reported, when it was granted and due. None:
    /// that is told by the newest one.
    #[must_use]
    pub fn first_start(&self) -> Option<Timestamp> {
        self.more.as_ref()?.first_start
    }

    /// The reported start of the first attempt.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        let reported = || self.attempts().find_map(|attempt| attempt.report.as_ref()?.started_at);
        self.first_start().or_else(reported)
    }

    /// When the newest attempt starts as far as nobody reported: when it is granted and due.
    #[must_use]
    pub fn presumed_start(&self) -> Option<Timestamp> {
        Some(self.attempt.as_ref()?.granted_at.max(self.attempt_due()))
    }

    /// From the first start to the end.
    #[must_use]
    pub fn duration(&self) -> Option<Millis> {
        Some(self.ended_at?.since(self.started_at()?))
    }

    /// From due time to start in milliseconds; negative: it started early.
    #[must_use]
    pub fn lateness_ms(&self) -> Option<i64> {
        Some(self.started_at()?.0.saturating_sub(self.due.0))
    }

    /// Whether its tick was settled for it: neither a trigger nor a backfill created it.
    #[must_use]
    pub fn settled_tick(&self) -> bool {
        self.tick.is_some() && self.trigger != Trigger::Backfill
    }

    /// The key by which receivers recognize it. An execution of a settled tick has the same key
    /// wherever it is attempted; one by request has its own, also where its tick fired before.
    #[must_use]
    pub fn idempotency_key(&self, task: &str) -> String {
        match self.tick.filter(|_| self.settled_tick()) {
            Some(tick) => format!("{task}/{}@{tick}", self.incarnation),
            None => format!("{task}/{}!{}", self.incarnation, self.id),
        }
    }

    /// Its attempts that followed known failures.
    #[must_use]
    pub fn retries(&self) -> u32 {
        let made = self.attempt.as_ref().map_or(1, |attempt| attempt.number);
        made.saturating_sub(1).saturating_sub(self.redeliveries())
    }

    /// Its attempts that followed unknown outcomes.
    #[must_use]
    pub fn redeliveries(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.redeliveries)
    }

    /// When its next attempt may start, if it waits for a further one.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<Timestamp> {
        (self.status == Status::Pending && self.attempt.is_some()).then(|| self.attempt_due())
    }

    /// When its newest attempt may start, or may have: the first when it is due, a further one after
    /// its delay.
    #[must_use]
    pub fn attempt_due(&self) -> Timestamp {
        self.more.as_ref().and_then(|more| more.next_at).unwrap_or(self.due)
    }

    /// Adds an attempt, and keeps the newest of those before it.
    pub(in crate::domain::machine) fn next_attempt(&mut self, attempt: Attempt) {
        let Some(mut former) = self.attempt.replace(attempt) else { return };
        if let Some(report) = &mut former.report {
            report.shorten();
        }
        let earlier = &mut self.more().earlier;
        earlier.push(former);
        let surplus = earlier.len().saturating_sub(EARLIER_MAX);
        earlier.drain(..surplus);
    }
}
