//! The newest bytes of one output, and the number of its bytes passed to the keeper.

use std::collections::VecDeque;

use super::Chunk;
use crate::config::OutputLimits;

/// Bytes added in one step, so that none is dropped before it is passed to the keeper.
pub(super) const STEP_BYTES: usize = 16 << 10;
/// Bytes passed to the keeper in one step.
const BATCH_BYTES: u64 = 32 << 10;
/// Length of the line between beginning and end.
pub(super) const MARK_BYTES: usize = 54;
const MARK_START: &str = "\n[punctual: ";
const MARK_END: &str = " bytes left out here]\n";

/// Bytes for the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilePiece {
    /// The position in the file.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// Whether bytes before it are left out. It then begins with the line that reports this.
    pub(super) cut: bool,
}

/// See the module documentation.
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    limits: OutputLimits,
    /// Bytes pushed so far.
    total: u64,
    /// Bytes passed to the keeper, from the beginning.
    handed: u64,
    closed: bool,
}

impl Ring {
    pub(super) fn new(limits: OutputLimits) -> Self {
        Self { bytes: VecDeque::new(), limits, total: 0, handed: 0, closed: false }
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.limits.kept_bytes
    }

    /// The length of the kept beginning of an output that exceeds the limit.
    fn head_max(&self) -> u64 {
        let rest = self.limits.live_bytes.saturating_add(MARK_BYTES);
        self.limits.kept_bytes.saturating_sub(rest) as u64
    }

    /// Adds at most [`STEP_BYTES`]. Returns the piece that is now due for the file.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<FilePiece> {
        self.bytes.extend(bytes);
        self.total += bytes.len() as u64;
        let over = self.bytes.len().saturating_sub(self.limits.live_bytes);
        self.bytes.drain(..over);
        let head_max = self.head_max();
        let due = self.total.min(head_max) - self.handed;
        if due >= BATCH_BYTES || self.total >= head_max { self.waiting() } else { None }
    }

    /// The part of the beginning that was not passed on yet.
    pub(super) fn waiting(&mut self) -> Option<FilePiece> {
        let until = self.total.min(self.head_max());
        let at = self.handed;
        if at >= until {
            return None;
        }
        let bytes = self.copy(at, usize::try_from(until - at).unwrap_or(usize::MAX));
        self.handed = until;
        Some(FilePiece { at, bytes, cut: false })
    }

    /// Whether nothing more is added.
    pub(super) const fn closed(&self) -> bool {
        self.closed
    }

    /// Ends the output.
    pub(super) fn close(&mut self) -> Vec<FilePiece> {
        self.closed = true;
        self.rest()
    }

    /// The pieces that are still to be written at the end of the attempt.
    fn rest(&mut self) -> Vec<FilePiece> {
        let mut pieces: Vec<FilePiece> = self.waiting().into_iter().collect();
        let at = self.head_max();
        let left_out = self.start().saturating_sub(at);
        if left_out > 0 {
            let mut bytes = format!("{MARK_START}{left_out:>20}{MARK_END}").into_bytes();
            bytes.extend(self.bytes.iter());
            pieces.push(FilePiece { at, bytes, cut: true });
        } else if self.total > at {
            let bytes = self.copy(at, self.limits.live_bytes);
            pieces.push(FilePiece { at, bytes, cut: false });
        }
        pieces
    }

    /// Bytes from a position on. None: they are only in the file.
    pub(super) fn read(&self, from: u64, max: usize) -> Option<Chunk> {
        let start = self.start();
        if from < start && from < self.head_max() {
            return None;
        }
        let from = from.clamp(start, self.total);
        Some(Chunk { from, bytes: self.copy(from, max), total: self.total, running: true })
    }

    /// All bytes in memory.
    pub(super) fn newest(&self) -> Chunk {
        let from = self.start();
        Chunk { from, bytes: self.copy(from, usize::MAX), total: self.total, running: true }
    }

    /// A chunk of the file as part of the running output. If the file is missing, the bytes in
    /// memory.
    pub(super) fn continued(&self, kept: Option<Chunk>) -> Chunk {
        match kept {
            Some(kept) if !kept.bytes.is_empty() => {
                Chunk { total: self.total, running: true, ..kept }
            }
            _ => self.newest(),
        }
    }

    /// The last bytes, at most `max`, from a character boundary.
    pub(super) fn tail(&self, max: usize) -> Vec<u8> {
        let skip = self.bytes.len().saturating_sub(max);
        let mut tail: Vec<u8> = self.bytes.iter().skip(skip).copied().collect();
        if self.total > tail.len() as u64 {
            // A character's later bytes are 10xxxxxx, and there are at most three of them.
            let broken = tail.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
            tail.drain(..broken);
        }
        tail
    }

    /// The position of the oldest byte held.
    fn start(&self) -> u64 {
        self.total - self.bytes.len() as u64
    }

    fn copy(&self, from: u64, max: usize) -> Vec<u8> {
        let skip = usize::try_from(from.saturating_sub(self.start())).unwrap_or(usize::MAX);
        self.bytes.iter().skip(skip).take(max).copied().collect()
    }
}

/// The number of left-out bytes in a line between beginning and end. None: this is no such line.
pub(super) fn left_out(mark: &[u8]) -> Option<u64> {
    let count = std::str::from_utf8(mark).ok()?.strip_prefix(MARK_START)?;
    count.strip_suffix(MARK_END)?.trim_start().parse().ok()
}
