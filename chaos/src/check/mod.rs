//! The judges: what a cluster did, held against what it promises. They know nothing of where the
//! history comes from.
//!
//! [`history`] is what they are given; [`agreement`] watches replicas while they apply; [`model`] is
//! the small reference state machine that is replayed over the log, with [`settles`] and the
//! [`oracle`] of schedules; each other file is one property with its definition in words.

pub mod agreement;
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
mod votes;
