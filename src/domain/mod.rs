//! Everything that decides: schedules, tasks, the replicated state machine, assignment.
//!
//! Plain synchronous functions over plain data. The same input gives the same output on every
//! node, in every year: nothing here reads a clock, the environment, a random source or a disk,
//! and nothing iterates over a hash map.

pub mod assign;
pub mod balance;
pub mod declared;
pub mod error_code;
pub mod executor;
pub mod ids;
pub mod machine;
pub mod schedule;
pub mod settling;
pub mod spec;
pub mod task;
pub mod time;
pub mod warning_code;
