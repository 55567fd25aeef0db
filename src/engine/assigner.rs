//! The leader's proposals for the strategies whose choices are part of the state: the parts of
//! `range`, and the choices of the embedding program.
//!
//! [`AssignmentWatch`] decides when they are computed, [`proposed`] what they are.

use std::sync::Arc;

use tracing::{info, warn};

use crate::domain::assign::Members;
use crate::domain::assign::custom::OwnStrategy;
use crate::domain::assign::proposed;
use crate::domain::machine::command::{Assign, Command};
use crate::domain::machine::{AssignmentTable, State, TaskNames};
use crate::life;

use super::context::EngineContext;
use super::limits::{ASSIGN_EVERY, ASSIGN_LOOKS};

/// Runs as long as the engine, and proposes while this node leads.
pub(super) async fn propose(context: Arc<EngineContext>) {
    let mut watch = AssignmentWatch::default();
    loop {
        tokio::time::sleep(ASSIGN_EVERY).await;
        if !context.consensus.is_leader() {
            watch = AssignmentWatch::default();
            continue;
        }
        let state = context.consensus.replica().frozen();
        let members = Members::of(&state);
        if !watch.is_due(&state, &members) {
            continue;
        }
        let own = context.settings.strategy.clone();
        let computed = life::blocking(move || compute(&state, &members, own.as_ref())).await;
        match computed {
            Ok(Computed { commands, moving }) => {
                let mut done = true;
                // Each is an entry of its own, and the next one waits for it: choices take much room.
                for command in &commands {
                    done = done && context.accepted(command).await;
                }
                watch.note_computed(done, moving);
            }
            // What panicked is asked again when something changes.
            Err(error) => warn!(%error, "the assignment strategy of this program failed"),
        }
    }
}

/// What is to be proposed.
struct Computed {
    commands: Vec<Command>,
    /// Whether it moves tasks whose nodes could keep them.
    moving: bool,
}

fn compute(state: &State, members: &Members, own: Option<&OwnStrategy>) -> Computed {
    let mut assigns: Vec<Assign> = proposed::parts(state, members).into_iter().collect();
    if let Some(Assign::Parts(parts)) = assigns.first() {
        info!(parts = parts.len(), "proposing other parts of the names for the strategy range");
    }
    if let Some(own) = own {
        match proposed::choices(state, members, &*own.0) {
            Ok(choices) => assigns.extend(choices),
            Err(error) => warn!(%error, "the choices of this program's strategy are not taken"),
        }
    }
    let moving = proposed::is_moving(&assigns, members);
    Computed { commands: assigns.into_iter().map(Command::Assign).collect(), moving }
}

/// What choices depend on, but for definitions.
#[derive(Clone, Debug)]
struct Basis {
    /// Without the choices themselves.
    members: Members,
    names: TaskNames,
}

impl Basis {
    fn is(&self, other: &Self) -> bool {
        self.members.give_as(&other.members) && self.names.are(&other.names)
    }
}

/// When the leader computes choices: once the nodes are the same at two looks, so that a node that
/// restarts moves nothing twice, and then if nodes or tasks are not those of the last time. A strategy
/// that moves tasks although the nodes are the same may answer otherwise each time: the pauses grow.
#[derive(Debug, Default)]
pub(super) struct AssignmentWatch {
    seen: Option<Members>,
    computed: Option<Basis>,
    /// Since then.
    looks: u32,
    /// So many looks lie between two computations for the same nodes.
    pause: u32,
}

impl AssignmentWatch {
    /// Whether choices are to be computed from this state.
    pub fn is_due(&mut self, state: &State, members_now: &Members) -> bool {
        let members = members_now.clone().by(AssignmentTable::default());
        let seen = self.seen.replace(members.clone());
        if !seen.is_some_and(|seen| seen.give_as(&members)) {
            return false;
        }
        if !proposed::is_needed(state, members_now) {
            self.computed = None;
            return false;
        }
        let basis = Basis { members, names: state.names() };
        self.looks = self.looks.saturating_add(1);
        let wait = match &self.computed {
            Some(computed) if computed.is(&basis) => ASSIGN_LOOKS,
            Some(computed) if computed.members.give_as(&basis.members) => self.pause,
            Some(_) | None => {
                self.pause = 0;
                0
            }
        };
        if self.looks < wait {
            return false;
        }
        self.looks = 0;
        self.computed = Some(basis);
        true
    }

    /// Notes what came of a computation. If not all of it was accepted, the next look computes again.
    pub fn note_computed(&mut self, done: bool, moving: bool) {
        if !done {
            self.computed = None;
        }
        self.pause = if moving { (self.pause * 2).clamp(2, ASSIGN_LOOKS) } else { 0 };
    }
}
