//! The limit of open files of the process, divided into shares.
//!
//! A process may open a limited number of files. If the limit is reached, the next open fails; for
//! the log or a checkpoint this ends the node. The number of connections and attempts depends on
//! others, so each gets a share that leaves enough for the disk and the peers.

use rustix::process::{Resource, getrlimit};
#[cfg(feature = "cli")]
use rustix::process::{Rlimit, setrlimit};

/// Maximum number of files reserved for disk, peers and runtime.
const RESERVE_MAX: u64 = 512;
/// Maximum number of connections, whatever the limit of open files.
const CONNECTIONS_MAX: u64 = 8_192;
/// Files of one attempt: its socket, the lookup of a name, its output.
const FILES_PER_ATTEMPT: u64 = 3;
/// The number of files used if the system sets no limit.
const FILES_MAX: u64 = 1 << 30;

/// Shares of the files that a process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limit that is divided.
    pub files: u64,
    /// Maximum number of concurrent HTTP connections.
    pub connections: usize,
    /// Maximum number of concurrent attempts.
    pub attempts: usize,
}

impl Budget {
    /// Divides this number of files. A third, but at most 512, is for disk, peers and runtime. Half
    /// of the rest is for connections.
    #[must_use]
    pub fn of(files: u64) -> Self {
        let files = files.min(FILES_MAX);
        let rest = files - (files / 3).min(RESERVE_MAX);
        let connections = (rest / 2).clamp(1, CONNECTIONS_MAX);
        let attempts = (rest.saturating_sub(connections) / FILES_PER_ATTEMPT).max(1);
        let number = |share| usize::try_from(share).unwrap_or(usize::MAX);
        Self { files, connections: number(connections), attempts: number(attempts) }
    }

    /// Divides the limit of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(FILES_MAX))
    }
}

/// Raises this process's limit of open files to the hard limit. Only the binary calls it, because
/// the library does not change the process that embeds it.
///
/// # Errors
/// The system call failed.
#[cfg(feature = "cli")]
pub fn raise_limit() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn shares_leave_a_reserve_whatever_the_limit() {
        for files in [0, 1, 16, 64, 256, 1_024, 4_096, 65_536, 1 << 20, u64::MAX] {
            let Budget { files: given, connections, attempts } = Budget::of(files);
            assert!(connections >= 1 && attempts >= 1, "{files}");
            let used = connections as u64 + 3 * attempts as u64;
            assert!(files < 64 || used + given / 4 <= given || used + 512 <= given, "{files}");
        }
        let few = Budget::of(256);
        assert_eq!((few.connections, few.attempts), (85, 28));
        let many = Budget::of(1 << 20);
        assert_eq!((many.connections, many.attempts), (8_192, 346_624));
    }
}
