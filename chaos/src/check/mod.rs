//! The judges compare what a cluster did with its guarantees. They are independent of the source of
//! the history.
//!
//! [`history`] is their input. [`agreement`] observes replicas as they apply entries. [`model`] is
//! a small reference state machine that replays the log, with [`settles`] and the schedule
//! [`oracle`]. Each other file contains one property with its definition.

pub mod agreement;
mod counts;
mod cover;
mod durability;
mod endings;
pub mod events;
mod failover;
mod halts;
pub mod history;
pub mod judge;
mod lines;
mod liveness;
mod model;
mod oracle;
mod owners;
mod registers;
mod settles;
mod starts;
pub mod successor;
mod votes;
