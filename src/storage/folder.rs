//! The data folder of a node: its lock and its parts.
//!
//! | name | content |
//! |---|---|
//! | `lock` | locked by the process that uses the folder; its process id as text |
//! | `identity` | [`FolderIdentity`](super::FolderIdentity) |
//! | `log/`, `log.synced` | the Raft log, and its synced length |
//! | `state.N/`, `CURRENT` | checkpoints, see [`StateFolders`] |
//! | `output/` | the output of attempts |
//! | `work/` | the default working folder of shell attempts |
//! | `recovery.backup` | the state, while the folder becomes that of another cluster |
//! | `former.N/` | the data of the cluster before that |
//!
//! Unknown files are left alone, because a task may write here and log files may be here. A folder
//! is refused only if its identity is that of another node.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::descriptors::DescriptorReserve;
use super::{StateFolders, StorageError, files, identity, states};

const LOCK: &str = "lock";
const LOG: &str = "log";
const LOG_SYNCED: &str = "log.synced";
const OUTPUT: &str = "output";
const WORK: &str = "work";
/// The names that a node creates in its folder, except its checkpoints.
const OURS: &[&str] =
    &[LOCK, LOG, LOG_SYNCED, OUTPUT, WORK, states::CURRENT, identity::IDENTITY, RECOVERY];
/// Those that are the data of a cluster, except its checkpoints.
const DATA: &[&str] = &[LOG, LOG_SYNCED, states::CURRENT, identity::IDENTITY];
/// Those of these files that are replaced atomically, and may have left-overs after a crash.
const REPLACED: &[&str] = &[states::CURRENT, identity::IDENTITY, RECOVERY];
/// A backup of the state, while the folder becomes that of another cluster.
const RECOVERY: &str = "recovery.backup";
/// Names of folders with the former parts of a folder begin with this.
const FORMER: &str = "former.";
/// The folder that exists at the root of a separate file system.
const LOST_AND_FOUND: &str = "lost+found";

/// A data folder. This process has it locked until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    reserve: DescriptorReserve,
    _lock: FolderLock,
}

impl DataFolder {
    /// Creates the folder if it does not exist, locks it and removes the left-overs of a crash.
    /// Only its owner gets access, unless others already use it. Unknown files are named in a
    /// warning, except those whose name begins with the name of `log_file`.
    ///
    /// # Errors
    /// The file or folder that failed. If another process uses the folder, its process id.
    pub fn open(path: &Path, log_file: Option<&Path>) -> Result<Self, StorageError> {
        let reserve = DescriptorReserve::full();
        files::create_folder(&reserve, path)?;
        let foreign = foreign(&reserve, path, log_file)?;
        let ours = foreign.is_empty() || path.join(identity::IDENTITY).exists();
        let lock = lock(&path.join(LOCK))?;
        for name in REPLACED {
            files::remove_temporary(&path.join(name))?;
        }
        if ours {
            files::keep_private(path);
        }
        files::create_folder(&reserve, &path.join(WORK))?;
        if let [first, rest @ ..] = &foreign[..] {
            let (folder, more) = (path.display(), rest.len());
            tracing::warn!(%folder, %first, more, "the data folder holds files of others");
        }
        Ok(Self { path: path.to_owned(), reserve, _lock: lock })
    }

    /// Whether a folder has the data of a node, or a restore or recovery was begun in it. Nothing is
    /// locked or created.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn is_used(path: &Path) -> bool {
        path.join(identity::IDENTITY).exists() || path.join(RECOVERY).exists()
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptors reserved for the files of this folder.
    #[must_use]
    pub fn reserve(&self) -> &DescriptorReserve {
        &self.reserve
    }

    /// The folder of the Raft log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The folder for the output of attempts.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.path.join(OUTPUT)
    }

    /// The default working folder of shell attempts. It exists.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path.join(WORK)
    }

    /// The names of what a node or others left here, sorted, except lines of a log. Empty: the
    /// folder is as a new one.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn content(&self, log_file: Option<&Path>) -> Result<Vec<String>, StorageError> {
        let log_file = log_file.and_then(|file| file.file_name()?.to_str());
        let left = |name: &str| match name {
            LOCK | LOST_AND_FOUND => false,
            WORK => fs::read_dir(self.work()).is_ok_and(|mut names| names.next().is_some()),
            // What a node creates is shown whatever its log file is called.
            _ if OURS.contains(&name) || states::is_folder_name(name) => true,
            _ if former_number(name).is_some() => true,
            _ => !log_file.is_some_and(|log_file| name.starts_with(log_file)),
        };
        let names = files::names_in(&self.reserve, &self.path)?;
        let names = names.iter().map(|name| name.to_string_lossy().into_owned());
        Ok(names.filter(|name| left(name)).collect())
    }

    /// The file that holds the state while this folder becomes that of another cluster.
    #[must_use]
    pub fn recovery(&self) -> PathBuf {
        self.path.join(RECOVERY)
    }

    /// Removes the file of [`Self::recovery`].
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn end_recovery(&self) -> Result<(), StorageError> {
        let path = self.recovery();
        fs::remove_file(&path).map_err(StorageError::at("remove", &path))?;
        files::sync_folder(&self.reserve, &self.path)
    }

    /// Whether a restore was begun here and has not ended: there is nothing but the file of
    /// [`Self::recovery`] and parts of a new cluster. A recovery has a folder for the former parts
    /// before it has that file.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn restore_begun(&self, log_file: Option<&Path>) -> Result<bool, StorageError> {
        let content = self.content(log_file)?;
        let of_it = |name: &String| name == RECOVERY || is_data(name);
        Ok(self.recovery().exists() && content.iter().all(of_it))
    }

    /// Creates the folder for the former parts, before anything is moved: a new one, unless the last
    /// one is still empty.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn begin_former(&self) -> Result<(), StorageError> {
        let last = self.last_former()?;
        if last > 0 && files::names_in(&self.reserve, &self.former(last))?.is_empty() {
            return Ok(());
        }
        files::create_folder(&self.reserve, &self.former(last + 1))?;
        files::sync_folder(&self.reserve, &self.path)
    }

    /// Moves the data of a cluster to the last folder for former parts, which it returns. The
    /// identity is moved last. A further call after an interruption moves the rest to the same
    /// folder; if all was moved, what is here is part of the next cluster and is removed.
    ///
    /// # Errors
    /// A part cannot be moved.
    pub fn set_aside(&self) -> Result<PathBuf, StorageError> {
        let former = self.former(self.last_former()?.max(1));
        files::create_folder(&self.reserve, &former)?;
        if former.join(identity::IDENTITY).exists() {
            self.remove_data()?;
            return Ok(former);
        }
        let moved = |name: &str| {
            let path = self.path.join(name);
            fs::rename(&path, former.join(name)).map_err(StorageError::at("move", &path))
        };
        let (identity, parts): (Vec<String>, Vec<String>) =
            self.data()?.into_iter().partition(|name| name == identity::IDENTITY);
        for names in [parts, identity] {
            names.iter().try_for_each(|name| moved(name))?;
            files::sync_folder(&self.reserve, &former)?;
            files::sync_folder(&self.reserve, &self.path)?;
        }
        Ok(former)
    }

    /// The folder with the former parts, if they are in it completely and so are the parts of the
    /// next cluster in this one.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn succeeded(&self) -> Result<Option<PathBuf>, StorageError> {
        let former = self.former(self.last_former()?);
        let both = [&self.path, &former].map(|folder| folder.join(identity::IDENTITY).exists());
        Ok((both == [true, true]).then_some(former))
    }

    /// Removes the data of a cluster, the identity first.
    ///
    /// # Errors
    /// A part cannot be removed.
    pub fn remove_data(&self) -> Result<(), StorageError> {
        let mut names = self.data()?;
        names.sort_by_key(|name| name != identity::IDENTITY);
        for name in names {
            let path = self.path.join(name);
            let remove = if path.is_dir() { fs::remove_dir_all } else { fs::remove_file };
            self.reserve.open(|| remove(&path)).map_err(StorageError::at("remove", &path))?;
        }
        files::sync_folder(&self.reserve, &self.path)
    }

    /// The names of the parts that are the data of a cluster.
    fn data(&self) -> Result<Vec<String>, StorageError> {
        let names = files::names_in(&self.reserve, &self.path)?;
        let names = names.iter().filter_map(|name| name.to_str());
        Ok(names.filter(|name| is_data(name)).map(str::to_owned).collect())
    }

    fn former(&self, number: u64) -> PathBuf {
        self.path.join(format!("{FORMER}{number}"))
    }

    /// The highest number of a folder with former parts. 0: there is none.
    fn last_former(&self) -> Result<u64, StorageError> {
        let names = files::names_in(&self.reserve, &self.path)?;
        let numbers = names.iter().filter_map(|name| former_number(name.to_str()?));
        Ok(numbers.max().unwrap_or(0))
    }

    /// The checkpoints.
    #[must_use]
    pub fn states(&self) -> StateFolders {
        StateFolders::new(&self.path, &self.reserve)
    }
}

/// The locked file of a folder.
#[derive(Debug)]
struct FolderLock(File);

/// A child process that is being started has the file too until it is the new program. The lock would
/// outlast its owner until then.
impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file unlocks it as well.
        let _closed = self.0.unlock();
    }
}

/// Whether a part of this name is the data of a cluster.
fn is_data(name: &str) -> bool {
    DATA.contains(&name) || states::is_folder_name(name)
}

/// The number of a folder with former parts.
fn former_number(name: &str) -> Option<u64> {
    name.strip_prefix(FORMER)?.parse().ok()
}

/// The names in a folder that no node creates there, sorted.
fn foreign(
    reserve: &DescriptorReserve,
    path: &Path,
    log_file: Option<&Path>,
) -> Result<Vec<String>, StorageError> {
    let names = files::names_in(reserve, path)?;
    let names = names.iter().map(|name| name.to_string_lossy());
    let log_file = log_file.and_then(|file| file.file_name()?.to_str());
    let ours = |name: &str| {
        OURS.contains(&name)
            || log_file.is_some_and(|log_file| name.starts_with(log_file))
            || name == LOST_AND_FOUND
            || states::is_folder_name(name)
            || former_number(name).is_some()
            || REPLACED.iter().any(|replaced| files::is_temporary_of(name, replaced))
    };
    Ok(names.filter(|name| !ours(name)).map(std::borrow::Cow::into_owned).collect())
}

fn lock(path: &Path) -> Result<FolderLock, StorageError> {
    let mut options = files::private();
    let open = options.read(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(StorageError::at("open", path))?;
    match file.try_lock() {
        Ok(()) => {
            let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            write.map_err(StorageError::at("write", path))?;
            Ok(FolderLock(file))
        }
        Err(TryLockError::WouldBlock) => {
            let holder = holder(&mut file);
            let why = format!("{holder} uses this data folder");
            let error = io::Error::new(io::ErrorKind::ResourceBusy, why);
            Err(StorageError::new("lock", path, error))
        }
        Err(TryLockError::Error(error)) => Err(StorageError::new("lock", path, error)),
    }
}

/// The process that holds the lock, by the process id in the file.
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
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_user_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b");
        let first = DataFolder::open(&path, None).unwrap();
        let error = DataFolder::open(&path, None).unwrap_err();
        let expected = format!("process {} uses this data folder", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(error.file.ends_with("b/lock"));
        drop(first);
        DataFolder::open(&path, None).unwrap();
    }

    /// A process that is being started has the open files of its parent until it is the new program.
    #[test]
    fn a_folder_is_free_once_it_is_left_though_a_child_has_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let first = lock(&path).unwrap();
        let of_child = first.0.try_clone().unwrap();
        drop(first);
        lock(&path).unwrap();
        drop(of_child);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn opening_makes_the_folders_and_removes_only_its_own_left_overs() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["CURRENT.tmp", "identity.tmp", "report.tmp"] {
            fs::write(folder.path().join(name), b"half").unwrap();
        }
        let data = DataFolder::open(folder.path(), None).unwrap();
        assert_eq!(
            files::names_in(data.reserve(), data.path()).unwrap(),
            ["lock", "report.tmp", "work"]
        );
        assert!(data.work().is_dir());
    }

    #[test]
    fn files_of_others_are_known_from_ours_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["dump.tmp", "last.txt", "n1.log", "n1.log.2026-11-28", "state.of.affairs"];
        for name in names {
            fs::write(folder.path().join(name), b"theirs").unwrap();
        }
        for _start in 0..2 {
            drop(DataFolder::open(folder.path(), None).unwrap());
            assert_eq!(foreign(&DescriptorReserve::default(), folder.path(), None).unwrap(), names);
        }
        let log_file = Path::new("elsewhere/n1.log");
        let left = ["dump.tmp", "last.txt", "state.of.affairs"];
        assert_eq!(
            foreign(&DescriptorReserve::default(), folder.path(), Some(log_file)).unwrap(),
            left
        );
        for name in names {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"theirs");
        }
    }

    #[test]
    fn the_data_of_a_cluster_is_set_aside_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path(), None).unwrap();
        assert_eq!(data.content(None).unwrap(), Vec::<String>::new(), "as a new one");
        fs::create_dir_all(folder.path().join("state.7")).unwrap();
        fs::create_dir_all(folder.path().join("log")).unwrap();
        for name in ["identity", "CURRENT", "log.synced", "n1.log", "notes"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let log_file = Path::new("elsewhere/n1.log");
        let all = ["CURRENT", "identity", "log", "log.synced", "notes", "state.7"];
        assert_eq!(data.content(Some(log_file)).unwrap(), all);
        for number in 1..=2 {
            data.begin_former().unwrap();
            data.begin_former().unwrap();
            let former = data.set_aside().unwrap();
            assert_eq!(former, folder.path().join(format!("former.{number}")));
            fs::write(folder.path().join("identity"), "next").unwrap();
        }
        let names = |path: &Path| files::names_in(data.reserve(), path).unwrap();
        let set_aside = ["CURRENT", "identity", "log", "log.synced", "state.7"];
        assert_eq!(names(&folder.path().join("former.1")), set_aside);
        assert_eq!(names(&folder.path().join("former.2")), ["identity"]);
        assert_eq!(
            data.content(Some(log_file)).unwrap(),
            ["former.1", "former.2", "identity", "notes"]
        );
        assert_eq!(foreign(data.reserve(), folder.path(), None).unwrap(), ["n1.log", "notes"]);
        fs::write(folder.path().join("work/report"), "").unwrap();
        assert!(data.content(None).unwrap().contains(&"work".to_owned()));
    }

    #[test]
    fn data_is_shown_whatever_the_log_file_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path(), None).unwrap();
        let all = ["CURRENT", "former.1", "identity", "log", "log.synced", "output", "state.7"];
        for name in all {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for log_file in ["log", "l", "state", "s", "former", "identity", "CURRENT", "o"] {
            assert_eq!(data.content(Some(Path::new(log_file))).unwrap(), all, "{log_file}");
        }
    }

    #[test]
    fn only_the_owner_may_enter_what_a_node_made() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let data = DataFolder::open(&made, None).unwrap();
        assert_eq!(
            [mode(&made), mode(&data.work()), mode(&made.join(LOCK))],
            [0o700, 0o700, 0o600]
        );
        drop(data);
        // Access rights that were added by hand are removed, also those of an empty folder.
        for path in [made, folder.path().join("empty")] {
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            drop(DataFolder::open(&path, None).unwrap());
            assert_eq!(mode(&path), 0o700);
        }
    }

    /// The folder of other programs, configured by mistake, stays accessible to them.
    #[test]
    fn the_rights_of_a_folder_in_use_by_others_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("theirs"), b"").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        drop(DataFolder::open(&path, None).unwrap());
        assert_eq!(mode(&path), 0o755);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, b"").unwrap();
        let error = DataFolder::open(&path, None).unwrap_err();
        assert!(error.to_string().contains("/data"), "{error}");
    }
}
