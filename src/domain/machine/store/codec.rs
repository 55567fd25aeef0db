//! The encoding of values as bytes, for the log, the checkpoint and the digest.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::machine::limits::DECODE_BYTES_MAX;

/// The configuration of the encoding, with a memory limit for decoding.
pub const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit();

/// Appends the encoding of a value.
pub fn append<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Encoding plain data into memory cannot fail.
    let _written = bincode::serde::encode_into_std_write(value, out, CONFIG);
}

/// The encoding of a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(value, &mut out);
    out
}

/// Decodes a value from the start of `rest`, and removes its bytes.
///
/// # Errors
/// The decoder's message, if the bytes are not such a value.
pub fn first<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, String> {
    match bincode::serde::decode_from_slice(rest, CONFIG) {
        Ok((decoded, used)) => {
            *rest = rest.get(used..).unwrap_or_default();
            Ok(decoded)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Decodes a value from all of the bytes.
///
/// # Errors
/// The bytes are not such a value, or have trailing bytes.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let mut rest = value;
    let decoded = first(&mut rest)?;
    if rest.is_empty() { Ok(decoded) } else { Err(LEFT_OVER.to_owned()) }
}

/// The error message for bytes after a value.
pub const LEFT_OVER: &str = "bytes left over";

/// A row key: a letter and a number, big-endian, so that rows are sorted by number.
pub fn key_of_one(letter: u8, number: u64) -> [u8; 9] {
    let mut out = [letter; 9];
    out[1..].copy_from_slice(&number.to_be_bytes());
    out
}

/// A row key with two numbers.
pub fn key_of_two(letter: u8, first: u64, second: u64) -> [u8; 17] {
    let mut out = [letter; 17];
    out[1..9].copy_from_slice(&first.to_be_bytes());
    out[9..].copy_from_slice(&second.to_be_bytes());
    out
}
