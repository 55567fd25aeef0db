//! Levels: which kinds of commands a cluster may have in its log.
//!
//! A node announces the highest level that it knows. The cluster has the lowest level of its live
//! members, and a kind above it is not proposed: a member would meet a command that it does not
//! know, and stop.

use super::command::Command;
use super::state::State;
use super::task::record::Liveness;

/// The level of a cluster that no member has registered with.
const FIRST: u16 = 1;
/// The kinds that came after the first level, each with its level.
const LATER: &[(u16, u16)] = &[];

impl Command {
    /// The level that a kind came with.
    #[must_use]
    pub fn level_of(kind: u16) -> u16 {
        LATER.iter().find(|(later, _)| *later == kind).map_or(FIRST, |(_, level)| *level)
    }
}

impl State {
    /// The level of the cluster: the lowest that a member announced which is not down.
    #[must_use]
    pub fn level(&self) -> u16 {
        let live = self.nodes().filter(|node| node.liveness != Liveness::Down);
        live.map(|node| node.info.level).min().unwrap_or(FIRST)
    }
}
