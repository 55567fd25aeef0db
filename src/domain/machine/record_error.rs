//! Why records cannot be read.

use serde::de::DeserializeOwned;

use super::store::codec;
use super::versions;

/// Records that do not add up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A key that no version wrote.
    #[error("unknown record {0:02x?}")]
    UnknownKey(Vec<u8>),
    /// A value that does not decode.
    #[error("record {key:02x?}: {error}")]
    Value {
        /// Of this record.
        key: Vec<u8>,
        /// The decoder's words.
        error: String,
    },
    /// A version of the records that this software does not read.
    #[error(
        "records of version {found}, written by {writer}; this software, {}, reads versions {} to {}",
        versions::WRITER,
        versions::RECORDS_OLDEST,
        versions::RECORDS
    )]
    Version {
        /// The version.
        found: u16,
        /// The software that wrote them.
        writer: String,
    },
    /// There is no cluster record.
    #[error("no cluster record")]
    NoCluster,
    /// The records are not those that were written.
    #[error("digest {found:032x} instead of {expected:032x}: records are damaged or missing")]
    Digest {
        /// As stored.
        expected: u128,
        /// As computed.
        found: u128,
    },
}

impl RecordError {
    /// More bytes than a record has.
    pub(super) fn left_over(key: &[u8]) -> Self {
        Self::value(key, codec::LEFT_OVER.to_owned())
    }

    /// What the decoder says of a record.
    pub(super) fn value(key: &[u8], error: String) -> Self {
        Self::Value { key: key.to_vec(), error }
    }
}

/// Reads what stands first in `rest`, and takes it away.
pub(super) fn first<T: DeserializeOwned>(key: &[u8], rest: &mut &[u8]) -> Result<T, RecordError> {
    codec::first(rest).map_err(|error| RecordError::value(key, error))
}

/// Reads a whole value.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, RecordError> {
    codec::decode(value).map_err(|error| RecordError::value(key, error))
}
