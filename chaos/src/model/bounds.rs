//! How large a world is looked at. Time goes in units of `dispatch_ttl`; tick `k` is due at `k`.

/// Nodes. They are alike, so that it is enough to let the first one crash.
pub(super) const NODES: usize = 2;
/// Ticks of the one task.
pub(super) const TICKS: usize = 2;
/// Room for entries of the log; the bounds below stay within.
pub(super) const LOG_MAX: usize = 10;
/// Room for proposals under way; the bounds below stay within.
pub(super) const SOUP_MAX: usize = 6;

/// A grant may be used until so long after it was first proposed.
pub(super) const TTL: u8 = 1;
/// Delete and pause with wait answer so long after their entry: 1.1 × `dispatch_ttl` in whole units.
pub(super) const WAIT: u8 = 2;
/// A tick may be claimed so long before it is due.
pub(super) const LEAD: u8 = 1;

/// What may happen how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelBounds {
    /// Time ends here.
    pub time: u8,
    /// Different settles proposed.
    pub settles: u8,
    /// Different requests to grant an attempt again.
    pub asks: u8,
    /// Accepted commands of people: delete, pause, resume or reuse, force-add.
    pub deeds: u8,
    /// Crashes of the first node.
    pub crashes: u8,
    /// Accepted registrations after a crash, those of the former process that come late included.
    pub ups: u8,
}

impl ModelBounds {
    /// What `chaos model` looks at.
    pub(super) const FULL: Self =
        Self { time: 3, settles: 2, asks: 1, deeds: 2, crashes: 1, ups: 2 };
    /// What one guard is removed from, and what a gate has time for.
    pub(super) const SMALL: Self =
        Self { time: 2, settles: 2, asks: 1, deeds: 2, crashes: 1, ups: 2 };
    /// What unoptimised tests have time for.
    #[cfg(test)]
    pub(super) const TINY: Self =
        Self { time: 2, settles: 2, asks: 1, deeds: 1, crashes: 1, ups: 1 };
}
