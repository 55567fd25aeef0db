//! The thread that keeps output on disk, in one file per attempt, under one quota.
//!
//! Files are named `<execution>.<attempt>.log`, or `<execution>.<attempt>.<position>.log` if bytes
//! are left out at that position. Limits may change, and earlier files stay readable. Execution ids
//! only increase, so the lowest name is the oldest. Nothing is synced: output is a convenience, and
//! outcomes do not depend on it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ring::{FilePiece, MARK_BYTES, left_out};
use super::{Chunk, LiveOutput, OutputKey, RunningOutputs};
use crate::domain::ids::ExecutionId;

/// Maximum delay until the output of a running attempt is on disk.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The size of a file on disk is a multiple of this.
const BLOCK_BYTES: u64 = 4_096;

/// Work for the keeper thread, processed in order.
pub(super) enum KeeperJob {
    Write { key: OutputKey, piece: FilePiece },
    Read { key: OutputKey, from: u64, max: usize, reply: oneshot::Sender<Option<Chunk>> },
    Flush { reply: oneshot::Sender<()> },
}

/// One file.
#[derive(Clone, Copy, Default)]
struct OutputFile {
    /// Bytes on disk, in whole blocks.
    size: u64,
    /// The position at which bytes are left out. None: nowhere.
    cut: Option<u64>,
}

/// See the module documentation.
pub(super) struct OutputKeeper {
    folder: PathBuf,
    quota: u64,
    running: Arc<RunningOutputs>,
    kept: BTreeMap<OutputKey, OutputFile>,
    used: u64,
    /// Whether the last write failed. Only changes of this are logged.
    failing: bool,
}

impl OutputKeeper {
    /// Creates the folder and starts the thread, which ends when the last sender is dropped.
    pub(super) fn start(
        folder: PathBuf,
        quota: u64,
        running: Arc<RunningOutputs>,
    ) -> io::Result<Sender<KeeperJob>> {
        // The output of attempts may be secret.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (jobs, todo) = channel();
        let keeper =
            Self { folder, quota, running, kept: BTreeMap::new(), used: 0, failing: false };
        thread::Builder::new().name("output".to_owned()).spawn(move || keeper.serve(&todo))?;
        Ok(jobs)
    }

    fn serve(mut self, todo: &Receiver<KeeperJob>) {
        self.scan();
        let mut swept = Instant::now();
        loop {
            match todo.recv_timeout(SWEEP_EVERY.saturating_sub(swept.elapsed())) {
                Ok(KeeperJob::Write { key, piece }) => self.write(key, &piece),
                Ok(KeeperJob::Read { key, from, max, reply }) => {
                    let _ = reply.send(self.read(key, from, max).ok());
                }
                Ok(KeeperJob::Flush { reply }) => {
                    let _ = reply.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if swept.elapsed() >= SWEEP_EVERY {
                self.sweep();
                swept = Instant::now();
            }
        }
    }

    /// Registers the files of earlier processes of this node.
    fn scan(&mut self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let named = entry.file_name().to_str().and_then(parse_name);
            if let (Some((key, cut)), Ok(meta)) = (named, entry.metadata()) {
                self.account(key, meta.len());
                self.kept.entry(key).or_default().cut = cut;
            }
        }
        self.make_room();
    }

    /// Writes the pending output of running attempts.
    fn sweep(&mut self) {
        let live: Vec<Arc<LiveOutput>> = self.running.lock().values().cloned().collect();
        for live in live {
            if let Some(piece) = live.waiting() {
                self.write(live.key, &piece);
            }
        }
    }

    fn write(&mut self, key: OutputKey, piece: &FilePiece) {
        match self.try_write(key, piece) {
            Ok(length) => {
                self.failing = false;
                self.account(key, length);
                if piece.cut {
                    self.kept.entry(key).or_default().cut = Some(piece.at);
                }
                self.make_room();
            }
            Err(error) => {
                if !self.failing {
                    let folder = self.folder.display();
                    tracing::warn!(%error, %folder, "output of executions cannot be kept");
                }
                self.failing = true;
            }
        }
    }

    /// Returns the new length of the file. Each piece has a fixed position, so a failed write does
    /// not move others.
    fn try_write(&self, key: OutputKey, piece: &FilePiece) -> io::Result<u64> {
        let path = self.path(key);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(piece.at == 0).mode(0o600);
        let file = options.open(&path)?;
        file.write_all_at(&piece.bytes, piece.at)?;
        if piece.cut {
            fs::rename(&path, self.folder.join(name(key, Some(piece.at))))?;
        }
        Ok(file.metadata()?.len())
    }

    fn account(&mut self, key: OutputKey, length: u64) {
        let size = length.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
        let kept = self.kept.entry(key).or_default();
        self.used = self.used + size - kept.size;
        kept.size = size;
    }

    /// Removes the oldest files of attempts that have ended until the quota is met.
    fn make_room(&mut self) {
        while self.used > self.quota {
            let running = self.running.lock();
            let oldest = self.kept.keys().find(|key| !running.contains_key(*key)).copied();
            drop(running);
            let Some(key) = oldest else { return };
            let _ = fs::remove_file(self.path(key));
            self.used -= self.kept.remove(&key).map_or(0, |kept| kept.size);
        }
    }

    /// Reads a part of the output from the file, which may have its middle left out.
    fn read(&self, key: OutputKey, from: u64, max: usize) -> io::Result<Chunk> {
        let file = File::open(self.path(key))?;
        let length = file.metadata()?.len();
        let cut = self.kept.get(&key).and_then(|kept| kept.cut);
        let gap = match cut {
            Some(cut) => left_out(&read_at(&file, cut, MARK_BYTES)?).map(|gap| (cut, gap)),
            None => None,
        };
        let Some((head, gap)) = gap else {
            let from = from.min(length);
            let bytes = read_at(&file, from, max)?;
            return Ok(Chunk { from, bytes, total: length, running: false });
        };
        let mark = MARK_BYTES as u64;
        let total = length - mark + gap;
        if from < head {
            let left = usize::try_from(head - from).unwrap_or(usize::MAX);
            let bytes = read_at(&file, from, max.min(left))?;
            return Ok(Chunk { from, bytes, total, running: false });
        }
        let from = from.clamp(head + gap, total);
        let bytes = read_at(&file, from - gap + mark, max)?;
        Ok(Chunk { from, bytes, total, running: false })
    }

    fn path(&self, key: OutputKey) -> PathBuf {
        self.folder.join(name(key, self.kept.get(&key).and_then(|kept| kept.cut)))
    }
}

fn name((execution, attempt): OutputKey, cut: Option<u64>) -> String {
    match cut {
        Some(cut) => format!("{execution}.{attempt}.{cut}.log"),
        None => format!("{execution}.{attempt}.log"),
    }
}

/// The attempt of a file, and the position at which it leaves bytes out.
fn parse_name(name: &str) -> Option<(OutputKey, Option<u64>)> {
    let mut parts = name.strip_suffix(".log")?.split('.');
    let key = (parts.next()?.parse::<ExecutionId>().ok()?, parts.next()?.parse().ok()?);
    let cut = match parts.next() {
        Some(cut) => Some(cut.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then_some((key, cut))
}

fn read_at(file: &File, at: u64, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; max];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
