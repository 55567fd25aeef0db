//! A checkpoint store on sled 0.34. No other module uses sled.
//!
//! Properties of sled, from its source and measurements, and how this store handles them:
//!
//! - `flush` does not call `fsync` on Linux: [`DiskStore`] syncs sled's file itself after each
//!   flush;
//! - a page beyond 128 KiB goes to a file in `blobs/` that sled never syncs, and pages are split by
//!   the number of their items: about 20 values in a leaf, about 300 keys in an index page. So
//!   values are cut into pieces of [`PIECE_MAX_BYTES`], keys are limited, and a file in `blobs/`
//!   fails the write. That folder stays open, so no descriptor is needed to check it;
//! - a crash can leave two trees at different states: there is only one tree, and a write is one
//!   batch. A large batch takes too much memory, so a large write is several batches and a [`redo`]
//!   file;
//! - a damaged file can open with missing keys, and an empty file opens as an empty store: the
//!   caller keeps a digest of the records;
//! - it panics in cases where other libraries return errors: calls are guarded.
//!
//! A record is one head, which has the number of further pieces and the first bytes of the value,
//! and the further pieces, whose keys are separate from those of the heads. So a scan reads heads
//! in key order.

mod redo;
#[cfg(test)]
mod tests;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Dir;

use self::redo::RedoStep;
use super::descriptors::DescriptorReserve;
use super::store::{KEY_MAX_BYTES, RecordVisitor, Store, StoreChange};
use super::{StorageError, files, guarded};

/// Longest value that is passed to sled.
const PIECE_MAX_BYTES: usize = 4_000;
/// Length of the piece count before a head's value, and of the piece number after a piece's key.
const COUNT_BYTES: usize = 4;
/// First byte of the key of a head.
const HEAD: u8 = 0;
/// First byte of the key of a further piece. The key ends with the piece's number.
const PIECE: u8 = 1;
/// The key of the number of the last completed write.
const MARK: &[u8] = &[2];
/// Steps in one sled batch. Small in tests, so that they cover writes of several batches.
const SLICE_STEPS: usize = if cfg!(test) { 40 } else { 1_000 };
/// sled's page cache. Scans and writes pass through it once; the state itself is in memory.
const CACHE_BYTES: u64 = 32 << 20;

/// A checkpoint in its own folder.
pub struct DiskStore {
    folder: PathBuf,
    reserve: DescriptorReserve,
    data: File,
    blobs: Dir,
    tree: ::sled::Db,
    /// The number of further pieces of each value that is longer than one piece.
    pieces: BTreeMap<Vec<u8>, u32>,
    /// The number of the last write.
    number: u64,
    failed: bool,
}

impl DiskStore {
    /// Opens the store in `folder`, or creates an empty one. New files are durable on return.
    ///
    /// # Errors
    /// sled cannot open the folder.
    pub fn open(folder: &Path, reserve: &DescriptorReserve) -> Result<Self, StorageError> {
        files::create_folder(reserve, folder)?;
        let config =
            ::sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let tree = reserve
            .open(|| guarded(|| config.open().map_err(io_error)))
            .map_err(StorageError::at("open", folder))?;
        // Before the sync, which also makes the access rights durable.
        files::keep_content_private(reserve, folder)?;
        let data = sync_files(folder, reserve)?;
        let blobs = reserve.open(|| File::open(folder.join("blobs")));
        let blobs = blobs.and_then(|blobs| Ok(Dir::new(blobs)?));
        let blobs = blobs.map_err(StorageError::at("open", &folder.join("blobs")))?;
        let mut store = Self {
            folder: folder.to_owned(),
            reserve: reserve.clone(),
            data,
            blobs,
            tree,
            pieces: BTreeMap::new(),
            number: 0,
            failed: false,
        };
        store.finish_last_write()?;
        store.pieces =
            guarded(|| store.count_pieces()).map_err(StorageError::at("read", folder))?;
        Ok(store)
    }

    /// Repeats a write that a crash may have interrupted.
    fn finish_last_write(&mut self) -> Result<(), StorageError> {
        let mark = guarded(|| self.tree.get(MARK).map_err(io_error))
            .map_err(StorageError::at("read", &self.folder))?;
        self.number = mark.map_or(0, |mark| number_of(&mark).unwrap_or(0));
        if let Some((number, steps)) = redo::load(&self.reserve, &self.folder)?
            && number > self.number
        {
            self.make(number, steps)?;
        }
        redo::remove(&self.folder)
    }

    fn count_pieces(&self) -> io::Result<BTreeMap<Vec<u8>, u32>> {
        let mut pieces = BTreeMap::new();
        for key in self.tree.scan_prefix([PIECE]).keys() {
            let key = key.map_err(io_error)?;
            let split = key.get(1..).and_then(<[u8]>::split_last_chunk::<COUNT_BYTES>);
            let (key, number) = split.ok_or_else(|| damaged("the key of a piece is short"))?;
            pieces.insert(key.to_vec(), u32::from_be_bytes(*number) + 1);
        }
        Ok(pieces)
    }

    fn try_scan(&self, visit: &mut RecordVisitor<'_>) -> io::Result<Result<(), StorageError>> {
        for record in self.tree.scan_prefix([HEAD]) {
            let (key, head) = record.map_err(io_error)?;
            let key = key.get(1..).unwrap_or_default();
            let (further, first) = split_head(&head)?;
            let visited = if further == 0 {
                visit(key, first)
            } else {
                let mut value = first.to_vec();
                for number in 0..further {
                    let piece = self.tree.get(piece_key(key, number)).map_err(io_error)?;
                    value.extend_from_slice(&piece.ok_or_else(|| damaged("a piece is missing"))?);
                }
                visit(key, &value)
            };
            if visited.is_err() {
                return Ok(visited);
            }
        }
        Ok(Ok(()))
    }

    /// The steps of these changes, in order.
    fn plan(&mut self, changes: Vec<StoreChange>) -> io::Result<Vec<RedoStep>> {
        let mut steps = Vec::with_capacity(changes.len() + 1);
        for change in changes {
            match change {
                StoreChange::Put(key, value) => self.put(&mut steps, key, &value)?,
                StoreChange::Delete(key) => {
                    steps.push((head_key(&key), None));
                    self.cut_pieces(&mut steps, key, 0);
                }
            }
        }
        Ok(steps)
    }

    fn put(&mut self, steps: &mut Vec<RedoStep>, key: Vec<u8>, value: &[u8]) -> io::Result<()> {
        let (first, rest) = value.split_at(value.len().min(PIECE_MAX_BYTES - COUNT_BYTES));
        let further = rest.len().div_ceil(PIECE_MAX_BYTES);
        let further = u32::try_from(further).map_err(|_| refused("the value is too long"))?;
        steps.push((head_key(&key), Some([&further.to_be_bytes()[..], first].concat())));
        for (number, piece) in (0..further).zip(rest.chunks(PIECE_MAX_BYTES)) {
            steps.push((piece_key(&key, number), Some(piece.to_vec())));
        }
        self.cut_pieces(steps, key, further);
        Ok(())
    }

    /// Removes the pieces from number `keep` on, and updates the piece count.
    fn cut_pieces(&mut self, steps: &mut Vec<RedoStep>, key: Vec<u8>, keep: u32) {
        for number in keep..self.pieces.get(&key).copied().unwrap_or(0) {
            steps.push((piece_key(&key, number), None));
        }
        if keep > 0 {
            self.pieces.insert(key, keep);
        } else {
            self.pieces.remove(&key);
        }
    }

    /// Applies the steps of write `number`. If there are many, a redo file contains all of them.
    fn make(&mut self, number: u64, mut steps: Vec<RedoStep>) -> Result<(), StorageError> {
        steps.push((MARK.to_vec(), Some(number.to_be_bytes().to_vec())));
        let mut left = steps.into_iter();
        while left.len() > 0 {
            let mut batch = ::sled::Batch::default();
            for (key, value) in left.by_ref().take(SLICE_STEPS) {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            self.apply(batch).map_err(StorageError::at("write", &self.folder))?;
        }
        self.number = number;
        Ok(())
    }

    /// Makes a batch durable.
    fn apply(&mut self, batch: ::sled::Batch) -> io::Result<()> {
        guarded(|| {
            self.tree.apply_batch(batch).map_err(io_error)?;
            self.tree.flush().map(drop).map_err(io_error)
        })?;
        self.blobs.rewind();
        for entry in self.blobs.by_ref() {
            let entry = entry?;
            if !is_folder_itself(entry.file_name()) {
                return Err(io::Error::other("sled made a file in blobs that it never syncs"));
            }
        }
        files::sync_data(&self.data)
    }
}

impl Store for DiskStore {
    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), StorageError> {
        guarded(|| self.try_scan(visit)).map_err(StorageError::at("read", &self.folder))?
    }

    fn write(&mut self, changes: Vec<StoreChange>) -> Result<(), StorageError> {
        let fault = if self.failed {
            Some("an earlier write failed")
        } else if changes.iter().any(|change| change.key().len() > KEY_MAX_BYTES) {
            Some("a key is too long")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(StorageError::new("write", &self.folder, refused(fault)));
        }
        self.failed = true;
        let steps = self.plan(changes).map_err(StorageError::at("write", &self.folder))?;
        let number = self.number + 1;
        if steps.len() >= SLICE_STEPS {
            redo::save(&self.reserve, &self.folder, number, &steps)?;
        }
        self.make(number, steps)?;
        redo::remove(&self.folder)?;
        self.failed = false;
        Ok(())
    }
}

/// Whether an entry of a folder is `.` or `..`.
fn is_folder_itself(name: &CStr) -> bool {
    [&b"."[..], b".."].contains(&name.to_bytes())
}

/// Makes the files of a store and their names durable. Returns the data file.
fn sync_files(folder: &Path, reserve: &DescriptorReserve) -> Result<File, StorageError> {
    let sync = |name: &str| {
        let path = folder.join(name);
        let file = reserve.open(|| File::open(&path));
        let synced = file.and_then(|file| files::sync_all(&file).map(|()| file));
        synced.map_err(StorageError::at("sync", &path))
    };
    sync("conf")?;
    let data = sync("db")?;
    files::sync_folder(reserve, folder)?;
    Ok(data)
}

fn head_key(key: &[u8]) -> Vec<u8> {
    [&[HEAD], key].concat()
}

fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
    [&[PIECE], key, &number.to_be_bytes()].concat()
}

fn number_of(mark: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(mark.try_into().ok()?))
}

fn split_head(head: &[u8]) -> io::Result<(u32, &[u8])> {
    let (count, first) =
        head.split_first_chunk::<COUNT_BYTES>().ok_or_else(|| damaged("a head is short"))?;
    Ok((u32::from_be_bytes(*count), first))
}

/// Reports errors of sled as damage, except I/O errors and a held lock.
fn io_error(error: ::sled::Error) -> io::Error {
    match error {
        ::sled::Error::Io(error)
            if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Other =>
        {
            error
        }
        other => damaged(&other.to_string()),
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
