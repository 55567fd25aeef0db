//! The budget of open files of a process.
//!
//! A process may open a limited number of files. If the limit is reached, the next open fails; for
//! the log or a checkpoint this ends the node. Connections and attempts come from outside in any
//! number, so each gets a share that leaves enough for the disk and the peers.

use rustix::process::{Resource, getrlimit};
#[cfg(feature = "cli")]
use rustix::process::{Rlimit, setrlimit};

/// Files that disk, peers and runtime may need at the same time, at most.
const RESERVE_MAX: u64 = 512;
/// Connections of a node that may have any number of files.
const CONNECTIONS_MAX: u64 = 8_192;
/// Files of one attempt: its socket, the lookup of a name, its output.
const FILES_PER_ATTEMPT: u64 = 3;
/// As many files as a system without a limit gives.
const FILES_MAX: u64 = 1 << 30;

/// Shares of the files that a process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limit that is divided.
    pub files: u64,
    /// HTTP connections at once.
    pub connections: usize,
    /// Attempts at once.
    pub attempts: usize,
}

impl Budget {
    /// Divides so many files: a third for disk, peers and runtime as long as files are few, then one
    /// half of the rest for connections.
    #[must_use]
    pub fn of(files: u64) -> Self {
        let files = files.min(FILES_MAX);
        let rest = files - (files / 3).min(RESERVE_MAX);
        let connections = (rest / 2).clamp(1, CONNECTIONS_MAX);
        let attempts = (rest.saturating_sub(connections) / FILES_PER_ATTEMPT).max(1);
        let number = |share| usize::try_from(share).unwrap_or(usize::MAX);
        Self { files, connections: number(connections), attempts: number(attempts) }
    }

    /// Divides what this process may have.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(FILES_MAX))
    }
}

/// Raises this process's limit of open files as far as it may. For programs; the library never
/// changes the process that it is part of.
///
/// # Errors
/// What the system says.
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
