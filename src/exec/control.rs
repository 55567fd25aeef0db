//! The controls of a running attempt: the gate before its start, stops, and the report of the
//! start.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::boot::BootInstant;
use crate::domain::time::Millis;

/// Why there was no start.
pub(super) const LATE: &str = "the time to start has passed";
/// Why there was no start.
pub(super) const STOPPED_EARLY: &str = "stopped before it started";
/// Longer waits are as good as endless, and clocks cannot add them up.
const WAIT_MAX: Millis = Millis::from_secs(10 * 365 * 86_400);

/// Says, from applied state, whether the attempt's fence is current; read just before the start.
pub type StartGate = Arc<dyn Fn() -> bool + Send + Sync>;

/// How an attempt is asked to stop; a later request is never weaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It is not.
    #[default]
    No,
    /// TERM, and KILL after the task's grace.
    Ask,
    /// KILL, at once.
    Kill,
}

/// The controls of one attempt.
pub struct AttemptControl {
    /// Whether it may start.
    pub gate: StartGate,
    /// Whether it must stop.
    pub stop: watch::Receiver<Stop>,
    /// Told the moment of the start, at once; dropped if there is none.
    pub started: oneshot::Sender<BootInstant>,
}

/// The last look before a start: the moment of it, or why there is none.
pub(super) fn may_start(
    gate: &StartGate,
    start_by: BootInstant,
) -> Result<BootInstant, &'static str> {
    may_start_by(gate, start_by, BootInstant::now)
}

/// [`may_start`] by another clock than the machine's.
pub(super) fn may_start_by(
    gate: &StartGate,
    start_by: BootInstant,
    clock: impl FnOnce() -> BootInstant,
) -> Result<BootInstant, &'static str> {
    if !gate() {
        return Err("the fence is no longer current");
    }
    // The clock last: it goes on while the gate is read.
    let now = clock();
    if now > start_by { Err(LATE) } else { Ok(now) }
}

/// The runtime's instant that far from now.
pub(super) fn after(wait: Millis) -> Instant {
    Instant::now() + wait.min(WAIT_MAX).std()
}

/// Waits until the attempt is asked to stop more firmly than `than`.
pub(super) async fn stop_above(stop: &mut watch::Receiver<Stop>, than: Stop) -> Stop {
    let asked = stop.wait_for(|asked| *asked > than).await.map(|asked| *asked);
    match asked {
        Ok(asked) => asked,
        // Nobody is left to ask.
        Err(_closed) => pending().await,
    }
}
