//! The controls of a running attempt: the gate before its start, stops, and the report of the
//! start.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::boot::BootInstant;
use crate::domain::time::Millis;

/// Reason for no start: too late.
pub(super) const LATE: &str = "the time to start has passed";
/// Reason for no start: a stop request.
pub(super) const STOPPED_EARLY: &str = "stopped before it started";
/// Maximum wait. Longer waits could overflow an instant and are as good as endless.
const WAIT_MAX: Millis = Millis::from_secs(10 * 365 * 86_400);

/// Reads from applied state whether the attempt's fence is current. Called just before the start.
pub type StartGate = Arc<dyn Fn() -> bool + Send + Sync>;

/// A request to stop an attempt. A later request is never weaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// No request.
    #[default]
    No,
    /// TERM, then KILL after the task's grace period.
    Ask,
    /// KILL immediately.
    Kill,
}

/// The controls of one attempt.
pub struct AttemptControl {
    /// Whether it may start.
    pub gate: StartGate,
    /// Whether it must stop.
    pub stop: watch::Receiver<Stop>,
    /// Receives the moment of the start immediately. Dropped if there is no start.
    pub started: oneshot::Sender<BootInstant>,
}

/// The last check before a start. Returns the moment of the start, or why it must not happen.
pub(super) fn may_start(
    gate: &StartGate,
    start_by: BootInstant,
) -> Result<BootInstant, &'static str> {
    may_start_by(gate, start_by, BootInstant::now)
}

/// [`may_start`] with another clock.
pub(super) fn may_start_by(
    gate: &StartGate,
    start_by: BootInstant,
    clock: impl FnOnce() -> BootInstant,
) -> Result<BootInstant, &'static str> {
    if !gate() {
        return Err("the fence is no longer current");
    }
    // Read the clock last, because time passes while the gate is read.
    let now = clock();
    if now > start_by { Err(LATE) } else { Ok(now) }
}

/// The runtime's instant after this wait from now.
pub(super) fn after(wait: Millis) -> Instant {
    Instant::now() + wait.min(WAIT_MAX).std()
}

/// Waits until the attempt gets a stronger stop request than `than`.
pub(super) async fn stop_above(stop: &mut watch::Receiver<Stop>, than: Stop) -> Stop {
    let asked = stop.wait_for(|asked| *asked > than).await.map(|asked| *asked);
    match asked {
        Ok(asked) => asked,
        // The sender is dropped, so there will be no request.
        Err(_closed) => pending().await,
    }
}
