//! Command levels: which kinds of commands a cluster may have in its log.
//!
//! A node announces the highest level that it supports. The level of the cluster is the lowest
//! level of its live members. Commands of a higher level are not proposed, because a member that
//! does not support a command stops when it receives one.

use super::command::Command;
use super::state::State;
use super::task::record::Liveness;

/// The level of a cluster in which no member is registered.
const FIRST: u16 = 1;
/// The command kinds added after the first level, each with its level.
const LATER: &[(u16, u16)] = &[];

impl Command {
    /// The level in which a command kind was introduced.
    #[must_use]
    pub fn level_of(kind: u16) -> u16 {
        LATER.iter().find(|(later, _)| *later == kind).map_or(FIRST, |(_, level)| *level)
    }
}

impl State {
    /// The level of the cluster: the lowest level announced by a member that is not down.
    #[must_use]
    pub fn level(&self) -> u16 {
        let live = self.nodes().filter(|node| node.liveness != Liveness::Down);
        live.map(|node| node.info.level).min().unwrap_or(FIRST)
    }
}
