//! Storage of records: tasks in a table, their history in blocks, the list of all executions, and
//! the digest for the comparison of replicas. Nothing here knows the meaning of a record.

pub mod blocks;
pub mod codec;
pub mod digest;
pub mod dirty;
pub mod index;
pub mod register;
pub mod table;
