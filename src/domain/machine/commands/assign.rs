//! What the leader proposes for strategies whose choices are part of the state.

use std::sync::Arc;

use crate::domain::ids::NodeId;
use crate::domain::machine::command::Assign;
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::assigned::AssignmentTable;

impl State {
    /// Which tasks were given to which nodes.
    #[must_use]
    pub fn assigned(&self) -> AssignmentTable {
        AssignmentTable::of(self.registers.parts.records(), self.registers.choices.records())
    }

    /// Evaluation is elsewhere: here the parts and choices are values. A node that is gone since
    /// stands in them until the leader proposes others.
    pub(in crate::domain::machine) fn assign(
        &mut self,
        body: Assign,
        effects: &mut Effects,
    ) -> Response {
        let changed = match body {
            Assign::Parts(parts) => self.set_parts(&parts)?,
            Assign::Choices(choices) => self.set_choices(choices)?,
        };
        if changed {
            effects.hints.push(Hint::Strategy);
        }
        Ok(Answer::Done)
    }

    fn set_parts(&mut self, parts: &[(String, NodeId)]) -> Result<bool, Refusal> {
        let rise = parts.windows(2).all(|pair| matches!(pair, [one, next] if one.0 < next.0));
        if !rise || parts.first().is_some_and(|(from, _)| !from.is_empty()) {
            return Err(Refusal::Order);
        }
        for (_, node) in parts {
            self.registers.nodes.get(node).ok_or(Refusal::NodeNotFound)?;
        }
        let kept = &mut self.registers.parts;
        if kept
            .iter()
            .map(|(from, node)| (&**from, **node))
            .eq(parts.iter().map(|(from, node)| (from.as_str(), *node)))
        {
            return Ok(false);
        }
        let former: Vec<Arc<str>> = kept.iter().map(|(from, _)| Arc::clone(from)).collect();
        for from in former {
            kept.remove(&from);
        }
        for (from, node) in parts {
            kept.set(from.as_str().into(), *node);
        }
        Ok(true)
    }

    fn set_choices(&mut self, choices: Vec<(String, Option<NodeId>)>) -> Result<bool, Refusal> {
        for node in choices.iter().filter_map(|(_, node)| node.as_ref()) {
            self.registers.nodes.get(node).ok_or(Refusal::NodeNotFound)?;
        }
        let mut changed = false;
        for (name, node) in choices {
            // A task that is gone since has no choice.
            let node = node.filter(|_| self.names.contains_key(&*name));
            let name: Arc<str> = name.into();
            let kept = self.registers.choices.get(&*name).map(|node| **node);
            if kept == node {
                continue;
            }
            changed = true;
            match node {
                Some(node) => self.registers.choices.set(name, node),
                None => drop(self.registers.choices.remove(&name)),
            }
        }
        Ok(changed)
    }
}
