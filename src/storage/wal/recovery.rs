//! Distinguishes the effects of a crash on the log's last file from damage.
//!
//! After a power cut, entries that were never acknowledged may be partly on the disk. Three forms
//! are torn writes and are cut off:
//!
//! - the file ends inside a record (raft-log cuts it);
//! - from some record on it contains only zeros: its length was written, its content was not
//!   (raft-log cuts it);
//! - a sector inside a damaged record contains only zeros although later sectors have content: of
//!   several sectors written together, the disk kept a later one and not this one. No record
//!   contains such a sector unless its head declares it, so the sector was not written (cut here).
//!
//! These are torn writes only after the synced length of the log, see [`super::synced`], where
//! nothing was acknowledged. Everything else is damage, and the node must not start, because it
//! cannot read entries that it acknowledged.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use raft_log::RaftLog;
use raft_log::codeq::Decode;

use super::super::descriptors::DescriptorReserve;
use super::super::{StorageError, files};
use super::record::{
    BlobHead, CHECKSUM_BYTES, ENTRY, HEAD_BYTES, POSITION_BYTES, TYPE_BYTES, WalRecord, WalTypes,
};

/// The smallest unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;
/// A shorter part of a sector may legitimately be zeros: the start of a type number.
const PIECE_MIN_BYTES: usize = 8;

/// The records of one file, up to the first unreadable one.
struct FileWalk {
    bytes: Vec<u8>,
    /// The end of the complete records.
    end: usize,
    damage: Option<io::Error>,
}

/// Cuts off a torn write that raft-log would treat as damage. The log is not changed if it ends
/// before `synced`, an offset over all of its files.
///
/// # Errors
/// The last file is damaged and not torn, or a file ends too early.
pub(super) fn repair_tail(
    folder: &Path,
    reserve: &DescriptorReserve,
    synced: u64,
) -> Result<(), StorageError> {
    let mut torn = Vec::new();
    let (chunks, mut end) = (chunk_files(folder, reserve)?, 0);
    for (start, path) in chunks.iter().rev() {
        let walk = walk(path, reserve)?;
        if let Some(damage) = &walk.damage
            && !is_cut_by_raft_log(&walk, damage)
        {
            if !has_hole(&walk) {
                return Err(damaged(path, &walk, damage));
            }
            torn.push((path, walk.end));
        }
        end = start + walk.end as u64;
        // A file without a complete record was not used yet, so the one before it is the last.
        if walk.end > 0 {
            break;
        }
    }
    if end < synced {
        let why = format!("{} bytes that were synced are gone or damaged", synced - end);
        let newest = chunks.last().map_or(folder, |(_, path)| path);
        return Err(StorageError::corrupt(newest, format!("the log ends too early: {why}")));
    }
    for (path, len) in torn {
        tracing::warn!(file = %path.display(), at = len, "cut off a torn write");
        cut(path, len).map_err(StorageError::at("repair", path))?;
    }
    Ok(())
}

/// Syncs the content of an opened log. Returns its end, an offset over all of its files. Files
/// before the last two were synced when the next one was created.
///
/// # Errors
/// The file cannot be synced.
pub(super) fn sync_end(folder: &Path, reserve: &DescriptorReserve) -> Result<u64, StorageError> {
    let mut end = 0;
    for (start, path) in chunk_files(folder, reserve)?.into_iter().rev().take(2) {
        let file = reserve.open(|| File::open(&path));
        let synced = file.and_then(|file| files::sync_data(&file).and_then(|()| file.metadata()));
        let len = synced.map_err(StorageError::at("sync", &path))?.len();
        end = end.max(start + len);
    }
    Ok(end)
}

/// An error that names the file because of which raft-log cannot open the log.
pub(super) fn name_damaged(
    folder: &Path,
    reserve: &DescriptorReserve,
    error: io::Error,
) -> StorageError {
    let damage = chunk_files(folder, reserve).and_then(|paths| {
        for (_, path) in paths {
            let walk = walk(&path, reserve)?;
            if let Some(damage) = &walk.damage {
                return Err(damaged(&path, &walk, damage));
            }
        }
        Ok(())
    });
    match damage {
        Err(named) => named,
        Ok(()) => StorageError::new("open", folder, error),
    }
}

/// Refuses a log whose first file is missing: its entries were not purged and do not exist.
///
/// # Errors
/// The first file is missing.
pub(super) fn check_first(folder: &Path, log: &RaftLog<WalTypes>) -> Result<(), StorageError> {
    let state = log.log_state();
    let missing = match (state.purged(), state.last()) {
        (Some(purged), Some(last)) => {
            let first = purged.index + 1;
            first <= last.index && log.read(first, first + 1).next().is_none()
        }
        (None, Some(_)) => {
            let first = raft_log::chunked_wal::Config::chunk_file_name(raft_log::ChunkId(0));
            !folder.join(first).exists()
        }
        (_, None) => false,
    };
    if missing {
        return Err(StorageError::corrupt(folder, "the first of the log's files is missing"));
    }
    Ok(())
}

/// The start of each of the log's files, an offset over all of them, and its path, in order.
pub(super) fn chunk_files(
    folder: &Path,
    reserve: &DescriptorReserve,
) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let names = files::names_in(reserve, folder)?;
    let start = |name: &str| raft_log::chunked_wal::Config::parse_chunk_file_name(name).ok();
    let chunk = |name: &std::ffi::OsString| Some((start(name.to_str()?)?, folder.join(name)));
    Ok(names.iter().filter_map(chunk).collect())
}

fn walk(path: &Path, reserve: &DescriptorReserve) -> Result<FileWalk, StorageError> {
    let read = reserve.open(|| fs::read(path));
    let bytes = read.map_err(StorageError::at("read", path))?;
    let (mut rest, mut end, mut damage) = (&bytes[..], 0, None);
    while !rest.is_empty() && damage.is_none() {
        match WalRecord::decode(&mut rest) {
            Ok(_) => end = bytes.len() - rest.len(),
            Err(error) => damage = Some(error),
        }
    }
    Ok(FileWalk { bytes, end, damage })
}

fn damaged(path: &Path, walk: &FileWalk, damage: &io::Error) -> StorageError {
    let why = format!("the record at byte {} is damaged ({damage})", walk.end);
    StorageError::corrupt(path, why)
}

fn is_cut_by_raft_log(walk: &FileWalk, damage: &io::Error) -> bool {
    let rest = walk.bytes.get(walk.end..).unwrap_or_default();
    damage.kind() == io::ErrorKind::UnexpectedEof || rest.iter().all(|byte| *byte == 0)
}

/// Whether a sector of the damaged record was not written.
fn has_hole(walk: &FileWalk) -> bool {
    let rest = walk.bytes.get(walk.end..).unwrap_or_default();
    let mut extent = TYPE_BYTES + POSITION_BYTES + HEAD_BYTES + CHECKSUM_BYTES;
    if let Some(head) = entry_head(rest) {
        if head.has_zero_run {
            return false;
        }
        extent += head.len;
    }
    let mut start = walk.end;
    while start < (walk.end + extent).min(walk.bytes.len()) {
        let sector_end = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let piece = walk.bytes.get(start..sector_end.min(walk.bytes.len())).unwrap_or_default();
        if piece.len() >= PIECE_MIN_BYTES && piece.iter().all(|byte| *byte == 0) {
            return true;
        }
        start = sector_end;
    }
    false
}

/// The head of the entry at the start of `rest`, if there is one and its head is intact.
fn entry_head(rest: &[u8]) -> Option<BlobHead> {
    let head = rest.get(TYPE_BYTES + POSITION_BYTES..)?.get(..HEAD_BYTES)?;
    BlobHead::decode(ENTRY, head.try_into().ok()?)
}

fn cut(path: &Path, len: usize) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(len as u64)?;
    files::sync_all(&file)
}
