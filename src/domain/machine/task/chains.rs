//! Chains: what the end of an execution is to start. The end notes it here; once its command is
//! applied, `commands/chains.rs` creates the executions.

use std::sync::Arc;

use super::editor::TaskEditor;
use super::record::{ChainedTask, Execution, ParentExecution, Status, cut};
use super::whole::Task;
use crate::domain::machine::effects::EndedParent;
use crate::domain::machine::limits::REASON_BYTES;
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::task::{ChainCondition, Chains};

impl TaskEditor<'_> {
    /// Notes what the end of the execution at `at` is to start. `former` is how the one before it
    /// ended.
    pub fn note_chains(&mut self, at: RecordPlace, former: Option<Status>) {
        let execution = self.task.history.executions.get(at);
        let ended = execution.and_then(|execution| ended_parent(self.task, execution, former));
        self.effects.parents.extend(ended);
    }

    /// Notes with the execution at `at` what came of its chains. The event of its end tells it: who
    /// reads the execution at that event finds both.
    pub fn note_chained(&mut self, at: RecordPlace, chained: Vec<ChainedTask>) {
        let _told = self.rewrite(at, |execution| execution.more().chained = chained);
    }
}

fn ended_parent(task: &Task, execution: &Execution, former: Option<Status>) -> Option<EndedParent> {
    let definition = task.revision(execution.revision)?;
    let wanted = wanted(&definition.spec.then, execution.status, former);
    if wanted.is_empty() {
        return None;
    }
    let report = execution.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    let mut reason = report.map(|report| report.detail.clone());
    if let Some(reason) = &mut reason {
        cut(reason, REASON_BYTES);
    }
    let parent = ParentExecution {
        task: Arc::clone(&task.live.name),
        execution: execution.id,
        depth: execution.depth(),
        status: execution.status,
        exit_code: report.and_then(|report| report.exit_code),
        http_status: report.and_then(|report| report.http_status),
        reason: reason.unwrap_or_default(),
        tail: report.map(|report| report.tail.clone()).unwrap_or_default(),
    };
    Some(EndedParent { task: task.key, parent, wanted })
}

impl Execution {
    /// The execution whose end created it.
    #[must_use]
    pub fn parent(&self) -> Option<&ParentExecution> {
        self.more.as_ref()?.parent.as_deref()
    }

    /// What its end started, and what it did not.
    pub fn chained(&self) -> impl Iterator<Item = &ChainedTask> {
        self.more.iter().flat_map(|more| &more.chained)
    }

    /// How many ends led to it.
    fn depth(&self) -> u32 {
        self.parent().map_or(0, |parent| parent.depth)
    }
}

/// The tasks that an end like this one is to start, in the order of the definition.
fn wanted(
    chains: &Chains,
    status: Status,
    former: Option<Status>,
) -> Vec<(ChainCondition, Arc<str>)> {
    let holds = |condition| match condition {
        ChainCondition::Success => status == Status::Success,
        ChainCondition::Failure => status == Status::Failed,
        ChainCondition::Lost => status == Status::Lost,
        ChainCondition::Timeout => status == Status::Timeout,
        ChainCondition::Recovered => {
            status == Status::Success && former.is_some_and(|former| former != Status::Success)
        }
    };
    let mut wanted: Vec<(ChainCondition, Arc<str>)> = Vec::new();
    for (condition, name) in chains.names().filter(|(condition, _)| holds(*condition)) {
        // One end starts a task once, for whatever it is named.
        if wanted.iter().all(|(_, known)| **known != *name) {
            wanted.push((condition, name.into()));
        }
    }
    wanted
}
