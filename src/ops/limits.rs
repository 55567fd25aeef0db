//! The time limits of requests, in one place, because they depend on those of the log.
//!
//! | who waits | for what | at most | and then |
//! |---|---|---|---|
//! | a read | a leader that confirms it | [`READ_LIMIT`] | `no_leader` |
//! | a read on a node without a leader | the same | [`UNLED_READ_LIMIT`] | `no_leader` |
//! | a read with an index | that index | [`INDEX_LIMIT`] | `index_not_reached` |
//! | a write | its entry | [`WRITE_LIMIT`] | the outcome is unknown |
//! | a scan | its turn | [`SCAN_LIMIT`] | `too_busy` |
//!
//! `consensus/limits.rs` has the limits of the log. The relations are checked at compile time.

use std::time::Duration;

use crate::consensus::limits::{FORWARD_LIMIT, LEAD_LIMIT, READ_LIMIT as LOG_READ_LIMIT};

/// A read waits this long for a leader to confirm it; an election is over by then.
pub(super) const READ_LIMIT: Duration = Duration::from_millis(1_800);
/// And this long on a node that no leader has served for longer than elections take.
pub(super) const UNLED_READ_LIMIT: Duration = Duration::from_millis(300);
/// And this long for an index that it names.
pub(super) const INDEX_LIMIT: Duration = Duration::from_secs(5);
/// A write is answered within this.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// A scan waits this long for its turn.
pub(super) const SCAN_LIMIT: Duration = Duration::from_secs(5);

/// A node that is cut off says so within this.
const TOLD: Duration = Duration::from_secs(2);

const _: () = {
    // A read is answered within that, also the first one, which waits for a leader as usual.
    assert!(READ_LIMIT.as_millis() < TOLD.as_millis());
    // A leader that no majority confirms says so before the read is given up, and the read is
    // answered before the log gives up its connection.
    assert!(LEAD_LIMIT.as_millis() < READ_LIMIT.as_millis());
    assert!(READ_LIMIT.as_millis() < LOG_READ_LIMIT.as_millis());
    assert!(UNLED_READ_LIMIT.as_millis() < READ_LIMIT.as_millis());
    // An entry is carried no shorter than its write waits.
    assert!(WRITE_LIMIT.as_millis() <= FORWARD_LIMIT.as_millis());
};
