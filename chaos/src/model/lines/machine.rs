//! The replicated state of one line of limit 1 with two executions: what an entry does to it.

use super::guards::{LineGuard, LineGuards};
use super::promise::LinePromise;

/// Nodes.
pub(super) const NODES: usize = 2;
/// Executions. The second one comes later and goes first: its priority is higher.
pub(super) const EXECUTIONS: usize = 2;
/// Places in the line.
const LIMIT: u8 = 1;
/// A node that is down loses its attempts after so long: `lost_after`.
pub(super) const LOST: u8 = 2;
/// The number of the first entry. The sessions of the first processes are 1 and 2.
const FIRST: u8 = NODES as u8 + 1;

/// A command of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum LineEntry {
    /// The second execution comes into being.
    Create,
    /// Asks for a place for an execution.
    Start { session: u8, execution: u8 },
    /// The work of an attempt is done.
    Finish { execution: u8, fence: u8 },
    /// Nobody will report an attempt. It is made again: the task asks for `at_least_once`.
    Lose { execution: u8, fence: u8, stamp: u8 },
    /// A node is silent.
    Down { node: u8, stamp: u8 },
    /// It is heard again.
    Back { node: u8 },
    /// A new process of a node registers.
    Up { node: u8 },
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LineStatus {
    Absent,
    Waits,
    Runs { fence: u8, session: u8 },
    Over,
}

/// What the state knows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LineNode {
    pub session: u8,
    /// Since when it is down.
    pub down: Option<u8>,
}

/// The state after some entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LineMachine {
    pub executions: [LineStatus; EXECUTIONS],
    pub nodes: [LineNode; NODES],
    /// How many run, as the line counts them.
    running: u8,
}

/// The number of the entry at an index: its session, or its fence.
pub(super) fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX).saturating_add(FIRST)
}

/// The index of the entry with a number.
pub(super) fn index(number: u8) -> usize {
    usize::from(number.saturating_sub(FIRST))
}

impl LineMachine {
    pub(super) fn new() -> Self {
        let node = |at| LineNode { session: at as u8 + 1, down: None };
        Self {
            executions: [LineStatus::Waits, LineStatus::Absent],
            nodes: std::array::from_fn(node),
            running: 0,
        }
    }

    /// Applies an entry; none: it is refused. Gives the promises that it breaks.
    pub(super) fn apply(
        &mut self,
        entry: LineEntry,
        number: u8,
        guards: LineGuards,
    ) -> Option<u16> {
        let former = self.executions;
        let mut broken = 0;
        match entry {
            LineEntry::Create => {
                let second = self.executions.get_mut(1)?;
                if *second != LineStatus::Absent {
                    return None;
                }
                *second = LineStatus::Waits;
            }
            LineEntry::Start { session, execution } => {
                self.start(session, execution, number, guards)?;
            }
            LineEntry::Finish { execution, fence } => {
                broken = self.end(execution, fence, LineStatus::Over, guards)?;
            }
            LineEntry::Lose { execution, fence, stamp } => {
                if !self.is_lost(execution, stamp) && guards.has(LineGuard::LostAfter) {
                    return None;
                }
                broken = self.end(execution, fence, LineStatus::Waits, guards)?;
            }
            LineEntry::Down { node, stamp } => {
                let node = self.nodes.get_mut(usize::from(node))?;
                if node.down.is_some() {
                    return None;
                }
                node.down = Some(stamp);
            }
            LineEntry::Back { node } => {
                self.nodes.get_mut(usize::from(node))?.down.take()?;
            }
            LineEntry::Up { node } => self.up(node, number, guards)?,
        }
        Some(broken | self.judge(&former))
    }

    fn start(&mut self, session: u8, execution: u8, fence: u8, guards: LineGuards) -> Option<()> {
        let works = |node: &LineNode| node.session == session && node.down.is_none();
        let live = self.nodes.iter().any(works);
        let status = *self.executions.get(usize::from(execution))?;
        let refused = (!live && guards.has(LineGuard::Session))
            || (status != LineStatus::Waits && guards.has(LineGuard::Waits))
            || (self.running >= LIMIT && guards.has(LineGuard::Room))
            || status == LineStatus::Absent;
        if refused {
            return None;
        }
        self.put(execution, LineStatus::Runs { fence, session });
        Some(())
    }

    fn end(&mut self, execution: u8, fence: u8, to: LineStatus, guards: LineGuards) -> Option<u16> {
        let LineStatus::Runs { fence: current, .. } = self.status(execution)? else { return None };
        if current != fence && guards.has(LineGuard::ReportFence) {
            return None;
        }
        self.put(execution, to);
        Some(bit(current != fence, LinePromise::OwnReport))
    }

    fn up(&mut self, node: u8, session: u8, guards: LineGuards) -> Option<()> {
        let slot = self.nodes.get_mut(usize::from(node))?;
        let former = std::mem::replace(slot, LineNode { session, down: None }).session;
        for execution in 0..EXECUTIONS as u8 {
            let status = self.executions.get(usize::from(execution)).copied();
            let Some(LineStatus::Runs { session, .. }) = status else { continue };
            if session == former && guards.has(LineGuard::EndSession) {
                self.put(execution, LineStatus::Waits);
            }
        }
        Some(())
    }

    /// Changes an execution, and with it what the line counts.
    fn put(&mut self, execution: u8, status: LineStatus) {
        let runs = |status: &LineStatus| u8::from(matches!(status, LineStatus::Runs { .. }));
        let Some(slot) = self.executions.get_mut(usize::from(execution)) else { return };
        let former = std::mem::replace(slot, status);
        self.running = (self.running + runs(&status)).saturating_sub(runs(&former));
    }

    /// What a checkpoint brings back does not count in the line, if nothing puts it there.
    pub(super) fn restored(mut self, guards: LineGuards) -> Self {
        if !guards.has(LineGuard::Restored) {
            self.running = 0;
        }
        self
    }

    /// Whether nobody will report an attempt.
    pub(super) fn is_lost(&self, execution: u8, stamp: u8) -> bool {
        let Some(LineStatus::Runs { session, .. }) = self.status(execution) else { return false };
        let node = self.nodes.iter().find(|node| node.session == session);
        node.is_none_or(|node| node.down.is_some_and(|since| stamp >= since + LOST))
    }

    pub(super) fn status(&self, execution: u8) -> Option<LineStatus> {
        self.executions.get(usize::from(execution)).copied()
    }

    /// Whether an attempt is what the state shows as running.
    pub(super) fn runs(&self, execution: u8, fence: u8) -> bool {
        matches!(self.status(execution), Some(LineStatus::Runs { fence: current, .. }) if current == fence)
    }

    /// Whether the line has a place.
    pub(super) const fn has_room(&self) -> bool {
        self.running < LIMIT
    }

    /// The one that waits and goes first.
    pub(super) fn first(&self) -> Option<u8> {
        let waits = |at: &u8| self.status(*at) == Some(LineStatus::Waits);
        (0..EXECUTIONS as u8).rev().find(waits)
    }

    fn judge(&self, former: &[LineStatus; EXECUTIONS]) -> u16 {
        let running = |status: &&LineStatus| matches!(status, LineStatus::Runs { .. });
        let places = self.executions.iter().filter(running).count();
        let dead = self.executions.iter().any(|status| match status {
            LineStatus::Runs { session, .. } => {
                self.nodes.iter().all(|node| node.session != *session)
            }
            _ => false,
        });
        let mut both = former.iter().zip(&self.executions);
        let revived = both.any(|(was, is)| *was == LineStatus::Over && was != is);
        bit(places > usize::from(LIMIT), LinePromise::Limit)
            | bit(dead, LinePromise::Living)
            | bit(revived, LinePromise::Ended)
    }
}

/// A promise, if it is broken.
pub(super) const fn bit(broken: bool, promise: LinePromise) -> u16 {
    if broken { promise.bit() } else { 0 }
}
