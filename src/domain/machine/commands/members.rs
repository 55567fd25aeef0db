//! Commands that change who is a member.
//!
//! The records come first, and the leader has the membership of the log follow them. One member is
//! added or removed at a time.

use super::guards;
use super::nodes::object;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{NodeJoin, OfNode};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::EventKind;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::{Intent, JoiningNode, Liveness, MemberRecord};

impl State {
    /// Whether the node was a member and is none any more. Its Raft id never comes back.
    #[must_use]
    pub fn is_gone(&self, node: NodeId) -> bool {
        self.last_gone(node.configured()) >= node.join()
    }

    /// The highest join number under this configured id that is gone; 0: none.
    #[must_use]
    pub fn last_gone(&self, configured: u64) -> u64 {
        self.registers.members.get(&NodeId(configured)).map_or(0, |member| member.gone)
    }

    /// The node that is being added, if there is one.
    #[must_use]
    pub fn joining(&self) -> Option<&JoiningNode> {
        self.registers.members.values().find_map(|member| member.joining.as_ref())
    }

    /// Whether another node than this one is being added or removed.
    pub(super) fn other_changes(&self, node: NodeId) -> bool {
        self.joining().is_some_and(|joining| joining.node != node)
            || self.nodes().any(|other| other.intent == Intent::Removing && other.id != node)
    }

    pub(in crate::domain::machine) fn node_join(
        &mut self,
        body: NodeJoin,
        effects: &mut Effects,
    ) -> Response {
        let NodeJoin { node, peer, http } = body;
        if self.is_gone(node) {
            return Err(Refusal::NodeGone);
        }
        let known = self.joining().is_some_and(|joining| joining.node == node);
        let replaces = |joining: &JoiningNode| joining.node.configured() == node.configured();
        // A node that lost its data while it joined joins again under a further number.
        let again = self.joining().is_some_and(replaces);
        if self.nodes().any(|other| other.id == node && !known) {
            return Err(Refusal::Order);
        }
        if !again && self.other_changes(node) {
            return Err(Refusal::MembersChanging);
        }
        let joining = Some(JoiningNode { node, peer, http });
        self.change_member(node, |member| member.joining = joining);
        effects.hints.push(Hint::Node(node));
        Ok(Answer::Done)
    }

    pub(in crate::domain::machine) fn node_joined(
        &mut self,
        body: OfNode,
        effects: &mut Effects,
    ) -> Response {
        if self.joining().is_none_or(|joining| joining.node != body.node) {
            return Err(Refusal::NodeNotFound);
        }
        self.change_member(body.node, |member| member.joining = None);
        effects.hints.push(Hint::Node(body.node));
        Ok(Answer::Done)
    }

    /// Ends the membership of a node that is down, is being removed, or never came up. It runs
    /// nothing: every attempt names a node that is known.
    pub(in crate::domain::machine) fn node_remove(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfNode,
        effects: &mut Effects,
    ) -> Response {
        let node = body.node;
        let joins = self.joining().is_some_and(|joining| joining.node == node);
        let known = self.registers.nodes.get(&node).cloned();
        if let Some(former) = &known {
            let goes = former.liveness == Liveness::Down || former.intent == Intent::Removing;
            if !goes || self.runs_on(node) {
                return Err(Refusal::Order);
            }
            self.registers.nodes.remove(&node);
            self.registers.files.remove(&node);
            guards::node_without_set(self);
        } else if !joins {
            return Err(Refusal::NodeNotFound);
        }
        self.change_member(node, |member| {
            member.gone = member.gone.max(node.join());
            if joins {
                member.joining = None;
            }
        });
        effects.hints.push(Hint::Node(node));
        if let Some(former) = known {
            self.tell(cx, EventKind::NodeGone, object(&former), effects);
        }
        Ok(Answer::Done)
    }

    /// Notes that this Raft id is gone, and that nothing is being added under its configured id.
    pub(in crate::domain::machine) fn leave_member(&mut self, node: NodeId) {
        self.change_member(node, |member| {
            member.gone = member.gone.max(node.join());
            member.joining = None;
        });
    }

    fn change_member(&mut self, node: NodeId, change: impl FnOnce(&mut MemberRecord)) {
        let key = NodeId(node.configured());
        let mut member = self.registers.members.get(&key).map_or_else(
            || MemberRecord { gone: 0, joining: None },
            |member| MemberRecord::clone(member),
        );
        change(&mut member);
        self.registers.members.set(key, member);
    }
}
