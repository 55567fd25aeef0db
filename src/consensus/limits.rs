//! How long the log waits for what on the way of an entry, in one place, because these times depend
//! on each other.
//!
//! | who waits | for what | at most | and then |
//! |---|---|---|---|
//! | whoever forwards an entry | the leader's answer | [`FORWARD_LIMIT`] | the outcome is unknown |
//! | a reader | the leader's read index | [`READ_LIMIT`] | there is no leader |
//! | the leader | a majority that confirms it | [`LEAD_LIMIT`] | it says that it does not lead |
//! | an entry of a leader that was followed | word of that leader | [`FAREWELL`] | its outcome is unknown |
//! | a pipeline | the answer to its oldest request | [`PIPELINE_STALL`] | it is opened anew |
//! | an append | the peer's disk | [`APPEND_LIMIT`] | it is sent again |
//! | a snapshot | the peer that installs it | [`INSTALL_LIMIT`] | it is sent again |
//!
//! What the engine waits for stands in `engine/limits.rs`.

use std::time::Duration;

/// A forwarded entry is answered when its leader has applied it; at most this long.
pub(crate) const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// A leader asked for its read index answers within a few heartbeats.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(2);
/// A leader that no majority confirms within this says so. Shorter than [`READ_LIMIT`], so that the
/// asker has the answer before it gives the connection up.
pub(crate) const LEAD_LIMIT: Duration = Duration::from_secs(1);
/// A leader that was followed by another has this long to say what became of an entry. One that
/// handed its lead over says so at once; one that fell silent never will.
pub(super) const FAREWELL: Duration = Duration::from_millis(100);
/// Before the next try, when no leader is known or it refused.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often flights over time are looked for.
pub(super) const LATE_CHECK: Duration = Duration::from_millis(100);
/// A pipeline whose oldest request waits longer than this is given up.
pub(super) const PIPELINE_STALL: Duration = Duration::from_millis(1_500);
/// A single append may wait for the peer's disk this long.
pub(super) const APPEND_LIMIT: Duration = Duration::from_secs(1);
/// A peer may take this long to install a snapshot once it has all of it.
pub(super) const INSTALL_LIMIT: Duration = Duration::from_secs(120);

const _: () = {
    // The leader says that it is not confirmed before the reader gives the connection up.
    assert!(LEAD_LIMIT.as_millis() < READ_LIMIT.as_millis());
    // An entry is not given up before its leader can be found wanting and followed.
    assert!(READ_LIMIT.as_millis() < FORWARD_LIMIT.as_millis());
    // A single append that waits for the disk does not end its pipeline.
    assert!(APPEND_LIMIT.as_millis() < PIPELINE_STALL.as_millis());
};
