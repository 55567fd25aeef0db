//! Commands about the cluster and its members.

use std::sync::Arc;

use super::attempts;
use super::guards;
use crate::domain::ids::{NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{
    Genesis, NodeFunctions, NodeIntent, NodeLiveness, NodePatch, NodeUp, SetScheduler,
    StrategyChange,
};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::{EventKind, EventObject};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::Cluster;
use crate::domain::machine::task::record::{Execution, Intent, Liveness, NodeRecord};
use crate::domain::machine::task::whole::Task;

impl State {
    pub(in crate::domain::machine) fn genesis(
        &mut self,
        cx: &EntryContext<'_>,
        body: Genesis,
        effects: &mut Effects,
    ) -> Response {
        if self.cluster.id != 0 {
            return Err(Refusal::Initialised);
        }
        self.cluster.id = body.id;
        self.cluster.name = body.name;
        self.cluster.timezone = body.timezone;
        self.switch_scheduler(body.scheduler);
        self.cluster.callback_key = body.callback_key;
        effects.hints.push(Hint::Scheduler);
        let object = self.scheduler();
        self.tell(cx, EventKind::SchedulerChanged, object, effects);
        Ok(Answer::Done)
    }

    /// Registers a process, and ends what its former process had been granted.
    pub(in crate::domain::machine) fn node_up(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodeUp,
        effects: &mut Effects,
    ) -> Response {
        let session = SessionId(self.cluster.counter);
        let former = self.registers.nodes.get(&body.node).cloned();
        if let Some(known) = former.as_ref().filter(|known| known.boot == body.boot) {
            // Proposed twice, since its answer was late: one process is one session.
            return Ok(Answer::Session(known.session));
        }
        guards::registers(self, body.node)?;
        let intent = match former.as_ref().map_or(Intent::None, |node| node.intent) {
            Intent::Leaving => Intent::None,
            stays => stays,
        };
        let created_at = former.as_ref().map_or(cx.stamp, |node| node.created_at);
        self.set_node(
            cx,
            NodeRecord {
                id: body.node,
                info: body.info,
                session,
                boot: body.boot,
                liveness: Liveness::Starting,
                intent,
                down_since: None,
                created_at,
                started_at: cx.stamp,
                overrides: former.map(|node| node.overrides.clone()).unwrap_or_default(),
            },
            EventKind::NodePut,
            effects,
        );
        self.end_attempts_of(cx, body.node, effects);
        Ok(Answer::Session(session))
    }

    fn end_attempts_of(&mut self, cx: &EntryContext<'_>, node: NodeId, effects: &mut Effects) {
        let runs_here = |task: &&Arc<Task>| {
            task.live_executions().any(|execution| guards::end_session(execution, node))
        };
        let busy: Vec<TaskKey> = self.tasks.busy().filter(runs_here).map(|task| task.key).collect();
        for key in busy {
            let _known = self.edit(cx, key, effects, |task| {
                let held = |execution: &Execution| guards::end_session(execution, node);
                attempts::lose_all(task, "node_restarted", held);
                Ok(())
            });
        }
    }

    pub(in crate::domain::machine) fn node_liveness(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodeLiveness,
        effects: &mut Effects,
    ) -> Response {
        self.change_node(cx, body.node, effects, |node| {
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
        cx: &EntryContext<'_>,
        body: NodeIntent,
        effects: &mut Effects,
    ) -> Response {
        if body.intent == Intent::Removing && self.other_changes(body.node) {
            return Err(Refusal::MembersChanging);
        }
        self.change_node(cx, body.node, effects, |node| {
            node.intent = next_intent(node, body.intent)?;
            Ok(())
        })
    }

    /// Changes what an operator set. The last weight cannot go this way: no task would have an owner.
    /// A node that registers with weight 0, or is removed, is not refused for it: that is a setting
    /// of the node, or a fact, and the other nodes' weights can still be changed.
    pub(in crate::domain::machine) fn node_patch(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodePatch,
        effects: &mut Effects,
    ) -> Response {
        let weighs = |node: &Arc<NodeRecord>| node.id != body.node && node.weight() > 0;
        let others_weigh = self.registers.nodes.values().any(weighs);
        self.change_node(cx, body.node, effects, |node| {
            let set = &mut node.overrides;
            set.slots = body.slots.unwrap_or(set.slots);
            if let Some(labels) = body.labels {
                set.labels = labels;
            }
            if let Some(weight) = body.weight {
                set.weight = weight;
                if node.weight() == 0 && !others_weigh {
                    return Err(Refusal::AllWeightsZero);
                }
            }
            Ok(())
        })
    }

    /// Changes the functions that a process told when it registered.
    pub(in crate::domain::machine) fn node_functions(
        &mut self,
        cx: &EntryContext<'_>,
        body: NodeFunctions,
        effects: &mut Effects,
    ) -> Response {
        self.change_node(cx, body.node, effects, |node| {
            if node.session != body.session {
                return Err(Refusal::Session);
            }
            node.info.functions = body.functions;
            Ok(())
        })
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
        effects: &mut Effects,
    ) -> Response {
        if body.on && !self.cluster.scheduler {
            // What was not settled while it stood still never fires.
            self.cluster.floor = self.cluster.floor.max(cx.stamp);
        }
        if body.on != self.cluster.scheduler {
            self.switch_scheduler(body.on);
            let object = self.scheduler();
            self.tell(cx, EventKind::SchedulerChanged, object, effects);
        }
        effects.hints.push(Hint::Scheduler);
        Ok(Answer::Done)
    }

    /// Assignment is evaluated elsewhere: here the strategy is a value.
    pub(in crate::domain::machine) fn set_strategy(
        &mut self,
        cx: &EntryContext<'_>,
        body: StrategyChange,
        effects: &mut Effects,
    ) -> Response {
        if self.cluster.strategy != body.strategy {
            self.cluster.strategy = body.strategy;
            effects.hints.push(Hint::Strategy);
            self.tell(cx, EventKind::SchedulerChanged, self.scheduler(), effects);
        }
        Ok(Answer::Done)
    }

    /// The scheduler, as an event tells it.
    fn scheduler(&self) -> EventObject {
        let Cluster { scheduler: started, strategy, .. } = self.cluster;
        EventObject::Scheduler { started, strategy }
    }

    fn switch_scheduler(&mut self, on: bool) {
        self.cluster.scheduler = on;
        self.lines.set_scheduler(on, || self.tasks.busy());
    }

    fn change_node(
        &mut self,
        cx: &EntryContext<'_>,
        id: NodeId,
        effects: &mut Effects,
        change: impl FnOnce(&mut NodeRecord) -> Result<(), Refusal>,
    ) -> Response {
        let former = self.registers.nodes.get(&id).ok_or(Refusal::NodeNotFound)?;
        let mut node = NodeRecord::clone(former);
        change(&mut node)?;
        if node != **former {
            self.set_node(cx, node, EventKind::NodeChanged, effects);
        }
        Ok(Answer::Done)
    }

    fn set_node(
        &mut self,
        cx: &EntryContext<'_>,
        node: NodeRecord,
        kind: EventKind,
        effects: &mut Effects,
    ) {
        let (id, object) = (node.id, object(&node));
        self.registers.nodes.set(id, node);
        effects.hints.push(Hint::Node(id));
        self.tell(cx, kind, object, effects);
    }
}

/// The intent after a wish for another one.
///
/// `leaving` lasts until the next boot, so it does not replace an intent that outlives boots: a node
/// that is drained or removed owns nothing and has nothing to give away. A process that ends takes
/// no tasks again, and can be drained for its next boot when it has ended: before that, the end of the
/// drain would also end the leaving. A removal goes on to its end.
fn next_intent(node: &NodeRecord, wish: Intent) -> Result<Intent, Refusal> {
    match (node.intent, wish) {
        (now @ (Intent::Draining | Intent::Removing), Intent::Leaving) => Ok(now),
        (Intent::Leaving, Intent::Draining) if node.liveness != Liveness::Down => {
            Err(Refusal::NodeLeaving)
        }
        (Intent::Leaving, Intent::None) | (Intent::Removing, Intent::None | Intent::Draining) => {
            Err(Refusal::NodeLeaving)
        }
        _ => Ok(wish),
    }
}

/// A node, as an event names it.
pub(super) fn object(node: &NodeRecord) -> EventObject {
    EventObject::Node { node: node.id, liveness: node.liveness, intent: node.intent }
}
