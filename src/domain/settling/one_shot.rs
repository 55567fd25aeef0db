//! One-shot tasks: the first tick completes the task, whether it fires or is missed. Coalesced and
//! excluded ticks do not complete it.

use super::SettleStep;
use crate::domain::machine::record::Verdict;

/// Keeps the settles up to the first claim or the first missed ticks, which complete the task.
pub(super) fn first_only(steps: Vec<SettleStep>) -> Vec<SettleStep> {
    let mut kept = Vec::new();
    for mut step in steps {
        let missed = step.spans.iter().position(|span| span.verdict == Verdict::Missed);
        if let Some(missed) = missed {
            step.spans.truncate(missed + 1);
            step.claim = None;
        }
        let decided = missed.is_some() || step.claim.is_some();
        kept.push(step);
        if decided {
            break;
        }
    }
    kept
}
