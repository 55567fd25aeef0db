//! What the leader proposes for `range` and for the strategy of a program, and when.

use std::collections::BTreeMap;

use super::world::EngineWorld;
use crate::domain::assign::Members;
use crate::domain::assign::custom::{AssignmentStrategy, NodeToAssign, TaskToAssign};
use crate::domain::assign::proposed::{StrategyFault, choices, is_followed_now, is_moving, parts};
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{Assign, Command};
use crate::domain::machine::envelope;
use crate::domain::task::Strategy;
use crate::engine::assigner::AssignmentWatch;
use crate::stories::StoryWorld;

fn world(lines: &[&str]) -> EngineWorld {
    let mut world = EngineWorld::default();
    let begin = ["at 12:00:00.000", "up n1", "up n2", "up n3", "register"];
    let working = ["working n1", "working n2", "working n3"];
    begin.iter().chain(&working).chain(lines).for_each(|line| drop(world.line(line)));
    world
}

fn add(world: &mut EngineWorld, prefix: &str, many: usize) {
    for number in 0..many {
        world.line(&format!("add {prefix}{number:04} every 600s"));
    }
}

fn number(node: NodeId) -> u16 {
    node.0.try_into().expect("a small number")
}

/// The numbers of the owners of all tasks, in the order of the names.
fn owners(world: &EngineWorld) -> Vec<u16> {
    let members = Members::of(&world.state);
    let tasks = world.state.by_name("");
    tasks.map(|task| number(members.owner(task).expect("an owner"))).collect()
}

fn counts(world: &EngineWorld) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    owners(world).into_iter().for_each(|owner| *counts.entry(owner).or_default() += 1);
    counts
}

/// Applies what is proposed now. Returns whether anything was.
fn follow(world: &mut EngineWorld) -> bool {
    let Some(assign) = parts(&world.state, &Members::of(&world.state)) else { return false };
    world.apply(&Command::Assign(assign)).expect("it is taken");
    true
}

#[test]
fn range_gives_each_node_a_part_of_the_names_and_no_task_is_without_an_owner_meanwhile() {
    let mut world = world(&[]);
    add(&mut world, "t", 300);
    assert!(!follow(&mut world), "no task follows it");
    world.line("strategy range");
    let before = counts(&world);
    assert_eq!(before.values().sum::<usize>(), 300, "until then as consistent chooses");
    assert!(follow(&mut world));
    assert!(!follow(&mut world), "what was proposed fits");
    let all = owners(&world);
    assert!(all.is_sorted(), "contiguous, in the order of the ids: {all:?}");
    assert_eq!(counts(&world), BTreeMap::from([(1, 100), (2, 100), (3, 100)]));

    // A node goes: the next part's node has its tasks at once, and then the parts are cut anew.
    world.line("down n2");
    assert_eq!(counts(&world), BTreeMap::from([(1, 100), (3, 200)]));
    assert!(follow(&mut world));
    assert_eq!(counts(&world), BTreeMap::from([(1, 150), (3, 150)]));
    world.line("working n2");
    assert_eq!(counts(&world), BTreeMap::from([(1, 150), (3, 150)]), "it has no part yet");
    assert!(follow(&mut world));
    assert_eq!(counts(&world), BTreeMap::from([(1, 100), (2, 100), (3, 100)]));

    // Weights count, and a node of weight 0 has nothing.
    world.line("weight n3 0");
    world.line("weight n1 2");
    assert!(follow(&mut world));
    assert_eq!(counts(&world), BTreeMap::from([(1, 200), (2, 100)]));
}

#[test]
fn parts_are_cut_anew_when_one_is_a_fifth_off() {
    let mut world = world(&["strategy range"]);
    add(&mut world, "t", 300);
    assert!(follow(&mut world));
    // All new names fall into the last part.
    let mut added = 0;
    while !follow(&mut world) {
        let largest = counts(&world).into_values().max().expect("some");
        assert!(largest * 3 * 5 <= (300 + added) * 6, "at most a fifth more: {largest}, {added}");
        world.line(&format!("add z{added:04} every 600s"));
        added += 1;
        assert!(added < 300, "never cut anew");
    }
    assert!(added > 20, "cut anew after {added}");
    let counts = counts(&world);
    assert!(counts.values().all(|count| count.abs_diff((300 + added) / 3) <= 1), "{counts:?}");
}

#[test]
fn only_tasks_that_follow_range_count_and_a_selector_stays_above_it() {
    let mut world = world(&[]);
    add(&mut world, "other", 30);
    for number in 0..30 {
        world.line(&format!("add r{number:02} every 600s strategy=range"));
    }
    world.line("add r99 every 600s strategy=range on=n1");
    assert!(follow(&mut world));
    let members = Members::of(&world.state);
    let of = |name: &str| members.owner(world.state.named(name).expect("it is there"));
    let numbers = (0..30).map(|number| of(&format!("r{number:02}")).expect("an owner"));
    let numbers: Vec<u16> = numbers.map(number).collect();
    assert!(numbers.is_sorted() && numbers.first() != numbers.last(), "{numbers:?}");
    assert_eq!(of("r99"), Some(NodeId(1)));
}

/// The last digit of the name, modulo the number of nodes; none for names that begin with `x`.
struct ByDigit;

impl AssignmentStrategy for ByDigit {
    fn assign(&self, tasks: &[TaskToAssign<'_>], nodes: &[NodeToAssign<'_>]) -> Vec<Option<usize>> {
        let digit = |name: &str| usize::from(name.bytes().last().unwrap_or(b'0') - b'0');
        let choose = |name: &str| (!name.starts_with('x')).then(|| digit(name) % nodes.len());
        assert!(nodes.iter().all(|node| node.weight > 0 && !node.name.is_empty()));
        tasks.iter().map(|task| choose(task.name)).collect()
    }
}

fn choose(world: &mut EngineWorld) -> usize {
    let members = Members::of(&world.state);
    let assigns = choices(&world.state, &members, &ByDigit).expect("choices");
    let mut many = 0;
    for assign in assigns {
        let Assign::Choices(part) = &assign else { panic!("{assign:?}") };
        assert!(part.len() <= 1_000, "in parts");
        many += part.len();
        world.apply(&Command::Assign(assign)).expect("it is taken");
    }
    many
}

#[test]
fn the_strategy_of_a_program_is_followed_wherever_its_choice_may_own_the_task() {
    let mut world = world(&["strategy custom"]);
    add(&mut world, "t", 1_200);
    assert_eq!(choose(&mut world), 1_200);
    assert_eq!(choose(&mut world), 0, "all is as it chooses");
    let expected: Vec<u16> = (0..1_200_u16).map(|number| number % 10 % 3 + 1).collect();
    assert_eq!(owners(&world), expected);

    // Tasks without a choice, or whose choice is away, have an owner all the same.
    world.line("add x1 every 600s");
    world.line("add y1 every 600s on=n3");
    assert_eq!(choose(&mut world), 1, "of x1 it chooses none");
    world.line("down n2");
    let members = Members::of(&world.state);
    let of = |name: &str| members.owner(world.state.named(name).expect("it is there"));
    assert!(
        world
            .state
            .by_name("")
            .all(|task| members.owner(task).is_some_and(|owner| number(owner) != 2))
    );
    assert_eq!(of("y1"), Some(NodeId(3)), "the selector stays above it");
    assert!(choose(&mut world) > 0, "two nodes are left");
    assert_eq!(counts(&world).len(), 2);

    // What follows another strategy loses its choice; so does what is cleaned up.
    world.line("update t0000 every 600s strategy=weighted");
    assert_eq!(choose(&mut world), 1);
    world.line("cleanup t0001");
    assert!(world.state.assigned().choice("t0001").is_none());
    world.line("strategy consistent");
    assert!(choose(&mut world) > 1_000);
    assert_eq!(world.state.assigned().chosen().count(), 0);
}

/// Answers this.
struct Fixed(Vec<Option<usize>>);

impl AssignmentStrategy for Fixed {
    fn assign(&self, _: &[TaskToAssign<'_>], _: &[NodeToAssign<'_>]) -> Vec<Option<usize>> {
        self.0.clone()
    }
}

#[test]
fn an_answer_that_cannot_be_followed_changes_nothing() {
    let world = world(&["strategy custom", "add a every 600s", "add b every 600s"]);
    let members = Members::of(&world.state);
    let asked = |answer: &[Option<usize>]| choices(&world.state, &members, &Fixed(answer.to_vec()));
    assert_eq!(asked(&[Some(0)]), Err(StrategyFault::Count { tasks: 2, found: 1 }));
    let place = StrategyFault::Place { task: "b".to_owned(), place: 3, nodes: 3 };
    assert_eq!(asked(&[Some(2), Some(3)]), Err(place));
    assert_eq!(asked(&[None, None]), Ok(Vec::new()));
}

#[test]
fn a_deleted_mark_follows_no_strategy() {
    let mut world = world(&["add a every 600s", "add b every 600s strategy=custom"]);
    let of = |world: &EngineWorld| {
        is_followed_now(&world.state, &Members::of(&world.state), Strategy::Custom)
    };
    assert!(of(&world));
    world.line("delete b");
    assert!(!of(&world));
}

#[test]
fn nothing_is_computed_while_no_task_follows_such_a_strategy() {
    let mut world = world(&["add a every 600s"]);
    let mut watch = AssignmentWatch::default();
    let mut due = |world: &EngineWorld| watch.is_due(&world.state, &Members::of(&world.state));
    assert!((0..40).all(|_| !due(&world)));
    world.line("add b every 600s");
    assert!(!due(&world), "it follows none either");
    world.line("add c every 600s strategy=range");
    assert!(due(&world));
    world.line("update c every 600s");
    assert!(!due(&world));
    world.line("update c every 600s strategy=range");
    assert!(due(&world), "it follows it again");
    world.line("update c every 600s");
    world.line("strategy custom");
    assert!(!due(&world), "the strategy of the cluster is new");
    assert!(due(&world));
    // What was chosen is taken back when no task follows it any more.
    assert_eq!(choose(&mut world), 3);
    world.line("strategy consistent");
    assert!(!due(&world));
    assert!(due(&world));
    assert_eq!(choose(&mut world), 3);
    assert!((0..40).all(|_| !due(&world)));
}

#[test]
fn choices_are_computed_when_the_nodes_are_steady_and_something_changed() {
    let mut world = world(&["strategy range", "add a every 600s"]);
    let mut watch = AssignmentWatch::default();
    let mut due = |world: &EngineWorld| watch.is_due(&world.state, &Members::of(&world.state));
    assert!(!due(&world), "the first look only sees");
    assert!(due(&world));
    assert!(!due(&world), "nothing changed");
    world.line("add b every 600s");
    assert!(due(&world), "another task");
    world.line("down n2");
    assert!(!due(&world), "it may be back at once");
    world.line("working n2");
    assert!(!due(&world));
    assert!(!due(&world), "it was only restarted");
    world.line("down n2");
    assert!(!due(&world));
    assert!(due(&world), "it is gone");
    let looks = (0..100).position(|_| due(&world));
    assert_eq!(looks, Some(29), "definitions may have changed");
}

#[test]
fn what_was_not_accepted_is_computed_again() {
    let world = world(&["strategy range", "add a every 600s"]);
    let members = Members::of(&world.state);
    let mut watch = AssignmentWatch::default();
    assert!(!watch.is_due(&world.state, &members));
    assert!(watch.is_due(&world.state, &members));
    watch.note_computed(false, false);
    assert!(watch.is_due(&world.state, &members), "the proposal may be lost");
    watch.note_computed(true, false);
    assert!(!watch.is_due(&world.state, &members));
}

/// How often a strategy is asked at so many looks, at each of which there is another task.
fn asked(
    world: &mut EngineWorld,
    watch: &mut AssignmentWatch,
    looks: usize,
    moving: bool,
) -> usize {
    let mut asked = 0;
    for look in 0..looks {
        world.line(&format!("add {}{look:03} every 600s", if moving { "m" } else { "s" }));
        if watch.is_due(&world.state, &Members::of(&world.state)) {
            asked += 1;
            watch.note_computed(true, moving);
        }
    }
    asked
}

#[test]
fn a_strategy_that_answers_otherwise_each_time_is_asked_with_growing_pauses() {
    let mut world = world(&["strategy custom"]);
    let mut watch = AssignmentWatch::default();
    assert_eq!(
        asked(&mut world, &mut watch, 101, false),
        100,
        "a steady one whenever a task comes"
    );
    // After 2, 4, 8, 16 looks, and then after 30 each.
    assert_eq!(asked(&mut world, &mut watch, 100, true), 7);
    // Other nodes do not wait for that.
    world.line("down n2");
    let mut due = || watch.is_due(&world.state, &Members::of(&world.state));
    assert_eq!((due(), due()), (false, true));
}

#[test]
fn only_what_a_node_could_have_kept_counts_as_moved() {
    let mut world = world(&["strategy custom", "add a every 600s", "add b every 600s"]);
    let answer = |world: &EngineWorld, answer: [usize; 2]| {
        let members = Members::of(&world.state);
        let assigns = choices(&world.state, &members, &Fixed(answer.map(Some).to_vec()));
        let assigns = assigns.expect("choices");
        (is_moving(&assigns, &members), assigns)
    };
    let (moving, assigns) = answer(&world, [0, 1]);
    assert!(!moving, "they had no choice");
    for assign in assigns {
        world.apply(&Command::Assign(assign)).expect("it is taken");
    }
    assert!(!answer(&world, [0, 1]).0);
    assert!(answer(&world, [1, 1]).0);
    world.line("down n2");
    assert!(!answer(&world, [0, 1]).0, "the node of b is away");
}

#[test]
fn a_command_has_no_more_choices_than_an_entry_takes() {
    let mut world = world(&["strategy custom"]);
    let long = "x".repeat(196);
    for number in 0..1_100 {
        world.line(&format!("add {long}{number:04} every 600s"));
    }
    let members = Members::of(&world.state);
    let assigns = choices(&world.state, &members, &Fixed(vec![Some(0); 1_100])).expect("choices");
    assert_eq!(assigns.len(), 2);
    for assign in assigns {
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, &Command::Assign(assign), "", None);
        assert!(bytes.len() < 256 << 10, "{}", bytes.len());
    }
}
