//! No task is without an owner while an eligible node works, and at one index none has two: all
//! replicas at the end name the same owner for each task, and it is a node that works.

use std::collections::BTreeMap;

use punctual::domain::assign::Members;
use punctual::domain::machine::record::Liveness;

use super::judge::{Findings, Run};

const OWNERS: &str = "one owner, none missing";

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
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
