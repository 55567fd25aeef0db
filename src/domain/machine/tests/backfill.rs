//! Backfills: samples, commands as they might come, and what holds of their ranges.

use std::collections::BTreeMap;

use super::super::command::{Backfill, CancelBackfill, Command, PauseTask, SetScheduler};
use super::super::limits::{BACKFILLS_MAX, TASK_BACKFILLS_MAX};
use super::super::task::backfills::{BackfillEnds, BackfillKey, BackfillRecord};
use super::super::{Answer, LineKey, Refusal, State};
use super::plausible::StepNumbers;
use super::samples::at;
use super::*;
use crate::domain::ids::Revision;
use crate::domain::task::{AfterRun, ExecutionMode};

pub(super) fn sample() -> Command {
    Command::Backfill(Box::new(Backfill {
        task: TaskKey(5),
        revision: Revision(40),
        calendars: Revision(38),
        from: at(100),
        to: at(500),
        after: at(199),
        ticks: vec![at(200), at(300)],
        remaining: 1,
        parallel: 2,
        parameters: Some("{\"a\":2}".to_owned()),
    }))
}

pub(super) fn cancel_sample() -> Command {
    let (from, to) = (at(100), at(500));
    Command::CancelBackfill(CancelBackfill { task: TaskKey(7), from, to })
}

pub(super) fn record() -> BackfillRecord {
    BackfillRecord {
        incarnation: Revision(5),
        definition: Revision(40),
        calendars: Revision(38),
        begun_at: at(600),
        changed_at: at(700),
        cursor: at(300),
        remaining: 1,
        created: 16,
        live: vec![ExecutionId(300)],
        ended: BackfillEnds { success: 1, failed: 2, timeout: 3, cancelled: 4, lost: 5 },
    }
}

/// The next ticks of a range of a task, 100 ms apart; now and then what is out of place.
pub(super) fn plausible(state: &State, name: &str, dice: &mut StepNumbers) -> Option<Command> {
    let task = state.named(name)?;
    if dice.percent(5) {
        let known = state.backfills(task.key).next();
        let (task, from, to) =
            known.map_or((task.key, at(0), at(1)), |(key, _)| (key.task, key.from, key.to));
        return Some(Command::CancelBackfill(CancelBackfill { task, from, to }));
    }
    let from = DAY.plus(Millis(u64::from(dice.below(2)) * 1_000));
    let to = from.plus(Millis(600));
    let key = BackfillKey { task: task.key, from, to };
    let known = state.backfill_of(task, &key);
    let cursor = known.map_or(BackfillRecord::before(from), |kept| kept.cursor);
    let after = if dice.percent(85) { cursor } else { from.minus(Millis(1)) };
    let first = (1 + after.since(from).0.div_ceil(100)) * u64::from(after > from);
    let left: Vec<Timestamp> = (first..6).map(|tick| from.plus(Millis(tick * 100))).collect();
    let taken = left.len().min(usize::from(dice.below(4)));
    let revision = if dice.percent(90) { task.live.revision } else { Revision(1) };
    Some(Command::Backfill(Box::new(Backfill {
        task: task.key,
        revision,
        calendars: state.calendars_of(task),
        from,
        to,
        after,
        ticks: left[..taken].to_vec(),
        remaining: (left.len() - taken) as u64,
        parallel: u32::from(dice.below(5)),
        parameters: dice.percent(20).then(|| "{}".to_owned()),
    })))
}

/// Every live execution of a backfill is in one range, and a range counts what it created.
pub(super) fn counted(state: &State) {
    let mut listed: BTreeMap<ExecutionId, BackfillKey> = BTreeMap::new();
    for (key, kept) in state.all_backfills() {
        assert!(state.task(key.task).is_some(), "a range of a task that is gone");
        assert_eq!(kept.created, kept.ended.all() + kept.live.len() as u64, "{kept:?}");
        assert!(kept.cursor <= key.to);
        for id in &kept.live {
            let (task, execution) = state.execution(*id).expect("a live one is kept");
            assert_eq!((task.key, execution.trigger), (key.task, Trigger::Backfill));
            assert!(!execution.status.ended(), "{id} has ended");
            let tick = execution.tick.expect("a tick");
            assert!(key.from <= tick && tick < key.to && tick <= kept.cursor);
            assert!(listed.insert(*id, *key).is_none(), "{id} is in two ranges");
        }
    }
    for task in state.tasks() {
        let of_backfill = |one: &&_| matches!(one, super::super::record::Execution { trigger, .. } if *trigger == Trigger::Backfill);
        for one in task.live_executions().filter(of_backfill) {
            assert!(listed.contains_key(&one.id), "{} is in no range", one.id);
        }
    }
}

#[test]
fn keys_of_ranges_are_read_as_they_were_written_and_sort_like_their_rows() {
    use super::super::store::register::RegisterKey;
    let key = |task, from, to| BackfillKey {
        task: TaskKey(task),
        from: Timestamp(from),
        to: Timestamp(to),
    };
    let mut keys =
        vec![key(2, -5, 3), key(1, 7, 9), key(1, -7, 9), key(1, 7, i64::MAX), key(1, i64::MIN, 0)];
    keys.sort();
    let rows: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| {
            let mut row = Vec::new();
            key.write(&mut row);
            row
        })
        .collect();
    assert!(rows.is_sorted());
    let read: Vec<BackfillKey> =
        rows.iter().map(|row| BackfillKey::read(row).expect("a key")).collect();
    assert_eq!(read, keys);
    assert_eq!(BackfillKey::read(&rows[0][1..]), None);
}

/// A task at work, and a range of so many ticks of it, a second apart.
struct RangeWorld {
    world: TestWorld,
    task: TaskKey,
    session: SessionId,
    from: Timestamp,
    ticks: u64,
}

impl RangeWorld {
    fn new(spec: TaskSpec, ticks: u64) -> Self {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        let task = world.add(spec);
        Self { world, task, session, from: DAY, ticks }
    }

    fn key(&self) -> BackfillKey {
        let to = self.from.plus(Millis(self.ticks * 1_000));
        BackfillKey { task: self.task, from: self.from, to }
    }

    /// The ticks that are left of the range.
    fn body(&self, parallel: u32) -> Backfill {
        let state = &self.world.state;
        let (task, key) = (state.task(self.task).expect("a task"), self.key());
        let known = state.backfill_of(task, &key);
        let after = known.map_or(BackfillRecord::before(self.from), |kept| kept.cursor);
        let all = (0..self.ticks).map(|at| self.from.plus(Millis(at * 1_000)));
        Backfill {
            task: self.task,
            revision: task.live.revision,
            calendars: Revision(0),
            from: key.from,
            to: key.to,
            after,
            ticks: all.filter(|tick| *tick > after).collect(),
            remaining: 0,
            parallel,
            parameters: None,
        }
    }

    fn send(&mut self, body: Backfill) -> Result<Vec<ExecutionId>, Refusal> {
        let (response, _) = self.world.apply_as(&Command::Backfill(Box::new(body)), "me", None);
        counted(&self.world.state);
        response.map(|answer| match answer {
            Answer::Backfilled { executions, .. } => executions,
            other => panic!("{other:?}"),
        })
    }

    fn step(&mut self, parallel: u32) -> Result<Vec<ExecutionId>, Refusal> {
        self.send(self.body(parallel))
    }

    /// Starts the oldest waiting execution and ends it.
    fn end_one(&mut self) {
        let task = self.world.state.task(self.task).expect("a task");
        let mut pending: Vec<ExecutionId> = task.live_executions().map(|one| one.id).collect();
        pending.sort();
        let (execution, session) = (pending[0], self.session);
        let start =
            super::super::command::Start { task: self.task, execution, session, again: None };
        let (response, _) = self.world.apply_as(&Command::Start(start), "", None);
        let Ok(Answer::Execution { fence: Some(fence), .. }) = response else {
            panic!("{response:?}")
        };
        let done = report(Status::Success, self.world.stamp);
        self.world.accept(&finish(self.task, execution, fence, done));
        counted(&self.world.state);
    }

    fn record(&self) -> BackfillRecord {
        let task = self.world.state.task(self.task).expect("a task");
        self.world.state.backfill_of(task, &self.key()).expect("a range").clone()
    }
}

#[test]
fn no_more_executions_of_a_range_are_live_than_it_asks_for() {
    let mut range = RangeWorld::new(every("a", 1_000), 5);
    assert_eq!(range.step(2).map(|made| made.len()), Ok(2));
    assert_eq!(range.step(2), Err(Refusal::NoRoom));
    range.end_one();
    assert_eq!(range.step(2).map(|made| made.len()), Ok(1));
    assert_eq!(range.step(5).map(|made| made.len()), Ok(2));
    let kept = range.record();
    assert_eq!((kept.created, kept.remaining, kept.cursor), (5, 0, range.key().to));
    (0..4).for_each(|_| range.end_one());
    let kept = range.record();
    assert_eq!((kept.live.len(), kept.ended.success), (0, 5));
    assert_eq!(range.step(5), Err(Refusal::Order), "a complete range begins no more");
}

#[test]
fn a_command_that_is_late_or_repeated_creates_nothing() {
    let mut range = RangeWorld::new(every("a", 1_000), 4);
    let first = range.body(1);
    assert_eq!(range.send(first.clone()).map(|made| made.len()), Ok(1));
    assert_eq!(range.send(first), Err(Refusal::Cursor { at: DAY }));
    // A checkpoint keeps the range.
    range.world.state = load(range.world.state.all_rows());
    let second = range.body(9);
    assert_eq!(range.send(second.clone()).map(|made| made.len()), Ok(3));
    assert_eq!(range.send(second), Err(Refusal::Cursor { at: range.key().to }));
}

#[test]
fn a_range_that_is_cancelled_gives_its_place_to_another() {
    let mut range = RangeWorld::new(every("a", 1_000), 4);
    let later = range.body(9);
    range.step(1).expect("one");
    let before_cancel = range.body(9);
    let key = range.key();
    let cancel = |range: &mut RangeWorld, key: &BackfillKey| {
        let cancel = CancelBackfill { task: key.task, from: key.from, to: key.to };
        let (response, _) = range.world.apply_as(&Command::CancelBackfill(cancel), "me", None);
        counted(&range.world.state);
        response
    };
    assert_eq!(cancel(&mut range, &key), Ok(Answer::Done));
    for late in [later, before_cancel] {
        let refused = range.send(late).expect_err("it is cancelled");
        assert_eq!(refused, Refusal::Cursor { at: key.to });
        assert!(refused.outdated(), "its proposer looks again");
    }
    assert_eq!(cancel(&mut range, &key), Ok(Answer::Done), "again");
    // A checkpoint keeps that.
    range.world.state = load(range.world.state.all_rows());
    let kept = range.record();
    assert!(kept.cancelled(&key) && !kept.over(), "{kept:?}");
    range.end_one();
    assert!(range.record().over());
    assert_eq!(range.record().created, 1);
    // It is finished, so it makes room where the ranges of a task are at their bound.
    for _ in 1..TASK_BACKFILLS_MAX {
        range.from = range.from.plus(Millis(1));
        range.world.wait(10);
        range.step(1).expect("one");
    }
    range.from = range.from.plus(Millis(1));
    range.step(1).expect("in the place of the one that was cancelled");
    assert_eq!(cancel(&mut range, &key), Err(Refusal::BackfillNotFound));
}

#[test]
fn the_mode_of_the_task_bounds_a_range_and_a_range_replaces_nothing() {
    for mode in [ExecutionMode::Skip, ExecutionMode::Replace] {
        let mut spec = every("a", 1_000);
        spec.execution_mode = mode;
        let mut range = RangeWorld::new(spec, 3);
        for left in [2, 1, 0] {
            assert_eq!(range.step(9).map(|made| made.len()), Ok(1), "{mode:?}");
            assert_eq!(range.record().remaining, left);
            if left > 0 {
                assert_eq!(range.step(9), Err(Refusal::Overlap), "{mode:?}");
            }
            range.end_one();
        }
        assert_eq!(range.record().ended.success, 3);
    }
    let mut spec = every("a", 1_000);
    (spec.execution_mode, spec.queue_max) = (ExecutionMode::Sequential, 1);
    let mut range = RangeWorld::new(spec, 3);
    assert_eq!(range.step(9).map(|made| made.len()), Ok(1), "the first waits for its start");
    assert_eq!(range.step(9), Err(Refusal::QueueFull));
}

#[test]
fn what_holds_the_ticks_of_a_task_refuses_its_backfill() {
    let mut range = RangeWorld::new(every("a", 1_000), 3);
    range.world.accept(&Command::Scheduler(SetScheduler { on: false }));
    assert_eq!(range.step(1), Err(Refusal::Inactive));
    range.world.accept(&Command::Scheduler(SetScheduler { on: true }));
    let pause =
        PauseTask { name: "a".to_owned(), reason: String::new(), until: None, if_match: None };
    range.world.accept(&Command::Pause(pause));
    assert_eq!(range.step(1), Err(Refusal::Inactive));
    range.world.accept(&Command::MarkDeleted(deletion("a")));
    assert_eq!(range.step(1), Err(Refusal::TaskDeleted));

    let mut one_shot = every("b", 1_000);
    one_shot.one_shot = true;
    assert_eq!(RangeWorld::new(one_shot, 3).step(1), Err(Refusal::Inactive));
}

#[test]
fn bodies_that_are_out_of_place_are_refused() {
    type Bend = fn(&mut Backfill);
    let cases: [(Bend, Refusal); 8] = [
        (|body| body.ticks.reverse(), Refusal::Order),
        (|body| body.ticks.clear(), Refusal::Order),
        (|body| body.ticks[0] = body.from.minus(Millis(5)), Refusal::Order),
        (|body| body.ticks.push(body.to), Refusal::Order),
        (|body| body.parallel = 0, Refusal::Full),
        (|body| body.parallel = 101, Refusal::Full),
        (|body| body.to = DAY.plus(Millis::from_secs(90_000)), Refusal::Ahead),
        (
            |body| body.ticks = (0..101).map(|at| body.from.plus(Millis(at))).collect(),
            Refusal::Full,
        ),
    ];
    for (bend, refusal) in cases {
        let mut range = RangeWorld::new(every("a", 1_000), 3);
        let mut body = range.body(1);
        bend(&mut body);
        assert_eq!(range.send(body), Err(refusal));
    }
}

#[test]
fn a_run_of_a_backfill_ends_no_task_and_a_new_incarnation_begins_anew() {
    let mut spec = every("a", 1_000);
    spec.after_run = AfterRun::Cleanup;
    let mut range = RangeWorld::new(spec, 2);
    range.step(1).expect("one");
    range.end_one();
    assert!(range.world.state.named("a").is_some(), "the task stays");
    range.world.accept(&put(PutMode::Force, every("a", 1_000)));
    assert_eq!(range.body(9).ticks.len(), 2, "a new incarnation has its own ranges");
    assert_eq!(range.step(9).map(|made| made.len()), Ok(2));
    range.world.accept(&Command::Cleanup(Named { name: "a".to_owned(), if_match: None }));
    assert_eq!(range.world.state.all_backfills().count(), 0);
}

#[test]
fn a_task_remembers_so_many_ranges_and_drops_complete_ones_only() {
    let mut range = RangeWorld::new(every("a", 1_000), 1);
    let begin = |range: &mut RangeWorld, end: bool| {
        range.from = range.from.plus(Millis(1));
        range.world.wait(10);
        let made = range.step(1).map(|made| made.len());
        if end && made.is_ok() {
            range.end_one();
        }
        made
    };
    assert_eq!(begin(&mut range, true), Ok(1));
    let first = range.key();
    for _ in 1..TASK_BACKFILLS_MAX {
        assert_eq!(begin(&mut range, false), Ok(1));
    }
    assert_eq!(begin(&mut range, false), Ok(1));
    let task = range.task;
    assert_eq!(range.world.state.backfills(task).count(), TASK_BACKFILLS_MAX);
    assert!(range.world.state.backfills(task).all(|(key, _)| *key != first), "the complete one");
    assert_eq!(begin(&mut range, false), Err(Refusal::Full), "none of the others has ended");
}

/// Makes the cluster remember as many ranges as it may, all of another task, each begun a
/// millisecond after the one before it. Returns them in this order.
fn fill(
    world: &mut TestWorld,
    of: &dyn Fn(usize, BackfillRecord) -> BackfillRecord,
) -> Vec<BackfillKey> {
    let task = world.add(every("other", 1_000));
    let incarnation = world.state.task(task).expect("a task").live.incarnation;
    let mut keys = Vec::new();
    for number in 0..BACKFILLS_MAX {
        // The later a range begins, the sooner it was begun.
        let from = DAY.minus(Millis(number as u64 + 1));
        let key = BackfillKey { task, from, to: DAY };
        let ended = BackfillEnds { success: 1, ..BackfillEnds::default() };
        let begun = BackfillRecord::begun(incarnation, from, at(number as u64));
        let over = BackfillRecord { remaining: 0, created: 1, ended, ..begun };
        world.state.set_backfill(key, of(number, over));
        keys.push(key);
    }
    keys
}

#[test]
fn the_cluster_forgets_the_finished_range_that_began_first_for_one_of_any_task() {
    let mut range = RangeWorld::new(every("a", 1_000), 1);
    let kept = fill(&mut range.world, &|number, over| match number {
        0 => BackfillRecord { remaining: 1, ..over },
        _ => over,
    });
    let remembers =
        |range: &RangeWorld, key| range.world.state.registers.backfills.get(key).is_some();
    assert_eq!(range.step(1).map(|made| made.len()), Ok(1));
    let present: Vec<bool> = kept[..3].iter().map(|key| remembers(&range, key)).collect();
    assert_eq!(present, [true, false, true], "the first one is not complete");
    // After a checkpoint it goes on in the same order.
    range.world.state = load(range.world.state.all_rows());
    range.from = range.from.plus(Millis(1));
    assert_eq!(range.step(1).map(|made| made.len()), Ok(1));
    let present: Vec<bool> = kept[..4].iter().map(|key| remembers(&range, key)).collect();
    assert_eq!(present, [true, false, false, true]);
    assert_eq!(range.world.state.all_backfills().count(), BACKFILLS_MAX);
    assert_eq!(range.world.state.check(), Ok(()));
}

#[test]
fn ranges_that_are_not_finished_are_not_forgotten_for_another() {
    let mut range = RangeWorld::new(every("a", 1_000), 1);
    let kept = fill(&mut range.world, &|_, over| BackfillRecord { remaining: 1, ..over });
    assert_eq!(range.step(1), Err(Refusal::Full));
    assert_eq!(range.world.state.all_backfills().count(), BACKFILLS_MAX);
    // A new incarnation of their task goes on with none of them.
    range.world.accept(&put(PutMode::Force, every("other", 1_000)));
    assert_eq!(range.step(1).map(|made| made.len()), Ok(1));
    let present = |key| range.world.state.registers.backfills.get(key).is_some();
    assert_eq!((present(&kept[0]), present(&kept[1])), (false, true));
    assert_eq!(range.world.state.check(), Ok(()));
}

#[test]
fn what_waits_for_a_backfill_starts_after_what_waits_for_other_reasons_at_the_same_priority() {
    let mut spec = every("a", 1_000);
    spec.execution_mode = ExecutionMode::Sequential;
    let mut range = RangeWorld::new(spec.clone(), 2);
    let filled = range.step(2).expect("two");
    let task = range.task;
    range.world.wait(1_000);
    let mut settle = range.world.claim(task, range.session, range.world.stamp);
    settle.claim.iter_mut().for_each(|claim| claim.start = false);
    let ticked = range.world.accept(&Command::Settle(settle));
    let asked = range.world.accept(&trigger("a"));
    let number = |answer: &Answer| match answer {
        Answer::Execution { execution, .. } => *execution,
        other => panic!("{other:?}"),
    };
    let expected = [number(&ticked), number(&asked), filled[0], filled[1]];
    let waiting = |range: &RangeWorld| -> Vec<ExecutionId> {
        let line = range.world.state.lines().get(&LineKey::Task(task)).expect("a line");
        line.waiting().keys().map(|one| one.execution).collect()
    };
    assert_eq!(waiting(&range), expected);
    // The priority of the task stands above that, and a checkpoint changes nothing.
    range.world.state = load(range.world.state.all_rows());
    assert_eq!(waiting(&range), expected);
}
