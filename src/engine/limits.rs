//! The time limits of the engine, in one place, because they depend on each other.
//!
//! | who waits | for what | at most | and then |
//! |---|---|---|---|
//! | a task's actor | its settle in the applied state | [`REPROPOSE`] | it proposes again |
//! | a proposal | to be applied or refused | [`PROPOSAL_LIMIT`] | it is over |
//! | a slot | the grant that it was reserved for | [`ASK_OVER`] | it is free again |
//! | a grant without an attempt | a request of its own | [`ASK_AGAIN`] | it is requested again |
//! | a node | the leader's answer to its report | [`REPORT_LIMIT`] | it reports again |
//! | a report | the next round of the node actor | [`BEHIND`] | it is not sent |
//! | the leader | a node's report | `limits.down_after` | the node is down |
//! | an attempt | a leader that acknowledges its node | 7/10 of `lost_after` | it is killed |
//! | the node | the node actor | [`LOOK`] times [`LOOKS_MAX`] | it ends |
//! | a task | its failed actor | [`AFTER_FAILURE`] | it gets a new one |
//! | [`Engine::stop`](super::Engine::stop) | its tasks and actors | twice [`STOP_LIMIT`] | it returns |
//!
//! `consensus/limits.rs` has the limits of the log. The relations are checked at compile time.

use std::time::Duration;

use crate::consensus::limits::{FORWARD_LIMIT, LEAD_LIMIT};
use crate::domain::time::Millis;

/// How often the node actor looks after itself, and the leader judges.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Ticks between two reports to the leader.
pub(super) const REPORT_TICKS: u64 = 2;
/// A leader that has not answered a report by then is asked again.
pub(super) const REPORT_LIMIT: Duration = Duration::from_millis(500);
/// A node has reported when its last report is younger than this.
pub(super) const FRESH: Millis = Millis(600);
/// A node actor whose last round is older than this is dead or far behind; its node does not
/// report.
pub(super) const BEHIND: Millis = Millis(1_000);
/// How often the node actor is looked after.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// It hangs if it did not come round between so many looks.
pub(super) const LOOKS_MAX: u32 = 20;
/// How often the leader looks whether strategies need other choices of it.
pub(super) const ASSIGN_EVERY: Duration = Duration::from_secs(2);
/// Without a change of tasks or nodes it computes them again after so many looks: definitions may
/// name another strategy since.
pub(super) const ASSIGN_LOOKS: u32 = 30;
/// Commands in one entry, when there are many of a kind.
pub(super) const TOGETHER: usize = 200;
/// The loss of an attempt on an executor is proposed again after this: then a proposal is over.
pub(super) const LOSE_AGAIN: Millis = Millis::from_secs(2);
/// Heartbeats of executors are not noted while the leader is silent for so long, so none counts as missing.
pub(super) const HEARTBEATS_UNNOTED: Millis = Millis::from_secs(2);
/// So many executions that wait for an executor try again when something of one ended.
pub(super) const FED_AT_ONCE: usize = 16;
/// Silence of the leader after which attempts are held against `lost_after`.
pub(super) const SILENCE_MIN: Millis = Millis(500);
/// A leader that has not answered for this long is logged, and again after each [`SILENCE_AGAIN`].
pub(super) const SILENCE: Millis = Millis::from_secs(2);
/// Between two log lines about a leader that does not answer.
pub(super) const SILENCE_AGAIN: Millis = Millis::from_secs(60);

/// A proposal that is neither applied nor refused by then is over.
pub(super) const PROPOSAL_LIMIT: Duration = Duration::from_secs(2);
/// A settle that has not been applied is proposed again after this.
pub(super) const REPROPOSE: Duration = Duration::from_millis(400);
/// A proposal that was made longer ago is not taken for one that the leader refused.
pub(super) const GIVEN_UP: Duration = Duration::from_secs(5);
/// Members' times may lie so far apart (`max_clock_skew`).
pub(super) const HELD_BACK: Millis = Millis(500);
/// Without cluster time a task is looked at again after this.
pub(super) const UNSURE: Millis = Millis(1_000);
/// A task whose actor failed is looked at again after this: it may fail again.
pub(super) const AFTER_FAILURE: Millis = Millis::from_secs(1);
/// Whoever sleeps until an instant of cluster time looks at it this often: it may be set meanwhile.
pub(super) const NAP: Duration = Duration::from_secs(1);

/// The wait before a grant is requested once more. A second request is harmless, because a request
/// that names an older grant is refused; a node that was frozen must not keep grants unused.
pub(super) const ASK_AGAIN: Millis = Millis(500);
/// An ask that nobody answered by then gives its slot back.
pub(super) const ASK_OVER: Millis = Millis::from_secs(5);
/// Asks are remembered this long.
pub(super) const REMEMBER: Millis = Millis::from_secs(60);
/// Before the end of an attempt is reported again.
pub(super) const REPORT_PAUSE: Duration = Duration::from_millis(100);

/// Attempts in a row that an executor did not take, after which others are preferred.
pub(super) const CIRCUIT_FAILURES: u32 = 3;
/// They are preferred so long.
pub(super) const CIRCUIT_OPEN: Millis = Millis::from_secs(10);
/// The end of an accepted attempt that the state does not show by then is begun again.
pub(super) const END_AGAIN: Millis = Millis::from_secs(10);

/// A registration not answered by then is proposed again.
pub(super) const REGISTER_LIMIT: Duration = Duration::from_secs(1);
/// What a process that leaves has left is looked at this often.
pub(super) const LEFT_AGAIN: Duration = Duration::from_millis(20);
/// An intent to leave is not waited for longer.
pub(super) const INTENT_LIMIT: Duration = Duration::from_secs(1);
/// The node actor gets so long to end, and after it whatever is left.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(1);

const fn ms(duration: Duration) -> u64 {
    duration.as_secs() * 1_000 + duration.subsec_millis() as u64
}

const REPORT_EVERY: u64 = ms(TICK) * REPORT_TICKS;

const _: () = {
    // A settle may be proposed several times before the first proposal is over.
    assert!(ms(REPROPOSE) < ms(PROPOSAL_LIMIT) && ms(PROPOSAL_LIMIT) < ms(GIVEN_UP));
    // A slot does not go to another while its ask can still be granted, and is forgotten after that.
    assert!(ms(PROPOSAL_LIMIT) < ASK_OVER.0 && ASK_OVER.0 < REMEMBER.0);
    // A leader that no majority confirms says so before the proposal is given up, and an entry is
    // carried no shorter than the proposal in it waits.
    assert!(ms(LEAD_LIMIT) < ms(PROPOSAL_LIMIT) && ms(PROPOSAL_LIMIT) <= ms(FORWARD_LIMIT));
    // One report may be lost and the node counts as heard; one round may be late and it reports.
    assert!(2 * REPORT_EVERY < FRESH.0 && 2 * REPORT_EVERY < BEHIND.0);
    // The answer to a report is not waited for longer than the next reports stay fresh.
    assert!(ms(REPORT_LIMIT) <= FRESH.0);
    // Silence is no shorter than a single answer that is late.
    assert!(ms(REPORT_LIMIT) <= SILENCE_MIN.0 && SILENCE_MIN.0 < SILENCE.0);
    // A node that hangs is down for the others long before it ends itself.
    assert!(BEHIND.0 < ms(LOOK) * LOOKS_MAX as u64);
};
