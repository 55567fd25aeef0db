//! One moment of everything, and what can happen next.
//!
//! Proposals under way only become more: each may come late, twice or never. Time goes in units of
//! `dispatch_ttl`. The nodes are alike, so that it is enough to let the first one be silent and crash.

use std::collections::BTreeSet;

use super::guards::{LineGuard, LineGuards};
use super::machine::{EXECUTIONS, LineEntry, LineMachine, LineStatus, NODES, bit, index, number};
use super::promise::LinePromise;

/// Time ends here.
const TIME: u8 = 3;
/// A grant may be used until so long after it was proposed.
const TTL: u8 = 1;
/// A silent node is down after so long.
const DOWN: u8 = 1;
/// A silent node has killed its work after so long.
const KILL: u8 = 2;
/// Room for proposals under way, and for entries.
const SOUP_MAX: usize = 3;
const LOG_MAX: usize = 5;

/// What one process has in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LineProcess {
    /// Which process of its node it is.
    pub boot: u8,
    /// How many entries it has applied.
    pub applied: u8,
    /// How many of them a checkpoint held from which it began.
    pub restored: u8,
    /// When it first asked for each execution.
    asked: [Option<u8>; EXECUTIONS],
    /// The execution that it works on, with its fence.
    work: Option<(u8, u8)>,
    /// The fences that it has started, by index of the entries.
    started: u16,
    /// Since when nobody answers it.
    silent: Option<u8>,
    /// Whether it killed its work.
    pub killed: bool,
}

/// A state of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LineWorldState {
    pub now: u8,
    pub log: Vec<LineEntry>,
    pub soup: BTreeSet<LineEntry>,
    pub processes: [LineProcess; NODES],
    /// The promises that are broken.
    pub broken: u16,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineStep {
    /// Time goes on.
    Pass,
    /// A node asks for a place.
    Ask {
        node: u8,
        execution: u8,
    },
    /// An entry is accepted.
    Commit {
        entry: LineEntry,
    },
    /// A node applies its next entry.
    Apply {
        node: u8,
    },
    /// A node begins the work of a grant.
    Begin {
        node: u8,
        execution: u8,
        fence: u8,
    },
    /// Its work is done, and it reports that.
    Done {
        node: u8,
    },
    /// It kills its work.
    Kill {
        node: u8,
    },
    /// Nobody hears or answers a node any more, or they do again.
    Silence {
        node: u8,
    },
    Sound {
        node: u8,
    },
    /// Its process dies, and with it its work; the next one goes on from a checkpoint.
    Crash {
        node: u8,
    },
}

impl LineWorldState {
    /// The state after the first so many entries, of which a checkpoint held `restored`.
    fn view(&self, applied: u8, restored: u8, guards: LineGuards) -> LineMachine {
        let mut machine = LineMachine::new();
        for (at, entry) in self.log.iter().take(usize::from(applied)).enumerate() {
            if at == usize::from(restored) && restored > 0 {
                machine = machine.restored(guards);
            }
            let _refused = machine.apply(*entry, number(at), guards);
        }
        if restored > 0 && applied == restored {
            machine = machine.restored(guards);
        }
        machine
    }

    /// The state after all entries.
    pub(super) fn head(&self, guards: LineGuards) -> LineMachine {
        self.view(u8::MAX, 0, guards)
    }

    fn seen(&self, process: &LineProcess, guards: LineGuards) -> LineMachine {
        self.view(process.applied, process.restored, guards)
    }

    /// What a node works on.
    pub(super) fn works(&self, node: usize) -> Option<(u8, u8)> {
        self.processes.get(node)?.work
    }

    /// The session of a node's process; none: its registration is not committed.
    fn session(&self, node: u8) -> Option<u8> {
        let process = self.processes.get(usize::from(node))?;
        if process.boot == 0 {
            return Some(node + 1);
        }
        let up = LineEntry::Up { node };
        self.log.iter().rposition(|entry| *entry == up).map(number)
    }

    /// The steps that are possible, and change something.
    pub(super) fn possible(&self, guards: LineGuards, steps: &mut Vec<LineStep>) {
        let overdue = |process: &LineProcess| {
            let long = process.silent.is_some_and(|since| self.now >= since + KILL);
            long && process.work.is_some() && guards.has(LineGuard::Kill)
        };
        let head = self.head(guards);
        // Who is heard again is not left down for long.
        let mut nodes = head.nodes.iter().zip(&self.processes);
        let heard = nodes.any(|(node, process)| node.down.is_some() && process.silent.is_none());
        let waits = heard && guards.has(LineGuard::Silence);
        // Time matters only to what follows a silence.
        let silent = self.processes.iter().any(|process| process.silent.is_some());
        let matters = silent || self.now > 0 || head.nodes.iter().any(|node| node.down.is_some());
        let overdue_kill = self.processes.iter().any(overdue);
        if self.now < TIME && matters && !overdue_kill && !waits {
            steps.push(LineStep::Pass);
        }
        for (node, process) in (0..).zip(&self.processes) {
            self.of_node(node, process, guards, steps);
            if overdue(process) {
                steps.push(LineStep::Kill { node });
            }
        }
        if let Some(first) = self.processes.first() {
            let (node, begins) = (0, first.boot == 0 && self.now == 0);
            match first.silent {
                Some(_) if self.now > 0 => steps.push(LineStep::Sound { node }),
                None if begins => {
                    steps.extend([LineStep::Silence { node }, LineStep::Crash { node }]);
                }
                _ => {}
            }
        }
        let next = number(self.log.len());
        let accepted = |entry: &LineEntry| {
            let mut head = head;
            head.apply(*entry, next, guards).is_some()
        };
        let entries = self.entries(guards).into_iter().chain(self.soup.iter().copied());
        let entries = entries.filter(|entry| self.log.len() < LOG_MAX && accepted(entry));
        steps.extend(entries.map(|entry| LineStep::Commit { entry }));
    }

    fn of_node(
        &self,
        node: u8,
        process: &LineProcess,
        guards: LineGuards,
        steps: &mut Vec<LineStep>,
    ) {
        let silent = process.silent.is_some();
        if !silent && usize::from(process.applied) < self.log.len() {
            steps.push(LineStep::Apply { node });
        }
        if process.work.is_some() {
            steps.push(LineStep::Done { node });
        }
        let Some(session) = self.session(node) else { return };
        let seen = self.seen(process, guards);
        for execution in 0..EXECUTIONS as u8 {
            let waits = seen.status(execution) == Some(LineStatus::Waits) && seen.has_room();
            let first = seen.first() == Some(execution) || !guards.has(LineGuard::First);
            let entry = LineEntry::Start { session, execution };
            if waits && first && self.soup.len() < SOUP_MAX && !self.soup.contains(&entry) {
                steps.push(LineStep::Ask { node, execution });
            }
        }
        // A node works on what the state that it has applied grants to it, and on one at a time.
        for (at, entry) in self.log.iter().take(usize::from(process.applied)).enumerate() {
            let LineEntry::Start { session: of, execution } = *entry else { continue };
            let fence = number(at);
            let asked = process.asked.get(usize::from(execution)).copied().flatten();
            let over = asked.is_none_or(|asked| self.now > asked + TTL);
            let mine = of == session || !guards.has(LineGuard::OwnSession);
            let new = process.started & (1 << at) == 0 || !guards.has(LineGuard::Once);
            let in_time = !over || (asked.is_some() && !guards.has(LineGuard::Ttl));
            if mine && new && in_time && process.work.is_none() && seen.runs(execution, fence) {
                steps.push(LineStep::Begin { node, execution, fence });
            }
        }
    }

    /// Entries that somebody may have accepted now.
    fn entries(&self, guards: LineGuards) -> Vec<LineEntry> {
        let (node, stamp) = (0, self.now);
        let mut entries = vec![LineEntry::Create];
        let Some(first) = self.processes.first() else { return entries };
        let long = first.silent.is_some_and(|since| self.now >= since + DOWN);
        if long || (self.now == 0 && !guards.has(LineGuard::Silence)) {
            entries.push(LineEntry::Down { node, stamp });
        }
        if first.silent.is_none() {
            entries.push(LineEntry::Back { node });
        }
        if first.boot > 0 && !self.log.contains(&LineEntry::Up { node }) {
            entries.push(LineEntry::Up { node });
        }
        for (at, entry) in self.log.iter().enumerate() {
            if let LineEntry::Start { execution, .. } = entry {
                let (execution, fence) = (*execution, number(at));
                entries.push(LineEntry::Lose { execution, fence, stamp });
            }
        }
        entries
    }

    /// The world after a step; none: it is not possible.
    pub(super) fn next(&self, step: LineStep, guards: LineGuards) -> Option<Self> {
        let mut next = self.clone();
        match step {
            LineStep::Pass => {
                next.now += 1;
                // One request is as good as another that may not be used any more.
                let asked = next.processes.iter_mut().flat_map(|process| &mut process.asked);
                for at in asked.flatten().filter(|at| next.now > **at + TTL) {
                    *at = 0;
                }
            }
            LineStep::Ask { node, execution } => {
                let session = self.session(node)?;
                let process = next.processes.get_mut(usize::from(node))?;
                let first = self.seen(process, guards).first() == Some(execution);
                process.asked.get_mut(usize::from(execution))?.get_or_insert(self.now);
                next.soup.insert(LineEntry::Start { session, execution });
                next.broken |= bit(!first, LinePromise::Order);
            }
            LineStep::Commit { entry } => {
                let number = number(self.log.len());
                next.broken |= self.head(guards).apply(entry, number, guards)?;
                next.log.push(entry);
            }
            LineStep::Apply { node } => {
                next.processes.get_mut(usize::from(node))?.applied += 1;
                let process = next.processes.get(usize::from(node))?;
                let right = next.view(process.applied, 0, guards);
                let same = next.seen(process, guards) == right;
                next.broken |= bit(!same, LinePromise::SameAnswer);
            }
            LineStep::Begin { node, execution, fence } => {
                next.begin(node, execution, fence)?;
            }
            LineStep::Done { node } => {
                let process = next.processes.get_mut(usize::from(node))?;
                let (execution, fence) = process.work.take()?;
                let report = LineEntry::Finish { execution, fence };
                if next.soup.len() > SOUP_MAX {
                    return None;
                }
                next.soup.insert(report);
            }
            LineStep::Kill { node } => {
                let process = next.processes.get_mut(usize::from(node))?;
                (process.work, process.killed) = (None, true);
            }
            LineStep::Silence { node } => {
                next.processes.get_mut(usize::from(node))?.silent = Some(self.now);
            }
            LineStep::Sound { node } => next.processes.get_mut(usize::from(node))?.silent = None,
            LineStep::Crash { node } => {
                let process = next.processes.get_mut(usize::from(node))?;
                let (boot, applied, silent) = (process.boot + 1, process.applied, process.silent);
                let restored = applied;
                *process =
                    LineProcess { boot, applied, restored, silent, ..LineProcess::default() };
            }
        }
        Some(next)
    }

    fn begin(&mut self, node: u8, execution: u8, fence: u8) -> Option<()> {
        let started: u16 = 1 << index(fence);
        let again = self.processes.iter().any(|process| process.started & started != 0);
        let others = self.processes.iter().filter(|process| process.work.is_some()).count();
        let process = self.processes.get_mut(usize::from(node))?;
        process.work = Some((execution, fence));
        process.started |= started;
        self.broken |= bit(again, LinePromise::OneStart) | bit(others > 0, LinePromise::OneWork);
        Some(())
    }
}
