//! Keys of the rows of a task: a letter for the kind of record, then the task, then which of them.

use crate::domain::ids::{Revision, TaskKey};
use crate::domain::machine::store::codec::{key_of_one, key_of_two};
use crate::domain::time::Timestamp;

/// The row of the cluster's statistics.
pub const STATISTICS: &[u8] = b"w";

pub fn definition(task: TaskKey, revision: Revision) -> [u8; 17] {
    key_of_two(b'd', task.0, revision.0)
}

pub fn live(task: TaskKey) -> [u8; 9] {
    key_of_one(b'l', task.0)
}

pub fn progress(task: TaskKey) -> [u8; 9] {
    key_of_one(b'p', task.0)
}

pub fn span(task: TaskKey, to: Timestamp) -> [u8; 17] {
    key_of_two(b's', task.0, to.0.cast_unsigned())
}

/// A block of a history, by its number.
pub fn block(letter: u8, task: TaskKey, number: u64) -> [u8; 17] {
    key_of_two(letter, task.0, number)
}
