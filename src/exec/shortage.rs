//! Shortages of the machine at a start: descriptors, processes, memory.
//!
//! They are not failures of the action. Nothing was started, so the attempt waits and is requested
//! again.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// Reason for no start: a shortage.
pub(super) const SHORT: &str = "this node has no file descriptors, processes or memory left";
/// The first wait. Each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Maximum number of doublings.
const DOUBLINGS_MAX: u32 = 5;

/// Whether an error means that a resource of the machine is used up.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(is_shortage_code)
}

/// The same for an error number.
pub(super) fn is_shortage_code(code: i32) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS]
        .iter()
        .any(|errno| errno.raw_os_error() == code)
}

/// The wait after this number of consecutive shortages.
pub(super) fn pause(shortages: u32) -> Duration {
    PAUSE_MIN * (1 << shortages.saturating_sub(1).min(DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let waits: Vec<u128> = (1..=8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    }
}
