//! The check of a state complains of what no command leads to.

use std::sync::Arc;

use super::super::State;
use super::super::record::{Statistics, Status};
use super::*;

/// A state with a task whose execution runs.
fn running() -> (State, TaskKey) {
    let mut world = TestWorld::new();
    let session = world.node(1, 99);
    let task = world.add(every("report", 1_000));
    let tick = world.stamp.plus(Millis(100));
    world.fire(task, session, tick);
    assert_eq!(world.state.check(), Ok(()));
    (world.state, task)
}

/// Changes what was counted of a task, and its hash with it.
fn count_more(state: &mut State, task: TaskKey, change: impl FnOnce(&mut Statistics)) {
    let (found, _) = state.tasks.get_mut(task).expect("a task");
    let statistics = found.statistics.as_mut().expect("something was counted");
    change(&mut statistics.recent);
    let hash = statistics.recent.hash(task);
    let former = std::mem::replace(&mut statistics.hash, hash);
    state.digest.sub(former);
    state.digest.add(hash);
}

#[test]
fn a_state_that_no_command_leads_to_is_complained_of() {
    type Damage = fn(&mut State, TaskKey);
    let cases: [(&str, Damage); 13] = [
        ("the counter went back", |state, _| state.cluster.counter = 1),
        ("a live execution is not counted", |state, task| {
            state.tasks.get_mut(task).expect("a task").0.progress.live = 0;
        }),
        ("the cursor moved by itself", |state, task| {
            let progress = &mut state.tasks.get_mut(task).expect("a task").0.progress;
            progress.cursor = progress.cursor.plus(Millis(1));
        }),
        ("the definition in force is not kept", |state, task| {
            state.tasks.get_mut(task).expect("a task").0.definitions.clear();
        }),
        ("an execution ended without a time", |state, task| {
            let mut dirty = state.take_dirty();
            let history = &mut state.tasks.get_mut(task).expect("a task").0.history;
            let first = history.executions.front().expect("an execution").id;
            let place = history.position(first).expect("its place");
            let mut execution = history.executions.get_mut(place, task, &mut dirty).expect("it");
            execution.status = Status::Success;
        }),
        ("a name leads nowhere", |state, _| {
            state.names.insert("other".into(), TaskKey(9));
        }),
        ("a node is gone", |state, _| drop(state.registers.nodes.remove(&NodeId::new(1, 1)))),
        ("marks are miscounted", |state, _| state.marks.fill()),
        ("a tick is counted twice on its day", |state, task| {
            count_more(state, task, |recent| recent.today.counts.fired += 1);
        }),
        ("a streak of what did not end", |state, task| {
            count_more(state, task, |recent| recent.streaks.longest_success = 1);
        }),
        ("an execution took time and did not end", |state, task| {
            count_more(state, task, |recent| recent.durations.add(1));
        }),
        ("the cluster has counted less than its tasks", |state, _| {
            Arc::make_mut(&mut state.statistics).totals.fired = 0;
        }),
        ("the digest is another", |state, _| state.digest.add(1)),
    ];
    for (what, damage) in cases {
        let (mut state, task) = running();
        damage(&mut state, task);
        assert!(state.check().is_err(), "{what}");
    }
}
