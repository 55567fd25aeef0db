//! The replicated state machine.
//!
//! ```text
//! entry {stamp, origin, seq, commands…} ──▶ State::apply ──▶ responses, in order
//!                                              │
//!                                              └──▶ effects: hints for those who act
//! ```
//!
//! Apply compares numbers and decides as little as it can, since what it evaluates can never
//! change: revision, session, cursor, activity, places. Schedules, zones, labels of late ticks and
//! the assignment of tasks belong to the proposers. A refused command changes nothing but the
//! counter and, where it came with an idempotency key, the stored answer (unless it asks the
//! proposer to look again).

mod apply;
mod blocks;
mod calendars;
pub mod command;
mod definitions;
mod digest;
mod effect;
pub mod envelope;
mod execution;
mod execution_commands;
mod hand;
mod history;
mod index;
pub mod limits;
mod node_commands;
mod persist;
pub mod record;
mod response;
mod retention;
mod settle;
mod state;
mod table;
mod task_commands;
#[cfg(test)]
mod tests;
mod tombstones;

#[cfg(test)]
pub(crate) use self::tests::{golden, node_info};
pub use apply::Applied;
pub use blocks::Blocks;
pub use command::{Command, DecodeError};
pub use effect::Effect;
pub use history::History;
pub use persist::{LoadError, Loader, Row};
pub use response::{Answer, Refusal, Response};
pub use state::{Dirty, State, Task};
