//! The synced length of the log, in a file next to it.
//!
//! A torn write at the log's end was never synced, and is cut off. The log's files do not show
//! whether their end is torn or was removed later. So the synced length is kept in a separate file.
//! It is written after each sync, alternately to two sectors, and is itself not synced. After a
//! power cut it may therefore be too small, but never too large.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::super::descriptors::DescriptorReserve;
use super::super::{StorageError, files, write_atomic};

/// The first bytes of each of the two marks, before the version.
const TITLE: [u8; 7] = *b"synced ";
/// The version of the marks that this software reads and writes, one digit.
const VERSION: u8 = b'1';
/// Length of a mark: title, version, offset, hash.
const MARK_BYTES: usize = 24;
/// Distance of the two marks, so that a torn write damages only one of them.
const SECTOR_BYTES: usize = 512;

/// The file with the two marks.
#[derive(Debug)]
pub(super) struct Synced {
    path: PathBuf,
    file: File,
    offset: u64,
    second: bool,
}

impl Synced {
    /// The path of the file for the log in `folder`.
    pub fn path(folder: &Path) -> PathBuf {
        let mut name = folder.as_os_str().to_owned();
        name.push(".synced");
        PathBuf::from(name)
    }

    /// Opens the file for the log in `folder`, or creates it, durably, with 0. A damaged file
    /// counts as 0, with a warning, because the log itself may be intact.
    ///
    /// # Errors
    /// The file cannot be read or written, or another version wrote it.
    pub fn open(folder: &Path, reserve: &DescriptorReserve) -> Result<Self, StorageError> {
        let path = Self::path(folder);
        let found = files::read_file(reserve, &path)?;
        let marks = found.iter().flat_map(|bytes| bytes.chunks(SECTOR_BYTES)).enumerate();
        let mut newest = None;
        for (at, mark) in marks {
            match decode(mark) {
                Some((VERSION, offset)) => newest = newest.max(Some((offset, at == 1))),
                Some((version, _)) => {
                    let (found, known) = (char::from(version), char::from(VERSION));
                    let why = format!(
                        "it has version {found}, this version reads version {known}; start the \
                         version that wrote it: nothing was changed"
                    );
                    return Err(StorageError::foreign(path, why));
                }
                None => {}
            }
        }
        if newest.is_none() {
            if found.is_some() {
                let file = path.display();
                tracing::warn!(%file, "damaged; the synced length of the log is unknown");
            }
            let mut both = vec![0; SECTOR_BYTES + MARK_BYTES];
            for at in [0, SECTOR_BYTES] {
                let mark = both.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
                *mark.unwrap_or(&mut [0; MARK_BYTES]) = encode(0);
            }
            write_atomic(reserve, &path, &both)?;
        }
        let file = reserve.open(|| files::private().open(&path));
        let file = file.map_err(StorageError::at("open", &path))?;
        let (offset, second) = newest.unwrap_or_default();
        Ok(Self { path, file, offset, second })
    }

    /// The synced length, an offset over all of the log's files.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Records that everything up to `offset` is synced. No effect if this is already recorded.
    pub fn note(&mut self, offset: u64) -> io::Result<()> {
        if offset <= self.offset {
            return Ok(());
        }
        // The newest mark is kept until the next one is complete.
        let second = !self.second;
        let at = if second { SECTOR_BYTES as u64 } else { 0 };
        self.file.write_all_at(&encode(offset), at).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        (self.offset, self.second) = (offset, second);
        Ok(())
    }
}

fn encode(offset: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    let (content, check) = mark.split_at_mut(MARK_BYTES - 8);
    let (title, place) = content.split_at_mut(TITLE.len() + 1);
    title.copy_from_slice(&[&TITLE[..], &[VERSION]].concat());
    place.copy_from_slice(&offset.to_be_bytes());
    check.copy_from_slice(&xxh3_64(content).to_be_bytes());
    mark
}

/// The version and the offset of a mark. In every version a mark begins with the title and ends
/// with the hash.
fn decode(mark: &[u8]) -> Option<(u8, u64)> {
    let mark = mark.first_chunk::<MARK_BYTES>()?;
    let (content, check) = mark.split_last_chunk::<8>()?;
    let (version, place) = content.strip_prefix(&TITLE)?.split_first()?;
    let sound = *check == xxh3_64(content).to_be_bytes();
    sound.then_some((*version, u64::from_be_bytes(*place.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_newest_place_and_survives_the_loss_of_one_mark() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let path = Synced::path(&log);
        let mut synced = Synced::open(&log, &DescriptorReserve::default()).unwrap();
        assert_eq!(synced.offset(), 0);
        for offset in [7, 300, 200] {
            synced.note(offset).unwrap();
        }
        assert_eq!(
            (synced.offset(), Synced::open(&log, &DescriptorReserve::default()).unwrap().offset()),
            (300, 300)
        );
        let sound = std::fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            let offset = Synced::open(&log, &DescriptorReserve::default()).unwrap().offset();
            assert!([7, 300].contains(&offset), "bit {bit}: {offset} was never recorded");
        }
        std::fs::write(&path, b"").unwrap();
        assert_eq!(
            Synced::open(&log, &DescriptorReserve::default()).unwrap().offset(),
            0,
            "an empty file counts as 0"
        );
        assert_eq!(decode(&encode(u64::MAX)), Some((VERSION, u64::MAX)));
    }

    #[test]
    fn a_mark_of_another_version_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let path = Synced::path(&log);
        Synced::open(&log, &DescriptorReserve::default()).unwrap().note(300).unwrap();
        let ours = std::fs::read(&path).unwrap();
        let mut theirs = ours.clone();
        theirs[7] = b'2';
        let check = xxh3_64(&theirs[..16]).to_be_bytes();
        theirs[16..24].copy_from_slice(&check);
        std::fs::write(&path, &theirs).unwrap();
        let error = Synced::open(&log, &DescriptorReserve::default()).unwrap_err();
        assert!(!error.is_damage());
        let said = error.to_string();
        let why = "it has version 2, this version reads version 1; start the version that wrote it";
        assert!(said.contains(why), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), theirs, "the file was changed");
        std::fs::write(&path, &ours).unwrap();
        assert_eq!(Synced::open(&log, &DescriptorReserve::default()).unwrap().offset(), 300);
    }
}
