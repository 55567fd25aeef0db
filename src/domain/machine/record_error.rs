//! Errors of reading records.

use serde::de::DeserializeOwned;

use super::store::codec;
use super::versions;

/// Invalid records.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A key that no version writes.
    #[error("unknown record {0:02x?}")]
    UnknownKey(Vec<u8>),
    /// A value that cannot be decoded.
    #[error("record {key:02x?}: {error}")]
    Value {
        /// Key of the record.
        key: Vec<u8>,
        /// Message of the decoder.
        error: String,
    },
    /// A records version that this software cannot read.
    #[error(
        "records of version {found}, written by {writer}; this software, {}, reads versions {} to {}",
        versions::WRITER,
        versions::RECORDS_OLDEST,
        versions::RECORDS
    )]
    Version {
        /// The version that was found.
        found: u16,
        /// The software that wrote them.
        writer: String,
    },
    /// There is no cluster record.
    #[error("no cluster record")]
    NoCluster,
    /// The digest does not match: records are damaged or missing.
    #[error("digest {found:032x} instead of {expected:032x}: records are damaged or missing")]
    Digest {
        /// The stored digest.
        expected: u128,
        /// The computed digest.
        found: u128,
    },
}

impl RecordError {
    /// A record with extra bytes after its value.
    pub(super) fn left_over(key: &[u8]) -> Self {
        Self::value(key, codec::LEFT_OVER.to_owned())
    }

    /// A decoder error for a record.
    pub(super) fn value(key: &[u8], error: String) -> Self {
        Self::Value { key: key.to_vec(), error }
    }
}

/// Decodes the first value in `rest` and removes it from `rest`.
pub(super) fn first<T: DeserializeOwned>(key: &[u8], rest: &mut &[u8]) -> Result<T, RecordError> {
    codec::first(rest).map_err(|error| RecordError::value(key, error))
}

/// Decodes a whole value.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, RecordError> {
    codec::decode(value).map_err(|error| RecordError::value(key, error))
}
