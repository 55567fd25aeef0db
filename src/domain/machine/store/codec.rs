//! How values are written as bytes, in the log, in the checkpoint and for the digest.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::machine::limits::DECODE_BYTES_MAX;

/// How commands and records are written, with a limit to what reading them may claim.
pub const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit();

/// Writes a value behind what is there.
pub fn append<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Writing plain data into memory has no way to fail.
    let _written = bincode::serde::encode_into_std_write(value, out, CONFIG);
}

/// A value in its stored form.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(value, &mut out);
    out
}

/// Reads what stands first in `rest`, and takes it away.
///
/// # Errors
/// What the decoder says of bytes that are no such value.
pub fn first<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, String> {
    match bincode::serde::decode_from_slice(rest, CONFIG) {
        Ok((decoded, used)) => {
            *rest = rest.get(used..).unwrap_or_default();
            Ok(decoded)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a value from all of the bytes.
///
/// # Errors
/// The bytes are no such value, or more than one.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let mut rest = value;
    let decoded = first(&mut rest)?;
    if rest.is_empty() { Ok(decoded) } else { Err(LEFT_OVER.to_owned()) }
}

/// What is said of bytes behind a value.
pub const LEFT_OVER: &str = "bytes left over";

/// A row's key: a letter and a number, big-endian, so that rows stand in the order of their numbers.
pub fn key_of_one(letter: u8, number: u64) -> [u8; 9] {
    let mut out = [letter; 9];
    out[1..].copy_from_slice(&number.to_be_bytes());
    out
}

/// A row's key of two numbers.
pub fn key_of_two(letter: u8, first: u64, second: u64) -> [u8; 17] {
    let mut out = [letter; 17];
    out[1..9].copy_from_slice(&first.to_be_bytes());
    out[9..].copy_from_slice(&second.to_be_bytes());
    out
}
