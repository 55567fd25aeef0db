//! The owner of a data folder: the cluster and the member.
//!
//! The file is text, for operators. Its last line is a hash of the lines before it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::descriptors::DescriptorReserve;
use super::{StorageError, files, write_atomic};
use crate::domain::ids::NodeId;
use crate::domain::time::Timestamp;

/// The name of the file in the data folder.
pub(super) const IDENTITY: &str = "identity";
/// The version of the data folder's layout that this program reads and writes.
pub const FORMAT: u32 = 2;

const TITLE: &str = "punctual data, format ";

/// The owner of a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderIdentity {
    /// The cluster's name, as configured when the cluster was created.
    pub cluster_name: String,
    /// The random id generated when the cluster was created.
    pub cluster_id: u128,
    /// The member, with its join number.
    pub node: NodeId,
    /// When this folder was first used.
    pub created: Timestamp,
    /// Whether the Raft log of this folder has ever held a vote. If the log is empty nevertheless,
    /// the promises of this member are lost, and it must not vote again.
    pub voted: bool,
}

impl FolderIdentity {
    /// Reads the identity from a data folder. `None` if it has none yet.
    ///
    /// # Errors
    /// The file is damaged, is not an identity, or has another version.
    pub fn read(reserve: &DescriptorReserve, folder: &Path) -> Result<Option<Self>, StorageError> {
        let file = folder.join(IDENTITY);
        let Some(bytes) = files::read_file(reserve, &file)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        Self::decode(&text).map(Some).map_err(StorageError::at("read", &file))
    }

    /// Writes the identity to a data folder. It is durable on return.
    ///
    /// # Errors
    /// The file cannot be written, or the cluster's name contains a line break.
    pub fn write(&self, reserve: &DescriptorReserve, folder: &Path) -> Result<(), StorageError> {
        let file = folder.join(IDENTITY);
        if self.cluster_name.contains(['\n', '\r']) {
            let why = "the cluster's name has a line break";
            let error = io::Error::new(io::ErrorKind::InvalidInput, why);
            return Err(StorageError::new("write", file, error));
        }
        write_atomic(reserve, &file, self.encode().as_bytes())
    }

    /// Refuses a folder that belongs to another cluster or another member than the configured one.
    ///
    /// # Errors
    /// The file, with its content and the expected content.
    pub fn expect(
        &self,
        folder: &Path,
        cluster_name: &str,
        configured: u64,
    ) -> Result<(), StorageError> {
        let foreign = |what: &str, found: &str, expected: &str| {
            let why = format!(
                "it belongs to {what} {found}, this node is of {what} {expected}; set node.data_dir \
                 to this node's own folder, or mend cluster.name and node.id"
            );
            Err(StorageError::foreign(folder.join(IDENTITY), why))
        };
        if self.cluster_name != cluster_name {
            return foreign("cluster", &self.cluster_name, cluster_name);
        }
        let node = self.node.configured();
        if node != configured {
            return foreign("node", &node.to_string(), &configured.to_string());
        }
        Ok(())
    }

    fn encode(&self) -> String {
        let mut text = format!(
            "{TITLE}{FORMAT}\ncluster_name {}\ncluster_id {:032x}\nnode {}\ncreated {}\nvoted {}\n",
            self.cluster_name,
            self.cluster_id,
            self.node,
            self.created.millis(),
            self.voted
        );
        let check = xxh3_128(text.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "check {check:032x}");
        text
    }

    fn decode(text: &str) -> io::Result<Self> {
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        let Some(format) = text.lines().next().and_then(|line| line.strip_prefix(TITLE)) else {
            return Err(invalid("it is not the identity of a punctual data folder"));
        };
        if format != FORMAT.to_string() {
            let why = format!(
                "it has format {format}, this version reads format {FORMAT}; start the version \
                 that wrote it: nothing was changed"
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let damaged = || invalid("it is damaged");
        let (lines, check) = text.rsplit_once("check ").ok_or_else(damaged)?;
        if check != format!("{:032x}\n", xxh3_128(lines.as_bytes())) {
            return Err(damaged());
        }
        let mut values = lines.lines().skip(1).map(|line| line.split_once(' '));
        let mut value = |name: &str| match values.next() {
            Some(Some((found, value))) if found == name => Ok(value),
            _ => Err(damaged()),
        };
        Ok(Self {
            cluster_name: value("cluster_name")?.to_owned(),
            cluster_id: u128::from_str_radix(value("cluster_id")?, 16).map_err(|_| damaged())?,
            node: value("node")?.parse().map_err(|_| damaged())?,
            created: Timestamp(value("created")?.parse().map_err(|_| damaged())?),
            voted: value("voted")?.parse().map_err(|_| damaged())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FolderIdentity {
        FolderIdentity {
            cluster_name: "night check shift".to_owned(),
            cluster_id: 0x1234,
            node: NodeId::new(2, 5),
            created: Timestamp(1_790_000_000_000),
            voted: true,
        }
    }

    #[test]
    fn it_comes_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            FolderIdentity::read(&DescriptorReserve::default(), folder.path()).unwrap(),
            None
        );
        sample().write(&DescriptorReserve::default(), folder.path()).unwrap();
        assert_eq!(
            FolderIdentity::read(&DescriptorReserve::default(), folder.path()).unwrap(),
            Some(sample())
        );
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let text = sample().encode();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            std::fs::write(folder.path().join(IDENTITY), &bytes).unwrap();
            let error =
                FolderIdentity::read(&DescriptorReserve::default(), folder.path()).unwrap_err();
            assert!(error.file.ends_with(IDENTITY));
            std::fs::write(folder.path().join(IDENTITY), &text[..at]).unwrap();
            FolderIdentity::read(&DescriptorReserve::default(), folder.path()).unwrap_err();
        }
    }

    #[test]
    fn foreign_folders_are_refused_with_both_names() {
        let folder = Path::new("/data");
        sample().expect(folder, "night check shift", 2).unwrap();
        let error = sample().expect(folder, "day", 2).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot use /data/identity: it belongs to cluster night check shift, this node is of \
             cluster day; set node.data_dir to this node's own folder, or mend cluster.name and \
             node.id"
        );
        let error = sample().expect(folder, "night check shift", 3).unwrap_err().to_string();
        assert!(error.contains("it belongs to node 2, this node is of node 3; "), "{error}");
    }

    #[test]
    fn other_versions_and_other_files_are_told_apart() {
        let error = FolderIdentity::decode("punctual data, format 3\n").unwrap_err();
        let said = "it has format 3, this version reads format 2; start the version that wrote \
                    it: nothing was changed";
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::Unsupported, said));
        let error = FolderIdentity::decode("[node]\nid = 1\n").unwrap_err();
        assert_eq!(error.to_string(), "it is not the identity of a punctual data folder");
    }

    #[test]
    fn a_name_cannot_forge_lines() {
        let folder = tempfile::tempdir().unwrap();
        let identity = FolderIdentity { cluster_name: "a\nnode 7".to_owned(), ..sample() };
        identity.write(&DescriptorReserve::default(), folder.path()).unwrap_err();
    }
}
