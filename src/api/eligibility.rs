//! Which nodes may own a task, and why others may not.

use std::collections::BTreeMap;

use crate::domain::assign::matches;
use crate::domain::machine::State;
use crate::domain::machine::record::{Intent, Liveness, Node};
use crate::domain::task::TaskSpec;

use super::words;

/// Why a node cannot own a task; none: it can.
pub(super) fn unfit(node: &Node, spec: &TaskSpec) -> Option<&'static str> {
    if node.liveness != Liveness::Working {
        Some(words::liveness(node.liveness))
    } else if node.intent != Intent::None {
        Some(words::intent(node.intent))
    } else if node.info.weight == 0 {
        Some("weight_0")
    } else if !matches(node, &spec.assignment.selector) {
        Some("selector")
    } else {
        None
    }
}

/// Why a task has no owner: `no node can own the task (draining: n1; weight 0: n2, n3)`.
pub(super) fn nobody(state: &State, spec: &TaskSpec) -> String {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in state.nodes() {
        let reason = match unfit(node, spec) {
            Some("selector") => "without the labels of its selector",
            Some("weight_0") => "weight 0",
            Some(other) => other,
            None => continue,
        };
        reasons.entry(reason).or_default().push(&node.info.name);
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, names)| format!("{reason}: {}", names.join(", "))).collect();
    format!("no node can own the task ({})", reasons.join("; "))
}
