//! What changed since the last checkpoint, so that the next one writes no more than that.

use crate::domain::ids::{Revision, TaskKey};

/// What changed since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// Counts checkpoints.
    pub(in crate::domain::machine) epoch: u64,
    /// Tasks whose progress changed, or which are gone.
    pub(in crate::domain::machine) tasks: Vec<TaskKey>,
    /// Tasks whose live record changed, or which are gone.
    pub(in crate::domain::machine) lives: Vec<TaskKey>,
    /// Blocks of their history, by letter and number, that changed or are gone.
    pub(in crate::domain::machine) blocks: Vec<(TaskKey, u8, u64)>,
    /// Definitions that came or went.
    pub(in crate::domain::machine) definitions: Vec<(TaskKey, Revision)>,
    /// Keys of the registers' rows that came, changed or went.
    pub(in crate::domain::machine) registers: Vec<Vec<u8>>,
    /// Whether the statistics of the cluster changed.
    pub(in crate::domain::machine) statistics: bool,
}

impl Dirty {
    /// An empty list, of this epoch.
    pub(in crate::domain::machine) fn of(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Adds what another list names.
    pub(in crate::domain::machine) fn merge(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.lives.extend(other.lives);
        self.blocks.extend(other.blocks);
        self.definitions.extend(other.definitions);
        self.registers.extend(other.registers);
        self.statistics |= other.statistics;
    }
}
