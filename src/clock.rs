//! The clocks of a node. Only this module reads the clocks of the machine.
//!
//! [`MachineClocks`] has a wall clock, which people and programs set, and a boot-time clock, which
//! runs steadily and includes suspended time. [`ClusterClock`] computes cluster time from these and
//! from the wall clocks of the other members.

mod agreement;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::domain::time::{Millis, Timestamp};

pub use self::agreement::ClusterClock;

/// An instant of this machine's boot-time clock, in milliseconds; equal in all its processes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootInstant(pub u64);

impl BootInstant {
    /// Reads the boot-time clock.
    #[must_use]
    pub fn now() -> Self {
        Self(HardwareClocks.boot().unsigned_abs() / 1_000_000)
    }

    /// This instant plus a duration.
    #[must_use]
    pub fn plus(self, by: Millis) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// Time from `earlier` to this instant. Zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// Reads a clock, in nanoseconds.
fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A source of cluster time.
pub trait Clock: Send + Sync + 'static {
    /// Cluster time in nanoseconds since 1970.
    fn nanos(&self) -> i64;

    /// The boot-time clock.
    fn boot(&self) -> BootInstant;

    /// Whether the clocks of a majority agree or agreed recently. Otherwise no command may get a
    /// timestamp and no tick may be settled.
    fn sure(&self) -> bool {
        true
    }

    /// Cluster time.
    fn now(&self) -> Timestamp {
        Timestamp(self.nanos().div_euclid(1_000_000))
    }
}

/// The clocks of a machine, in nanoseconds. A simulation implements its own.
pub trait MachineClocks: Send + Sync + 'static {
    /// The wall clock, since 1970. It may be wrong and may step.
    fn wall(&self) -> i64;

    /// The boot-time clock. It never goes back.
    fn boot(&self) -> i64;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct HardwareClocks;

impl MachineClocks for HardwareClocks {
    fn wall(&self) -> i64 {
        read(ClockId::Realtime)
    }

    fn boot(&self) -> i64 {
        read(ClockId::Boottime)
    }
}

/// The wall clock of this machine, for programs that are not a node.
#[must_use]
#[cfg(feature = "cli")]
pub fn own_time() -> Timestamp {
    Timestamp(HardwareClocks.wall().div_euclid(1_000_000))
}
