//! A task that fires once only: its first tick decides, whether it fires or is missed. Ticks for which
//! a later one fires, and those that a calendar leaves out, decide nothing.

use super::SettleStep;
use crate::domain::machine::record::Verdict;

/// Of settles that follow each other those up to the first claim, or to the first ticks that are
/// missed: then the task is completed.
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
