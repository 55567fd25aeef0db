//! Liveness: after the faults end, the cluster recovers. All nodes reach the same index and digest,
//! all of them work, every due tick of an enabled task gets its verdict within `failover_timeout`,
//! and every execution ends.
//!
//! While a majority can communicate, a client that repeats a call at another node after each
//! unknown outcome gets a definite response within a bounded time. A running node responds within
//! the time limit of a write, regardless of its leader; a suspended node responds when it
//! continues. So one fault costs one try, and a call only takes long if several faults follow each
//! other: a client that waits 6 s for each response and tries three suspended or partitioned nodes
//! in turn gets its definite response after about 20 s, which is not a defect of the cluster. In
//! these runs, one silence ends long before the next begins.

use std::collections::BTreeMap;

use punctual::domain::machine::record::{Liveness, Status};
use punctual::domain::machine::{State, Task};
use punctual::domain::task::{ExecutionMode, TaskSpec};

use super::history::{ClientRequest, HistoryEvent};
use super::judge::{Findings, Run};
use super::oracle;
use super::settles::FAILOVER_MS;
use crate::sim::Focus;

const RECOVERY: &str = "recovery after healing";
const SETTLED: &str = "due ticks are settled";
const ENDED: &str = "no execution runs for ever";
const SURE: &str = "calls have sure answers in time";
/// Time limit from the timeout of an attempt to its end: its grace period, or the loss of its node;
/// in milliseconds.
const ENDS_WITHIN_MS: i64 = 30_000;

/// Time limit of a write (`ops/limits.rs`), in microseconds.
const WRITE_US: u64 = 5_000_000;
/// Additional time of a write that waits until no start can follow: 1.1 times `dispatch_ttl`.
const WAIT_US: u64 = 1_100_000;
/// Latency of the links to the client, and its delay before it repeats a call.
const CLIENT_US: u64 = 500_000;
/// The longest silence of a leader in runs without other faults.
const SILENCE_US: u64 = 6_000_000;

/// Judges these properties.
pub fn judge(run: &Run, findings: &mut Findings) {
    sure(run, findings);
    if run.broken_off {
        return;
    }
    findings.judge(RECOVERY, 1);
    if run.states.len() != run.nodes {
        let what = format!("{} of {} nodes run", run.states.len(), run.nodes);
        return findings.complain(run.ended, RECOVERY, None, what);
    }
    let now = run.epoch_ms + i64::try_from(run.ended / 1_000).unwrap_or(0);
    let Some((_, first)) = run.states.first() else { return };
    let newest = run.states.iter().map(|(_, state)| state.cluster().applied).max().unwrap_or(0);
    for (node, state) in &run.states {
        let behind = newest - state.cluster().applied;
        if behind > 50 {
            let what = format!("node {} is {behind} entries behind", node + 1);
            findings.complain(run.ended, RECOVERY, None, what);
        }
        let down = state.nodes().filter(|node| node.liveness != Liveness::Working).count();
        if down > 0 || state.nodes().count() != run.nodes {
            let what = format!("node {} sees {down} nodes that do not work", node + 1);
            findings.complain(run.ended, RECOVERY, None, what);
        }
    }
    settled(run, findings, first, now);
    ended(run, findings, first, now);
}

/// The longest time from a call to its definite response. `None` if there may be no majority.
fn sure_within(focus: Focus) -> Option<u64> {
    match focus {
        Focus::Calm => Some(WRITE_US + WAIT_US + CLIENT_US),
        Focus::SilentLeaders => Some(SILENCE_US + WRITE_US + WAIT_US + CLIENT_US),
        // The messages of most nodes may be late at once.
        Focus::SlowEngines
        | Focus::General
        | Focus::Snapshots
        | Focus::Members
        | Focus::Restore => None,
    }
}

fn sure(run: &Run, findings: &mut Findings) {
    let Some(within) = sure_within(run.focus) else { return };
    let mut open: BTreeMap<u64, (u64, ClientRequest, &str)> = BTreeMap::new();
    let mut complain = |at: u64, until: u64, asked: ClientRequest, task: &str| {
        let took = (until - at) / 1_000;
        let what = format!("{asked:?} of {task} had no sure answer for {took} ms");
        findings.complain(at, SURE, Some(task), what);
    };
    let mut answered = 0;
    for record in &run.records {
        match &record.event {
            HistoryEvent::Call { call, asked, task, .. } => {
                open.insert(*call, (record.at, *asked, task));
            }
            HistoryEvent::Return { call, .. } => {
                let Some((at, asked, task)) = open.remove(call) else { continue };
                answered += 1;
                if record.at - at > within {
                    complain(at, record.at, asked, task);
                }
            }
            _ => {}
        }
    }
    for (at, asked, task) in open.into_values() {
        if run.ended - at > within {
            complain(at, run.ended, asked, task);
        }
    }
    findings.judge(SURE, answered);
}

fn settled(run: &Run, findings: &mut Findings, state: &State, now: i64) {
    for task in state.tasks() {
        let Some(spec) = task.spec() else { continue };
        if task.inactive().is_some() || task.progress.exhausted {
            continue;
        }
        let set_at = task.live.scheduled_at.0;
        let from = state.settled(task).0;
        let Some(due) = oracle::ticks(&spec.schedule, set_at, from, now - FAILOVER_MS) else {
            continue;
        };
        findings.judge(SETTLED, 1);
        if let Some(first) = due.first() {
            let name = &task.live.name;
            let what = format!("{name} has {} ticks without a verdict from {first}", due.len());
            findings.complain(run.ended, SETTLED, Some(name), what);
        }
    }
}

fn ended(run: &Run, findings: &mut Findings, state: &State, now: i64) {
    for task in state.tasks() {
        for execution in task.live_executions() {
            findings.judge(ENDED, 1);
            let begun = match &execution.attempt {
                Some(attempt) if execution.status == Status::Running => attempt.granted_at.0,
                // A waiting execution may be held by a pause or wait for a slot. A queued execution
                // waits for those ahead of it; the properties of lines check that it continues.
                _ if task.inactive().is_some() || run.slots > 0 || lined(task) => continue,
                // One that was attempted before waits for its next attempt only.
                _ => execution.next_attempt_at().unwrap_or(execution.created_at).0,
            };
            let spec = task.revision(execution.revision).map(|definition| &definition.spec);
            let timeout = spec.map_or(0, |spec| spec.timeout.0);
            let within = ENDS_WITHIN_MS.saturating_add_unsigned(timeout);
            if now - begun.max(execution.due.0) > within {
                let name = &task.live.name;
                let what = format!(
                    "execution {} of {name} is {:?} for {} s",
                    execution.id,
                    execution.status,
                    (now - begun) / 1_000
                );
                findings.complain(run.ended, ENDED, Some(name), what);
            }
        }
    }
}

fn lined(task: &Task) -> bool {
    let in_line = |spec: &TaskSpec| {
        spec.execution_mode != ExecutionMode::Parallel || spec.concurrency.is_some()
    };
    task.spec().is_some_and(in_line)
}

#[cfg(test)]
mod tests {
    use super::super::history::{HistoryRecord, Returned};
    use super::*;

    /// A call to the next leader, answered after this time.
    fn complaints(focus: Focus, answered_after: Option<u64>, ended: u64) -> usize {
        let event = HistoryEvent::Call {
            call: 1,
            asked: ClientRequest::Add,
            task: "t".to_owned(),
            key: None,
        };
        let mut records = vec![HistoryRecord { at: 7, node: None, event }];
        if let Some(after) = answered_after {
            let event = HistoryEvent::Return { call: 1, returned: Returned::Unknown };
            records.push(HistoryRecord { at: 7 + after, node: None, event });
        }
        let mut run = Run::new(records, Vec::new(), 3);
        (run.focus, run.ended) = (focus, 7 + ended);
        let mut findings = Findings::default();
        sure(&run, &mut findings);
        findings.violations.len()
    }

    #[test]
    fn a_call_that_is_under_way_for_too_long_is_found() {
        for (focus, within) in [(Focus::Calm, 6_600_000), (Focus::SilentLeaders, 12_600_000)] {
            assert_eq!(sure_within(focus), Some(within));
            assert_eq!(complaints(focus, Some(within), within + 5), 0);
            assert_eq!(complaints(focus, Some(within + 1), within + 5), 1);
            assert_eq!(complaints(focus, None, within), 0);
            assert_eq!(complaints(focus, None, within + 1), 1);
        }
        assert_eq!(complaints(Focus::General, Some(60_000_000), 60_000_000), 0);
    }
}
