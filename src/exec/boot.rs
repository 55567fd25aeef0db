//! The clock that starts are measured by.

pub use crate::clock::BootInstant;
