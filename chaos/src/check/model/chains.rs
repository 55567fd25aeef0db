//! Chains: each end of an execution starts exactly the executions named in its definition, in the
//! same entry, and no other executions appear.
//!
//! The model determines which executions must exist and learns their numbers from the events.

use std::collections::VecDeque;
use std::sync::Arc;

use punctual::domain::machine::record::Status;
use punctual::domain::machine::{Answer, Event, EventObject};
use punctual::domain::task::{ChainCondition, Chains};

use super::ReferenceModel;

const CHAINS: &str = "each end starts what it is to start, once";
/// Maximum length of a chain.
const DEPTH_MAX: u32 = 16;

/// An end whose chains are to be followed.
#[derive(Debug)]
pub(super) struct ChainStart {
    /// Task names, in the order of the definition.
    names: Vec<String>,
    /// Depth of the executions that they start.
    depth: u32,
    parent: u64,
}

/// The executions that appear in the events of an entry for the first time, with the names of their
/// tasks, in order.
pub(super) type ToldExecutions = VecDeque<(u64, Arc<str>)>;

impl ReferenceModel {
    /// The executions that appear in the events of an entry for the first time.
    pub(super) fn told_first(&self, events: &[Event]) -> ToldExecutions {
        let mut told = ToldExecutions::new();
        for event in events {
            let EventObject::Execution { task, execution, .. } = &event.object else { continue };
            let new = (execution.0, Arc::clone(task));
            if !self.executions.contains_key(&new.0) && !told.contains(&new) {
                told.push_back(new);
            }
        }
        told
    }

    /// Records what the end of an execution must start.
    pub(super) fn note_chains(&mut self, id: u64, status: Status) {
        let Some(one) = self.executions.get(&id) else { return };
        let (key, depth, then) = (one.task, one.depth, one.then.clone());
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let former = task.last.replace(status);
        let names = wanted(&then, status, former);
        if !names.is_empty() {
            self.chains.push(ChainStart { names, depth: depth + 1, parent: id });
        }
    }

    /// Follows the chains of the executions that a command ended.
    pub(super) fn follow_chains(&mut self) {
        for ChainStart { names, depth, parent } in std::mem::take(&mut self.chains) {
            for name in names {
                self.judge(CHAINS);
                let Some(key) = self.chained(&name, depth) else { continue };
                self.admit(key, false, None, "a chain");
                match self.told.pop_front() {
                    Some((id, task)) if *task == *name => self.begin_chained(id, key, depth),
                    found => {
                        let what = format!("the end of {parent} starts {name}: {found:?}");
                        self.complain(CHAINS, what);
                    }
                }
            }
        }
    }

    /// Reports new executions of an entry that nothing explains.
    pub(super) fn judge_told(&mut self) {
        for (id, task) in std::mem::take(&mut self.told) {
            self.complain(CHAINS, format!("execution {id} of task {task} came from nowhere"));
        }
    }

    /// The task that a chain starts. `None` if the start is refused.
    fn chained(&self, name: &str, depth: u32) -> Option<u64> {
        let key = *self.names.get(name)?;
        let task = self.tasks.get(&key)?;
        let held = task.paused.is_some() || task.cancelled.is_some();
        let there = !task.deleted && !held && task.spec.is_some();
        (there && depth <= DEPTH_MAX && self.verdict(key, false).is_none()).then_some(key)
    }

    fn begin_chained(&mut self, id: u64, key: u64, depth: u32) {
        use punctual::domain::ids::{ExecutionId, TaskKey};
        let (task, execution) = (TaskKey(key), ExecutionId(id));
        let answer = Answer::Execution { task, execution, fence: None };
        self.execution(key, &answer, None, self.stamp, None, false);
        if let Some(one) = self.executions.get_mut(&id) {
            one.depth = depth;
        }
    }
}

/// The task names that an end with this status starts.
fn wanted(then: &Chains, status: Status, former: Option<Status>) -> Vec<String> {
    let again = former.is_some_and(|former| former != Status::Success);
    let named = then.names().filter(|(condition, _)| match status {
        Status::Success => {
            *condition == ChainCondition::Success
                || (again && *condition == ChainCondition::Recovered)
        }
        Status::Failed => *condition == ChainCondition::Failure,
        Status::Timeout => *condition == ChainCondition::Timeout,
        Status::Lost => *condition == ChainCondition::Lost,
        _ => false,
    });
    let mut names: Vec<String> = Vec::new();
    for (_, name) in named {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}
