//! Whose turn it is, of a sequential task and a parallel one in a group.

use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::Concurrency;

use super::*;
use crate::check::model::attempts::AttemptCounts;

const SEQUENTIAL: u64 = 1;
const PARALLEL: u64 = 2;

/// Executions 11 and 12 of the sequential task wait, and 13 of the parallel one behind them. The next
/// attempt of the first is due at `next_at`.
fn waiting(limit: u32, next_at: Option<i64>) -> ReferenceModel {
    let mut model = ReferenceModel { scheduler: true, ..ReferenceModel::default() };
    let modes = [(SEQUENTIAL, ExecutionMode::Sequential), (PARALLEL, ExecutionMode::Parallel)];
    for (key, execution_mode) in modes {
        let mut spec = TaskSpec::new(format!("t{key}"), Schedule::of(Rule::Manual), None);
        spec.execution_mode = execution_mode;
        spec.concurrency = Some(Concurrency { group: "g".to_owned(), limit });
        let task = ReplayedTask {
            name: spec.name.clone(),
            incarnation: 1,
            revision: 1,
            cursor: 0,
            deleted: false,
            paused: None,
            cancelled: None,
            spec: Some(spec),
            set_at: 0,
            exhausted: false,
            fired: 0,
            live: BTreeSet::new(),
            last: None,
            ends: BTreeMap::new(),
        };
        model.tasks.insert(key, task);
    }
    for (id, task) in [(11, SEQUENTIAL), (12, SEQUENTIAL), (13, PARALLEL)] {
        let mut execution = ReplayedExecution {
            task,
            tick: None,
            due: 0,
            by_caller: false,
            backfilled: false,
            granted: None,
            policy: None,
            attempts: AttemptCounts::default(),
            then: punctual::domain::task::Chains::default(),
            depth: 0,
            by_executor: false,
            executor: None,
            accepted: false,
            lost_after: 0,
            unknown: 0,
            stopping: false,
            was_next: false,
            ended: false,
        };
        execution.attempts.next_at = next_at.filter(|_| id == 11);
        model.executions.insert(id, execution);
        model.tasks.get_mut(&task).unwrap().live.insert(id);
    }
    model
}

#[test]
fn one_that_may_not_start_takes_no_place_of_a_group() {
    assert_eq!(waiting(1, None).turns(0), BTreeSet::from([11]));
    assert_eq!(waiting(2, None).turns(0), BTreeSet::from([11, 13]));
    assert_eq!(waiting(3, None).turns(0), BTreeSet::from([11, 13]));
}

#[test]
fn one_that_is_to_be_attempted_again_keeps_its_turn_in_the_line_of_its_task_only() {
    assert_eq!(waiting(1, Some(5)).turns(4), BTreeSet::from([13]));
    assert_eq!(waiting(2, Some(5)).turns(4), BTreeSet::from([13]));
    assert_eq!(waiting(1, Some(5)).turns(5), BTreeSet::from([11]));
}
