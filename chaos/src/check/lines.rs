//! Modes decide, and what may start is started: first attempts in lines with room, and further ones
//! everywhere.
//!
//! Where a newer execution takes the place of others, those that waited end `cancelled`, `replaced`, in
//! the same entry, and those that ran are marked to be stopped there; in the end the states have as
//! live, as running and as stopping what the model has.
//!
//! Once trouble has ended (in a run without any: always), an execution whose turn it is in all its
//! lines does not stay so for long: somebody starts it. With that and the order of starts, which the
//! model judges, nothing starves but behind what goes first. Where nodes have few slots, its owner may
//! have none: nothing is said there.

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::record::{Execution, Status};
use punctual::domain::machine::{EventObject, State};

use super::history::HistoryEvent;
use super::judge::{Findings, Run};
use super::model::NextWait;
use crate::sim::Focus;

const MODES: &str = "modes decide";
const GOES_ON: &str = "lines with room go on";
const RETRIED: &str = "what is to be attempted again is";
/// From the turn of an execution to its start, in microseconds: a refused request is made again
/// after a second.
const START_WITHIN_US: u64 = 3_000_000;
/// Pieces of trouble that were under way end after all others, and nodes have to come up.
const RECOVERED_US: u64 = 20_000_000;
/// What waited and gave way ended for this reason.
const REPLACED: &str = "replaced";

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    told(run, findings);
    if let Some(state) = run.last_state() {
        kept(run, findings, state);
    }
    go_on(run, findings);
}

/// What was stopped and what gave way is told with the entry that did it.
fn told(run: &Run, findings: &mut Findings) {
    let mut statuses: BTreeMap<(u64, u64), Vec<Status>> = BTreeMap::new();
    for record in &run.records {
        let HistoryEvent::Committed { index, events, .. } = &record.event else { continue };
        for event in events {
            if let EventObject::Execution { execution, status, .. } = event.object {
                statuses.entry((*index, execution.0)).or_default().push(status);
            }
        }
    }
    let told = |at: &(u64, u64), status| {
        statuses.get(at).is_some_and(|statuses| statuses.contains(&status))
    };
    for at @ (index, execution) in &run.model.stops {
        findings.judge(MODES, 1);
        if !told(at, Status::Running) {
            let what = format!("entry {index} does not stop execution {execution}");
            findings.complain(run.at(*index), MODES, None, what);
        }
    }
    let replaced = |end: &&(u64, u64)| run.model.replaced.contains(&end.1);
    for at @ (index, execution) in run.model.ends.iter().filter(replaced) {
        findings.judge(MODES, 1);
        if !told(at, Status::Cancelled) {
            let what = format!("entry {index} does not replace execution {execution}");
            findings.complain(run.at(*index), MODES, None, what);
        }
    }
}

/// What the states have in the end is what the model has.
fn kept(run: &Run, findings: &mut Findings, state: &State) {
    let mut live = BTreeSet::new();
    for task in state.tasks() {
        let name = &*task.live.name;
        for execution in &task.history.executions {
            findings.judge(MODES, 1);
            if let Some(what) = differs(run, execution) {
                let what = format!("execution {} of {name} {what}", execution.id);
                findings.complain(run.ended, MODES, Some(name), what);
            }
            if !execution.status.ended() {
                live.insert(execution.id.0);
            }
        }
    }
    let known = run.model.tasks.values().flat_map(|task| &task.live);
    for id in known.filter(|id| !live.contains(id)) {
        let what = format!("execution {id} is live, and no state has it");
        findings.complain(run.ended, MODES, None, what);
    }
}

/// How an execution differs from what the model has of it.
fn differs(run: &Run, execution: &Execution) -> Option<String> {
    let ended = execution.status.ended();
    let found = (execution.status == Status::Running, execution.stopping);
    let known = run.model.live(execution.id.0);
    if known != (!ended).then_some(found) {
        return Some(format!("is {:?}, stopping {}: {known:?}", execution.status, found.1));
    }
    let reason = execution.more.as_ref().and_then(|more| more.reason.as_deref());
    let right = execution.status == Status::Cancelled && reason == Some(REPLACED);
    let replaced = run.model.replaced.contains(&execution.id.0);
    (replaced && !right).then(|| format!("was replaced: {:?}, {reason:?}", execution.status))
}

/// What is due to start is started.
fn go_on(run: &Run, findings: &mut Findings) {
    if run.slots > 0 {
        return;
    }
    let healed = run.records.iter().find(|record| matches!(record.event, HistoryEvent::Healed));
    let from = match (run.focus, healed) {
        (Focus::Calm, _) => 0,
        (_, Some(healed)) => healed.at + RECOVERED_US,
        (_, None) => return,
    };
    let open = run.model.next.iter().map(|(execution, since)| NextWait {
        execution: *execution,
        task: String::new(),
        from: *since,
        to: u64::MAX,
        again: run.model.again(*execution),
    });
    for wait in open.chain(run.model.waits.iter().cloned()) {
        let (begun, ended) = (run.at(wait.from).max(from), run.at(wait.to));
        let Some(took) = ended.checked_sub(begun) else { continue };
        let property = if wait.again { RETRIED } else { GOES_ON };
        findings.judge(property, 1);
        if took > START_WITHIN_US {
            let NextWait { execution, task, from, .. } = wait;
            let what = format!(
                "execution {execution} of {task} could start from entry {from} on, and waited {} ms",
                took / 1_000
            );
            findings.complain(begun + START_WITHIN_US, property, Some(&task), what);
        }
    }
}
