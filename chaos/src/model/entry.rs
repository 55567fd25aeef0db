//! Log entries and pending proposals.
//!
//! Numbers are values of the single counter: the two nodes registered with 1 and 2, the task was
//! created with 3, and the entry at `index` (from 0) has the number `4 + index`. Refused commands
//! change nothing and are omitted. A session is the number of its `NodeUp`; a fence is the number
//! of the entry that granted it.

use super::bounds::NODES;

/// The initial revision of the task.
pub(super) const CREATED: u8 = NODES as u8 + 1;
/// The number of the first log entry.
pub(super) const FIRST: u8 = CREATED + 1;

/// User commands on the task. Delete and pause are used with wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OperatorCommand {
    /// Sets the deleted mark.
    Delete,
    /// Pauses the task.
    Pause,
    /// Removes the mark or the pause (reuse, resume).
    Resume,
    /// A new incarnation whose schedule does not contain the last tick (force-add).
    Replace,
}

/// All user commands.
pub(super) const DEEDS: [OperatorCommand; 4] = [
    OperatorCommand::Delete,
    OperatorCommand::Pause,
    OperatorCommand::Resume,
    OperatorCommand::Replace,
];

/// A command in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelEntry {
    /// Settles the ticks after `after` up to `to`. With a claim, `to` fires and the others pass.
    Settle { session: u8, revision: u8, after: u8, to: u8, claim: bool },
    /// Requests a new fence for an attempt that was granted under `fence` and not started.
    Again { session: u8, tick: u8, fence: u8 },
    /// Registers a process of a node.
    Up { node: u8, boot: u8 },
    /// A user command with the timestamp of its entry.
    Done { deed: OperatorCommand, stamp: u8 },
}

impl ModelEntry {
    /// Placeholder for unused slots.
    const NONE: Self = Self::Up { node: 0, boot: 0 };

    /// The tick of the attempt that this entry grants, and the session.
    pub(super) const fn grant(self) -> Option<(u8, u8)> {
        match self {
            Self::Settle { session, to, claim: true, .. } => Some((to, session)),
            Self::Again { session, tick, .. } => Some((tick, session)),
            _ => None,
        }
    }

    /// The entry encoded as one number.
    fn code(self) -> u16 {
        let word = |at: u32, value: u8| u16::from(value) << at;
        match self {
            Self::Settle { session, revision, after, to, claim } => {
                let ticks = word(8, after) | word(10, to) | word(12, claim as u8);
                ticks | word(0, session) | word(4, revision)
            }
            Self::Again { session, tick, fence } => {
                word(14, 1) | word(0, session) | word(4, fence) | word(8, tick)
            }
            Self::Up { node, boot } => word(14, 2) | word(0, node) | word(4, boot),
            Self::Done { deed, stamp } => word(14, 3) | word(0, deed as u8) | word(4, stamp),
        }
    }
}

/// The number of the entry at an index.
pub(super) fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX).saturating_add(FIRST)
}

/// A fixed-capacity list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelEntries<const N: usize> {
    len: u8,
    items: [ModelEntry; N],
}

impl<const N: usize> Default for ModelEntries<N> {
    fn default() -> Self {
        Self { len: 0, items: [ModelEntry::NONE; N] }
    }
}

impl<const N: usize> ModelEntries<N> {
    /// The entries.
    pub(super) fn as_slice(&self) -> &[ModelEntry] {
        self.items.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Appends an entry. Returns false if there is no room.
    pub(super) fn push(&mut self, entry: ModelEntry) -> bool {
        let Some(slot) = self.items.get_mut(usize::from(self.len)) else { return false };
        *slot = entry;
        self.len += 1;
        true
    }

    /// Adds an entry and sorts the list. Returns false if there is no room.
    pub(super) fn insert(&mut self, entry: ModelEntry) -> bool {
        let added = self.push(entry);
        if let Some(used) = self.items.get_mut(..usize::from(self.len)) {
            used.sort_unstable();
        }
        added
    }

    /// Writes the entries for hashing.
    pub(super) fn write(&self, bytes: &mut WorldBytes) {
        bytes.push(self.len);
        for entry in self.as_slice() {
            let code = entry.code();
            bytes.push(code.to_le_bytes()[0]);
            bytes.push(code.to_le_bytes()[1]);
        }
    }
}

/// A buffer large enough for any world.
pub(super) struct WorldBytes {
    len: usize,
    items: [u8; 64],
}

impl WorldBytes {
    /// An empty buffer.
    pub(super) const fn new() -> Self {
        Self { len: 0, items: [0; 64] }
    }

    /// Appends a byte.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = byte;
        }
        self.len += 1;
    }

    /// The content. Exceeding the buffer is a defect in its size.
    pub(super) fn as_slice(&self) -> &[u8] {
        debug_assert!(self.len <= self.items.len(), "a world exceeds the buffer");
        self.items.get(..self.len).unwrap_or(&self.items)
    }
}
