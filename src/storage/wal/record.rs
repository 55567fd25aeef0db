//! The format of votes, positions and entries in raft-log's files.
//!
//! raft-log writes a CRC after each record but reads lengths before it checks them. It treats a
//! record that ends after the end of its file as torn by a crash. One flipped bit in a length would
//! make it cut off all following records. So each value begins with a letter for its kind, and each
//! length is checked before it is used. This distinguishes a damaged length from a short file.

use std::cmp::Ordering;
use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_log::codeq::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64;

use super::super::log::LogPos;
use super::writer::Flush;

/// The types that raft-log is instantiated with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WalTypes;

impl raft_log::Types for WalTypes {
    type LogId = LogPos;
    type LogPayload = Blob<ENTRY>;
    type Vote = Blob<VOTE>;
    type UserData = ();
    type Callback = Flush;

    fn log_index(pos: &LogPos) -> u64 {
        pos.index
    }

    fn payload_size(data: &Blob<ENTRY>) -> u64 {
        data.0.len() as u64
    }
}

/// raft-log's record: a type number, values, and eight bytes of checksum.
pub(super) type WalRecord = raft_log::WALRecord<raft_log::RaftWalTypes<WalTypes>>;

/// The first byte of an entry.
pub(super) const ENTRY: u8 = b'E';
/// The first byte of a vote.
pub(super) const VOTE: u8 = b'V';
/// The first byte of a position.
const POSITION: u8 = b'P';

/// Bytes of a record's type number.
pub(super) const TYPE_BYTES: usize = 4;
/// Bytes of a record's checksum.
pub(super) const CHECKSUM_BYTES: usize = 8;
/// Bytes of an encoded position.
pub(super) const POSITION_BYTES: usize = 25;
/// Bytes before a blob's content: letter, flags, length, checksum of these.
pub(super) const HEAD_BYTES: usize = 10;
/// Flag of a blob that contains [`ZERO_RUN_BYTES`] zeros in a row, see [`super::recovery`].
const HAS_ZERO_RUN: u8 = 1;
/// Half a disk sector: a sector of zeros inside a blob always contains a run of this length.
const ZERO_RUN_BYTES: usize = 256;

/// Bytes that the caller encoded, with a head that has a checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob<const KIND: u8>(pub Bytes);

/// Votes have no order here. The caller decides whether one may replace another.
impl<const KIND: u8> PartialOrd for Blob<KIND> {
    fn partial_cmp(&self, _other: &Self) -> Option<Ordering> {
        Some(Ordering::Equal)
    }
}

/// The head of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobHead {
    /// Length of the content in bytes.
    pub len: usize,
    /// Whether the content may look like sectors that were not written.
    pub has_zero_run: bool,
}

impl BlobHead {
    fn of(content: &[u8]) -> Self {
        let has_zero_run =
            content.chunks_exact(ZERO_RUN_BYTES).any(|piece| piece.iter().all(|byte| *byte == 0));
        Self { len: content.len(), has_zero_run }
    }

    fn encode(self, kind: u8) -> io::Result<[u8; HEAD_BYTES]> {
        let len = u32::try_from(self.len).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "a log entry is longer than 4 GiB")
        })?;
        let flags = if self.has_zero_run { HAS_ZERO_RUN } else { 0 };
        let [a, b, c, d] = len.to_be_bytes();
        let checked = [kind, flags, a, b, c, d];
        let [w, x, y, z] = check(&checked);
        Ok([kind, flags, a, b, c, d, w, x, y, z])
    }

    /// Reads a head of the given kind. `None` if the bytes are not such a head.
    pub(super) fn decode(kind: u8, bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let [letter, flags, a, b, c, d, check_of @ ..] = bytes;
        let valid = letter == kind && check(&[letter, flags, a, b, c, d]) == check_of;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        valid.then_some(Self { len, has_zero_run: flags & HAS_ZERO_RUN != 0 })
    }
}

fn check(bytes: &[u8; 6]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64(bytes).to_be_bytes();
    [a, b, c, d]
}

impl<const KIND: u8> Encode for Blob<KIND> {
    fn encode<W: Write>(&self, mut to: W) -> io::Result<usize> {
        to.write_all(&BlobHead::of(&self.0).encode(KIND)?)?;
        to.write_all(&self.0)?;
        Ok(HEAD_BYTES + self.0.len())
    }
}

impl<const KIND: u8> Decode for Blob<KIND> {
    fn decode<R: Read>(mut from: R) -> io::Result<Self> {
        // The letter first: a record of another kind must not be read beyond its end.
        read_letter(&mut from, KIND)?;
        let mut head = [KIND; HEAD_BYTES];
        let [_, rest @ ..] = &mut head;
        from.read_exact(rest)?;
        let head = BlobHead::decode(KIND, head).ok_or_else(|| damaged("head"))?;
        let mut content = vec![0; head.len];
        from.read_exact(&mut content)?;
        Ok(Self(content.into()))
    }
}

impl Encode for LogPos {
    fn encode<W: Write>(&self, mut to: W) -> io::Result<usize> {
        to.write_all(&[POSITION])?;
        for number in [self.term, self.node, self.index] {
            to.write_all(&number.to_be_bytes())?;
        }
        Ok(POSITION_BYTES)
    }
}

impl Decode for LogPos {
    fn decode<R: Read>(mut from: R) -> io::Result<Self> {
        read_letter(&mut from, POSITION)?;
        let mut number = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map(|()| u64::from_be_bytes(bytes))
        };
        Ok(Self { term: number()?, node: number()?, index: number()? })
    }
}

fn read_letter(from: &mut impl Read, expected: u8) -> io::Result<()> {
    let mut letter = [0];
    from.read_exact(&mut letter)?;
    if letter == [expected] { Ok(()) } else { Err(damaged("kind")) }
}

fn damaged(part: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the {part} of a value is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Blob::<ENTRY>(Bytes::copy_from_slice(content)).encode(&mut bytes).unwrap();
        bytes
    }

    /// The bytes on disk. A change needs a new format of the data folder.
    #[test]
    fn golden() {
        assert_eq!(
            encoded(b"abc"),
            [&b"E\0\0\0\0\x03"[..], &check(b"E\0\0\0\0\x03"), b"abc"].concat()
        );
        let mut bytes = Vec::new();
        LogPos { term: 1, node: 2, index: 3 }.encode(&mut bytes).unwrap();
        assert_eq!(bytes, *b"P\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03");
    }

    #[test]
    fn a_damaged_head_is_not_taken_for_a_short_file() {
        let whole = encoded(&[7; 100]);
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Blob::<ENTRY>::decode(&bytes[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
        for len in 0..whole.len() {
            let error = Blob::<ENTRY>::decode(&whole[..len]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut to {len}");
        }
    }

    #[test]
    fn runs_of_zeros_are_marked() {
        assert!(!BlobHead::of(&[0; 255]).has_zero_run);
        assert!(BlobHead::of(&[0; 256]).has_zero_run);
        for start in 0..256 {
            let mut content = vec![1; 2000];
            content[start..start + 512].fill(0);
            assert!(BlobHead::of(&content).has_zero_run, "any 512 zeros hold 256 aligned ones");
        }
    }
}
