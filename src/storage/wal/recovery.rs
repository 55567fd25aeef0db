//! What a crash may do to the log's last file, told from damage.
//!
//! Entries that were never acknowledged may be half on the disk after a power cut. Three shapes are
//! torn writes and are cut off:
//!
//! - the file ends inside a record (raft-log cuts it);
//! - from some record on it holds only zeros: its length was written, its content not (raft-log);
//! - a sector inside a damaged record holds only zeros though later ones have content: of several
//!   sectors written at once, the disk kept a later one and not this. No record has such a sector,
//!   or its head says that it may. So the sector was never written, hence never synced, and nor was
//!   anything acknowledged that lies behind it (cut here).
//!
//! Everything else is damage, and this node must not start: it may have promised what it cannot
//! read any more.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use raft_log::RaftLog;
use raft_log::codeq::Decode;

use super::super::{StorageError, files};
use super::record::{
    CHECKSUM_BYTES, ENTRY, HEAD_BYTES, Head, POSITION_BYTES, Record, Records, TYPE_BYTES,
};

/// The smallest unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// A piece of a sector shorter than this may be zeros by itself: the start of a type number.
const PIECE_MIN_BYTES: usize = 8;

/// The records of one file, up to the first that cannot be read.
struct Walk {
    bytes: Vec<u8>,
    /// Where the whole records end.
    end: usize,
    damage: Option<io::Error>,
}

/// Cuts off a torn write that raft-log would take for damage.
///
/// # Errors
/// The last file, if it is damaged and not torn.
pub(super) fn repair_tail(folder: &Path) -> Result<(), StorageError> {
    for path in chunk_files(folder)?.iter().rev() {
        let walk = walk(path)?;
        if let Some(damage) = &walk.damage
            && !is_cut_by_raft_log(&walk, damage)
        {
            if !has_hole(&walk) {
                return Err(damaged(path, &walk, damage));
            }
            tracing::warn!(file = %path.display(), at = walk.end, "cut off a torn write");
            cut(path, walk.end).map_err(StorageError::at("repair", path))?;
        }
        // A file without one whole record was never begun: the one before it is the last.
        if walk.end > 0 {
            break;
        }
    }
    Ok(())
}

/// The error that names the file because of which raft-log refused to open.
pub(super) fn name_damaged(folder: &Path, error: io::Error) -> StorageError {
    let damage = chunk_files(folder).and_then(|paths| {
        for path in paths {
            let walk = walk(&path)?;
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

/// Refuses a log whose first file is gone: its entries are neither purged nor there.
///
/// # Errors
/// The folder.
pub(super) fn check_first(folder: &Path, log: &RaftLog<Records>) -> Result<(), StorageError> {
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

fn chunk_files(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let names = files::names_in(folder)?;
    let is_chunk = |name: &str| raft_log::chunked_wal::Config::parse_chunk_file_name(name).is_ok();
    Ok(names
        .iter()
        .filter(|name| name.to_str().is_some_and(is_chunk))
        .map(|name| folder.join(name))
        .collect())
}

fn walk(path: &Path) -> Result<Walk, StorageError> {
    let bytes = fs::read(path).map_err(StorageError::at("read", path))?;
    let (mut rest, mut end, mut damage) = (&bytes[..], 0, None);
    while !rest.is_empty() && damage.is_none() {
        match Record::decode(&mut rest) {
            Ok(_) => end = bytes.len() - rest.len(),
            Err(error) => damage = Some(error),
        }
    }
    Ok(Walk { bytes, end, damage })
}

fn damaged(path: &Path, walk: &Walk, damage: &io::Error) -> StorageError {
    let why = format!("the record at byte {} is damaged ({damage})", walk.end);
    StorageError::corrupt(path, why)
}

fn is_cut_by_raft_log(walk: &Walk, damage: &io::Error) -> bool {
    let rest = walk.bytes.get(walk.end..).unwrap_or_default();
    damage.kind() == io::ErrorKind::UnexpectedEof || rest.iter().all(|byte| *byte == 0)
}

/// Whether a sector that the damaged record covers was never written.
fn has_hole(walk: &Walk) -> bool {
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

/// The head of the entry that begins `rest`, if it is one and its head is intact.
fn entry_head(rest: &[u8]) -> Option<Head> {
    let head = rest.get(TYPE_BYTES + POSITION_BYTES..)?.get(..HEAD_BYTES)?;
    Head::decode(ENTRY, head.try_into().ok()?)
}

fn cut(path: &Path, len: usize) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(len as u64)?;
    files::sync_all(&file)
}
