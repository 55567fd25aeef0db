//! A state of the model: the log, pending proposals, processes and time.
//!
//! Pending proposals are a set that only grows. So each of them can be committed late, twice or
//! never, in any order, even after the process that sent it has crashed. A node's replica is the
//! log up to its applied index. A restarted process begins at the first entry.

use std::hash::{Hash, Hasher};

use super::bounds::{LOG_MAX, NODES, SOUP_MAX, TICKS};
use super::entry::{FIRST, ModelEntries, ModelEntry, WorldBytes, number};
use super::guards::Guards;
use super::machine::ModelMachine;

/// The memory of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelProcess {
    /// Its number among the processes of its node.
    pub boot: u8,
    /// Number of applied entries.
    pub applied: u8,
    /// For each tick: the time from which its claim counts.
    pub claims: [Option<u8>; TICKS],
    /// For each tick: the fence for which a new one was requested, and the time from which that
    /// counts.
    pub asks: [Option<(u8, u8)>; TICKS],
    /// The fences that it has started, as a bit set by entry index.
    pub started: u16,
}

impl ModelProcess {
    /// Whether it has started a grant.
    pub(super) const fn has_started(&self, fence: u8) -> bool {
        self.started & (1 << (fence - FIRST)) != 0
    }
}

/// A state of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelWorld {
    pub now: u8,
    pub log: ModelEntries<LOG_MAX>,
    pub soup: ModelEntries<SOUP_MAX>,
    pub processes: [ModelProcess; NODES],
    /// The number of starts of each tick.
    pub starts: [u8; TICKS],
    /// The violated properties.
    pub broken: u16,
}

impl Hash for ModelWorld {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = WorldBytes::new();
        bytes.push(self.now);
        self.log.write(&mut bytes);
        self.soup.write(&mut bytes);
        for process in &self.processes {
            bytes.push(process.boot << 4 | process.applied);
            for (claim, ask) in process.claims.iter().zip(&process.asks) {
                bytes.push(claim.map_or(0, |at| at + 1));
                bytes.push(ask.map_or(0, |(fence, at)| fence << 4 | at));
            }
            bytes.push(process.started.to_le_bytes()[0]);
            bytes.push(process.started.to_le_bytes()[1]);
        }
        for count in self.starts {
            bytes.push(count);
        }
        bytes.push(self.broken.to_le_bytes()[0]);
        bytes.push(self.broken.to_le_bytes()[1]);
        state.write(bytes.as_slice());
    }
}

impl ModelWorld {
    /// The state after the first `applied` entries.
    fn view(&self, applied: usize, guards: Guards) -> ModelMachine {
        let mut machine = ModelMachine::new();
        for (index, entry) in self.log.as_slice().iter().take(applied).enumerate() {
            machine.apply(*entry, number(index), guards);
        }
        machine
    }

    /// The state after all entries.
    pub(super) fn head(&self, guards: Guards) -> ModelMachine {
        self.view(LOG_MAX, guards)
    }

    /// The state of a node.
    pub(super) fn seen(&self, node: usize, guards: Guards) -> ModelMachine {
        let applied = self.processes.get(node).map_or(0, |process| process.applied);
        self.view(usize::from(applied), guards)
    }

    /// The state of each node and the state after all entries, in one pass.
    pub(super) fn views(&self, guards: Guards) -> ([ModelMachine; NODES], ModelMachine) {
        let mut machine = ModelMachine::new();
        let mut seen = [machine; NODES];
        for (index, entry) in self.log.as_slice().iter().enumerate() {
            machine.apply(*entry, number(index), guards);
            for (process, view) in self.processes.iter().zip(&mut seen) {
                if index < usize::from(process.applied) {
                    *view = machine;
                }
            }
        }
        (seen, machine)
    }

    /// The session of a node's process, and the number of entries before its registration. The
    /// process learns it from the response to its `NodeUp`, so as soon as that is committed.
    pub(super) fn registration(&self, node: usize) -> Option<(u8, usize)> {
        let boot = self.processes.get(node)?.boot;
        let node = node as u8;
        if boot == 0 {
            return Some((node + 1, 0));
        }
        let up = ModelEntry::Up { node, boot };
        let at = self.log.as_slice().iter().position(|entry| *entry == up)?;
        Some((number(at), at))
    }

    /// The entries that grant attempts: index, tick, session.
    pub(super) fn grants(&self) -> impl Iterator<Item = (usize, u8, u8)> + '_ {
        let entries = self.log.as_slice().iter().enumerate();
        entries.filter_map(|(at, entry)| entry.grant().map(|(tick, session)| (at, tick, session)))
    }

    /// The number of log entries of some kind.
    pub(super) fn count(&self, which: impl Fn(&ModelEntry) -> bool) -> usize {
        self.log.as_slice().iter().filter(|entry| which(entry)).count()
    }
}
