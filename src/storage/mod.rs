//! The node's disk: the Raft log, the checkpoints of the state, and the data folder.
//!
//! There are two traits, each with an implementation in memory for the simulator:
//!
//! | trait | on disk | in memory | meaning of "durable" |
//! |---|---|---|---|
//! | [`LogStore`] | [`WalLog`], over raft-log | [`sim::SimDisk`] | `done` was called with `Ok`: an `fdatasync` covers it |
//! | [`Store`], found through [`Stores`] | [`DiskStore`], over sled | [`memory::MemoryDisk`] | [`Store::write`] returned `Ok` |
//!
//! The log is authoritative and written immediately. A checkpoint only shortens the replay after a
//! start. A lost checkpoint costs time; a lost log entry would break a guarantee of the cluster.
//!
//! Architecture invariant: this module does not know the meaning of a record or a log entry.
//! Architecture invariant: after a failed write nothing more is written. A failed store refuses all
//! writes until it is opened again, because after a failed `fsync` it is unknown which pages
//! reached the disk.

pub mod backup;
pub mod descriptors;
mod files;
pub mod folder;
pub mod identity;
pub mod log;
#[cfg(any(test, feature = "simulation"))]
pub mod memory;
#[cfg(any(test, feature = "simulation"))]
pub mod sim;
mod sled;
pub mod states;
pub mod store;
pub mod wal;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crashtest;

use std::io;
use std::path::{Path, PathBuf};

pub use self::backup::{BackupError, BackupHeader, BackupReader, BackupWriter};
pub use self::files::{AtomicFile, write_atomic};
pub use self::folder::DataFolder;
pub use self::identity::FolderIdentity;
pub use self::log::{LogPos, LogStore};
pub use self::sled::DiskStore;
pub use self::states::StateFolders;
pub use self::store::{Store, StoreChange, Stores};
pub use self::wal::WalLog;

/// A file or folder that cannot be used. The text names it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", file.display())]
pub struct StorageError {
    /// The file or folder concerned.
    pub file: PathBuf,
    /// The attempted action, as a verb: `open`, `write`.
    pub action: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

impl StorageError {
    /// The error of `action` on `file`.
    pub fn new(action: &'static str, file: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { file: file.into(), action, source }
    }

    /// An error for a damaged `file`. `why` is a clause.
    pub fn corrupt(file: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::new("read", file, io::Error::new(io::ErrorKind::InvalidData, why.into()))
    }

    /// An error for an intact `file` that belongs to another node or version. `why` is a clause.
    pub fn foreign(file: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::new("use", file, io::Error::new(io::ErrorKind::Unsupported, why.into()))
    }

    /// Whether written data is damaged or missing, so that a retry cannot help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let unreadable = Some(rustix::io::Errno::IO.raw_os_error());
        matches!(self.source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            || (self.action == "read" && self.source.raw_os_error() == unreadable)
    }

    /// The next step for the operator, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        use io::ErrorKind as Kind;
        match self.source.kind() {
            _ if self.is_damage() => {
                "Keep the folder as it is, and put a whole copy of it in its place, or readmit the \
                 node with an empty one if other members have the data."
            }
            Kind::StorageFull | Kind::QuotaExceeded => {
                "Free space on the disk, and start the node again."
            }
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
                "Let the user of the node read and write there, and start the node again."
            }
            Kind::NotFound => "Check that the folder is there and its disk is mounted.",
            Kind::Unsupported => "Start the node with a data folder of its own.",
            Kind::WouldBlock | Kind::ResourceBusy | Kind::AlreadyExists => {
                "End the other process that uses the folder, or choose another node.data_dir."
            }
            _ => "Check the disk, and start the node again.",
        }
    }

    /// For `map_err`: adds the action and the file to an I/O error.
    fn at(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self { file, action, source }
    }
}

/// Calls `body`, and converts a panic inside it into an error that reports damage. sled and
/// raft-log panic on some damaged files, and the error must name the file.
fn guarded<T>(body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown cause".to_owned());
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("panicked: {text}")))
    })
}
