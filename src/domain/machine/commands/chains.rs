//! What ended executions start: decided in the entry that ends them, so once each and never lost.

use std::sync::Arc;

use super::executions::by_request;
use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::ExecutionId;
use crate::domain::machine::effects::{Effects, EndedParent};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::CHAIN_DEPTH_MAX;
use crate::domain::machine::response::Refusal;
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::{EntryContext, NewExecution};
use crate::domain::machine::task::record::{
    ChainRefusal, ChainedTask, ParentExecution, Reason, Trigger,
};

impl State {
    /// Creates the executions that the ends of a command ask for, and notes with each ended one what
    /// came of it.
    pub(in crate::domain::machine) fn follow_chains(
        &mut self,
        cx: &EntryContext<'_>,
        effects: &mut Effects,
    ) {
        for EndedParent { task, parent, wanted } in std::mem::take(&mut effects.parents) {
            let id = parent.execution;
            let next = Arc::new(ParentExecution { depth: parent.depth + 1, ..parent });
            let mut chained = Vec::new();
            for (condition, name) in wanted.into_iter().filter(|_| guards::follow()) {
                let outcome = self.chain(cx, &next, &name, effects);
                chained.push(ChainedTask { condition, task: name, outcome });
            }
            // A task that keeps no executions has forgotten it already.
            let _kept = self.edit(cx, task, effects, |task| {
                if let Some(at) = task.history.position(id) {
                    task.note_chained(at, chained);
                }
                Ok(())
            });
        }
    }

    fn chain(
        &mut self,
        cx: &EntryContext<'_>,
        parent: &Arc<ParentExecution>,
        name: &str,
        effects: &mut Effects,
    ) -> Result<ExecutionId, ChainRefusal> {
        guards::depth(parent.depth, CHAIN_DEPTH_MAX)?;
        let task = self.named(name).ok_or(ChainRefusal::Missing)?;
        let revision = task.live.definition.ok_or(ChainRefusal::Deleted)?;
        if task.live.deleted.is_some() {
            return Err(ChainRefusal::Deleted);
        }
        if task.live.cancelled.is_some() {
            return Err(ChainRefusal::Cancelled);
        }
        if task.live.paused.is_some() {
            return Err(ChainRefusal::Paused);
        }
        let key = task.key;
        let new = by_request(cx, revision, Trigger::Chain, None, None);
        let new = NewExecution { parent: Some(Arc::clone(parent)), ..new };
        let mut refused = ChainRefusal::MaxLive;
        let created = self.edit(cx, key, effects, |task| {
            if let Err(reason) = overlap::admit(task, Carrier::Node) {
                refused = refusal(reason);
                return Err(Refusal::Overlap);
            }
            let execution = task.execution(new);
            task.hint(Hint::Pending(key, execution));
            Ok(execution)
        });
        created.map_err(|_refused| refused)
    }
}

const fn refusal(reason: Reason) -> ChainRefusal {
    match reason {
        Reason::Overlap => ChainRefusal::Overlap,
        Reason::QueueFull => ChainRefusal::QueueFull,
        _ => ChainRefusal::MaxLive,
    }
}
