//! Files that exist completely or not at all, even after a power cut.
//!
//! A new file is durable when its content **and** the folder that names it are synced; a rename
//! when the folder is.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::StorageError;
use super::descriptors::DescriptorReserve;

/// Suffix of files that are still being written. After a crash such files are left-overs.
const TEMPORARY: &str = ".tmp";
/// Access rights of new files: only the owner reads and writes them.
const FILE_MODE: u32 = 0o600;
/// Access rights of new folders.
const FOLDER_MODE: u32 = 0o700;
/// Access rights of users other than the owner.
const OTHERS: u32 = 0o077;

/// Options to open a file for writing. A new file is accessible only to its owner.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(FILE_MODE);
    options
}

/// Removes the access rights of all but the owner from a file or folder. If it belongs to another
/// user, it is left unchanged and a warning is logged.
pub(super) fn keep_private(path: &Path) {
    let tightened = fs::metadata(path).map(|meta| meta.permissions().mode()).and_then(|mode| {
        let private = Permissions::from_mode(mode & 0o777 & !OTHERS);
        if mode & OTHERS == 0 { Ok(()) } else { fs::set_permissions(path, private) }
    });
    if let Err(error) = tightened {
        let path = path.display();
        tracing::warn!(%path, %error, "other users can read this part of the data folder");
    }
}

/// The same for everything in `folder`, for libraries that create files with the usual rights.
///
/// # Errors
/// The folder cannot be listed.
pub(super) fn keep_content_private(
    reserve: &DescriptorReserve,
    folder: &Path,
) -> Result<(), StorageError> {
    for name in names_in(reserve, folder)? {
        keep_private(&folder.join(name));
    }
    Ok(())
}

/// Whether writes are made durable. This is always so, except for one writer of the power-cut test,
/// which shows that the test detects missing syncs.
#[cfg(not(test))]
pub(super) const fn durable() -> bool {
    true
}

#[cfg(test)]
pub(super) fn durable() -> bool {
    std::env::var_os(super::crashtest::NO_SYNC).is_none()
}

/// `fsync`: the content and the metadata of the file, but not its name.
pub(super) fn sync_all(file: &File) -> io::Result<()> {
    if durable() { file.sync_all() } else { Ok(()) }
}

/// `fdatasync`: the content and what is needed to read it.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    if durable() { file.sync_data() } else { Ok(()) }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(reserve: &DescriptorReserve, folder: &Path) -> Result<(), StorageError> {
    let folder_file = reserve.open(|| File::open(folder));
    folder_file.and_then(|file| sync_all(&file)).map_err(StorageError::at("sync", folder))
}

/// Creates `folder` and its parents, accessible only to the owner. Its name is durable on return.
pub(super) fn create_folder(
    reserve: &DescriptorReserve,
    folder: &Path,
) -> Result<(), StorageError> {
    create_folder_with(reserve, folder, FOLDER_MODE)
}

fn create_folder_with(
    reserve: &DescriptorReserve,
    folder: &Path,
    mode: u32,
) -> Result<(), StorageError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent_of(folder);
    create_folder_with(reserve, parent, 0o777)?;
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => sync_folder(reserve, parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StorageError::new("create", folder, error)),
    }
}

/// Reads a whole small file. `None` if it does not exist.
pub(super) fn read_file(
    reserve: &DescriptorReserve,
    path: &Path,
) -> Result<Option<Vec<u8>>, StorageError> {
    match reserve.open(|| fs::read(path)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::new("read", path, error)),
    }
}

/// Removes the left-over of an interrupted write of `path`.
pub(super) fn remove_temporary(path: &Path) -> Result<(), StorageError> {
    let path = temporary(path);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Whether a file of this name is the left-over of an interrupted write of the other.
pub(super) fn is_temporary_of(name: &str, of: &str) -> bool {
    name.strip_suffix(TEMPORARY) == Some(of)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// The names in `folder`, sorted.
pub(super) fn names_in(
    reserve: &DescriptorReserve,
    folder: &Path,
) -> Result<Vec<OsString>, StorageError> {
    let list = reserve.open(|| fs::read_dir(folder)).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>()
    });
    let mut names = list.map_err(StorageError::at("list", folder))?;
    names.sort();
    Ok(names)
}

/// Replaces the content of the file at `path` with `bytes`. After a crash it has the old or the new
/// content.
///
/// # Errors
/// The file cannot be written, synced or renamed. It then still has the old content.
pub fn write_atomic(
    reserve: &DescriptorReserve,
    path: &Path,
    bytes: &[u8],
) -> Result<(), StorageError> {
    let mut file = AtomicFile::create(reserve, path)?;
    file.write_all(bytes).map_err(StorageError::at("write", path))?;
    file.commit()
}

/// A file being written; it gets its name only when it is complete and durable.
///
/// Dropping it without [`AtomicFile::commit`] removes it.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    unsynced: usize,
    committed: bool,
    reserve: DescriptorReserve,
}

/// Number of bytes of a file that are synced together. It is small, because another file's sync may
/// have to wait for all data that was written before it.
const SYNC_BYTES: usize = 2 << 20;

impl AtomicFile {
    /// Creates the temporary file for `path`. The folder must exist.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub fn create(reserve: &DescriptorReserve, path: &Path) -> Result<Self, StorageError> {
        let temporary = temporary(path);
        let file = reserve.open(|| private().create(true).truncate(true).open(&temporary));
        let file = file.map_err(StorageError::at("create", &temporary))?;
        let (path, reserve) = (path.to_owned(), reserve.clone());
        Ok(Self { file, temporary, path, unsynced: 0, committed: false, reserve })
    }

    /// The path of the file as long as it is being written.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes the content durable, then renames the file. This replaces an older file.
    ///
    /// # Errors
    /// The file cannot be synced or renamed.
    pub fn commit(mut self) -> Result<(), StorageError> {
        sync_all(&self.file).map_err(StorageError::at("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(StorageError::at("rename", &self.path))?;
        self.committed = true;
        sync_folder(&self.reserve, parent_of(&self.path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unsynced >= SYNC_BYTES {
            sync_data(&self.file)?;
            self.unsynced = 0;
        }
        let written = self.file.write(bytes)?;
        self.unsynced += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // An error was reported already, and the next start removes a left-over.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The folder that contains `path`.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_content_replaces_the_old_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        write_atomic(&DescriptorReserve::default(), &path, b"one").unwrap();
        write_atomic(&DescriptorReserve::default(), &path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names_in(&DescriptorReserve::default(), folder.path()).unwrap(), ["note"]);
    }

    #[test]
    fn a_file_given_up_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        write_atomic(&DescriptorReserve::default(), &path, b"one").unwrap();
        let mut file = AtomicFile::create(&DescriptorReserve::default(), &path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names_in(&DescriptorReserve::default(), folder.path()).unwrap(), ["note"]);
    }

    #[test]
    fn left_overs_of_a_crash_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tmp", "b.tmp", "a"] {
            fs::write(folder.path().join(name), b"half").unwrap();
        }
        remove_temporary(&folder.path().join("a")).unwrap();
        remove_temporary(&folder.path().join("a")).unwrap();
        assert_eq!(names_in(&DescriptorReserve::default(), folder.path()).unwrap(), ["a", "b.tmp"]);
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("note");
        let error = write_atomic(&DescriptorReserve::default(), &path, b"one").unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert!(error.to_string().contains("missing/note"), "{error}");
    }
}
