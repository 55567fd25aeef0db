//! The replicated state machine.
//!
//! ```text
//! entry {stamp, origin, seq, commands…} ──▶ State::apply ──▶ responses, in order
//!                                              │
//!                                              ├──▶ hints for the engine
//!                                              └──▶ events for those who watch
//! ```
//!
//! Apply compares numbers and decides as little as it can, since what it evaluates can never
//! change: revision, session, cursor, activity, places. Schedules, zones, labels of late ticks and
//! the assignment of tasks belong to the proposers. A refused command changes nothing but the
//! counter and, where it came with an idempotency key, the stored answer (unless it asks the
//! proposer to look again).

mod apply;
mod check;
mod cluster_row;
pub mod command;
mod commands;
mod effects;
pub mod envelope;
mod event;
mod hint;
mod level;
pub mod limits;
mod persist;
mod record_error;
mod response;
mod state;
mod store;
mod successor;
mod task;
#[cfg(test)]
mod tests;
mod versions;

#[cfg(test)]
pub(crate) use self::cluster_row::as_version;
#[cfg(test)]
pub(crate) use self::tests::node_info;
pub use apply::Applied;
pub use command::{Command, DecodeError};
#[cfg(any(test, feature = "simulation"))]
pub use effects::Effects;
pub use event::{Event, EventKind, EventObject};
pub use hint::Hint;
pub use persist::Loader;
pub use record_error::RecordError;
pub use response::{Answer, Refusal, Response};
pub use state::{State, TaskNames};
pub use store::dirty::Dirty;
#[cfg(test)]
pub use successor::COUNTER_LEAP;
pub use task::assigned::AssignmentTable;
pub use task::delayed::DelayedExecution;
pub use task::dispatched::DeclaredTasks;
pub use task::line::Line;
pub use task::lines::LineKey;
pub use task::needs::{NodeNeed, OwnerNeeds, TaskOwners};
pub use task::record;
pub use task::waiting::WaitingExecution;
pub use task::whole::Task;
pub use versions::{LEVEL, WRITER};
