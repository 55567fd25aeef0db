//! Commands about the cluster and its members.

use std::sync::Arc;

use super::guards;
use crate::domain::ids::{NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{
    Genesis, NodeIntent, NodeLiveness, NodePatch, NodeUp, OfNode, SetScheduler,
};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::{Intent, Liveness, Node, Status};
use crate::domain::machine::task::whole::Task;

impl State {
    pub(in crate::domain::machine) fn genesis(
        &mut self,
        body: Genesis,
        hints: &mut Vec<Hint>,
    ) -> Response {
        if self.cluster.id != 0 {
            return Err(Refusal::Initialised);
        }
        self.cluster.id = body.id;
        self.cluster.name = body.name;
        self.cluster.timezone = body.timezone;
        self.cluster.scheduler = body.scheduler;
        hints.push(Hint::Scheduler);
        Ok(Answer::Done)
    }

    /// Registers a process, and ends what its former process had been granted.
    pub(in crate::domain::machine) fn node_up(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodeUp,
        hints: &mut Vec<Hint>,
    ) -> Response {
        let session = SessionId(self.cluster.counter);
        let former = self.registers.nodes.get(&body.node).cloned();
        if let Some(known) = former.as_ref().filter(|known| known.boot == body.boot) {
            // Proposed twice, since its answer was late: one process is one session.
            return Ok(Answer::Session(known.session));
        }
        let intent = match former.as_ref().map_or(Intent::None, |node| node.intent) {
            Intent::Leaving => Intent::None,
            stays => stays,
        };
        let created_at = former.as_ref().map_or(cx.stamp, |node| node.created_at);
        self.set_node(
            Node {
                id: body.node,
                info: body.info,
                session,
                boot: body.boot,
                liveness: Liveness::Starting,
                intent,
                down_since: None,
                created_at,
                started_at: cx.stamp,
            },
            hints,
        );
        self.end_attempts_of(cx, body.node, hints);
        Ok(Answer::Session(session))
    }

    fn end_attempts_of(&mut self, cx: &EntryContext<'_>, node: NodeId, hints: &mut Vec<Hint>) {
        let runs_here = |task: &&Arc<Task>| {
            task.live_executions().any(|execution| guards::end_session(execution, node))
        };
        let busy: Vec<TaskKey> = self.tasks.busy().filter(runs_here).map(|task| task.key).collect();
        for key in busy {
            let _known = self.edit(cx, key, hints, |task| {
                task.end_all(Status::Lost, "node_restarted", |execution| {
                    guards::end_session(execution, node)
                });
                Ok(())
            });
        }
    }

    pub(in crate::domain::machine) fn node_liveness(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodeLiveness,
        hints: &mut Vec<Hint>,
    ) -> Response {
        self.change_node(body.node, hints, |node| {
            if node.session != body.session {
                return Err(Refusal::Session);
            }
            if body.liveness == Liveness::Starting {
                return Err(Refusal::Order);
            }
            if node.liveness != body.liveness {
                node.liveness = body.liveness;
                node.down_since = (body.liveness == Liveness::Down).then_some(cx.stamp);
            }
            Ok(())
        })
    }

    pub(in crate::domain::machine) fn node_intent(
        &mut self,
        body: NodeIntent,
        hints: &mut Vec<Hint>,
    ) -> Response {
        self.change_node(body.node, hints, |node| {
            node.intent = body.intent;
            Ok(())
        })
    }

    /// Changes what assignment looks at. The last weight cannot go this way: no task would have an
    /// owner. A node that registers with weight 0, or is removed, is not refused for it: that is a
    /// setting of the node, or a fact, and the other nodes' weights can still be changed.
    pub(in crate::domain::machine) fn node_patch(
        &mut self,
        body: NodePatch,
        hints: &mut Vec<Hint>,
    ) -> Response {
        let weighs = |node: &Arc<Node>| node.id != body.node && node.info.weight > 0;
        if body.weight == Some(0)
            && self.registers.nodes.get(&body.node).is_some()
            && !self.registers.nodes.values().any(weighs)
        {
            return Err(Refusal::AllWeightsZero);
        }
        self.change_node(body.node, hints, |node| {
            node.info.weight = body.weight.unwrap_or(node.info.weight);
            node.info.slots = body.slots.unwrap_or(node.info.slots);
            if let Some(labels) = body.labels {
                node.info.labels = labels;
            }
            Ok(())
        })
    }

    /// Forgets a node that is down and runs nothing: every attempt names a node that is known.
    pub(in crate::domain::machine) fn node_remove(
        &mut self,
        body: OfNode,
        hints: &mut Vec<Hint>,
    ) -> Response {
        let former = self.registers.nodes.get(&body.node).ok_or(Refusal::NodeNotFound)?;
        if former.liveness != Liveness::Down || self.runs_on(body.node) {
            return Err(Refusal::Order);
        }
        self.registers.nodes.remove(&body.node);
        hints.push(Hint::Node(body.node));
        Ok(Answer::Done)
    }

    /// Whether an attempt that was granted to this node has not ended.
    #[must_use]
    pub fn runs_on(&self, node: NodeId) -> bool {
        let runs_here = |task: &Arc<Task>| {
            task.live_executions().any(|execution| guards::end_session(execution, node))
        };
        self.tasks.busy().any(runs_here)
    }

    pub(in crate::domain::machine) fn set_scheduler(
        &mut self,
        cx: &EntryContext<'_>,
        body: SetScheduler,
        hints: &mut Vec<Hint>,
    ) -> Response {
        if body.on && !self.cluster.scheduler {
            // What was not settled while it stood still never fires.
            self.cluster.floor = self.cluster.floor.max(cx.stamp);
        }
        self.cluster.scheduler = body.on;
        hints.push(Hint::Scheduler);
        Ok(Answer::Done)
    }

    fn change_node(
        &mut self,
        id: NodeId,
        hints: &mut Vec<Hint>,
        change: impl FnOnce(&mut Node) -> Result<(), Refusal>,
    ) -> Response {
        let former = self.registers.nodes.get(&id).ok_or(Refusal::NodeNotFound)?;
        let mut node = Node::clone(former);
        change(&mut node)?;
        if node != **former {
            self.set_node(node, hints);
        }
        Ok(Answer::Done)
    }

    fn set_node(&mut self, node: Node, hints: &mut Vec<Hint>) {
        let id = node.id;
        self.registers.nodes.set(id, node);
        hints.push(Hint::Node(id));
    }
}
