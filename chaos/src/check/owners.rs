//! Ownership: no task is without an owner while an eligible node works, and no task has two owners
//! at the same index. All final replicas determine the same owner for each task, and it is a
//! working node. No process continues to propose claims of a task that it does not own according to
//! its applied state. One proposal may have been pending when it applied that state. Claims of a
//! process whose engine is behind that state are not judged.

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::assign::Members;
use punctual::domain::machine::record::Liveness;

use super::history::HistoryEvent;
use super::judge::{Findings, Run};

const OWNERS: &str = "one owner, none missing";

/// Maximum time for a process to act on its applied state, in microseconds.
const TURN_US: u64 = 500_000;

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
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
