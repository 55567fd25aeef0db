//! The rules of settling that a bug can be put into on purpose.

use crate::domain::machine::record::{Reason, Verdict};

/// The verdict of ticks that do not fire: those that a calendar leaves out are excluded, the others
/// get the given one.
pub(super) fn label(left_out: bool, verdict: Verdict, reason: Reason) -> (Verdict, Reason) {
    if left_out {
        (Verdict::Skipped, Reason::Excluded)
    } else if bug!("label-excluded") {
        (verdict, Reason::Excluded)
    } else {
        (verdict, reason)
    }
}
