//! The bounds of the explored state space. The unit of time is `dispatch_ttl`; tick `k` is due at
//! `k`.

/// Number of nodes. They are symmetric, so only the first one crashes.
pub(super) const NODES: usize = 2;
/// Number of ticks of the only task.
pub(super) const TICKS: usize = 2;
/// Capacity of the log. The bounds below stay within it.
pub(super) const LOG_MAX: usize = 10;
/// Capacity for pending proposals. The bounds below stay within it.
pub(super) const SOUP_MAX: usize = 6;

/// How long a grant may be used after it was first proposed.
pub(super) const TTL: u8 = 1;
/// Delay of the response to delete and pause with wait: 1.1 × `dispatch_ttl`, rounded up to whole
/// units.
pub(super) const WAIT: u8 = 2;
/// How long before its due time a tick may be claimed.
pub(super) const LEAD: u8 = 1;

/// Limits on the number of steps of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelBounds {
    /// End of time.
    pub time: u8,
    /// Distinct settles proposed.
    pub settles: u8,
    /// Distinct requests to grant an attempt again.
    pub asks: u8,
    /// Accepted user commands: delete, pause, resume or reuse, force-add.
    pub deeds: u8,
    /// Crashes of the first node.
    pub crashes: u8,
    /// Accepted registrations after a crash, including late ones of the previous process.
    pub ups: u8,
}

impl ModelBounds {
    /// The bounds of `chaos model`.
    pub(super) const FULL: Self =
        Self { time: 3, settles: 2, asks: 1, deeds: 2, crashes: 1, ups: 2 };
    /// The bounds for runs without one guard, and for the quick check.
    pub(super) const SMALL: Self =
        Self { time: 2, settles: 2, asks: 1, deeds: 2, crashes: 1, ups: 2 };
    /// The bounds for unoptimized tests.
    #[cfg(test)]
    pub(super) const TINY: Self =
        Self { time: 2, settles: 2, asks: 1, deeds: 1, crashes: 1, ups: 1 };
}
