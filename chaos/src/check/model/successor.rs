//! A new cluster that goes on from the state of another: what nodes carried out is lost, or made again
//! where the definition allows it; what waits goes on, and so does what an executor has accepted or a
//! caller has claimed. No session is left, and no node is known.
//!
//! - A new cluster goes on as promised: its first state has what the model has.

use std::collections::BTreeSet;
use std::sync::Arc;

use punctual::domain::ids::NodeId;
use punctual::domain::machine::State;
use punctual::domain::machine::record::{Execution, Status};

use super::ReferenceModel;

const GOES_ON: &str = "a new cluster goes on as promised";
/// What is told of the attempts of the former cluster.
const DETAIL: &str = "cluster_restored";

impl ReferenceModel {
    /// A new cluster begins behind this index. `told`: the executions that begin with it. `begun`: its
    /// state.
    pub fn succeed(&mut self, index: u64, told: &[(u64, String)], begun: Option<&State>) {
        self.index = index;
        let (ends, endings) = (self.ends.len(), self.endings.len());
        let told = told.iter().map(|(id, task)| (*id, Arc::from(task.as_str())));
        self.told = told.collect();
        let begins: Vec<u64> = self.told.iter().map(|(id, _)| *id).collect();
        let held = self.executions.iter().filter(|(_, one)| {
            !one.ended && one.granted.is_some() && !one.accepted && !one.by_caller
        });
        // As where a process registers: in the order of the tasks in the table.
        let mut held: Vec<(u64, u64)> =
            held.map(|(id, one)| (one.task & 0xFFFF_FFFF, *id)).collect();
        held.sort_unstable();
        for (_, id) in &held {
            if let Some(one) = self.executions.get_mut(id) {
                one.granted = None;
            }
            self.end_attempt(*id, Status::Lost, true);
        }
        self.follow_chains();
        self.end_tasks();
        self.judge_told();
        let ended = self.ends.split_off(ends).into_iter().map(|(_, id)| id);
        let lost: BTreeSet<u64> = held.into_iter().map(|(_, id)| id).collect();
        let changed: BTreeSet<u64> = begins.into_iter().chain(ended).collect();
        self.untold.extend(changed.into_iter().chain(lost.iter().copied()).map(|id| (id, index)));
        // No event tells what ended with the former cluster.
        self.endings.truncate(endings);
        for node in std::mem::take(&mut self.sessions).into_values() {
            self.goes(NodeId(node));
        }
        self.working.clear();
        self.leaving.clear();
        for node in std::mem::take(&mut self.drained) {
            self.drains.push((index, node, false));
        }
        if let Some(begun) = begun {
            self.judge_begun(begun, &lost);
        }
    }

    /// Compares the first state of a new cluster with the model. `lost`: the executions whose attempts
    /// were lost with the former cluster.
    fn judge_begun(&mut self, state: &State, lost: &BTreeSet<u64>) {
        let mut wrong = Vec::new();
        for task in self.tasks.values() {
            let Some(found) = state.named(&task.name) else {
                wrong.push(format!("{} is gone", task.name));
                continue;
            };
            let found = (found.progress.cursor.0, found.live.revision.0);
            let wanted = (task.cursor, task.revision);
            // The model has no revision of a deleted mark.
            if !task.deleted && found != wanted {
                wrong.push(format!("{} is at {found:?}, not {wanted:?}", task.name));
            }
        }
        for execution in state.tasks().flat_map(|task| &task.history.executions) {
            let found = (execution.status == Status::Running, execution.stopping);
            let found = (!execution.status.ended()).then_some(found);
            let known = self.live(execution.id.0);
            let untold = lost.contains(&execution.id.0) && !tells_loss(execution);
            if known != found || untold {
                let id = execution.id;
                wrong.push(format!("execution {id} is {:?}, not {known:?}", execution.status));
            }
        }
        if state.nodes().next().is_some() || state.joining().is_some() {
            wrong.push("it knows nodes of the former cluster".to_owned());
        }
        self.judge(GOES_ON);
        for what in wrong {
            self.complain(GOES_ON, what);
        }
    }
}

/// Whether an attempt that was lost with its cluster says so.
fn tells_loss(execution: &Execution) -> bool {
    let report = execution.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    report.is_some_and(|report| report.detail == DETAIL)
}
