//! The clock that measures starts.

pub use crate::clock::BootInstant;
