//! Single cases that a script cannot express.

use std::collections::BTreeMap;

use super::super::command::{
    Command, MarkDeleted, NodeIntent, NodeLiveness, NodePatch, OfNode, PauseTask, PutCalendar,
    SettleSpan,
};
use super::super::store::table::walks;
use super::super::task::record::{Intent, Liveness, Reason, Status, Verdict};
use super::super::{Effects, Hint, Refusal};
use super::*;
use crate::domain::schedule::calendar::Calendar;

#[test]
fn counts_that_would_overflow_stay_at_their_greatest() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let task = world.add(every("a", 1_000));
    for verdict in [Verdict::Missed, Verdict::Skipped, Verdict::Coalesced] {
        for _ in 0..2 {
            world.wait(10);
            let mut settle = world.claim(task, session, world.stamp);
            settle.claim = None;
            let reason = Reason::Window;
            settle.spans =
                vec![SettleSpan { to: world.stamp, verdict, reason, count: Some(u64::MAX) }];
            world.accept(&Command::Settle(settle));
        }
    }
    assert_eq!(world.state.task(task).unwrap().progress.totals.missed, u64::MAX);
    assert_eq!(
        world.state.task(task).unwrap().history.spans.front().unwrap().count,
        Some(u64::MAX)
    );
}

#[test]
fn of_output_and_detail_the_right_end_is_kept() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let task = world.add(every("a", 1_000));
    let (execution, fence) = world.fire(task, session, world.stamp.plus(Millis(1)));
    let mut report = report(Status::Failed, world.stamp);
    report.tail = (0..3_000_u32).map(|at| u8::try_from(at / 1_000).unwrap()).collect();
    report.detail = "é".repeat(1_000);
    world.accept(&finish(task, execution, fence, report));
    let (_, kept) = world.state.execution(execution).unwrap();
    let kept = kept.attempt.as_ref().unwrap().report.as_ref().unwrap();
    assert_eq!(kept.tail, [vec![1; 24], vec![2; 1_000]].concat());
    assert_eq!(kept.detail, "é".repeat(512));
}

#[test]
fn what_changes_nothing_says_nothing() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let node = NodeId::new(1, 1);
    let none = NodePatch { node, weight: None, slots: None, labels: None };
    for command in [
        Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Working }),
        Command::NodeIntent(NodeIntent { node, intent: Intent::None }),
        Command::NodePatch(none),
    ] {
        let (response, effects) = world.apply_as(&command, "", None);
        assert_eq!((response, effects), (Ok(Answer::Done), Effects::default()), "{command:?}");
    }
}

#[test]
fn a_refused_deletion_leaves_no_trace() {
    let mut world = TestWorld::new();
    let before = world.rows();
    let command = Command::MarkDeleted(MarkDeleted {
        tombstone: true,
        if_match: Some(super::super::super::ids::Revision(1)),
        ..deletion("ghost")
    });
    assert_eq!(world.apply(&command), Err(Refusal::TaskNotFound));
    assert_eq!(world.rows(), before);
    assert!(world.state.named("ghost").is_none());
}

#[test]
fn every_command_steps_the_counter() {
    let mut world = TestWorld::new();
    let add = put(PutMode::Add, every("a", 1_000));
    for _ in 0..3 {
        let before = world.state.cluster().counter;
        let _answer = world.apply_as(&add, "", Some(IdempotencyKey { text: "k", request: 1 })).0;
        assert!(world.state.cluster().counter > before);
    }
}

#[test]
fn a_frozen_view_does_not_move() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let task = world.add(every("a", 1_000));
    world.fire(task, session, world.stamp.plus(Millis(1)));
    let (frozen, digest) = (world.state.clone(), world.state.digest());
    let rows: Vec<_> = frozen.all_rows().collect();
    world.wait(500);
    world.fire(task, session, world.stamp);
    world.accept(&Command::Cleanup(named("a")));
    world.add(every("b", 1_000));
    assert_eq!(frozen.digest(), digest);
    assert_eq!(frozen.all_rows().collect::<Vec<_>>(), rows);
    assert_eq!(load(rows).digest(), digest);
}

#[test]
fn a_frozen_view_that_is_gone_on_from_notes_its_changes() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let task = world.add(every("a", 1_000));
    for state in [world.state.frozen(), load(world.state.all_rows()).frozen()] {
        let mut store: BTreeMap<_, _> = state.all_rows().collect();
        let mut other = TestWorld { state, index: world.index, stamp: world.stamp };
        other.wait(300);
        other.fire(task, session, other.stamp);
        let dirty = other.state.take_dirty();
        write(&mut store, other.state.changed_rows(&dirty));
        assert_eq!(store, other.state.all_rows().collect());
    }
}

#[test]
fn a_checkpoint_that_failed_is_made_up_for_by_the_next() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let mut store = BTreeMap::new();
    let task = world.add(every("a", 1_000));
    let gone = world.add(every("b", 1_000));
    let dirty = world.state.take_dirty();
    write(&mut store, world.state.changed_rows(&dirty));
    // The write of this checkpoint fails.
    world.accept(&Command::Cleanup(named("b")));
    world.wait(300);
    world.fire(task, session, world.stamp);
    let lost = world.state.take_dirty();
    world.state.merge_dirty(lost);
    world.wait(300);
    world.fire(task, session, world.stamp);
    let dirty = world.state.take_dirty();
    write(&mut store, world.state.changed_rows(&dirty));
    assert_eq!(store, world.state.all_rows().collect());
    let loaded = load(store);
    assert_eq!(loaded.digest(), world.state.digest());
    assert!(loaded.task(gone).is_none());
    assert!(loaded.named("a").is_some());
}

#[test]
fn an_entry_answers_each_of_its_commands() {
    let mut world = TestWorld::new();
    let mut packed = Vec::new();
    let commands = [
        put(PutMode::Add, every("a", 1_000)),
        put(PutMode::Add, every("a", 1_000)),
        trigger("a"),
        trigger("b"),
    ];
    for command in &commands {
        envelope::pack(&mut packed, command, "me", None);
    }
    let mut applied = Applied::default();
    let entry = envelope::entry(EntryHead { stamp: world.stamp, origin: 3, seq: 4 }, &packed);
    let head = world.state.apply(9, &entry, &mut applied).unwrap();
    assert_eq!((head.origin, head.seq), (3, 4));
    let ok: Vec<bool> = applied.responses.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, false]);
    assert_eq!(world.state.cluster().applied, 9);
    assert!(applied.effects.hints.iter().any(|hint| matches!(hint, Hint::Pending(..))));
    world.state.skip(10);
    assert_eq!((world.state.cluster().applied, world.state.cluster().stamp), (10, world.stamp));
}

#[test]
fn tasks_and_executions_are_found_in_order() {
    let mut world = TestWorld::new();
    for name in ["b", "c", "a", "d"] {
        world.add(every(name, 1_000));
        world.accept(&trigger(name));
    }
    world.accept(&Command::MarkDeleted(deletion("c")));
    let names = |after: &str| -> Vec<String> {
        world.state.by_name(after).map(|task| task.live.name.to_string()).collect()
    };
    assert_eq!(names(""), ["a", "b", "c", "d"]);
    assert_eq!(names("b"), ["c", "d"]);
    assert_eq!(names("bb"), ["c", "d"]);
    let newest: Vec<_> = world
        .state
        .executions_before(ExecutionId(u64::MAX))
        .map(|(task, execution)| (task.live.name.to_string(), execution.id))
        .collect();
    assert_eq!(newest.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["d", "a", "c", "b"]);
    let below = newest[1].1;
    let rest: Vec<_> = world.state.executions_before(below).map(|(_, found)| found.id).collect();
    assert_eq!(rest, [newest[2].1, newest[3].1]);
    let found = world.state.named("b").unwrap();
    assert_eq!(found.history.span(world.stamp), None);
}

#[test]
fn history_is_found_by_instant() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let task = world.add(every("a", 1_000));
    let begun = world.stamp;
    world.wait(1_000);
    let (execution, _) = world.fire(task, session, world.stamp);
    world.wait(500);
    world.accept(&Command::Pause(PauseTask {
        name: "a".to_owned(),
        reason: String::new(),
        until: None,
        if_match: None,
    }));
    let history = &world.state.task(task).unwrap().history;
    assert_eq!(history.fired(begun.plus(Millis(1_000))).unwrap().execution, execution);
    assert_eq!(history.fired(begun), None);
    let spans =
        [1_000, 1_001, 1_500, 1_501].map(|at| history.span(begun.plus(Millis(at))).is_some());
    assert_eq!(spans, [false, true, true, false]);
}

#[test]
fn a_frozen_view_shares_what_does_not_change() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let tasks: Vec<TaskKey> =
        (0..600).map(|number| world.add(every(&format!("t{number}"), 1_000))).collect();
    let view = world.state.frozen();
    let (before, shared) = (view.digest(), world.state.tasks.shared(&view.tasks));
    // 600 slots are ten pages, and in tests two pages are a chapter.
    assert_eq!(shared, (5, 600));
    let tick = world.stamp.plus(Millis(1));
    world.fire(tasks[300], session, tick);
    assert_eq!(world.state.tasks.shared(&view.tasks), (4, 599));
    assert_eq!(view.task(tasks[300]).unwrap().progress.live, 0);
    assert!(view.tasks.busy().next().is_none());
    let busy: Vec<TaskKey> = world.state.tasks.busy().map(|task| task.key).collect();
    assert_eq!((busy, view.digest()), (vec![tasks[300]], before));
}

/// Apply blocks every node, so a change that concerns few tasks must not scan all of them.
#[test]
fn nodes_and_calendars_come_and_go_without_a_look_at_all_tasks() {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let other = world.node(2, 1);
    let tasks: Vec<TaskKey> =
        (0..600).map(|number| world.add(every(&format!("t{number}"), 1_000))).collect();
    let (execution, _) = world.fire(tasks[300], session, world.stamp.plus(Millis(1)));
    let calendar = Calendar {
        name: "c".to_owned(),
        description: String::new(),
        timezone: None,
        rules: Vec::new(),
    };
    let calendar = PutCalendar { calendar, if_match: None, source: None };
    let node = NodeId::new(2, 1);
    let down = NodeLiveness { node, session: other, liveness: Liveness::Down };
    let before = walks::seen();
    for command in [
        Command::PutCalendar(Box::new(calendar)),
        Command::DeleteCalendar(named("c")),
        Command::NodeLiveness(down),
        Command::NodeRemove(OfNode { node }),
        node_up(NodeId::new(1, 1), 2),
    ] {
        world.accept(&command);
        assert_eq!(walks::seen() - before, 0, "{command:?}");
    }
    assert_eq!(world.state.execution(execution).unwrap().1.status, Status::Lost);
    // A check that scans are counted.
    assert_eq!((world.state.tasks().count(), walks::seen() - before), (600, 600));
}

#[test]
fn a_fired_tick_is_one_line_of_the_cache() {
    // There may be ten million of them in memory.
    assert_eq!(size_of::<super::super::task::record::FiredTick>(), 64);
}

#[test]
fn there_is_a_most_of_deleted_marks() {
    let mut world = TestWorld::new();
    world.add(every("a", 1_000));
    world.state.marks.fill();
    for tombstone in [false, true] {
        for name in ["a", "none"] {
            let mark = MarkDeleted { tombstone, ..deletion(name) };
            let wanted = match (name, tombstone) {
                ("none", false) => Refusal::TaskNotFound,
                _ => Refusal::Full,
            };
            let rows = world.rows();
            assert_eq!(world.apply(&Command::MarkDeleted(mark)), Err(wanted), "{name}");
            assert_eq!(world.rows(), rows, "a refused command changes nothing");
        }
    }
}
