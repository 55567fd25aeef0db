//! What an applied entry puts out beside its answers.

use super::event::Event;
use super::hint::Hint;

/// What the commands of one or more entries put out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// For the engine of this node, in order. They may be lost.
    pub hints: Vec<Hint>,
    /// For those who watch, in order, the same on every node.
    pub events: Vec<Event>,
}
