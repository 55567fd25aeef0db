//! Why a node could not start, or ended, and advice for the operator.

use std::net::SocketAddr;

use crate::consensus::StartError;
use crate::storage::StorageError;

/// Why a node could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Consensus did not start.
    #[error(transparent)]
    Consensus(#[from] StartError),
    /// The node cannot listen on the API's address.
    #[error("http address {addr} cannot be listened on: {source}")]
    Http {
        /// The configured address.
        addr: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A part could not be started.
    #[error("{0}")]
    Part(String),
    /// The node was removed from the cluster.
    #[error("{0}")]
    Removed(String),
    /// Consensus ended: the disk or the log failed.
    #[error("{0}")]
    Ended(String),
}

impl Fatal {
    /// The next step, as a sentence. None: the error text already has it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        use StartError as Start;
        Some(match self {
            Self::Removed(_)
            | Self::Consensus(Start::Damaged(..) | Start::Version(_) | Start::Lost(_)) => {
                return None;
            }
            Self::Storage(error) | Self::Consensus(Start::Storage(error)) => error.advice(),
            Self::Consensus(Start::Log(_) | Start::Raft(_)) => {
                "Check the disk of node.data_dir, and start the node again."
            }
            Self::Consensus(Start::Listen(_)) => {
                "Set peer.listen to a free address of this machine, or end what listens there."
            }
            Self::Http { .. } => {
                "Set http.listen to a free address of this machine, or end what listens there."
            }
            Self::Part(_) => "Correct what it names, and start the node again.",
            Self::Ended(_) => "Look for the cause in the log, and start the node again.",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::storage::DataFolder;
    use crate::transport::ListenError;

    #[test]
    fn every_reason_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let _held = DataFolder::open(folder.path(), None).unwrap();
        let in_use = DataFolder::open(folder.path(), None).unwrap_err();
        assert!(in_use.advice().starts_with("End the other process"), "{in_use}");
        let of_disk = |kind: io::ErrorKind| StorageError::new("write", "/data/log", kind.into());
        let disk = [
            io::ErrorKind::StorageFull,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::InvalidData,
            io::ErrorKind::Other,
        ];
        let mut advised: Vec<&str> = disk.into_iter().map(|kind| of_disk(kind).advice()).collect();
        advised.push(in_use.advice());
        advised.push(StorageError::foreign("/data", "it is another node's").advice());
        let distinct: std::collections::BTreeSet<&str> = advised.iter().copied().collect();
        assert_eq!(distinct.len(), advised.len(), "each kind of disk error has its own advice");
        let (ended, part) =
            ("the Raft thread ended".to_owned(), "cluster.secret: empty".to_owned());
        let http = Fatal::Http {
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            source: io::ErrorKind::AddrInUse.into(),
        };
        for fatal in [
            Fatal::Storage(in_use),
            Fatal::Consensus(of_disk(io::ErrorKind::StorageFull).into()),
            Fatal::Consensus(ListenError::InUse("127.0.0.1:7070".to_owned()).into()),
            Fatal::Consensus(StartError::Raft("ended".to_owned())),
            Fatal::Consensus(io::Error::from(io::ErrorKind::Other).into()),
            Fatal::Ended(ended),
            Fatal::Part(part),
            http,
        ] {
            advised.push(fatal.advice().unwrap());
        }
        for advice in advised {
            assert!(advice.starts_with(char::is_uppercase) && advice.ends_with('.'), "{advice}");
        }
        // The error text already has the next step.
        let version = Fatal::Consensus(StartError::Version("a record of version 9".to_owned()));
        assert_eq!(version.advice(), None);
        assert!(version.to_string().contains("; start the version that wrote it"), "{version}");
    }
}
