//! Once trouble has ended, the cluster works again: all nodes stand at one index with one digest, all
//! of them work, every due tick of an enabled task has its verdict within `failover_timeout`, and no
//! execution is left that nobody ends.

use punctual::domain::machine::State;
use punctual::domain::machine::record::{Liveness, Status};

use super::judge::{Findings, Run};
use super::oracle;
use super::settles::FAILOVER_MS;

const RECOVERY: &str = "recovery after healing";
const SETTLED: &str = "due ticks are settled";
const ENDED: &str = "no execution runs for ever";
/// An attempt ends so long after its time-out: its grace, or the loss of its node; in milliseconds.
const ENDS_WITHIN_MS: i64 = 30_000;

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
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
                // One that waits may be held by a pause, or wait for a slot among many.
                _ if task.inactive().is_some() || run.slots > 0 => continue,
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
