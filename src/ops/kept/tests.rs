//! What is kept equals what would be computed anew.

use proptest::prelude::*;

use super::*;
use crate::domain::assign::Members;
use crate::domain::machine::command::{
    MarkDeleted, Named, NodeIntent, NodeUp, PauseTask, Put, PutMode, SetScheduler, TriggerTask,
};
use crate::domain::machine::envelope::{EntryHead, entry, pack};
use crate::domain::machine::record::Intent;
use crate::domain::machine::{Applied, Command, node_info};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::TaskSpec;
use crate::domain::time::Millis;

/// Something that happens: a command, and the seconds before it.
#[derive(Clone, Debug)]
struct KeptStep(Command, u64);

fn step() -> impl Strategy<Value = KeptStep> {
    let command = (0_u8..10, 0_u64..6, 1_u64..100).prop_map(|(kind, number, secs)| {
        let name = format!("t{number}");
        let named = Named { name: name.clone(), if_match: None };
        let every = |secs| Rule::Interval { every: Millis::from_secs(secs), anchor: None };
        match kind {
            0..4 => {
                let rule = if secs > 90 { Rule::Manual } else { every(secs) };
                let spec = TaskSpec::new(name, Schedule::of(rule), None);
                Command::Put(Box::new(Put { mode: PutMode::Force, spec }))
            }
            4 => Command::Cleanup(named),
            5 => Command::MarkDeleted(MarkDeleted {
                name,
                stop: true,
                tombstone: false,
                if_match: None,
            }),
            6 => Command::Pause(PauseTask {
                name,
                reason: String::new(),
                until: (secs > 50).then_some(Timestamp(secs.cast_signed() * 1_000)),
                if_match: None,
            }),
            7 => Command::TriggerTask(TriggerTask { name, parameters: None }),
            8 => Command::Scheduler(SetScheduler { on: secs > 30 }),
            _ => {
                let intent = if secs > 50 { Intent::Draining } else { Intent::None };
                Command::NodeIntent(NodeIntent {
                    node: NodeId::new(if number > 2 { 1 } else { 2 }, 1),
                    intent,
                })
            }
        }
    });
    (command, 0_u64..30).prop_map(|(command, secs)| KeptStep(command, secs))
}

fn apply(state: &mut State, now: Timestamp, command: &Command) {
    let mut packed = Vec::new();
    pack(&mut packed, command, "", None);
    let index = state.cluster().applied + 1;
    let entry = entry(EntryHead { stamp: now, origin: 1, seq: index }, &packed);
    state.apply(index, &entry, &mut Applied::default()).unwrap();
}

fn order(tasks: &TasksInOrder) -> Vec<(i64, String)> {
    tasks.after(None).map(|(key, task)| (key, task.live.name.to_string())).collect()
}

proptest! {
    #[test]
    fn what_follows_the_state_is_what_would_be_computed_anew(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let (mut state, mut now) = (State::default(), Timestamp(1_000));
        for number in [1, 2] {
            let (node, info) = (NodeId::new(number, 1), node_info(number.into()));
            let boot = u128::from(number);
            apply(&mut state, now, &Command::NodeUp(Box::new(NodeUp { node, boot, info })));
        }
        // Tasks on more than one page and in more than one chapter of the table.
        for number in 0..300 {
            let rule = Rule::Interval { every: Millis::from_secs(1 + number % 70), anchor: None };
            let spec = TaskSpec::new(format!("z{number}"), Schedule::of(rule), None);
            let put = Put { mode: PutMode::Add, spec };
            apply(&mut state, now, &Command::Put(Box::new(put)));
        }
        let view = |state: &State, now| {
            let state = state.frozen();
            StateView { members: Members::of(&state), now, own: NodeId::new(1, 1), state }
        };
        let first = view(&state, now);
        let mut counts = OwnedCounts::of(first.clone());
        let mut orders = [KeptOrder::Next, KeptOrder::Last]
            .map(|order| Some(TasksInOrder::of(&first, order)));
        let mut ticks = FirstTicks::of(&first);
        for KeptStep(command, secs) in steps {
            now = now.plus(Millis::from_secs(secs));
            apply(&mut state, now, &command);
            let view = view(&state, now);
            counts = match view.members.give_as(&counts.view.members) {
                true => counts.follow(view.clone()),
                false => OwnedCounts::of(view.clone()),
            };
            let anew = OwnedCounts::of(view.clone());
            prop_assert_eq!((&counts.owned, counts.tasks), (&anew.owned, anew.tasks));
            let anew = FirstTicks::of(&view);
            ticks = if ticks.rules.hold_in(&view) { ticks.follow(&view) } else { FirstTicks::of(&view) };
            for task in view.state.tasks() {
                prop_assert_eq!(ticks.of_task(task), anew.of_task(task));
            }
            for known in &mut orders {
                let former = known.take().unwrap();
                let (order_of, same) = (former.order, former.rules.hold_in(&view));
                let anew = TasksInOrder::of(&view, order_of);
                let follows = if same { former.follow(&view) } else { TasksInOrder::of(&view, order_of) };
                prop_assert_eq!(order(&follows), order(&anew));
                *known = Some(follows);
            }
        }
    }
}

#[test]
fn an_order_goes_on_behind_a_place() {
    let (mut state, now) = (State::default(), Timestamp(1_000));
    for number in 0..5 {
        let spec = TaskSpec::new(format!("t{number}"), Schedule::of(Rule::Manual), None);
        let put = Command::Put(Box::new(Put { mode: PutMode::Add, spec }));
        apply(&mut state, now, &put);
    }
    let view = StateView { members: Members::of(&state), now, own: NodeId::new(1, 1), state };
    let tasks = TasksInOrder::of(&view, KeptOrder::Last);
    let rest: Vec<_> = tasks.after(Some((i64::MAX, Arc::from("t2")))).collect();
    let names: Vec<&str> = rest.iter().map(|(_, task)| &*task.live.name).collect();
    assert_eq!(names, ["t3", "t4"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_forgotten() {
    let place = KeptPlace::<u32>::default();
    let known = |place: &KeptPlace<u32>| {
        let mut known = None;
        place.with(
            |former| {
                known = former;
                former.unwrap_or(0) + 1
            },
            |_| (),
        );
        known
    };
    assert_eq!(known(&place), None);
    sleep(IDLE / 2).await;
    assert_eq!(known(&place), Some(1));
    sleep(IDLE * 3).await;
    assert_eq!(known(&place), None);
}
