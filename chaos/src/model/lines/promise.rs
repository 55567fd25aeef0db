//! What must hold of lines, and what must be seen so that holding means something.

use super::machine::{LineEntry, LineMachine, LineStatus};
use super::world::LineWorldState;

/// A promise about lines. A world in which one is broken is the end of its story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LinePromise {
    Limit,
    OneWork,
    Order,
    Living,
    Ended,
    OwnReport,
    OneStart,
    SameAnswer,
}

impl LinePromise {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Limit,
        Self::OneWork,
        Self::Order,
        Self::Living,
        Self::Ended,
        Self::OwnReport,
        Self::OneStart,
        Self::SameAnswer,
    ];

    /// Its place in a set.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// What it says.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Limit => "no entry lets more than the limit hold places",
            Self::OneWork => "no two pieces of work of the line go on at once",
            Self::Order => "who asks for a place asks for the first that waits",
            Self::Living => "a place is held by an attempt of a live session",
            Self::Ended => "what has ended stays so",
            Self::OwnReport => "an attempt is ended by its own report or loss",
            Self::OneStart => "a grant is started once",
            Self::SameAnswer => "each node has the state of its entries, restarted or not",
        }
    }
}

/// A state of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineReachedCase {
    AllOver,
    Overtaken,
    NoRoom,
    MadeAgain,
    LateReport,
    Killed,
    Restarted,
}

impl LineReachedCase {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::AllOver,
        Self::Overtaken,
        Self::NoRoom,
        Self::MadeAgain,
        Self::LateReport,
        Self::Killed,
        Self::Restarted,
    ];

    /// What is seen.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::AllOver => "both executions have ended",
            Self::Overtaken => "the later one of higher priority starts first",
            Self::NoRoom => "two nodes ask for the one place, for different executions",
            Self::MadeAgain => "what was lost is attempted again elsewhere",
            Self::LateReport => "the report of a lost attempt comes while the next one runs",
            Self::Killed => "a silent node kills its work before its place is given away",
            Self::Restarted => "a node goes on from a checkpoint while a place is held",
        }
    }

    /// Whether it is seen here.
    pub(super) fn seen(self, world: &LineWorldState, head: &LineMachine) -> bool {
        let over = |status: &LineStatus| *status == LineStatus::Over;
        let asked = |execution: u8| {
            world.soup.iter().any(
                |entry| matches!(entry, LineEntry::Start { execution: of, .. } if *of == execution),
            )
        };
        let runs = |execution| matches!(head.status(execution), Some(LineStatus::Runs { .. }));
        match self {
            Self::AllOver => head.executions.iter().all(over),
            Self::Overtaken => runs(1) && head.status(0) == Some(LineStatus::Waits),
            Self::NoRoom => asked(0) && asked(1) && !head.has_room() && head.first().is_some(),
            Self::MadeAgain => {
                let lost = |entry: &LineEntry| matches!(entry, LineEntry::Lose { .. });
                world.log.iter().any(lost) && world.works(1).is_some_and(|(of, _)| runs(of))
            }
            Self::LateReport => world.soup.iter().any(|entry| match entry {
                LineEntry::Finish { execution, fence } => {
                    runs(*execution) && !head.runs(*execution, *fence)
                }
                _ => false,
            }),
            Self::Killed => world.processes.iter().any(|process| process.killed),
            Self::Restarted => world
                .processes
                .iter()
                .any(|process| process.boot > 0 && process.restored > 0 && !head.has_room()),
        }
    }
}
