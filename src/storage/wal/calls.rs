//! Translates the calls of [`LogStore`](super::LogStore) to raft-log.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use super::super::descriptors::Exhausted;
use super::super::files;
use super::super::log::LogPos;
use super::record::{Blob, WalTypes};
use super::recovery;
use super::writer::WalShared;

/// One call.
pub(super) enum Op {
    Vote(Bytes),
    Append(Vec<(LogPos, Bytes)>),
    Truncate(u64),
    Purge(LogPos),
    Committed(LogPos),
    Close,
}

/// Makes one call. Returns the new end of the log if the call wrote something.
pub(super) fn take(
    op: Op,
    log: &mut RaftLog<WalTypes>,
    shared: &WalShared,
) -> io::Result<Option<u64>> {
    let written = match op {
        Op::Vote(vote) => log.save_vote(Blob(vote)),
        Op::Append(entries) => {
            let mut end = None;
            for (pos, data) in entries {
                let appended = log.append([(pos, Blob(data))]);
                end = rotated(appended, log, shared)?.or(end);
            }
            return Ok(end);
        }
        Op::Truncate(index) => {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            let Some(index) = cut_at(log, index) else { return Ok(None) };
            log.truncate(index)
        }
        Op::Purge(pos) => return purge(log, pos, shared),
        Op::Committed(pos) => {
            let state = log.log_state();
            let known = Some(&pos) <= state.last() && Some(&pos) > state.committed();
            if !known {
                return Ok(None);
            }
            log.commit(pos)
        }
        Op::Close => return Ok(None),
    };
    rotated(written, log, shared)
}

/// Handles a record that was written when there was no descriptor left for the log's next file. The
/// record is in the current file, which raft-log uses until it can create the next one.
fn rotated(
    written: io::Result<raft_log::Segment>,
    log: &mut RaftLog<WalTypes>,
    shared: &WalShared,
) -> io::Result<Option<u64>> {
    let end = |segment: raft_log::Segment| Some(segment.offset + segment.size);
    match written {
        Err(error) if error.exhausted() => {
            tracing::warn!(%error, "no descriptor for the next file of the log");
            let again = shared.reserve.lend(|| {
                remove_unbegun(shared, log)?;
                // An empty record, so that raft-log tries again.
                log.save_user_data(None)
            });
            match again {
                Err(error) if error.exhausted() => Ok(None),
                again => again.map(end),
            }
        }
        written => written.map(end),
    }
}

/// Removes the file that raft-log created after the current one but could not use, if there is one.
/// It would prevent the next try.
fn remove_unbegun(shared: &WalShared, log: &RaftLog<WalTypes>) -> io::Result<()> {
    let present = log.stat().open_chunk.chunk_id.0;
    let files =
        recovery::chunk_files(&shared.folder, &shared.reserve).map_err(|error| error.source)?;
    for (_, path) in files.into_iter().filter(|(start, _)| *start > present) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Purges the log. raft-log's thread removes files after the next sync. It needs a descriptor for
/// this and ends without one. Therefore this waits for it and lends it the reserved descriptors.
fn purge(log: &mut RaftLog<WalTypes>, pos: LogPos, shared: &WalShared) -> io::Result<Option<u64>> {
    let before = log.stat().closed_chunks.len();
    let purged = log.purge(pos);
    let end = rotated(purged, log, shared)?;
    if log.stat().closed_chunks.len() < before {
        shared.reserve.lend(|| {
            log.flush(files::durable(), None)?;
            log.wait_worker_idle()
        })?;
    }
    Ok(end)
}

/// The position at which raft-log must truncate to remove the entry at `index`. None: nothing to
/// truncate. raft-log needs the entry before that position, which may not exist.
fn cut_at(log: &RaftLog<WalTypes>, index: u64) -> Option<u64> {
    let after = |pos: Option<&LogPos>| pos.map_or(0, |pos| pos.index + 1);
    let (first, end) = (after(log.log_state().purged()), after(log.log_state().last()));
    if index >= end || first >= end {
        return None;
    }
    let before = index.saturating_sub(1);
    let keeps_some = index > first && log.read(before, index).next().is_some();
    Some(if keeps_some { index } else { first })
}
