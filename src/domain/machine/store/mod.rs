//! How records are kept: tasks in a table, their past in blocks, the list of all executions, and the
//! sum by which replicas are compared. Nothing here knows what a record means.

pub mod blocks;
pub mod codec;
pub mod digest;
pub mod dirty;
pub mod index;
pub mod register;
pub mod table;
