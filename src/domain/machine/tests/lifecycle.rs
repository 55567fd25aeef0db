//! Every cell of the table of a task's lifecycle: each operation on each state that a name can be in.
//!
//! `EXPECTED` is the contract, written down by hand. After each operation the state is written out and
//! read back. The stories tell the same operations with all their answers and hints.

use super::super::Refusal;
use super::super::command::{CleanupAll, OfExecution, PauseTask, Start};
use super::super::task::record::Reason;
use super::*;
use crate::domain::ids::Revision;

/// What a name stands for before the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameState {
    Active,
    Paused,
    Completed,
    Failed,
    Cancelled,
    Marked,
    Nothing,
}

/// A state whose task has one execution that ended, one that runs and, unless its state forbids it,
/// one that waits. A completed or failed task has only the one that ended.
const STATES: [NameState; 7] = [
    NameState::Active,
    NameState::Paused,
    NameState::Completed,
    NameState::Failed,
    NameState::Cancelled,
    NameState::Marked,
    NameState::Nothing,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LifecycleOperation {
    Add,
    ForceAdd,
    Update,
    MarkDeleted,
    MarkDeletedAndStop,
    LeaveMark,
    Reuse,
    Cleanup,
    CleanupAll,
    Pause,
    Resume,
    Cancel,
    Trigger,
    Retry,
}

/// What the operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CellEffect {
    /// Refused. Nothing changes.
    No(Refusal),
    /// Accepted. Nothing changes.
    Same,
    /// A first incarnation without history.
    Created,
    /// A new incarnation: what lives is cancelled, and its ticks begin after the former cursor.
    Reborn,
    /// The definition changes; cursor and history stay.
    Changed,
    /// The deleted mark: what waits is cancelled, what runs continues.
    Marked,
    /// The same, and what runs is asked to stop.
    MarkedAndStopped,
    /// A mark and nothing else.
    BareMark,
    /// What the mark hid is there again: the same incarnation, the same history.
    Unmarked,
    /// Nothing is left of the name.
    Gone,
    /// Ticks are held. What lives stays.
    Held,
    /// Ticks go on. What lives stays.
    Resumed,
    /// What waits is cancelled, what runs continues, ticks are held.
    Cancelled,
    /// One execution more, without a tick.
    Execution,
    /// The same, which names the execution that it repeats.
    Repeats,
}

use CellEffect::{
    BareMark, Cancelled, Changed, Created, Execution, Gone, Held, Marked, MarkedAndStopped, No,
    Reborn, Repeats, Resumed, Same, Unmarked,
};
use LifecycleOperation as Op;
use Refusal::{TaskCancelled, TaskDeleted, TaskExists, TaskNotFound};

/// By state: active, paused, completed, failed, cancelled, marked deleted, nothing.
#[rustfmt::skip]
const EXPECTED: [(LifecycleOperation, [CellEffect; 7]); 14] = [
    (Op::Add, [No(TaskExists), No(TaskExists), Reborn, Reborn, Reborn, No(TaskDeleted), Created]),
    (Op::ForceAdd, [Reborn, Reborn, Reborn, Reborn, Reborn, Reborn, Created]),
    (Op::Update, [Changed, Changed, Changed, Changed, Changed, No(TaskDeleted), No(TaskNotFound)]),
    (Op::MarkDeleted, [Marked, Marked, Marked, Marked, Marked, Same, No(TaskNotFound)]),
    (Op::MarkDeletedAndStop, [
        MarkedAndStopped, MarkedAndStopped, MarkedAndStopped, MarkedAndStopped, MarkedAndStopped,
        MarkedAndStopped, No(TaskNotFound),
    ]),
    (Op::LeaveMark, [Marked, Marked, Marked, Marked, Marked, Same, BareMark]),
    (Op::Reuse, [Same, Same, Same, Same, Same, Unmarked, No(TaskNotFound)]),
    (Op::Cleanup, [Gone, Gone, Gone, Gone, Gone, Gone, Same]),
    (Op::CleanupAll, [Gone, Gone, Gone, Gone, Gone, Gone, Same]),
    (Op::Pause, [Held, Held, Held, Held, No(TaskCancelled), No(TaskDeleted), No(TaskNotFound)]),
    (Op::Resume, [Same, Resumed, Same, Same, Resumed, No(TaskDeleted), No(TaskNotFound)]),
    (Op::Cancel, [
        Cancelled, Cancelled, Cancelled, Cancelled, Same, No(TaskDeleted), No(TaskNotFound),
    ]),
    (Op::Trigger, [
        Execution, Execution, Execution, Execution, Execution, No(TaskDeleted), No(TaskNotFound),
    ]),
    (Op::Retry, [Repeats, Repeats, Repeats, Repeats, Repeats, No(TaskDeleted), No(TaskNotFound)]),
];

const NAME: &str = "one";

/// What is looked at of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LifecycleView {
    incarnation: Revision,
    cursor: Timestamp,
    description: Option<String>,
    inactive: Option<Reason>,
    /// Of each execution its status, and whether it is asked to stop.
    executions: BTreeMap<ExecutionId, (Status, bool)>,
}

fn view(state: &State) -> Option<LifecycleView> {
    let task = state.named(NAME)?;
    let executions = task.history.executions.iter();
    Some(LifecycleView {
        incarnation: task.live.incarnation,
        cursor: task.progress.cursor,
        description: task.spec().map(|spec| spec.description.clone()),
        inactive: task.inactive(),
        executions: executions.map(|one| (one.id, (one.status, one.stopping))).collect(),
    })
}

/// A cluster in which one cell is played.
struct LifecycleWorld {
    world: TestWorld,
    /// The execution that ended, if the name has one.
    ended: Option<(TaskKey, ExecutionId)>,
}

impl LifecycleWorld {
    fn new(before: NameState) -> Self {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        if before == NameState::Nothing {
            return Self { world, ended: None };
        }
        let over = matches!(before, NameState::Completed | NameState::Failed);
        let mut spec = every(NAME, 1_000);
        spec.one_shot = over;
        let task = world.add(spec);
        world.wait(1_000);
        let (execution, fence) = world.fire(task, session, world.stamp);
        let status = if before == NameState::Failed { Status::Failed } else { Status::Success };
        world.accept(&finish(task, execution, fence, report(status, world.stamp)));
        let ended = Some((task, execution));
        world.wait(100);
        if !over {
            let Answer::Execution { execution, .. } = world.accept(&trigger(NAME)) else {
                panic!()
            };
            world.accept(&Command::Start(Start { task, execution, session, again: None }));
            world.accept(&trigger(NAME));
        }
        match before {
            NameState::Paused => drop(world.accept(&pause())),
            NameState::Cancelled => drop(world.accept(&Command::Cancel(named(NAME)))),
            NameState::Marked => drop(world.accept(&Command::MarkDeleted(deletion(NAME)))),
            _ => {}
        }
        world.wait(100);
        Self { world, ended }
    }

    fn command(&self, operation: LifecycleOperation) -> Command {
        let mut spec = every(NAME, 1_000);
        "another".clone_into(&mut spec.description);
        match operation {
            Op::Add => put(PutMode::Add, spec),
            Op::ForceAdd => put(PutMode::Force, spec),
            Op::Update => {
                spec.one_shot =
                    self.world.state.named(NAME).is_some_and(|task| task.rules.one_shot);
                put(PutMode::Update { if_match: None }, spec)
            }
            Op::MarkDeleted => Command::MarkDeleted(deletion(NAME)),
            Op::MarkDeletedAndStop => {
                Command::MarkDeleted(MarkDeleted { stop: true, ..deletion(NAME) })
            }
            Op::LeaveMark => {
                Command::MarkDeleted(MarkDeleted { tombstone: true, ..deletion(NAME) })
            }
            Op::Reuse => Command::Reuse(named(NAME)),
            Op::Cleanup => Command::Cleanup(named(NAME)),
            Op::CleanupAll => {
                let cluster = "punctual".to_owned();
                Command::CleanupAll(CleanupAll { cluster, from: 0, upto: None })
            }
            Op::Pause => pause(),
            Op::Resume => Command::Resume(named(NAME)),
            Op::Cancel => Command::Cancel(named(NAME)),
            Op::Trigger => trigger(NAME),
            Op::Retry => {
                let (task, execution) = self.ended.unwrap_or((TaskKey(1), ExecutionId(1)));
                Command::Retry(OfExecution { task, execution })
            }
        }
    }

    /// Plays the operation, and reads back what was written.
    fn play(&mut self, operation: LifecycleOperation) -> Response {
        let command = self.command(operation);
        let response = self.world.apply(&command);
        let loaded = load(self.world.state.all_rows());
        assert_eq!(loaded.digest(), self.world.state.digest());
        assert_eq!(derived(&loaded), derived(&self.world.state));
        self.world.state = loaded;
        response
    }
}

fn pause() -> Command {
    let (name, reason) = (NAME.to_owned(), "maintenance".to_owned());
    Command::Pause(PauseTask { name, reason, until: None, if_match: None })
}

/// The same executions, where those that wait are cancelled and those that run are as told.
fn after_waiting_ended(
    executions: &BTreeMap<ExecutionId, (Status, bool)>,
    running: (Status, bool),
) -> BTreeMap<ExecutionId, (Status, bool)> {
    let each = executions.iter().map(|(id, (status, stopping))| match status {
        Status::Pending => (*id, (Status::Cancelled, false)),
        Status::Running => (*id, running),
        _ => (*id, (*status, *stopping)),
    });
    each.collect()
}

/// Compares what a name was and is with what should have become of it.
fn check(cell: &str, effect: &CellEffect, old: Option<LifecycleView>, new: Option<LifecycleView>) {
    let running = (Status::Running, false);
    let expected = match (effect, old) {
        (No(_) | Same, old) => old,
        (Gone, Some(_)) => None,
        (Created | BareMark, None) => {
            let new = new.as_ref().unwrap_or_else(|| panic!("{cell}: nothing is there"));
            assert!(new.executions.is_empty(), "{cell}: {new:?}");
            let bare = *effect == BareMark;
            assert_eq!(new.description.is_none(), bare, "{cell}");
            assert_eq!(new.inactive, bare.then_some(Reason::Deleted), "{cell}");
            return;
        }
        (Reborn, Some(old)) => {
            let new = new.as_ref().unwrap_or_else(|| panic!("{cell}: nothing is there"));
            assert!(new.incarnation > old.incarnation, "{cell}: {new:?}");
            assert!(new.cursor >= old.cursor, "{cell}: {new:?}");
            Some(LifecycleView {
                incarnation: new.incarnation,
                cursor: new.cursor,
                description: Some("another".to_owned()),
                inactive: None,
                executions: after_waiting_ended(&old.executions, (Status::Cancelled, false)),
            })
        }
        (Changed, Some(old)) => {
            Some(LifecycleView { description: Some("another".to_owned()), ..old })
        }
        (Marked | MarkedAndStopped, Some(old)) => Some(LifecycleView {
            executions: after_waiting_ended(
                &old.executions,
                (Status::Running, *effect == MarkedAndStopped),
            ),
            inactive: Some(Reason::Deleted),
            ..old
        }),
        (Held, Some(old)) => Some(LifecycleView { inactive: Some(Reason::Paused), ..old }),
        (Unmarked | Resumed, Some(old)) => Some(LifecycleView { inactive: None, ..old }),
        (Cancelled, Some(old)) => Some(LifecycleView {
            executions: after_waiting_ended(&old.executions, running),
            inactive: Some(Reason::Cancelled),
            ..old
        }),
        (Execution | Repeats, Some(mut old)) => {
            let new = new.as_ref().unwrap_or_else(|| panic!("{cell}: nothing is there"));
            let known = &old.executions;
            let more: Vec<ExecutionId> =
                new.executions.keys().filter(|id| !known.contains_key(id)).copied().collect();
            let [more] = more[..] else { panic!("{cell}: {more:?}") };
            old.executions.insert(more, (Status::Pending, false));
            Some(old)
        }
        (effect, old) => panic!("{cell}: {effect:?} of {old:?}"),
    };
    // What is held or resumed closes the time until then, so only the cursor of the others stays.
    let moves = matches!(effect, Marked | MarkedAndStopped | Held | Unmarked | Resumed | Cancelled);
    let expected = match (&expected, &new) {
        (Some(expected), Some(new)) if moves => {
            assert!(new.cursor >= expected.cursor, "{cell}: {new:?}");
            Some(LifecycleView { cursor: new.cursor, ..expected.clone() })
        }
        _ => expected,
    };
    assert_eq!(new, expected, "{cell}: {effect:?}");
}

#[test]
fn every_cell_of_the_lifecycle_table_is_as_the_contract_says() {
    for (operation, effects) in EXPECTED {
        for (before, effect) in STATES.into_iter().zip(effects) {
            let cell = format!("{operation:?} on {before:?}");
            let mut cluster = LifecycleWorld::new(before);
            let (old, rows) = (view(&cluster.world.state), cluster.world.rows());
            let response = cluster.play(operation);
            let new = view(&cluster.world.state);
            match &effect {
                No(refusal) => assert_eq!(response, Err(refusal.clone()), "{cell}"),
                _ => assert!(response.is_ok(), "{cell}: {response:?}"),
            }
            if matches!(effect, No(_) | Same) {
                assert_eq!(cluster.world.rows(), rows, "{cell}");
            }
            if effect == Repeats {
                let repeated = cluster.ended.map(|(_, execution)| execution);
                let task = cluster.world.state.named(NAME).expect("a task");
                let last = task.history.executions.iter().last().expect("an execution");
                let of = last.more.as_ref().and_then(|more| more.retry_of);
                assert_eq!((of, last.tick), (repeated, None), "{cell}");
            }
            check(&cell, &effect, old, new);
        }
    }
}

#[test]
fn a_mark_that_is_taken_away_leaves_the_others() {
    let mut world = TestWorld::new();
    let marked = |world: &TestWorld, name: &str| {
        world.state.named(name).is_some_and(|task| task.live.deleted.is_some())
    };
    for name in ["one", "two", "three"] {
        world.add(every(name, 1_000));
        world.accept(&Command::MarkDeleted(deletion(name)));
    }
    world.accept(&Command::Reuse(named("two")));
    assert_eq!(["one", "two", "three"].map(|name| marked(&world, name)), [true, false, true]);
    world.accept(&Command::Cleanup(named("three")));
    assert_eq!(["one", "two", "three"].map(|name| marked(&world, name)), [true, false, false]);
}
