//! The time limits of the log, in one place, because they depend on each other.
//!
//! | who waits | for what | at most | and then |
//! |---|---|---|---|
//! | a node that forwards an entry | the leader's answer | [`FORWARD_LIMIT`] | the outcome is unknown |
//! | a reader | the leader's read index | [`READ_LIMIT`] | there is no leader |
//! | the leader | a majority that confirms it | [`LEAD_LIMIT`] | it says that it does not lead |
//! | an entry of a replaced leader | an answer of that leader | [`FAREWELL`] | its outcome is unknown |
//! | a pipeline | the answer to its oldest request | [`PIPELINE_STALL`] | it is opened anew |
//! | an append | the peer's disk | [`APPEND_LIMIT`] | it is sent again |
//! | a node | its own disk | [`FLUSH_STALL`] | it ends |
//! | a snapshot | the peer that installs it | [`INSTALL_LIMIT`] | it is sent again |
//! | a leader that leaves | a successor | [`TRANSFER_LIMIT`] | it stays leader |
//! | a node that asked it to leave | its answer | [`TRANSFER_ANSWER`] | the lead stays |
//! | a leader that readmits a member | the member's data | [`REPLACE_LIMIT`] | it gives up |
//! | a node that asked it to | its answer | [`REPLACE_ANSWER`] | the outcome is unknown |
//! | a starting node | a member's acknowledgements | [`ACKNOWLEDGED_LIMIT`] | it asks later |
//! | a node | a member's wall clock | [`CLOCK_LIMIT`] | the answer is useless |
//!
//! `engine/limits.rs` has the limits of the engine, `ops/limits.rs` those of requests. The relations
//! are checked at compile time.

use std::time::Duration;

/// A forwarded entry is answered when its leader has applied it; at most this long.
pub(crate) const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// A leader asked for its read index answers within a few heartbeats.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(2);
/// A leader without the confirmation of a majority reports it after this. It is shorter than
/// [`READ_LIMIT`], so that the answer arrives before the asker drops the connection.
pub(crate) const LEAD_LIMIT: Duration = Duration::from_secs(1);
/// A replaced leader has this long to report the outcome of an entry. A leader that transferred its
/// lead reports at once; a silent one never does.
pub(super) const FAREWELL: Duration = Duration::from_millis(100);
/// Before the next try, when no leader is known or it refused.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often flights over time are looked for.
pub(super) const LATE_CHECK: Duration = Duration::from_millis(100);
/// A pipeline whose oldest request waits longer than this is given up.
pub(super) const PIPELINE_STALL: Duration = Duration::from_millis(1_500);
/// A single append may wait for the peer's disk this long.
pub(super) const APPEND_LIMIT: Duration = Duration::from_secs(1);
/// An append or vote that waits longer for this node's disk ends the node.
pub(super) const FLUSH_STALL: Duration = Duration::from_secs(20);
/// A peer may take this long to install a snapshot once it has all of it.
pub(super) const INSTALL_LIMIT: Duration = Duration::from_secs(120);

/// A leader transfers the lead within this.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(2);
/// A node that asked the leader to transfer the lead waits this long for the answer.
pub(super) const TRANSFER_ANSWER: Duration = Duration::from_secs(4);
/// A member that has not answered a heartbeat for this long is no successor.
pub(super) const SUCCESSOR_SILENCE: Duration = Duration::from_millis(500);
/// A member that comes back without data gets all of it within this.
pub(super) const REPLACE_LIMIT: Duration = Duration::from_secs(120);
/// A node that asked the leader to readmit a member waits this long for the answer.
pub(super) const REPLACE_ANSWER: Duration = Duration::from_secs(125);
/// A starting node waits this long for a member's answer about its acknowledgements. A member that
/// is away is usually detected much earlier.
pub(super) const ACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(1);
/// How often the wall clock of a member is asked for.
pub(super) const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer bounds a clock too loosely.
pub(super) const CLOCK_LIMIT: Duration = Duration::from_millis(500);

const _: () = {
    // The leader says that it is not confirmed before the reader gives the connection up.
    assert!(LEAD_LIMIT.as_millis() < READ_LIMIT.as_millis());
    // An entry is not given up before its leader can be found wanting and followed.
    assert!(READ_LIMIT.as_millis() < FORWARD_LIMIT.as_millis());
    // A single append that waits for the disk does not end its pipeline.
    assert!(APPEND_LIMIT.as_millis() < PIPELINE_STALL.as_millis());
    // A node that asks the leader for something has its answer before it gives up.
    assert!(TRANSFER_LIMIT.as_millis() < TRANSFER_ANSWER.as_millis());
    assert!(REPLACE_LIMIT.as_millis() < REPLACE_ANSWER.as_millis());
    // A successor that still answers can confirm the leader's lead.
    assert!(SUCCESSOR_SILENCE.as_millis() < LEAD_LIMIT.as_millis());
    // One clock is asked for at a time.
    assert!(CLOCK_LIMIT.as_millis() < CLOCK_EVERY.as_millis());
    // The peer's append is given up long before its disk ends its node.
    assert!(APPEND_LIMIT.as_millis() < FLUSH_STALL.as_millis());
};
