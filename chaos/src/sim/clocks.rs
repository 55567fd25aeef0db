//! The clocks of simulated machines: a wall clock with offset, drift and steps, and a boot-time
//! clock with its own start. True time is the runtime's time.

use std::sync::Arc;

use parking_lot::Mutex;
use punctual::clock::MachineClocks;
use tokio::time::Instant;

/// True times at which simulations begin: one minute before most of Europe changes its clocks in
/// spring and in autumn, and 30 minutes before the change in spring.
pub const EPOCHS_MS: [i64; 3] = [1_774_745_940_000, 1_792_889_940_000, 1_774_744_200_000];

/// The clocks of one machine. Clones share their state.
#[derive(Clone)]
pub struct Clocks(Arc<Mutex<ClockState>>);

struct ClockState {
    begun: Instant,
    /// True time at `begun`, in milliseconds since 1970.
    epoch_ms: i64,
    /// Offset of the wall clock from true time at `set`, in nanoseconds.
    ahead: i64,
    set: Instant,
    /// Drift of the wall clock, in parts per million.
    drift: i64,
    /// Boot-time clock at the start, in nanoseconds.
    boot: i64,
    /// Offset of this machine's wall clock without faults, in milliseconds.
    base: i64,
}

fn nanos(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(i64::MAX)
}

impl Clocks {
    /// Clocks without faults: `base` milliseconds ahead.
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

    /// Resets the wall clock to its offset without faults.
    pub fn heal(&self) {
        let base = self.0.lock().base;
        self.set(base, 0);
    }

    /// Offset of the wall clock from true time, in nanoseconds.
    pub fn ahead(&self) -> i64 {
        let inner = self.0.lock();
        inner.ahead + nanos(inner.set, Instant::now()) / 1_000_000 * inner.drift
    }

    /// Sets the wall clock's offset from true time and its drift from now on.
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
