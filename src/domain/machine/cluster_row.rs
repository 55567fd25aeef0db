//! The cluster row. It contains the version of all rows.
//!
//! Its format is `version | writer | cluster | digest | seal`; before version 6 it had neither
//! writer nor seal. Version, writer and seal keep their positions in all future versions, so that
//! any version can identify another.

use xxhash_rust::xxh3::xxh3_64;

use super::record_error::{RecordError, decode, first};
use super::store::codec::encode;
use super::task::record::Cluster;
use super::versions::{RECORDS, RECORDS_OLDEST, WRITER};

/// Length of the seal, a hash of the bytes before it. The digest does not cover the version, and a
/// damaged version must not be taken for a different valid one.
const SEAL_BYTES: usize = 8;

/// The row of a cluster; `digest` is the digest of its records.
pub(super) fn write(cluster: &Cluster, digest: u128) -> Vec<u8> {
    sealed(encode(&(RECORDS, WRITER, cluster, digest)))
}

/// The version of all rows, the cluster and the digest.
///
/// # Errors
/// The row is damaged, or its version is not readable.
pub(super) fn read(key: &[u8], row: &[u8]) -> Result<(u16, Cluster, u128), RecordError> {
    let found: u16 = first(key, &mut &*row)?;
    if found < RECORDS_OLDEST {
        let writer = "an earlier version".to_owned();
        return Err(RecordError::Version { found, writer });
    }
    let mut rest = unsealed(key, row)?;
    let (_, writer): (u16, String) = (first(key, &mut rest)?, first(key, &mut rest)?);
    if found > RECORDS {
        return Err(RecordError::Version { found, writer });
    }
    let (cluster, digest) = decode(key, rest)?;
    Ok((found, cluster, digest))
}

fn sealed(mut row: Vec<u8>) -> Vec<u8> {
    row.extend_from_slice(&xxh3_64(&row).to_le_bytes());
    row
}

/// The content passed to [`sealed`], if the seal matches.
fn unsealed<'a>(key: &[u8], row: &'a [u8]) -> Result<&'a [u8], RecordError> {
    row.split_last_chunk::<SEAL_BYTES>()
        .filter(|(content, seal)| **seal == xxh3_64(content).to_le_bytes())
        .map(|(content, _)| content)
        .ok_or_else(|| RecordError::Value { key: key.to_vec(), error: "damaged".to_owned() })
}

/// The row with another version number.
#[cfg(test)]
pub(crate) fn as_version(row: &[u8], version: u8) -> Vec<u8> {
    let content = row.split_last_chunk::<SEAL_BYTES>().map_or(row, |(content, _)| content);
    let mut content = content.to_vec();
    content[0] = version;
    sealed(content)
}
