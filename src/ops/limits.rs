//! Time limits of requests. They are in one place because they depend on those of the log.
//!
//! | operation | waits for | limit | result after the limit |
//! |---|---|---|---|
//! | a read | a leader's confirmation | [`READ_LIMIT`] | `no_leader` |
//! | a read on a node without a leader | the same | [`UNLED_READ_LIMIT`] | `no_leader` |
//! | a read with an index | that index | [`INDEX_LIMIT`] | `index_not_reached` |
//! | a stream of events with an id | that id | [`INDEX_LIMIT`] | `event_not_reached` |
//! | a write | its entry | [`WRITE_LIMIT`] | the outcome is unknown |
//! | a scan | its turn | [`SCAN_LIMIT`] | `too_busy` |
//!
//! `consensus/limits.rs` contains the limits of the log. The relations are checked at compile time.

use std::time::Duration;

use crate::consensus::limits::{FORWARD_LIMIT, LEAD_LIMIT, READ_LIMIT as LOG_READ_LIMIT};

/// Time limit for a leader to confirm a read. It is longer than an election.
pub(super) const READ_LIMIT: Duration = Duration::from_millis(1_800);
/// The same limit on a node that has been without a leader for longer than an election.
pub(super) const UNLED_READ_LIMIT: Duration = Duration::from_millis(300);
/// Time limit for reaching the index given in a read.
pub(super) const INDEX_LIMIT: Duration = Duration::from_secs(5);
/// Time limit of a write.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Time limit for a scan to start.
pub(super) const SCAN_LIMIT: Duration = Duration::from_secs(5);

/// A partitioned node reports its state within this time.
const TOLD: Duration = Duration::from_secs(2);

const _: () = {
    // This includes the first read, which waits for a leader with the full limit.
    assert!(READ_LIMIT.as_millis() < TOLD.as_millis());
    // A leader that no majority confirms reports this before the read ends, and the read ends
    // before the log closes its connection.
    assert!(LEAD_LIMIT.as_millis() < READ_LIMIT.as_millis());
    assert!(READ_LIMIT.as_millis() < LOG_READ_LIMIT.as_millis());
    assert!(UNLED_READ_LIMIT.as_millis() < READ_LIMIT.as_millis());
    // An entry is forwarded for at least as long as its write waits.
    assert!(WRITE_LIMIT.as_millis() <= FORWARD_LIMIT.as_millis());
};
