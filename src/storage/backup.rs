//! The format of a backup file: records as they are in a checkpoint, with who they belong to.
//!
//! ```text
//! punctual backup, format 1        the header: text lines, for operators
//! writer punctual 0.1.0
//! …
//! check <hash of the lines before>
//! head | rows                      blocks; a row is `length of the key | of the value | key | value`
//! …
//! end | number of rows | hash of everything before it
//! ```
//!
//! The head of a block is `length | hash of the block | hash of the head`, each hash with the number
//! of the block, so a reader tells which bytes were changed, and a missing end from damage. The end
//! is the head of a block of length 0.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128};

use crate::domain::time::Timestamp;

/// The version of the format that this program writes and reads.
pub const BACKUP_FORMAT: u32 = 1;

const TITLE: &str = "punctual backup, format ";
/// The header is no longer than this, in bytes.
const HEADER_MAX: usize = 4_096;
/// A block is written when its rows have so many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// No block is longer than this, in bytes: a record is much smaller.
const BLOCK_MAX: usize = 64 << 20;
/// Length of a block's head.
const HEAD: usize = 20;
/// Length of what follows the head of the end.
const END: usize = 24;

/// What a backup tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHeader {
    /// Name and version of the software that wrote it.
    pub writer: String,
    /// The version of its records.
    pub records: u16,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id.
    pub cluster_id: u128,
    /// Log index of the last entry that it has.
    pub applied: u64,
    /// The cluster's counter there.
    pub counter: u64,
    /// When it was taken, in cluster time.
    pub taken: Timestamp,
    /// How many tasks and deleted marks it has.
    pub tasks: u64,
    /// How many executions it has.
    pub executions: u64,
    /// How many calendars it has.
    pub calendars: u64,
    /// The digest over its records.
    pub digest: u128,
}

/// The key and the value of a record.
pub type BackupRow = (Vec<u8>, Vec<u8>);

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a backup of punctual: it does not begin with \"punctual backup\"")]
    Foreign,
    /// It has another version of the format.
    #[error(
        "it has format {0}, and this version reads format {BACKUP_FORMAT}; use the version that \
         wrote it"
    )]
    Version(String),
    /// The file ends too early.
    #[error("it was cut: it ends after {at} bytes, {place}")]
    Cut {
        /// Its length in bytes.
        at: u64,
        /// What is missing there.
        place: String,
    },
    /// Bytes of it are not what was written.
    #[error("it was changed: bytes {from} to {to}, {what}, are not what was written")]
    Changed {
        /// The first byte of the part.
        from: u64,
        /// The byte behind the part.
        to: u64,
        /// Which part it is.
        what: String,
    },
    /// Something follows the end.
    #[error("it was changed: something follows its end, which is after {0} bytes")]
    Excess(u64),
}

impl BackupHeader {
    fn encode(&self) -> io::Result<Vec<u8>> {
        if [&self.cluster_name, &self.writer].iter().any(|text| text.contains(['\n', '\r'])) {
            let why = "the cluster's name has a line break";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let Self { writer, records, cluster_name, cluster_id, applied, counter, .. } = self;
        let Self { taken, tasks, executions, calendars, digest, .. } = self;
        let mut text = format!(
            "{TITLE}{BACKUP_FORMAT}\nwriter {writer}\nrecords {records}\ncluster_name \
             {cluster_name}\ncluster_id {cluster_id:032x}\napplied {applied}\ncounter \
             {counter}\ntaken {}\ntasks {tasks}\nexecutions {executions}\ncalendars \
             {calendars}\ndigest {digest:032x}\n",
            taken.millis()
        );
        let check = xxh3_128(text.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "check {check:032x}");
        Ok(text.into_bytes())
    }

    /// Reads a whole header. None: it is not what was written.
    fn decode(text: &str) -> Option<Result<Self, BackupError>> {
        let (lines, check) = text.rsplit_once("check ")?;
        if check != format!("{:032x}\n", xxh3_128(lines.as_bytes())) {
            return None;
        }
        let format = lines.lines().next()?.strip_prefix(TITLE)?;
        if format != BACKUP_FORMAT.to_string() {
            return Some(Err(BackupError::Version(format.to_owned())));
        }
        let mut values = lines.lines().skip(1).map(|line| line.split_once(' '));
        let mut value = |name: &str| match values.next() {
            Some(Some((found, value))) if found == name => Some(value),
            _ => None,
        };
        let header = Self {
            writer: value("writer")?.to_owned(),
            records: value("records")?.parse().ok()?,
            cluster_name: value("cluster_name")?.to_owned(),
            cluster_id: u128::from_str_radix(value("cluster_id")?, 16).ok()?,
            applied: value("applied")?.parse().ok()?,
            counter: value("counter")?.parse().ok()?,
            taken: Timestamp(value("taken")?.parse().ok()?),
            tasks: value("tasks")?.parse().ok()?,
            executions: value("executions")?.parse().ok()?,
            calendars: value("calendars")?.parse().ok()?,
            digest: u128::from_str_radix(value("digest")?, 16).ok()?,
        };
        Some(Ok(header))
    }
}

/// The head of block `number`.
fn head(number: u64, block: &[u8]) -> io::Result<[u8; HEAD]> {
    let length = u32::try_from(block.len()).ok().filter(|_| block.len() <= BLOCK_MAX);
    let length = length.ok_or_else(|| io::Error::other("a record is too large for a backup"))?;
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..12].copy_from_slice(&xxh3_64_with_seed(block, number).to_le_bytes());
    let check = xxh3_64_with_seed(&head[..12], number);
    head[12..].copy_from_slice(&check.to_le_bytes());
    Ok(head)
}

/// Writes a backup.
pub struct BackupWriter<W> {
    out: W,
    hash: Xxh3,
    block: Vec<u8>,
    blocks: u64,
    rows: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// It cannot be written, or the cluster's name contains a line break.
    pub fn begin(out: W, header: &BackupHeader) -> io::Result<Self> {
        let mut writer = Self { out, hash: Xxh3::new(), block: Vec::new(), blocks: 0, rows: 0 };
        writer.put(&header.encode()?)?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        for part in [key, value] {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            self.block.extend_from_slice(&length.to_le_bytes());
        }
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Completes the backup.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let head = head(self.blocks, &[])?;
        self.put(&head)?;
        let rows = self.rows.to_le_bytes();
        self.put(&rows)?;
        let hash = self.hash.digest128().to_le_bytes();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        let mut bytes = head(self.blocks, &block)?.to_vec();
        bytes.extend_from_slice(&block);
        self.blocks += 1;
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Reads a backup, and checks every byte of it.
pub struct BackupReader<R> {
    input: R,
    header: BackupHeader,
    hash: Xxh3,
    at: u64,
    /// What is left of the block.
    block: Vec<u8>,
    taken: usize,
    blocks: u64,
    rows: u64,
    ended: bool,
}

impl<R: Read> BackupReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is no backup, or its header is damaged.
    pub fn open(mut input: R) -> Result<Self, BackupError> {
        let text = header_text(&mut input)?;
        let to = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let what = || "its header".to_owned();
        let header = BackupHeader::decode(&String::from_utf8_lossy(&text));
        let header = header.ok_or_else(|| BackupError::Changed { from: 0, to, what: what() })??;
        let mut hash = Xxh3::new();
        hash.update(&text);
        let (block, ended) = (Vec::new(), false);
        Ok(Self { input, header, hash, at: to, block, taken: 0, blocks: 0, rows: 0, ended })
    }

    /// What the backup tells of itself.
    #[must_use]
    pub const fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The number of bytes that were read.
    #[must_use]
    pub const fn read_bytes(&self) -> u64 {
        self.at
    }

    /// The next record. None: there is none, and the whole file is as it was written.
    ///
    /// # Errors
    /// The file was cut or changed.
    pub fn row(&mut self) -> Result<Option<BackupRow>, BackupError> {
        while self.taken >= self.block.len() {
            if self.ended || !self.next_block()? {
                return Ok(None);
            }
        }
        let rest = self.block.get(self.taken..).unwrap_or_default();
        let Some((key, value)) = split_row(rest) else {
            return Err(self.changed(self.block.len(), format!("block {}", self.blocks)));
        };
        let row = (key.to_vec(), value.to_vec());
        self.taken += 8 + key.len() + value.len();
        self.rows += 1;
        Ok(Some(row))
    }

    /// Reads a block. False: it is the end.
    fn next_block(&mut self) -> Result<bool, BackupError> {
        let (number, name) = (self.blocks, format!("block {}", self.blocks + 1));
        let mut found = [0; HEAD];
        self.fill(&mut found, "before its end")?;
        let check = xxh3_64_with_seed(&found[..12], number).to_le_bytes();
        let length = u32::from_le_bytes([found[0], found[1], found[2], found[3]]) as usize;
        if found[12..] != check || length > BLOCK_MAX {
            return Err(self.changed(HEAD, format!("the head of {name}")));
        }
        self.hash.update(&found);
        if length == 0 {
            return self.end().map(|()| false);
        }
        let mut block = vec![0; length];
        self.fill(&mut block, &format!("in {name}"))?;
        if found[4..12] != xxh3_64_with_seed(&block, number).to_le_bytes() {
            return Err(self.changed(length, name));
        }
        self.hash.update(&block);
        (self.block, self.taken) = (block, 0);
        self.blocks += 1;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let mut found = [0; END];
        self.fill(&mut found, "within its end")?;
        let (rows, hash) = found.split_at(8);
        self.hash.update(rows);
        if rows != self.rows.to_le_bytes() || hash != self.hash.digest128().to_le_bytes() {
            return Err(self.changed(END, "its end".to_owned()));
        }
        if self.input.read(&mut [0])? > 0 {
            return Err(BackupError::Excess(self.at));
        }
        self.ended = true;
        Ok(())
    }

    /// The last `length` bytes that were read are not what was written.
    fn changed(&self, length: usize, what: String) -> BackupError {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        BackupError::Changed { from: self.at.saturating_sub(length), to: self.at, what }
    }

    fn fill(&mut self, bytes: &mut [u8], place: &str) -> Result<(), BackupError> {
        let read = fill(&mut self.input, bytes)?;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        let whole = read == bytes.len();
        if whole { Ok(()) } else { Err(BackupError::Cut { at: self.at, place: place.to_owned() }) }
    }
}

/// The key and the value of the first row.
fn split_row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = bytes.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let lengths = [u32::from_le_bytes(*key) as usize, u32::from_le_bytes(*value) as usize];
    let (key, rest) = rest.split_at_checked(lengths[0])?;
    Some((key, rest.get(..lengths[1])?))
}

/// Reads until `bytes` are full or the file ends. Returns how many were read.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The bytes of a header: all lines up to the one that begins with `check`.
fn header_text(input: &mut impl Read) -> Result<Vec<u8>, BackupError> {
    let (mut text, mut line) = (Vec::new(), 0);
    loop {
        let mut byte = [0];
        if fill(input, &mut byte)? == 0 {
            let at = u64::try_from(text.len()).unwrap_or(u64::MAX);
            let place = "within its header".to_owned();
            let begun = !text.is_empty() && TITLE.as_bytes().starts_with(&text)
                || text.starts_with(TITLE.as_bytes());
            return Err(if begun { BackupError::Cut { at, place } } else { BackupError::Foreign });
        }
        text.push(byte[0]);
        let title = text.get(..TITLE.len()).unwrap_or(&text);
        if !TITLE.as_bytes().starts_with(title) {
            return Err(BackupError::Foreign);
        }
        if byte[0] == b'\n' {
            let last = text.get(line..).unwrap_or_default();
            if last.starts_with(b"check ") {
                return Ok(text);
            }
            line = text.len();
        }
        if text.len() > HEADER_MAX {
            let to = u64::try_from(text.len()).unwrap_or(u64::MAX);
            return Err(BackupError::Changed { from: 0, to, what: "its header".to_owned() });
        }
    }
}
