//! Members.
//!
//! - Removed nodes stay removed: a node that was removed, or that another one replaced, neither
//!   registers nor joins again. Who takes its place has a higher join number. No node of a former
//!   cluster comes back in a new one.

use punctual::domain::ids::NodeId;
use punctual::domain::machine::record::Intent;
use punctual::domain::machine::{Answer, Command};

use super::ReferenceModel;

const REMOVED: &str = "removed nodes stay removed";

impl ReferenceModel {
    /// A node registers, joins or is removed.
    pub(super) fn member_command(&mut self, command: &Command, answer: &Answer) {
        match command {
            Command::NodeUp(up) => {
                self.comes(up.node, "registers");
                if let Answer::Session(session) = answer {
                    self.node_up(up.node.0, session.0);
                    // A member that was replaced is another node, which nobody drained.
                    self.drains.push((self.index, up.node.0, self.drained.contains(&up.node.0)));
                }
            }
            Command::NodeJoin(join) => self.comes(join.node, "joins"),
            Command::NodeRemove(of) => {
                self.goes(of.node);
                // What is added under its id later is another node.
                self.node_intent(of.node.0, Intent::None);
            }
            _ => {}
        }
    }

    /// A node is a member no more.
    pub(super) fn goes(&mut self, node: NodeId) {
        let last = self.gone.entry(node.configured()).or_insert(0);
        *last = node.join().max(*last);
    }

    /// A node registers or joins.
    fn comes(&mut self, node: NodeId, what: &str) {
        self.judge(REMOVED);
        if self.gone.get(&node.configured()).is_some_and(|last| *last >= node.join()) {
            self.complain(REMOVED, format!("node {node} {what}, which was removed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_node_is_found_that_comes_back_and_the_one_in_its_place_is_not() {
        let mut model = ReferenceModel::default();
        model.goes(NodeId::new(3, 2));
        model.goes(NodeId::new(3, 1));
        for (node, found) in [((3, 2), 1), ((3, 1), 2), ((3, 3), 2), ((2, 1), 2)] {
            model.comes(NodeId::new(node.0, node.1), "registers");
            assert_eq!(model.wrong.len(), found, "{node:?}");
        }
    }
}
