//! Invariants of the state. The comments of the records state them. They are checked after each entry
//! in debug builds, in tests and in the simulator.

use std::collections::BTreeMap;

use super::hint::Hint;
use super::limits::{
    BACKFILLS_MAX, CALENDARS_MAX, DAYS_MAX, EARLIER_MAX, EXECUTORS_MAX, KEYS_MAX, TASKS_MAX,
};
use super::state::State;
use super::task::calendar_users::CalendarUsers;
use super::task::delayed::DelayedExecutions;
use super::task::dispatched::{DeclaredTasks, InFlight};
use super::task::lines::Lines;
use super::task::record::{
    DayCounts, Execution, Liveness, NodeRecord, Statistics, Status, Streaks, TaskStatistics,
    Totals, Trigger, Verdict,
};
use super::task::strategy_users::StrategyUsers;
use super::task::tombstones::DeletedMarks;
use super::task::whole::{ClaimRules, RecordHashes, Task};
use crate::domain::executor::ExecutorStatus;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::task::MAX_LIVE_MAX;

/// After so many entries debug builds look at the whole state.
const WHOLE_EVERY: u64 = 256;

/// Complains unless it holds.
macro_rules! hold {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

impl State {
    /// Looks whether the state is one that commands can lead to.
    ///
    /// # Errors
    /// What does not hold, and of which record.
    pub fn check(&self) -> Result<(), String> {
        for task in self.tasks() {
            self.check_task(task).map_err(|what| format!("task {}: {what}", task.live.name))?;
        }
        for node in self.nodes() {
            self.check_node(node).map_err(|what| format!("node {}: {what}", node.id))?;
        }
        self.check_keys()?;
        self.check_calendars()?;
        self.check_executors()?;
        self.check_backfills()?;
        self.check_derived()?;
        self.check_statistics()?;
        self.check_digest()
    }

    /// Looks at the tasks that an entry gave hints of, and now and then at the whole state.
    ///
    /// # Errors
    /// See [`Self::check`].
    pub(super) fn check_after(&self, hints: &[Hint]) -> Result<(), String> {
        if self.cluster.applied.is_multiple_of(WHOLE_EVERY) {
            return self.check();
        }
        let mut touched: Vec<TaskKey> = hints.iter().filter_map(Hint::task).collect();
        touched.sort_unstable();
        touched.dedup();
        for task in touched.into_iter().filter_map(|key| self.task(key)) {
            self.check_task(task).map_err(|what| format!("task {}: {what}", task.live.name))?;
        }
        Ok(())
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        let Task { key, live, progress, definitions, history, counted, rules, .. } = task;
        let counter = self.cluster.counter;
        hold!(self.names.get(&live.name) == Some(key), "its name leads elsewhere");
        hold!(live.incarnation <= live.revision, "changed before it was created");
        hold!(live.revision.0 <= counter, "revision {} lies ahead of the counter", live.revision);
        hold!(live.definition.is_some() || live.deleted.is_some(), "no definition and no mark");
        hold!(
            live.definition.is_none() == task.definition().is_none(),
            "the definition in force is not kept"
        );
        hold!(
            definitions.iter().is_sorted_by(|one, next| one.revision < next.revision),
            "definitions do not rise"
        );
        hold!(*counted == RecordHashes::of(*key, live, progress), "hashes of other records");
        hold!(*rules == ClaimRules::of(task.spec()), "rules of another definition");
        if let Some(statistics) = &task.statistics {
            let TaskStatistics { recent, hash, .. } = &**statistics;
            hold!(*hash == recent.hash(*key), "hash of other statistics");
            self.check_counts(&progress.totals, recent, statistics.days())?;
        }
        let live_ones = history.executions.iter().filter(|execution| !execution.status.ended());
        hold!(live_ones.count() == count(progress.live), "{} live ones counted", progress.live);
        hold!(progress.live <= MAX_LIVE_MAX, "{} live executions", progress.live);
        hold!(history.executions.marks_are_counted(), "ended executions are not counted");
        let failures = history.executions.iter().filter(|execution| execution.status.failure());
        hold!(failures.count() == history.failures, "{} failures counted", history.failures);
        let running = history.executions.iter().filter(|one| one.status == Status::Running);
        hold!(running.count() == count(history.running), "{} running counted", history.running);
        for execution in &history.executions {
            self.check_execution(task, execution)
                .map_err(|what| format!("execution {}: {what}", execution.id))?;
        }
        rising(history.executions.iter().map(|execution| execution.id))?;
        rising(history.ticks.iter().map(|fired| fired.tick))?;
        rising(history.spans.iter().map(|span| span.to))?;
        covered(task)
    }

    /// Checks that the counts of days, histograms and streaks do not exceed the totals.
    fn check_counts(
        &self,
        totals: &Totals,
        recent: &Statistics,
        days: impl Iterator<Item = DayCounts>,
    ) -> Result<(), String> {
        let days: Vec<DayCounts> = days.collect();
        rising(days.iter().map(|day| day.day))?;
        // A stamp may be slightly lower than the previous one.
        let next = DayCounts::number(self.cluster.stamp) + 1;
        hold!(days.last().is_none_or(|last| last.day <= next), "counts of days to come");
        hold!(days.len() <= count(DAYS_MAX), "counts of {} days", days.len());
        let sum = days.iter().fold(Totals::default(), |sum, day| sum.plus(&day.counts));
        hold!(sum.within(totals), "{sum:?} on its days, {totals:?} in all");
        for histogram in [&recent.durations, &recent.latenesses] {
            hold!(histogram.plausible(), "a histogram of no values");
            hold!(histogram.count() <= totals.ended(), "more times than ends");
        }
        let Streaks { current, failing, longest_success, longest_failure } = recent.streaks;
        let longest = if failing { longest_failure } else { longest_success };
        hold!(current <= longest, "a streak longer than the longest");
        let failures = totals.judged().saturating_sub(totals.success);
        hold!(longest_success <= totals.success, "a streak of more successes than there were");
        hold!(longest_failure <= failures, "a streak of more failures than there were");
        Ok(())
    }

    fn check_statistics(&self) -> Result<(), String> {
        let of_tasks = self.tasks().map(|task| task.progress.totals);
        let sum = of_tasks.fold(Totals::default(), |sum, totals| sum.plus(&totals));
        let all = &*self.statistics;
        hold!(sum.within(&all.totals), "tasks: {sum:?}, the cluster: {:?}", all.totals);
        let counts = self.check_counts(&all.totals, &all.recent, all.days());
        counts.map_err(|what| format!("statistics of the cluster: {what}"))
    }

    fn check_execution(&self, task: &Task, execution: &Execution) -> Result<(), String> {
        let Execution { id, status, attempt, .. } = execution;
        let counter = self.cluster.counter;
        hold!(id.0 <= counter, "its id lies ahead of the counter");
        hold!(self.executions.get(*id) == Some(task.key), "the index leads elsewhere");
        hold!(status.ended() == execution.ended_at.is_some(), "{status:?} without its time");
        hold!(!(status.ended() && execution.stopping), "ended and to be stopped");
        hold!(execution.incarnation <= task.live.incarnation, "of an incarnation to come");
        let earlier = execution.more.iter().flat_map(|more| &more.earlier);
        hold!(earlier.clone().count() <= EARLIER_MAX, "too many attempts are kept");
        hold!(earlier.clone().all(|one| one.report.is_some()), "a former attempt has no end");
        let mut last = 0;
        for attempt in execution.attempts() {
            hold!(last < attempt.fence.0 && attempt.fence.0 <= counter, "fences do not rise");
            last = attempt.fence.0;
        }
        if !status.ended() {
            let kept = task.revision(execution.revision).is_some();
            hold!(kept, "its definition, {}, is not kept", execution.revision);
        }
        if *status == Status::Pending {
            let ended = attempt.as_ref().is_none_or(|attempt| attempt.report.is_some());
            hold!(ended, "waits and has an attempt under way");
        }
        if *status == Status::Running {
            let attempt = attempt.as_ref().ok_or("runs without an attempt")?;
            hold!(attempt.report.is_none(), "runs and has ended");
            let owned = execution.trigger != Trigger::Claim && attempt.accepted_at().is_none();
            let known = !owned || self.node(attempt.node).is_some();
            hold!(known, "runs on node {}, which is unknown", attempt.node);
        }
        Ok(())
    }

    fn check_node(&self, node: &NodeRecord) -> Result<(), String> {
        hold!(self.node(node.id).is_some_and(|same| **same == *node), "kept under another number");
        hold!(node.session.0 <= self.cluster.counter, "its session lies ahead of the counter");
        let down = node.liveness == Liveness::Down;
        hold!(down == node.down_since.is_some(), "{:?} without its time", node.liveness);
        Ok(())
    }

    fn check_keys(&self) -> Result<(), String> {
        let keys = &self.registers.keys;
        hold!(keys.len() <= KEYS_MAX, "{} idempotency keys", keys.len());
        hold!(keys.len() == self.key_order.len(), "idempotency keys that have no age");
        for (key, kept) in keys.iter() {
            hold!(self.key_order.get(&kept.number) == Some(key), "idempotency key {key}: its age");
            hold!(kept.number <= self.cluster.counter, "idempotency key {key}: of times to come");
        }
        Ok(())
    }

    fn check_calendars(&self) -> Result<(), String> {
        let calendars = &self.registers.calendars;
        hold!(calendars.len() <= CALENDARS_MAX, "{} calendars", calendars.len());
        for (name, kept) in calendars.iter() {
            hold!(**name == *kept.calendar.name, "calendar {name} is kept under another name");
            hold!(kept.revision.0 <= self.cluster.counter, "calendar {name}: of times to come");
        }
        Ok(())
    }

    fn check_executors(&self) -> Result<(), String> {
        let executors = &self.registers.executors;
        hold!(executors.len() <= EXECUTORS_MAX, "{} executors", executors.len());
        for (id, kept) in executors.iter() {
            hold!(**id == *kept.info.id, "executor {id} is kept under another id");
            hold!(kept.revision.0 <= self.cluster.counter, "executor {id}: of times to come");
            let silent = kept.offline_since.is_some();
            let fits = match kept.status {
                ExecutorStatus::Online => !silent,
                ExecutorStatus::Offline => silent,
                ExecutorStatus::Maintenance => true,
            };
            hold!(fits, "executor {id} is {:?} and silent: {silent}", kept.status);
        }
        Ok(())
    }

    fn check_backfills(&self) -> Result<(), String> {
        hold!(self.registers.backfills.len() <= BACKFILLS_MAX, "too many backfills");
        for (key, kept) in self.all_backfills() {
            hold!(self.task(key.task).is_some(), "a backfill of a task that is gone");
            let known = kept.ended.all() + kept.live.len() as u64;
            hold!(kept.created == known, "a backfill of {}, of which {known} known", kept.created);
            hold!(kept.cursor <= key.to, "a backfill beyond its range");
        }
        let finished = self.finished_backfills();
        hold!(finished == self.finished, "finished backfills are not listed as such");
        Ok(())
    }

    /// What is derived from the records is what they say.
    fn check_derived(&self) -> Result<(), String> {
        hold!(self.tasks.len() <= TASKS_MAX, "{} tasks", self.tasks.len());
        hold!(self.names.len() == self.tasks().count(), "names and tasks differ");
        hold!(self.names.len() == self.tasks.len(), "tasks are miscounted");
        let busy: Vec<TaskKey> = self.tasks.busy().map(|task| task.key).collect();
        let live = self.tasks().filter(|task| task.progress.live > 0).map(|task| task.key);
        hold!(live.eq(busy), "tasks with live executions are not marked, or others are");
        let mut marks = DeletedMarks::default();
        let mut users = CalendarUsers::default();
        let mut strategies = StrategyUsers::default();
        let mut lines = Lines::new(self.cluster.scheduler, self.cluster.stamp);
        let mut delayed = DelayedExecutions::default();
        let mut in_flight = InFlight::default();
        let mut declared = DeclaredTasks::default();
        let mut executions = BTreeMap::new();
        for task in self.tasks() {
            marks.add(task.key, &task.live);
            users.add(task.spec());
            strategies.add(task.spec());
            lines.add(task);
            delayed.add(task);
            in_flight.add(task);
            executions.extend(task.history.executions.iter().map(|one| (one.id, task.key)));
        }
        hold!(marks == self.marks, "deleted marks are miscounted");
        hold!(users == self.calendar_users, "users of calendars are miscounted");
        hold!(strategies == self.strategy_users, "users of strategies are miscounted");
        hold!(lines == self.lines, "lines hold what does not wait or run, or lack what does");
        hold!(delayed == self.delayed, "what waits for a further attempt is not listed as such");
        self.registers.executors.values().for_each(|executor| declared.add(&executor.info));
        hold!(in_flight == self.in_flight, "attempts of executors are not listed as such");
        hold!(declared == self.declared, "declared tasks are not those of the executors");
        let indexed = self.executions.before(ExecutionId(u64::MAX));
        hold!(indexed.eq(executions.into_iter().rev()), "the index of executions is not theirs");
        Ok(())
    }

    fn check_digest(&self) -> Result<(), String> {
        hold!(self.recomputed() == self.digest, "the digest over tasks is not theirs");
        for register in self.registers.each() {
            let letter = char::from(register.letter());
            let kept_up = register.digest() == register.recomputed();
            hold!(kept_up, "the digest over the records of letter {letter} is not theirs");
        }
        Ok(())
    }
}

/// Fired ticks and spans cover what is kept of the past up to the cursor, without gap or overlap.
fn covered(task: &Task) -> Result<(), String> {
    let begin = task.progress.truncated_before;
    let ticks = task.history.ticks.iter().map(|fired| (fired.from, fired.tick));
    let spans = task.history.spans.iter().map(|span| (span.from, span.to));
    let mut parts: Vec<_> = ticks.chain(spans).filter(|(_, to)| *to > begin).collect();
    parts.sort_unstable();
    let mut at = begin;
    for (from, to) in parts {
        hold!(from == at && to > from, "settled up to {at}, then from {from} to {to}");
        at = to;
    }
    hold!(at == task.progress.cursor, "covered to {at}, not to the cursor");
    let fired = task.history.spans.iter().any(|span| span.verdict == Verdict::Fired);
    hold!(!fired, "a span that fired");
    Ok(())
}

fn rising<T: Ord + Copy + std::fmt::Debug>(keys: impl Iterator<Item = T>) -> Result<(), String> {
    let mut last = None;
    for key in keys {
        hold!(last.is_none_or(|last| last < key), "{key:?} does not rise");
        last = Some(key);
    }
    Ok(())
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
