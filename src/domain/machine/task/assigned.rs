//! Which tasks were given to which nodes, for the strategies whose choices the leader proposes.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::domain::ids::NodeId;

/// The parts of the names for `range`, and the choices of a strategy of an embedding program. Copies
/// share the maps.
#[derive(Clone, Debug, Default)]
pub struct AssignmentTable {
    /// The first name of each part, and the node of the part. The first part begins with no name.
    parts: OrdMap<Arc<str>, Arc<NodeId>>,
    /// The node of each task that has a choice, by the name of the task.
    choices: OrdMap<Arc<str>, Arc<NodeId>>,
}

impl AssignmentTable {
    /// A table of these records.
    pub(in crate::domain::machine) const fn of(
        parts: OrdMap<Arc<str>, Arc<NodeId>>,
        choices: OrdMap<Arc<str>, Arc<NodeId>>,
    ) -> Self {
        Self { parts, choices }
    }

    /// The same choices, with other parts.
    #[must_use]
    pub fn with_parts(&self, parts: &[(String, NodeId)]) -> Self {
        let parts = parts.iter().map(|(from, node)| (Arc::from(from.as_str()), Arc::new(*node)));
        Self { parts: parts.collect(), choices: self.choices.clone() }
    }

    /// The same parts, with other choices for these tasks; none: no choice.
    #[must_use]
    pub fn with_choices(&self, others: &[(String, Option<NodeId>)]) -> Self {
        let mut choices = self.choices.clone();
        for (name, node) in others {
            match node {
                Some(node) => drop(choices.insert(Arc::from(name.as_str()), Arc::new(*node))),
                None => drop(choices.remove(name.as_str())),
            }
        }
        Self { parts: self.parts.clone(), choices }
    }

    /// The parts in the order of the names: the first name of each, and its node.
    pub fn parts(&self) -> impl Iterator<Item = (&str, NodeId)> {
        self.parts.iter().map(|(from, node)| (&**from, **node))
    }

    /// The first name of the part of a name, and its node; none: there are no parts.
    #[must_use]
    pub fn part_of(&self, name: &str) -> Option<(&str, NodeId)> {
        let upto = (Bound::Unbounded, Bound::Included(name));
        let own = self.parts.range::<_, str>(upto).next_back();
        own.map(|(from, node)| (&**from, **node))
    }

    /// The nodes of the parts, from the part of a name on to the last one, then from the first one.
    pub fn nodes_from(&self, name: &str) -> impl Iterator<Item = NodeId> {
        let own = self.part_of(name).map(|(_, node)| node);
        let after = self.parts.range::<_, str>((Bound::Excluded(name), Bound::Unbounded));
        let all = after.chain(self.parts.iter()).map(|(_, node)| **node);
        own.into_iter().chain(all)
    }

    /// The node that a strategy of an embedding program chose for a task; none: it chose none.
    #[must_use]
    pub fn choice(&self, name: &str) -> Option<NodeId> {
        self.choices.get(name).map(|node| **node)
    }

    /// The names of the tasks that have a choice.
    pub fn chosen(&self) -> impl Iterator<Item = &str> {
        self.choices.keys().map(|name| &**name)
    }
}

/// Tables that share their maps are found equal without a look at each task.
impl PartialEq for AssignmentTable {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &OrdMap<_, _>, other: &OrdMap<_, _>| one.ptr_eq(other) || one == other;
        same(&self.parts, &other.parts) && same(&self.choices, &other.choices)
    }
}

impl Eq for AssignmentTable {}
