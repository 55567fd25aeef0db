//! The time limits of the log, in one place, because they depend on each other.
//!
//! | who waits | for what | at most | and then |
//! |---|---|---|---|
//! | a node that forwards an entry | the leader's answer | [`FORWARD_LIMIT`] | the outcome is unknown |
//! | a reader | the leader's read index | [`READ_LIMIT`] | there is no leader |
//! | the leader | a majority that confirms it | [`LEAD_LIMIT`] | it reports that it does not lead |
//! | an entry of a replaced leader | an answer of that leader | [`FAREWELL`] | its outcome is unknown |
//! | a pipeline | the answer to its oldest request | [`PIPELINE_STALL`] | it is reopened |
//! | an append | the peer's disk | [`APPEND_LIMIT`] | it is sent again |
//! | a node | its own disk | [`FLUSH_STALL`] | it ends |
//! | a snapshot | the peer that installs it | [`INSTALL_LIMIT`] | it is sent again |
//! | a leader that leaves | a successor | [`TRANSFER_LIMIT`] | it stays leader |
//! | a node that asked it to leave | its answer | [`TRANSFER_ANSWER`] | the lead stays |
//! | who changes the members | the membership | [`MEMBER_CHANGE`] | the change goes on without it |
//! | who asks whether it may | the leader's answer | [`MEMBER_ANSWER`] | it is not known |
//! | a starting node | a member's acknowledgements | [`ACKNOWLEDGED_LIMIT`] | it asks later |
//! | a node | a member's wall clock | [`CLOCK_LIMIT`] | the answer is useless |
//! | a node | a member at an address | [`ADDRESS_SILENCE`] | it tries another address |
//! | a process of a member | another process of it | [`ADDRESS_SILENCE`] | it takes its place |
//! | the same | what may be the other process | [`UNCLEAR_MAX`] | it takes its place |
//!
//! `engine/limits.rs` has the limits of the engine, `ops/limits.rs` those of requests. The relations
//! are checked at compile time.

use std::time::Duration;

/// Time limit for the outcome of a forwarded entry, which is sent when the leader has applied it.
pub(crate) const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// Time limit for the leader's read index. The leader needs a few heartbeats.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(2);
/// Time after which a leader without the confirmation of a majority reports this. Shorter than
/// [`READ_LIMIT`], so that the answer arrives before the requesting node drops the connection.
pub(crate) const LEAD_LIMIT: Duration = Duration::from_secs(1);
/// Time for a replaced leader to report the outcome of an entry. A leader that transferred its lead
/// reports it immediately. A silent leader never does.
pub(super) const FAREWELL: Duration = Duration::from_millis(100);
/// Pause before the next try if no leader is known or the leader refused.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often entries in flight are checked for their deadline.
pub(super) const LATE_CHECK: Duration = Duration::from_millis(100);
/// Time after which a pipeline is closed if its oldest request has no answer.
pub(super) const PIPELINE_STALL: Duration = Duration::from_millis(1_500);
/// Time limit for a single append, which waits for the peer's disk.
pub(super) const APPEND_LIMIT: Duration = Duration::from_secs(1);
/// Time after which a pending append or vote on this node's disk ends the node.
pub(super) const FLUSH_STALL: Duration = Duration::from_secs(20);
/// Time limit for a peer to install a snapshot that it has received completely.
pub(super) const INSTALL_LIMIT: Duration = Duration::from_secs(120);

/// Time limit for the transfer of the lead.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(2);
/// Time limit for the leader's answer to a request to transfer the lead.
pub(super) const TRANSFER_ANSWER: Duration = Duration::from_secs(4);
/// A member without an answer to a heartbeat for this long cannot become successor.
pub(super) const SUCCESSOR_SILENCE: Duration = Duration::from_millis(500);
/// Time limit for the membership to follow a change: a member may have much data to fetch, and a
/// removed one executions to end.
pub(super) const MEMBER_CHANGE: Duration = Duration::from_secs(120);
/// Time limit for the leader's answer whether the members may be changed. It dials the new one.
pub(super) const MEMBER_ANSWER: Duration = Duration::from_secs(10);
/// Time limit for a member's answer about its acknowledgements, at start. An unreachable member is
/// usually detected much earlier.
pub(super) const ACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(1);
/// Polling interval for a member's wall clock.
pub(super) const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// Time limit for a clock's answer. A slower answer bounds the clock too loosely.
pub(super) const CLOCK_LIMIT: Duration = Duration::from_millis(500);
/// Time of failed dials after which an address of a member is given up. Time of silence after which
/// another process of a member may take the place of one.
pub(super) const ADDRESS_SILENCE: Duration = Duration::from_secs(3);
/// Time for which what accepts connections at the address of a member, and does not say who it is,
/// counts as that member.
pub(super) const UNCLEAR_MAX: Duration = Duration::from_secs(60);
/// Pause before an announced address that was not believed is dialled again. It doubles each time.
pub(super) const ADDRESS_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
pub(super) const ADDRESS_PAUSE_MAX: Duration = Duration::from_secs(30);

const _: () = {
    // The leader reports that it is not confirmed before the reader closes the connection.
    assert!(LEAD_LIMIT.as_millis() < READ_LIMIT.as_millis());
    // An entry times out only after its leader could be detected as lost and replaced.
    assert!(READ_LIMIT.as_millis() < FORWARD_LIMIT.as_millis());
    // A single append that waits for the disk does not time out its pipeline.
    assert!(APPEND_LIMIT.as_millis() < PIPELINE_STALL.as_millis());
    // The leader answers a request before the requesting node times out.
    assert!(TRANSFER_LIMIT.as_millis() < TRANSFER_ANSWER.as_millis());
    assert!(MEMBER_ANSWER.as_millis() < MEMBER_CHANGE.as_millis());
    // A possible successor answers often enough to confirm the lead.
    assert!(SUCCESSOR_SILENCE.as_millis() < LEAD_LIMIT.as_millis());
    // An address is given up after several polls.
    assert!(CLOCK_EVERY.as_millis() < ADDRESS_SILENCE.as_millis());
    // What may be the other process is asked several times before it counts as gone.
    assert!(UNCLEAR_MAX.as_millis() >= 2 * ADDRESS_PAUSE_MAX.as_millis());
    assert!(UNCLEAR_MAX.as_millis() > ADDRESS_SILENCE.as_millis());
    // At most one request per clock is in flight.
    assert!(CLOCK_LIMIT.as_millis() < CLOCK_EVERY.as_millis());
    // The append to a peer times out long before the peer's disk ends the peer.
    assert!(APPEND_LIMIT.as_millis() < FLUSH_STALL.as_millis());
};
