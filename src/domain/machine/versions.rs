//! What this software writes, and what of older software it reads.

/// The highest level of commands that this software knows.
pub const LEVEL: u16 = 1;
/// Version of the entries that carry commands.
pub const ENTRY: u8 = 1;
/// Version of the records; a change of any of them, or of their digest, is a new one.
pub const RECORDS: u16 = 6;
/// The oldest version of the records that is read: the last one.
pub const RECORDS_OLDEST: u16 = RECORDS - 1;
/// The software, as it names itself in the records.
pub const WRITER: &str =
    if cfg!(test) { "punctual 0.0.0" } else { concat!("punctual ", env!("CARGO_PKG_VERSION")) };
