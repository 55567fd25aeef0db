//! The rules of settling into which a bug can be injected.

use crate::domain::machine::record::{Reason, Verdict};

/// The verdict of ticks that do not fire: `excluded` if a calendar excludes them, otherwise the
/// given verdict.
pub(super) fn label(left_out: bool, verdict: Verdict, reason: Reason) -> (Verdict, Reason) {
    if left_out {
        (Verdict::Skipped, Reason::Excluded)
    } else if bug!("label-excluded") {
        (verdict, Reason::Excluded)
    } else {
        (verdict, reason)
    }
}
