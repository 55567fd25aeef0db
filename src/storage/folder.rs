//! The data folder of a node: who uses it, and where its parts lie.
//!
//! | name | content |
//! |---|---|
//! | `lock` | held locked by the process that uses the folder; its pid as text |
//! | `identity` | [`Identity`](super::Identity) |
//! | `log/` | the Raft log |
//! | `state.N/`, `CURRENT` | checkpoints, see [`StateFolders`] |
//! | `snapshots/` | snapshot files, each written with [`AtomicFile`](super::AtomicFile) |

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::{StateFolders, StorageError, files, identity, states};

/// What a node makes in its folder, beside its checkpoints.
const OURS: &[&str] =
    &[LOCK, LOG, SNAPSHOTS, states::CURRENT, identity::IDENTITY, "output", "node.log"];
const LOCK: &str = "lock";
const LOG: &str = "log";
const SNAPSHOTS: &str = "snapshots";

/// A data folder, locked by this process until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if need be, locks it and removes what a crash left half written.
    ///
    /// # Errors
    /// The file or folder; if another process uses the folder, its pid.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        files::create_folder(path)?;
        refuse_foreign(path)?;
        let lock = lock(&path.join(LOCK))?;
        let snapshots = path.join(SNAPSHOTS);
        files::create_folder(&snapshots)?;
        files::remove_temporary(path)?;
        files::remove_temporary(&snapshots)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the Raft log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The folder of snapshot files; it exists.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// The checkpoints.
    #[must_use]
    pub fn states(&self) -> StateFolders {
        StateFolders::new(&self.path)
    }
}

/// Refuses a folder that others have put something into: a node must not mix with it, and must not
/// take a folder for empty that is not.
fn refuse_foreign(path: &Path) -> Result<(), StorageError> {
    for name in files::names_in(path)? {
        let text = name.to_string_lossy();
        let ours = OURS.contains(&&*text)
            || states::is_folder_name(&text)
            || files::is_temporary(&text)
            // Where a file system of its own is mounted there.
            || text == "lost+found";
        if !ours {
            let why = format!("it is no data folder of a node: {text} is in it");
            return Err(StorageError::corrupt(path, why));
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(StorageError::at("open", path))?;
    match file.try_lock() {
        Ok(()) => {
            let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            write.map_err(StorageError::at("write", path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let why = format!("{} uses this data folder", holder(&mut file));
            let error = io::Error::new(io::ErrorKind::ResourceBusy, why);
            Err(StorageError::new("lock", path, error))
        }
        Err(TryLockError::Error(error)) => Err(StorageError::new("lock", path, error)),
    }
}

/// The process that holds the lock, as it wrote itself down.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_user_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b");
        let first = DataFolder::open(&path).unwrap();
        let error = DataFolder::open(&path).unwrap_err();
        let expected = format!("process {} uses this data folder", std::process::id());
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert!(error.file.ends_with("b/lock"));
        drop(first);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn opening_makes_the_folders_and_removes_left_overs() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        std::fs::write(data.snapshots().join("7.tmp"), b"half").unwrap();
        std::fs::write(data.path().join("CURRENT.tmp"), b"half").unwrap();
        drop(data);
        let data = DataFolder::open(folder.path()).unwrap();
        assert_eq!(files::names_in(data.path()).unwrap(), ["lock", "snapshots"]);
        assert!(files::names_in(&data.snapshots()).unwrap().is_empty());
    }

    #[test]
    fn a_folder_of_others_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), b"mine").unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("thesis.txt is in it"), "{error}");
        assert_eq!(files::names_in(folder.path()).unwrap(), ["thesis.txt"]);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, b"").unwrap();
        let error = DataFolder::open(&path).unwrap_err();
        assert!(error.to_string().contains("/data"), "{error}");
    }
}
