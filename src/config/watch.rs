//! Tells when files of definitions may have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

/// A watch on files and folders. It ends when it is dropped.
pub struct FilesWatch {
    _watcher: RecommendedWatcher,
    changed: watch::Receiver<u64>,
}

impl FilesWatch {
    /// Watches the folders of these paths. Folders are watched with those below them; of a file its
    /// folder is, since editors and mounted volumes put another file in its place.
    ///
    /// # Errors
    /// Why a folder cannot be watched.
    pub fn start<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<Self, String> {
        let (told, changed) = watch::channel(0);
        let tell = move |event: notify::Result<Event>| {
            // What is only read tells of no change. An error may hide some.
            let read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !read {
                told.send_modify(|count| *count += 1);
            }
        };
        let mut watcher = notify::recommended_watcher(tell).map_err(|error| error.to_string())?;
        for (folder, mode) in folders(paths) {
            watcher
                .watch(&folder, mode)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(Self { _watcher: watcher, changed })
    }

    /// Waits for a change since the last call.
    pub async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The folders to watch: those that the paths name, and those that links lead to.
fn folders<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<(PathBuf, RecursiveMode)> {
    let mut all = BTreeSet::new();
    for path in paths {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        for path in [path, &real] {
            let (folder, deep) = match path.is_dir() {
                true => (path.to_owned(), true),
                false => (parent(path), false),
            };
            all.insert((folder, deep));
        }
    }
    let mode = |deep| match deep {
        true => RecursiveMode::Recursive,
        false => RecursiveMode::NonRecursive,
    };
    all.into_iter().map(|(folder, deep)| (folder, mode(deep))).collect()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_file_that_is_replaced_and_a_new_one_in_a_folder_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tasks.yaml");
        std::fs::write(&file, "a").unwrap();
        let below = folder.path().join("more");
        std::fs::create_dir(&below).unwrap();
        let mut watch = FilesWatch::start([file.as_path()]).unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "b").unwrap();
        std::fs::rename(&other, &file).unwrap();
        tokio::time::timeout(LIMIT, watch.changed()).await.expect("told");

        let mut watch = FilesWatch::start([folder.path()]).unwrap();
        std::fs::write(below.join("new.yaml"), "c").unwrap();
        tokio::time::timeout(LIMIT, watch.changed()).await.expect("told");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/tasks.yaml");
        let problem = FilesWatch::start([path.as_path()]).err().unwrap();
        assert!(problem.contains("none"), "{problem}");
    }
}
