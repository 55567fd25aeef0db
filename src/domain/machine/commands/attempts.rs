//! The end of an attempt: with it its execution ends, or is attempted again.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::guards;
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::machine::task::attempts::NextAttempt;
use crate::domain::machine::task::editor::TaskEditor;
use crate::domain::machine::task::record::{Execution, Report, Status, Trigger};
use crate::domain::machine::task::whole::Task;
use crate::domain::task::{Backoff, Retry};
use crate::domain::time::Millis;

/// Why an attempt ended that its node interrupted.
const INTERRUPTED: &str = "interrupted by its node";

/// Ends the attempt that runs of the execution at `at`.
pub fn end(task: &mut TaskEditor<'_>, at: RecordPlace, report: Report) {
    let execution = task.history.executions.get(at);
    let stopped = execution.is_some_and(|execution| execution.stopping);
    let outside = execution.is_some_and(carried_out_outside);
    let next = execution.and_then(|execution| next(task, execution, &report));
    let report = match (stopped, outside) {
        (false, _) => interrupted(report),
        (true, true) => stopped_outside(report),
        (true, false) => report,
    };
    let Some((next, wait)) = next else { return task.end(at, report) };
    let due = task.stamp.plus(guards::wait(wait));
    guards::count_attempt(task, report.status);
    task.wait_again(at, report, next, due);
}

/// Ends the attempts of these executions, of which no node will tell.
pub fn lose_all(task: &mut TaskEditor<'_>, detail: &str, which: impl Fn(&Execution) -> bool) {
    for id in task.live_ids(which) {
        if let Some(at) = task.history.position(id) {
            end(task, at, Report::unreported(Status::Lost, task.stamp, detail));
        }
    }
}

/// The end of an attempt that nobody asked to stop. What is told to be cancelled then was
/// interrupted by its node: a killed process is a known failure, and any other effect is not known.
fn interrupted(mut report: Report) -> Report {
    if report.status == Status::Cancelled {
        report.status = if report.unknown { Status::Lost } else { Status::Failed };
        let told = if report.detail.is_empty() { "" } else { ": " };
        report.detail = format!("{INTERRUPTED}{told}{}", report.detail);
    }
    report
}

/// Whether an executor or a caller carries the attempt out, and no node.
fn carried_out_outside(execution: &Execution) -> bool {
    let attempt = execution.attempt.as_ref();
    execution.trigger == Trigger::Claim || attempt.is_some_and(|attempt| attempt.executor.is_some())
}

/// The end, told from outside, of an attempt that was asked to stop. The protocol of executors has no
/// word for a stop: what stops on request reports a failure.
fn stopped_outside(mut report: Report) -> Report {
    if report.status == Status::Failed {
        report.status = Status::Cancelled;
    }
    report
}

/// Whether an execution is attempted again after an attempt that ended like this, and after which
/// wait. A stop that was asked for and a deleted mark end it, and that of a tick the cancellation of
/// its task; a caller's claim has one attempt.
fn next(task: &Task, execution: &Execution, report: &Report) -> Option<(NextAttempt, Millis)> {
    let ends = execution.stopping
        || task.live.deleted.is_some()
        || (task.live.cancelled.is_some() && execution.tick.is_some())
        || execution.trigger == Trigger::Claim
        || report.status == Status::Success;
    let spec = &task.revision(execution.revision).filter(|_| !ends)?.spec;
    // What is cancelled though nobody asked for it was interrupted by its node: a known failure, but
    // one that is no fault of the work.
    let interrupted = report.status == Status::Cancelled;
    if report.unknown || interrupted {
        if guards::redelivers(spec, execution) {
            let wait = retry_delay(&spec.retry, execution.redeliveries(), execution.id.0);
            return Some((NextAttempt::Redelivery, wait));
        }
        if report.unknown {
            return None;
        }
    }
    let again = guards::retries(spec, execution);
    let wait = retry_delay(&spec.retry, execution.retries(), execution.id.0);
    again.then_some((NextAttempt::Retry, wait))
}

/// The wait before a retry, after so many of them.
fn retry_delay(policy: &Retry, retries: u32, execution: u64) -> Millis {
    let factor = match policy.backoff {
        Backoff::Fixed => 1,
        Backoff::Exponential => 1_u64.checked_shl(retries).unwrap_or(u64::MAX),
    };
    let delay = policy.delay.0.saturating_mul(factor).min(policy.max_delay.0.max(policy.delay.0));
    // Executions that failed together do not come again together; every node computes the same.
    let part = xxh3_64_with_seed(&execution.to_be_bytes(), u64::from(retries));
    Millis(delay.saturating_add(part % policy.jitter.0.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn delays(policy: &Retry) -> Vec<u64> {
        (0..6).map(|retries| retry_delay(policy, retries, 7).0).collect()
    }

    #[test]
    fn delays_are_fixed_or_double_up_to_their_bound() {
        let policy = Retry { max_retry: 6, ..Retry::default() };
        assert_eq!(delays(&policy), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        let fixed = Retry { backoff: Backoff::Fixed, ..policy };
        assert_eq!(delays(&fixed), [1_000; 6]);
        // A delay above the bound stays as it is.
        let long = Retry { max_delay: Millis(500), ..policy };
        assert_eq!(delays(&long), [1_000; 6]);
        let none = Retry { delay: Millis(0), ..policy };
        assert_eq!(delays(&none), [0; 6]);
        let largest = Retry { max_delay: Millis(u64::MAX), jitter: Millis(u64::MAX - 1), ..policy };
        assert!((64..200).all(|retries| retry_delay(&largest, retries, 7).0 == u64::MAX));
    }

    #[test]
    fn what_its_node_interrupts_is_a_failure() {
        let told = |status, unknown| {
            let mut report = Report::unreported(status, Timestamp(0), "stopped: exit 0");
            report.unknown = unknown;
            let told = interrupted(report);
            (told.status, told.detail)
        };
        let why = "interrupted by its node: stopped: exit 0".to_owned();
        assert_eq!(told(Status::Cancelled, false), (Status::Failed, why.clone()));
        assert_eq!(told(Status::Cancelled, true), (Status::Lost, why));
        let as_it_was = "stopped: exit 0".to_owned();
        assert_eq!(told(Status::Timeout, true), (Status::Timeout, as_it_was));
    }

    #[test]
    fn jitter_is_the_same_everywhere_and_differs_between_executions_and_retries() {
        let policy = Retry { jitter: Millis(1_000), backoff: Backoff::Fixed, ..Retry::default() };
        let drawn: std::collections::BTreeSet<u64> = (0..100)
            .flat_map(|execution| (0..2).map(move |retries| (execution, retries)))
            .map(|(execution, retries)| retry_delay(&policy, retries, execution).0)
            .collect();
        assert!(drawn.iter().all(|delay| (1_000..=2_000).contains(delay)), "{drawn:?}");
        assert!(drawn.len() > 150, "{}", drawn.len());
        assert_eq!(delays(&policy), delays(&policy));
    }
}
