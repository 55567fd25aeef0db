//! The versions that this software writes, and the older versions that it reads.

/// The highest command level that this software supports.
pub const LEVEL: u16 = 1;
/// Version of the log entries that contain commands.
pub const ENTRY: u8 = 1;
/// Version of the records. Every change of a record or of the digest requires a new version.
pub const RECORDS: u16 = 7;
/// The oldest readable version of the records: the previous one.
pub const RECORDS_OLDEST: u16 = RECORDS - 1;
/// Name and version of this software, as written to the records.
pub const WRITER: &str =
    if cfg!(test) { "punctual 0.0.0" } else { concat!("punctual ", env!("CARGO_PKG_VERSION")) };
