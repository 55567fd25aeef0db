//! Once trouble has ended, the cluster works again: all nodes stand at one index with one digest, all
//! of them work, every due tick of an enabled task has its verdict within `failover_timeout`, and no
//! execution is left that nobody ends.
//!
//! While a majority is in contact, a client that repeats a call at another node after each unsure
//! answer has a sure one within a bounded time. A node that runs answers within the limit of a
//! write, whatever became of its leader; one that is held answers when it goes on. So one fault costs
//! a call one try, and a call is long under way only where fault follows fault: where a client waits
//! 6 s for each answer and meets three nodes in turn that are held or cut off, it has its sure
//! answer after some 20 s, and that is no fault of the cluster. Here one silence is over long before
//! the next.

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
/// An attempt ends so long after its time-out: its grace, or the loss of its node; in milliseconds.
const ENDS_WITHIN_MS: i64 = 30_000;

/// A write is answered within this (`ops/limits.rs`), in microseconds.
const WRITE_US: u64 = 5_000_000;
/// One that waits until no start can follow takes so much longer: 1.1 times `dispatch_ttl`.
const WAIT_US: u64 = 1_100_000;
/// The links to the client, and its pause before it repeats a call.
const CLIENT_US: u64 = 500_000;
/// The longest silence of a leader, where nothing else happens.
const SILENCE_US: u64 = 6_000_000;

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    sure(run, findings);
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

/// The longest time from a call to its sure answer; none: a majority may be out of contact.
fn sure_within(focus: Focus) -> Option<u64> {
    match focus {
        Focus::Calm => Some(WRITE_US + WAIT_US + CLIENT_US),
        Focus::SilentLeaders => Some(SILENCE_US + WRITE_US + WAIT_US + CLIENT_US),
        Focus::General | Focus::Snapshots => None,
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
                // One that waits may be held by a pause, or wait for a slot among many. What waits in
                // a line waits as long as others go first; that it goes on is judged of lines.
                _ if task.inactive().is_some() || run.slots > 0 || lined(task) => continue,
                _ => execution.created_at.0,
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

    /// A call to whoever leads next, and its answer after so long.
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
