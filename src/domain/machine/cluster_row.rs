//! The cluster's row, which says of which version all rows are.
//!
//! It is `version | writer | cluster | digest | seal`; until version 6 there were neither writer nor
//! seal. Version, writer and seal keep their places in all versions to come, so that any version can
//! name another.

use xxhash_rust::xxh3::xxh3_64;

use super::record_error::{RecordError, decode, first};
use super::store::codec::encode;
use super::task::record::Cluster;
use super::versions::{RECORDS, RECORDS_OLDEST, WRITER};

/// Length of the seal, a hash of what stands before it. The digest does not cover the version, and a
/// damaged version must not be taken for another one.
const SEAL_BYTES: usize = 8;

/// The row of a cluster, whose records have this digest.
pub(super) fn write(cluster: &Cluster, digest: u128) -> Vec<u8> {
    sealed(encode(&(RECORDS, WRITER, cluster, digest)))
}

/// The cluster and the digest in its row.
///
/// # Errors
/// A row that is damaged, or of a version that is not read.
pub(super) fn read(key: &[u8], row: &[u8]) -> Result<(Cluster, u128), RecordError> {
    let mut rest = row;
    let found: u16 = first(key, &mut rest)?;
    match found {
        RECORDS_OLDEST => return decode(key, rest),
        ..RECORDS_OLDEST => {
            let writer = "an earlier version".to_owned();
            return Err(RecordError::Version { found, writer });
        }
        RECORDS.. => {}
    }
    rest = unsealed(key, row)?;
    let (_, writer): (u16, String) = (first(key, &mut rest)?, first(key, &mut rest)?);
    if found > RECORDS {
        return Err(RecordError::Version { found, writer });
    }
    decode(key, rest)
}

fn sealed(mut row: Vec<u8>) -> Vec<u8> {
    row.extend_from_slice(&xxh3_64(&row).to_le_bytes());
    row
}

/// What [`sealed`] was given, if it is still that.
fn unsealed<'a>(key: &[u8], row: &'a [u8]) -> Result<&'a [u8], RecordError> {
    row.split_last_chunk::<SEAL_BYTES>()
        .filter(|(content, seal)| **seal == xxh3_64(content).to_le_bytes())
        .map(|(content, _)| content)
        .ok_or_else(|| RecordError::Value { key: key.to_vec(), error: "damaged".to_owned() })
}

/// A row that says another version.
#[cfg(test)]
pub(crate) fn as_version(row: &[u8], version: u8) -> Vec<u8> {
    let content = row.split_last_chunk::<SEAL_BYTES>().map_or(row, |(content, _)| content);
    let mut content = content.to_vec();
    content[0] = version;
    sealed(content)
}
