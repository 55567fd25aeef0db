//! The clocks of simulated machines: a wall clock that is off, drifts and is set, and a boot-time
//! clock that began at its own moment. True time is the runtime's.

use std::sync::Arc;

use parking_lot::Mutex;
use punctual::clock::MachineClocks;
use tokio::time::Instant;

/// True times at which simulations begin: a minute before most of Europe changes its clocks, in
/// spring and in autumn, and half an hour before it.
pub const EPOCHS_MS: [i64; 3] = [1_774_745_940_000, 1_792_889_940_000, 1_774_744_200_000];

/// The clocks of one machine; clones are the same.
#[derive(Clone)]
pub struct Clocks(Arc<Mutex<ClockState>>);

struct ClockState {
    begun: Instant,
    /// True time then, in milliseconds since 1970.
    epoch_ms: i64,
    /// What the wall clock is ahead of true time, in nanoseconds, at `set`.
    ahead: i64,
    set: Instant,
    /// What it gains, in parts of a million.
    drift: i64,
    /// What the boot-time clock showed at the beginning, in nanoseconds.
    boot: i64,
    /// What a right wall clock of this machine is ahead, in milliseconds.
    base: i64,
}

fn nanos(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(i64::MAX)
}

impl Clocks {
    /// Right clocks, that is `base` milliseconds ahead.
    pub fn new(begun: Instant, epoch_ms: i64, boot_ms: u64, base: i64) -> Self {
        let boot = i64::try_from(boot_ms).unwrap_or(0) * 1_000_000;
        let ahead = base * 1_000_000;
        Self(Arc::new(Mutex::new(ClockState {
            begun,
            epoch_ms,
            ahead,
            set: begun,
            drift: 0,
            boot,
            base,
        })))
    }

    /// Sets the wall clock right.
    pub fn heal(&self) {
        let base = self.0.lock().base;
        self.set(base, 0);
    }

    /// What the wall clock is ahead of true time, in nanoseconds.
    pub fn ahead(&self) -> i64 {
        let inner = self.0.lock();
        inner.ahead + nanos(inner.set, Instant::now()) / 1_000_000 * inner.drift
    }

    /// Sets the wall clock so far ahead of true time, with a drift from now on.
    pub fn set(&self, ahead_ms: i64, drift_ppm: i64) {
        let mut inner = self.0.lock();
        inner.ahead = ahead_ms * 1_000_000;
        inner.set = Instant::now();
        inner.drift = drift_ppm;
    }
}

impl MachineClocks for Clocks {
    fn wall(&self) -> i64 {
        let ahead = self.ahead();
        let inner = self.0.lock();
        inner.epoch_ms * 1_000_000 + nanos(inner.begun, Instant::now()) + ahead
    }

    fn boot(&self) -> i64 {
        let inner = self.0.lock();
        inner.boot + nanos(inner.begun, Instant::now())
    }
}
