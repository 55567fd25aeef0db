//! The state of a cluster that goes on from another.

use proptest::prelude::*;

use super::super::COUNTER_LEAP;
use super::super::command::NodeJoin;
use super::super::record::Attempt;
use super::plausible::{self, StepNumbers};
use super::*;
use crate::domain::task::Delivery;

/// The state of a new cluster, which is one that commands lead to and that reads back.
fn succeeded(state: &State) -> State {
    let mut next = state.frozen();
    assert!(next.succeed(0xC2, DAY));
    assert_eq!(next.check(), Ok(()));
    let read = load(next.all_rows());
    assert_eq!((read.digest(), derived(&read)), (next.digest(), derived(&next)));
    next
}

/// All numbers of the state that came from the counter and are given to outsiders.
fn attempts(state: &State) -> impl Iterator<Item = &Attempt> {
    let executions = state.tasks().flat_map(|task| task.history.executions.iter());
    executions.filter_map(|execution| execution.attempt.as_ref())
}

/// Nothing that the former cluster issued comes up again, and nothing of it goes on in a session.
fn goes_on_from(next: &State, former: &State) {
    let (was, is) = (former.cluster(), next.cluster());
    assert!(is.counter >= was.counter + COUNTER_LEAP, "{} after {}", is.counter, was.counter);
    assert_eq!((is.id, &is.name, is.applied), (0xC2, &was.name, was.applied));
    assert_eq!(next.nodes().count(), 0, "no session is left");
    assert!(next.joining().is_none());
    for node in former.nodes() {
        assert!(next.is_gone(node.id) && !next.runs_on(node.id), "{}", node.id);
        assert!(next.session(node.session).is_none());
    }
    // The end of an execution may end its task.
    for task in former.tasks().filter(|task| task.progress.live == 0) {
        let kept = next.task(task.key).expect("no task is lost");
        assert_eq!((&kept.live.name, kept.live.revision), (&task.live.name, task.live.revision));
        assert_eq!(kept.progress.cursor, task.progress.cursor, "no tick is settled again");
        assert_eq!(kept.history.ticks.len(), task.history.ticks.len());
    }
    let fences = |state: &State| attempts(state).map(|attempt| attempt.fence.0).max();
    assert!(fences(next).unwrap_or(0) <= was.counter, "no fence is granted by itself");
}

#[test]
fn what_runs_in_a_session_ends_and_what_waits_goes_on() {
    let mut world = TestWorld::new();
    let session = world.node(1, 99);
    let (once, again) = (world.add(every("once", 1_000)), {
        let mut spec = every("again", 1_000);
        spec.delivery = Delivery::AtLeastOnce;
        world.add(spec)
    });
    let tick = world.stamp.plus(Millis(100));
    let (lost, fence) = world.fire(once, session, tick);
    let (repeated, _) = world.fire(again, session, tick);
    let next = succeeded(&world.state);
    goes_on_from(&next, &world.state);
    let (_, ended) = next.execution(lost).expect("an execution");
    let report = ended.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    assert_eq!(ended.status, Status::Lost);
    assert_eq!(report.map(|report| report.detail.as_str()), Some("cluster_restored"));
    let (_, waits) = next.execution(repeated).expect("an execution");
    assert_eq!(waits.status, Status::Pending, "it is delivered again, with a higher fence");

    // In the new cluster the former session has no say, and fences are far ahead.
    let mut world = TestWorld { state: next, ..world };
    let late = world.apply(&finish(once, lost, fence, report_of(tick)));
    assert!(late.is_err(), "{late:?}");
    let next_tick = tick.plus(Millis(1_000));
    world.stamp = next_tick;
    let stale = world.claim(once, session, next_tick);
    assert!(world.apply(&Command::Settle(stale)).is_err());
    let node = NodeId::new(1, 1);
    assert!(world.apply(&node_up(node, 100)).is_err(), "its Raft id is gone");
    let Answer::Session(session) = world.accept(&node_up(NodeId::new(1, 2), 101)) else { panic!() };
    let liveness = Liveness::Working;
    world.accept(&Command::NodeLiveness(NodeLiveness {
        node: NodeId::new(1, 2),
        session,
        liveness,
    }));
    let (_, higher) = world.fire(once, session, next_tick);
    assert!(higher.0 > fence.0 + COUNTER_LEAP, "{higher} after {fence}");
}

fn report_of(tick: Timestamp) -> Report {
    report(Status::Success, tick)
}

#[test]
fn a_node_that_was_joining_and_one_that_was_removed_have_further_numbers() {
    let mut world = TestWorld::new();
    world.node(1, 99);
    let join = NodeJoin { node: NodeId::new(2, 3), peer: "n2".to_owned(), http: String::new() };
    world.accept(&Command::NodeJoin(Box::new(join)));
    let next = succeeded(&world.state);
    goes_on_from(&next, &world.state);
    assert_eq!([1, 2, 3].map(|member| next.last_gone(member)), [1, 3, 0]);
}

/// A backup that is restored twice, or beside its cluster, leads to numbers of their own.
#[test]
fn two_clusters_that_go_on_from_one_state_issue_nothing_twice() {
    let former = TestWorld::new().state;
    let begun = |after: u64| {
        let mut next = former.frozen();
        assert!(next.succeed(0xC2, DAY.plus(Millis::from_secs(after))));
        next.cluster().counter
    };
    // A million values for the second between.
    assert!(begun(0) + 1_000_000 < begun(1));
    assert!(begun(86_400) < 1 << 53, "exact in JSON");
    let mut ahead = former.frozen();
    ahead.cluster.counter = 1 << 52;
    assert!(ahead.succeed(0xC2, DAY));
    assert_eq!(ahead.cluster().counter, (1 << 52) + COUNTER_LEAP, "it never goes back");
}

#[test]
fn a_counter_without_room_is_refused() {
    let mut state = TestWorld::new().state;
    state.cluster.counter = u64::MAX - COUNTER_LEAP + 1;
    let former = state.digest();
    assert!(!state.succeed(0xC2, DAY));
    assert_eq!(state.digest(), former, "nothing was changed");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_state_has_a_successor_without_sessions(
        steps in plausible::steps(),
    ) {
        let mut world = TestWorld::empty();
        for (at, faces) in steps.into_iter().enumerate() {
            let mut dice = StepNumbers::new(faces);
            world.stamp = plausible::stamp(world.stamp, &mut dice);
            let (command, key) = match at {
                0 => (genesis(), None),
                1..4 => (node_up(NodeId::new(u16::try_from(at).unwrap(), 1), 99), None),
                _ => plausible::command(&world.state, world.stamp, &mut dice),
            };
            let _response = world.apply_as(&command, "someone", key);
        }
        let next = succeeded(&world.state);
        goes_on_from(&next, &world.state);
        goes_on_from(&succeeded(&next), &next);
    }
}
