//! Ownership: no task is without an owner while an eligible node works, and no task has two owners
//! at the same index. Whenever nodes, tasks or the strategy change, the owner of each task is a node
//! that works, has no intent and has a weight. All final replicas determine the same owner for each
//! task. No process continues to propose claims of a task that it does not own according to
//! its applied state. One proposal may have been pending when it applied that state. Claims of a
//! process whose engine is behind that state are not judged.
//!
//! A node that has applied its drain starts nothing that was granted after it, until the drain ends.
//! What was granted before stays where it was granted.

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::assign::Members;
use punctual::domain::machine::State;
use punctual::domain::machine::record::{Intent, Liveness, NodeRecord};

use super::history::{HistoryEvent, RunHistory};
use super::judge::{Findings, Run};

const OWNERS: &str = "one owner, none missing";
const DRAINED: &str = "a drained node starts nothing new";

/// Maximum time for a process to act on its applied state, in microseconds.
const TURN_US: u64 = 500_000;

/// Whether a node may own tasks at all.
fn is_eligible(node: &NodeRecord) -> bool {
    let weight = node.overrides.weight.unwrap_or(node.info.weight);
    node.liveness == Liveness::Working && node.intent == Intent::None && weight > 0
}

/// Judges the owners of all tasks after an entry. The nodes of a run can carry out every task.
pub fn judge_state(history: &RunHistory, state: &State, index: u64) {
    let eligible: BTreeSet<u64> =
        state.nodes().filter(|node| is_eligible(node)).map(|node| node.id.0).collect();
    let members = Members::of(state);
    history.checked(OWNERS);
    for task in state.tasks().filter(|task| task.spec().is_some()) {
        let owner = members.owner(task).map(|owner| owner.0);
        if owner.map_or(!eligible.is_empty(), |owner| !eligible.contains(&owner)) {
            let name = &task.live.name;
            let what = format!("entry {index}: {name} has the owner {owner:?} of {eligible:?}");
            history.violated(OWNERS, what);
        }
    }
}

/// Judges what drained nodes start.
fn drained(run: &Run, findings: &mut Findings) {
    for record in &run.records {
        let (HistoryEvent::Start(start), Some(node)) = (&record.event, record.node) else {
            continue;
        };
        findings.judge(DRAINED, 1);
        let Some(grant) = run.model.grants.get(&start.fence) else { continue };
        let since = run.model.drained_since(node as u64 + 1, start.applied);
        if since.is_some_and(|since| since < grant.index) {
            let what = format!(
                "node {} started fence {} of {}, granted by entry {}, and is drained since {since:?}",
                node + 1,
                start.fence,
                start.task,
                grant.index
            );
            findings.complain(record.at, DRAINED, Some(&start.task), what);
        }
    }
}

/// Judges these properties.
pub fn judge(run: &Run, findings: &mut Findings) {
    drained(run, findings);
    let mut others: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut behind = BTreeSet::new();
    for record in &run.records {
        match record.event {
            HistoryEvent::EngineBehind { process, held: true } => drop(behind.insert(process)),
            HistoryEvent::EngineBehind { process, held: false } => {
                behind.remove(&process);
                others.retain(|(other, _), _| *other != process);
            }
            _ => {}
        }
        let HistoryEvent::Claiming { process, task, owned, .. } = record.event else { continue };
        if behind.contains(&process) {
            continue;
        }
        findings.judge(OWNERS, 1);
        if owned {
            others.remove(&(process, task));
            continue;
        }
        let first = *others.entry((process, task)).or_insert(record.at);
        if record.at > first + TURN_US {
            let what = format!("process {process} goes on with task {task}, which is another's");
            findings.complain(record.at, OWNERS, None, what);
        }
    }
    let mut seen: BTreeMap<(u64, String), Option<u64>> = BTreeMap::new();
    for (node, state) in &run.states {
        let members = Members::of(state);
        let working = state.nodes().filter(|node| node.liveness == Liveness::Working).count();
        for task in state.tasks() {
            if task.spec().is_none() {
                continue;
            }
            let owner = members.owner(task).map(|owner| owner.0);
            findings.judge(OWNERS, 1);
            let name = task.live.name.to_string();
            if owner.is_none() && working > 0 {
                let what = format!("{name} has no owner on node {}", node + 1);
                findings.complain(run.ended, OWNERS, Some(&name), what);
            }
            let key = (state.cluster().applied, name.clone());
            if seen.insert(key, owner).is_some_and(|former| former != owner) {
                let what = format!("{name} has two owners at entry {}", state.cluster().applied);
                findings.complain(run.ended, OWNERS, Some(&name), what);
            }
        }
    }
}
