//! The state of a new cluster that goes on from that of another: after a restore from a backup, and
//! after the loss of a majority.
//!
//! The former cluster may have gone further than this state knows, and its processes may still run.
//! So nothing that it issued may come up again: the counter begins far behind all of its values, no
//! session goes on, and no Raft id returns.

use super::commands::attempts;
use super::commands::guards;
use super::effects::Effects;
use super::state::State;
use super::task::editor::EntryContext;
use super::task::record::Execution;
use crate::domain::ids::{NodeId, TaskKey};
use crate::domain::time::Timestamp;

/// By how much, at least, the counter of a new cluster is ahead of that of the state that it goes on
/// from.
pub const COUNTER_LEAP: u64 = 1 << 32;
/// The counter of a new cluster is no less than the seconds from 2020 to its beginning, times this. So
/// two clusters that go on from one state, one after the other, issue nothing twice: no cluster counts
/// four million a second. A double holds it exactly until 2088.
const PER_SECOND: u64 = 1 << 22;
/// The first second of 2020, in seconds since 1970.
const FIRST_SECOND: i64 = 1_577_836_800;
/// What is told of the attempts that the former cluster had granted.
const ENDED: &str = "cluster_restored";

impl State {
    /// Makes this the state of a new cluster with this id, which begins now. The counter leaps, all sessions and the
    /// attempts granted in them end, and the nodes register afresh under further join numbers. What
    /// executors have accepted and callers have claimed belongs to no session and goes on.
    ///
    /// False: the counter has no room for another leap; nothing was changed.
    #[must_use]
    pub fn succeed(&mut self, id: u128, now: Timestamp) -> bool {
        let Some(counter) = self.cluster.counter.checked_add(COUNTER_LEAP) else { return false };
        let seconds = u64::try_from(now.0.div_euclid(1_000) - FIRST_SECOND).unwrap_or(0);
        let counter = counter.max(seconds.saturating_mul(PER_SECOND));
        self.cluster.counter = guards::leap(counter, self.cluster.counter);
        self.cluster.id = id;
        let (index, stamp) = (self.cluster.applied, self.cluster.stamp);
        let cx = EntryContext { index, stamp, by: "" };
        // Nobody watches: readers of events begin with the new cluster.
        let mut effects = Effects::default();
        self.end_sessions(&cx, &mut effects);
        self.follow_chains(&cx, &mut effects);
        self.forget_nodes();
        true
    }

    fn end_sessions(&mut self, cx: &EntryContext<'_>, effects: &mut Effects) {
        let granted = |execution: &Execution| guards::ends_with_cluster(execution);
        let tasks = self.tasks.busy().filter(|task| task.live_executions().any(granted));
        let busy: Vec<TaskKey> = tasks.map(|task| task.key).collect();
        for key in busy {
            let _known = self.edit(cx, key, effects, |task| {
                attempts::lose_all(task, ENDED, granted);
                Ok(())
            });
        }
    }

    /// Removes the nodes with what they read in their files. Their Raft ids are gone for ever.
    fn forget_nodes(&mut self) {
        let known = self.nodes().map(|node| node.id);
        let known: Vec<NodeId> = known.chain(self.joining().map(|joining| joining.node)).collect();
        for node in known {
            self.registers.nodes.remove(&node);
            self.leave_member(node);
        }
        let read: Vec<NodeId> = self.registers.files.iter().map(|(node, _)| *node).collect();
        for node in read {
            self.registers.files.remove(&node);
        }
    }
}
