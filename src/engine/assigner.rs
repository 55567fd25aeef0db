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
            Ok(commands) => {
                watch.note_computed(commands.is_empty());
                context.propose_all(&commands).await;
            }
            // What panicked is asked again when something changes.
            Err(error) => warn!(%error, "the assignment strategy of this program failed"),
        }
    }
}

fn compute(state: &State, members: &Members, own: Option<&OwnStrategy>) -> Vec<Command> {
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
    assigns.into_iter().map(Command::Assign).collect()
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
/// restarts moves nothing twice, and then if nodes or tasks are not those of the last time.
#[derive(Debug, Default)]
pub(super) struct AssignmentWatch {
    seen: Option<Members>,
    computed: Option<Basis>,
    looks: u32,
}

impl AssignmentWatch {
    /// Whether choices are to be computed from this state.
    pub fn is_due(&mut self, state: &State, members: &Members) -> bool {
        let members = members.clone().by(AssignmentTable::default());
        let seen = self.seen.replace(members.clone());
        if !seen.is_some_and(|seen| seen.give_as(&members)) {
            return false;
        }
        let basis = Basis { members, names: state.names() };
        self.looks += 1;
        let known = self.computed.as_ref().is_some_and(|computed| computed.is(&basis));
        if known && self.looks < ASSIGN_LOOKS {
            return false;
        }
        self.looks = 0;
        self.computed = Some(basis);
        true
    }

    /// What was proposed may be lost: the next look computes again, until nothing is left to
    /// propose.
    pub fn note_computed(&mut self, nothing: bool) {
        if !nothing {
            self.computed = None;
        }
    }
}
