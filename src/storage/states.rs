//! The checkpoint folders `state.1`, `state.2`, … and the file `CURRENT` that names one of them.
//!
//! An installed snapshot is written to a new folder, made durable, and becomes current by one
//! rename. A half-written snapshot is never current.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::descriptors::DescriptorReserve;
use super::files;
use super::store::{Store, Stores};
use super::{DiskStore, StorageError, write_atomic};

pub(super) const CURRENT: &str = "CURRENT";
const PREFIX: &str = "state.";
/// A file of this name in a checkpoint's folder marks its content as wrong.
const VOID: &str = "VOID";

/// The checkpoints in a data folder.
#[derive(Debug)]
pub struct StateFolders {
    folder: PathBuf,
    reserve: DescriptorReserve,
    begun: Option<u64>,
}

impl StateFolders {
    /// The checkpoints in `folder`, which must exist.
    #[must_use]
    pub fn new(folder: &Path, reserve: &DescriptorReserve) -> Self {
        Self { folder: folder.to_owned(), reserve: reserve.clone(), begun: None }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    /// The number in `CURRENT`. Its folder exists. Without that file no folder is current, because
    /// a crash may have happened before the first switch.
    fn current(&self) -> Result<Option<u64>, StorageError> {
        let file = self.folder.join(CURRENT);
        let Some(bytes) = files::read_file(&self.reserve, &file)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let Some(number) = parse(text.trim_end()) else {
            return Err(StorageError::corrupt(file, "it does not name a checkpoint"));
        };
        if !self.path(number).is_dir() {
            let why = format!("it names {}, which is not there", text.trim_end());
            return Err(StorageError::corrupt(file, why));
        }
        Ok(Some(number))
    }

    /// The numbers of all folders, sorted.
    fn numbers(&self) -> Result<Vec<u64>, StorageError> {
        let names = files::names_in(&self.reserve, &self.folder)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse(name.to_str()?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn remove_others(&self, kept: Option<u64>) -> Result<(), StorageError> {
        for number in self.numbers()?.into_iter().filter(|number| Some(*number) != kept) {
            let path = self.path(number);
            let removed = self.reserve.open(|| fs::remove_dir_all(&path));
            removed.map_err(StorageError::at("remove", &path))?;
        }
        Ok(())
    }
}

/// Whether a folder of this name holds a checkpoint.
pub(super) fn is_folder_name(name: &str) -> bool {
    parse(name).is_some()
}

impl Stores for StateFolders {
    fn open_current(&mut self) -> Result<Option<Box<dyn Store>>, StorageError> {
        let Some(number) = self.current()? else { return Ok(None) };
        let path = self.path(number);
        if path.join(VOID).exists() {
            return Ok(None);
        }
        Ok(Some(Box::new(DiskStore::open(&path, &self.reserve)?)))
    }

    fn create_next(&mut self) -> Result<Box<dyn Store>, StorageError> {
        let next = self.numbers()?.last().map_or(1, |last| last + 1);
        // If the current one is unknown, all are kept until another one replaces them.
        match self.current() {
            Ok(current) => self.remove_others(current)?,
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        let store = DiskStore::open(&self.path(next), &self.reserve)?;
        self.begun = Some(next);
        Ok(Box::new(store))
    }

    fn switch(&mut self) -> Result<(), StorageError> {
        let Some(number) = self.begun.take() else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "no checkpoint was begun");
            return Err(StorageError::new("write", self.folder.join(CURRENT), error));
        };
        let line = format!("{PREFIX}{number}\n");
        write_atomic(&self.reserve, &self.folder.join(CURRENT), line.as_bytes())?;
        self.remove_others(Some(number))
    }

    fn void_current(&mut self) -> Result<(), StorageError> {
        match self.current()? {
            Some(number) => write_atomic(&self.reserve, &self.path(number).join(VOID), b""),
            None => Ok(()),
        }
    }
}

fn parse(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::store::StoreChange;
    use super::*;

    fn put(store: &mut Box<dyn Store>, value: &str) {
        store.write(vec![StoreChange::Put(b"key".to_vec(), value.into())]).unwrap();
    }

    #[test]
    fn a_damaged_pointer_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut states = StateFolders::new(folder.path(), &DescriptorReserve::default());
        for text in ["", "state.", "elsewhere", "state.7"] {
            fs::write(folder.path().join(CURRENT), text).unwrap();
            let error = states.open_current().err().unwrap();
            assert!(error.file.ends_with(CURRENT), "{error}");
        }
    }

    #[test]
    fn only_the_current_folder_is_left_after_a_switch() {
        let folder = tempfile::tempdir().unwrap();
        let mut states = StateFolders::new(folder.path(), &DescriptorReserve::default());
        for round in ["one", "two"] {
            let mut store = states.create_next().unwrap();
            put(&mut store, round);
            drop(store);
            states.switch().unwrap();
        }
        assert_eq!(
            files::names_in(&DescriptorReserve::default(), folder.path()).unwrap(),
            ["CURRENT", "state.2"]
        );
        assert!(states.switch().is_err(), "no store was created since then");
    }
}
