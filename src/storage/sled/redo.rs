//! The redo file, which makes a write of many batches atomic.
//!
//! sled keeps every page that a batch replaces until the batch ends: 5 KB per changed key, half a
//! gigabyte for 100,000. So a large write is first written to this file and then applied to sled in
//! slices. If the process dies between two slices, the next start applies all of them again. This
//! is harmless for those already applied, because a step only sets or removes a key.
//!
//! Layout: the number of the write (u64), then for each step the length of the key (u32), the key,
//! and the length of the value (u32) with the value, or [`REMOVED`]; at the end a 128-bit hash of
//! everything before. Numbers are big-endian.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::super::descriptors::DescriptorReserve;
use super::super::{AtomicFile, StorageError, files};

/// A key in sled's form, and its value. `None` removes the key.
pub(super) type RedoStep = (Vec<u8>, Option<Vec<u8>>);

/// The name of the file in the store's folder.
pub(super) const REDO: &str = "redo";
/// The length that marks a removed key.
const REMOVED: u32 = u32::MAX;
/// Bytes of the hash at the end.
const HASH_BYTES: usize = 16;

/// Writes the steps of write `number` to the file. They are durable on return.
pub(super) fn save(
    reserve: &DescriptorReserve,
    folder: &Path,
    number: u64,
    steps: &[RedoStep],
) -> Result<(), StorageError> {
    let path = folder.join(REDO);
    let mut file =
        Hashed { to: BufWriter::new(AtomicFile::create(reserve, &path)?), hash: Xxh3::new() };
    let written = encode(&mut file, number, steps).and_then(|()| {
        let hash = file.hash.digest128().to_be_bytes();
        file.to.write_all(&hash)?;
        file.to.into_inner().map_err(io::IntoInnerError::into_error)
    });
    written.map_err(StorageError::at("write", &path))?.commit()
}

/// The last saved write, with its number. `None` if there is none.
pub(super) fn load(
    reserve: &DescriptorReserve,
    folder: &Path,
) -> Result<Option<(u64, Vec<RedoStep>)>, StorageError> {
    let path = folder.join(REDO);
    let Some(bytes) = files::read_file(reserve, &path)? else { return Ok(None) };
    let decoded = bytes.split_last_chunk::<HASH_BYTES>().and_then(|(content, hash)| {
        let sound = xxh3_128(content).to_be_bytes() == *hash;
        sound.then(|| decode(content)).flatten()
    });
    decoded.map(Some).ok_or_else(|| StorageError::corrupt(path, "it is damaged"))
}

/// Removes the file. It may reappear after a power cut; its number then shows that it is old.
pub(super) fn remove(folder: &Path) -> Result<(), StorageError> {
    let path = folder.join(REDO);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn encode(to: &mut impl Write, number: u64, steps: &[RedoStep]) -> io::Result<()> {
    to.write_all(&number.to_be_bytes())?;
    for (key, value) in steps {
        to.write_all(&len_of(key)?.to_be_bytes())?;
        to.write_all(key)?;
        match value {
            Some(value) => {
                to.write_all(&len_of(value)?.to_be_bytes())?;
                to.write_all(value)?;
            }
            None => to.write_all(&REMOVED.to_be_bytes())?,
        }
    }
    Ok(())
}

fn len_of(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

fn decode(content: &[u8]) -> Option<(u64, Vec<RedoStep>)> {
    let (number, mut rest) = content.split_first_chunk()?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let key = take(&mut rest)??.to_vec();
        let value = take(&mut rest)?.map(<[u8]>::to_vec);
        steps.push((key, value));
    }
    Some((u64::from_be_bytes(*number), steps))
}

/// Reads a length and this number of bytes. The inner `None` is [`REMOVED`].
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, behind) = rest.split_first_chunk()?;
    let len = u32::from_be_bytes(*len);
    if len == REMOVED {
        *rest = behind;
        return Some(None);
    }
    let (bytes, behind) = behind.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = behind;
    Some(Some(bytes))
}

/// A writer that hashes what it writes.
struct Hashed<W> {
    to: W,
    hash: Xxh3,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
