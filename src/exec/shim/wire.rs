//! The messages between a node and its shim: length, then bincode.
//!
//! Both ends are the same binary, so there is no version.

use std::io;

use bincode::config::{Configuration, standard};
use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exec::boot::BootInstant;

const CONFIG: Configuration = standard();
/// A command with its environment and standard input fits into this, as does a piece of output.
pub(in crate::exec) const FRAME_MAX_BYTES: usize = 8 << 20;
/// Size of one read.
const READ_BYTES: usize = 64 << 10;

/// An order of the node.
#[derive(Serialize, Deserialize)]
pub(in crate::exec) enum ToShim {
    Spawn(Box<Spawn>),
    /// Sends TERM, or with `force` KILL, to the whole group.
    Kill {
        id: u64,
        force: bool,
    },
}

/// A process to start, with all lookups done.
#[derive(Serialize, Deserialize)]
pub(in crate::exec) struct Spawn {
    /// The node's id for it.
    pub(in crate::exec) id: u64,
    pub(in crate::exec) start_by: BootInstant,
    /// The path of the program.
    pub(in crate::exec) program: String,
    pub(in crate::exec) argv: Vec<String>,
    /// The complete environment.
    pub(in crate::exec) env: Vec<(String, String)>,
    pub(in crate::exec) folder: String,
    pub(in crate::exec) stdin: String,
    /// Its soft limit of open files. None: the limit at the start of the shim.
    pub(in crate::exec) open_files: Option<u64>,
    /// Its user. None: the node's user.
    pub(in crate::exec) user: Option<Credentials>,
}

/// The ids of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::exec) struct Credentials {
    pub(in crate::exec) uid: u32,
    pub(in crate::exec) gid: u32,
    /// All groups, including the primary group.
    pub(in crate::exec) groups: Vec<u32>,
}

/// What the shim reports.
#[derive(Serialize, Deserialize)]
pub(in crate::exec) enum FromShim {
    /// Started. `at` is the time just before the spawn call.
    Spawned { id: u64, at: BootInstant, pid: i32 },
    /// Not started, because its time had passed.
    Late { id: u64 },
    /// Not started, because of an error of the system.
    Refused { id: u64, code: Option<i32>, error: String },
    /// A piece of standard output or error.
    Output {
        id: u64,
        #[serde(with = "raw")]
        bytes: Vec<u8>,
    },
    /// The attempt has ended, with an exit code or by a signal.
    Ended { id: u64, at: BootInstant, code: Option<i32>, signal: Option<i32> },
}

/// Encodes a message for the wire.
///
/// # Errors
/// The message is larger than a frame.
pub(in crate::exec) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    bincode::serde::encode_into_std_write(message, &mut frame, CONFIG).map_err(io::Error::other)?;
    let length = frame.len() - 4;
    if length > FRAME_MAX_BYTES {
        return Err(io::Error::other("the message is too large"));
    }
    if let (Some(head), Ok(length)) = (frame.first_chunk_mut::<4>(), u32::try_from(length)) {
        *head = length.to_le_bytes();
    }
    Ok(frame)
}

/// Received bytes that are not complete messages yet.
#[derive(Default)]
pub(in crate::exec) struct Inbox(BytesMut);

impl Inbox {
    /// The buffer for the next read. It always has free space.
    pub(in crate::exec) fn room(&mut self) -> &mut BytesMut {
        self.0.reserve(READ_BYTES);
        &mut self.0
    }

    /// The next complete message.
    ///
    /// # Errors
    /// The bytes are not a message.
    pub(in crate::exec) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(head) = self.0.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if length > FRAME_MAX_BYTES {
            return Err(io::Error::other("a frame is too large"));
        }
        let Some(body) = self.0.get(4..4 + length) else { return Ok(None) };
        let (message, used) =
            bincode::serde::decode_from_slice(body, CONFIG).map_err(io::Error::other)?;
        if used != length {
            return Err(io::Error::other("a frame is longer than its message"));
        }
        let _ = self.0.split_to(4 + length);
        Ok(Some(message))
    }
}

/// Serializes bytes as one block. By default serde would write them one by one.
mod raw {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct ByteBuffer;
        impl Visitor<'_> for ByteBuffer {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(ByteBuffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_whatever_pieces_they_come() {
        let orders: Vec<ToShim> =
            (0..3).map(|id| ToShim::Kill { id, force: id % 2 == 0 }).collect();
        let all: Vec<u8> = orders.iter().flat_map(|order| encode(order).unwrap()).collect();
        for step in 1..=all.len() {
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            for piece in all.chunks(step) {
                inbox.room().extend_from_slice(piece);
                while let Some(order) = inbox.next::<ToShim>().unwrap() {
                    let ToShim::Kill { id, .. } = order else { panic!("a spawn") };
                    seen.push(id);
                }
            }
            assert_eq!(seen, [0, 1, 2]);
        }
    }

    #[test]
    fn output_is_one_block_and_nonsense_is_refused() {
        let frame = encode(&FromShim::Output { id: 1, bytes: vec![200; 1_000] }).unwrap();
        assert!(frame.len() < 1_012);
        let mut inbox = Inbox::default();
        inbox.room().extend_from_slice(&frame);
        let Some(FromShim::Output { bytes, .. }) = inbox.next().unwrap() else { panic!() };
        assert_eq!(bytes, [200; 1_000]);
        inbox.room().extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(inbox.next::<FromShim>().is_err());
        let mut inbox = Inbox::default();
        inbox.room().extend_from_slice(&[1, 0, 0, 0, 99]);
        assert!(inbox.next::<FromShim>().is_err());
    }
}
