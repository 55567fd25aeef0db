//! No task is without an owner while an eligible node works, and at one index none has two: all
//! replicas at the end name the same owner for each task, and it is a node that works. And no process
//! goes on proposing the claims of a task that by its own applied state is another's; one proposal
//! may have been under way when that state came.

use std::collections::BTreeMap;

use punctual::domain::assign::Members;
use punctual::domain::machine::record::Liveness;

use super::history::HistoryEvent;
use super::judge::{Findings, Run};

const OWNERS: &str = "one owner, none missing";

/// A process may take so long to see what it has applied, in microseconds.
const TURN_US: u64 = 500_000;

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut others: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for record in &run.records {
        let HistoryEvent::Claiming { process, task, owned, .. } = record.event else { continue };
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
            let Some(spec) = task.spec() else { continue };
            let owner = members.owner(spec).map(|owner| owner.0);
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
