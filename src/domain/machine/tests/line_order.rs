//! Which executions of lines start next: what the lines keep is what a walk over all records finds,
//! whatever commands came. The walk is written out here from the contract.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::command::{NodePatch, OfExecution, PauseTask, SetScheduler, Start};
use super::super::task::record::Execution;
use super::super::{LineKey, Task, WaitingExecution};
use super::plausible::StepNumbers;
use super::*;
use crate::domain::assign::Members;
use crate::domain::task::{Action, Concurrency, ExecutionMode, ShellAction};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const GROUPS: [&str; 2] = ["g", "h"];
/// Labels of nodes, and those that selectors name.
const ZONES: [&str; 2] = ["north", "south"];

/// A waiting execution that nothing holds, as the records have it.
#[derive(Clone, Debug)]
struct Stander {
    /// Its rank, whether it is of a backfill, its tick or the time of its request, and its id.
    order: (u8, bool, i64, u64),
    task: TaskKey,
    /// Whether its task has a line of its own.
    own: bool,
    group: Option<(String, u32)>,
    /// Whether a node may own its task.
    owned: bool,
    /// The time before which it does not start.
    due: Option<Timestamp>,
}

impl Stander {
    /// Its lines, with its limits.
    fn lines(&self) -> Vec<(LineKey, u32)> {
        let own = self.own.then_some((LineKey::Task(self.task), 1));
        let group = self.group.iter().map(|(name, limit)| (group(name), *limit));
        own.into_iter().chain(group).collect()
    }
}

fn group(name: &str) -> LineKey {
    LineKey::Group(name.into())
}

fn id(one: &WaitingExecution) -> u64 {
    one.execution.0
}

struct OrderWorld {
    world: TestWorld,
    session: SessionId,
    /// The nodes that may own tasks.
    members: Members,
}

impl OrderWorld {
    fn new() -> Self {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        let members = Members::of(&world.state);
        Self { world, session, members }
    }

    /// Registers a node again, with other labels, functions and users. From then on the first node,
    /// whose session starts the executions, may own no task.
    fn change_node(&mut self, dice: &mut StepNumbers) {
        let node = NodeId::new(2 + dice.below(2), 1);
        let mut chosen = |words: &[&str]| -> Vec<String> {
            let chosen = words.iter().filter(|_| dice.percent(40));
            chosen.map(|word| (*word).to_owned()).collect()
        };
        let mut info = node_info(node.configured());
        info.labels = chosen(&ZONES).into_iter().map(|zone| (zone, "yes".to_owned())).collect();
        info.functions = chosen(&["a", "b", "c", "sum", "*"]);
        info.users = Some(chosen(&["www"]));
        info.shell = dice.percent(60);
        let boot = u128::from(self.world.index);
        let up = Command::NodeUp(Box::new(NodeUp { node, boot, info }));
        let Answer::Session(session) = self.world.accept(&up) else { panic!("it is registered") };
        let liveness = if dice.percent(80) { Liveness::Working } else { Liveness::Down };
        drop(self.world.apply(&Command::NodeLiveness(NodeLiveness { node, session, liveness })));
        let (node, weight) = (NodeId::new(1, 1), Some(Some(0)));
        let patch = NodePatch { node, weight, slots: None, labels: None };
        drop(self.world.apply(&Command::NodePatch(patch)));
    }

    fn live(&self, status: Status) -> Vec<(&Task, &Execution)> {
        let tasks = self.world.state.tasks();
        let live = tasks.flat_map(|task| task.live_executions().map(move |one| (&**task, one)));
        live.filter(|(_, one)| one.status == status).collect()
    }

    /// Those that wait and that nothing holds, in the order of the contract.
    fn standers(&self) -> Vec<Stander> {
        let scheduler = self.world.state.cluster().scheduler;
        let mut all = Vec::new();
        for (task, one) in self.live(Status::Pending) {
            let held = one.tick.is_some() && (task.inactive().is_some() || !scheduler);
            let Some(spec) = task.spec().filter(|_| !held && one.trigger != Trigger::Claim) else {
                continue;
            };
            let at = one.tick.unwrap_or(one.created_at).0;
            all.push(Stander {
                order: (9 - spec.priority, one.trigger == Trigger::Backfill, at, one.id.0),
                task: task.key,
                own: spec.execution_mode != ExecutionMode::Parallel,
                group: spec.concurrency.as_ref().map(|it| (it.group.clone(), it.limit)),
                owned: self.members.may_own(&self.world.state, task.key),
                due: one.attempt.as_ref().map(|_| one.attempt_due()),
            });
        }
        all.sort_by_key(|one| one.order);
        all
    }

    /// How many run in each line.
    fn running(&self) -> BTreeMap<LineKey, u32> {
        let mut running = BTreeMap::new();
        for (task, _) in self.live(Status::Running) {
            for (key, _) in task.lines().iter() {
                *running.entry(key.clone()).or_insert(0) += 1;
            }
        }
        running
    }

    /// The executions of a group that are first in the lines of their tasks.
    fn ready(&self, name: &str) -> Vec<Stander> {
        let (all, running) = (self.standers(), self.running());
        let first = |one: &Stander| {
            let runs = running.contains_key(&LineKey::Task(one.task));
            let first = all.iter().find(|other| other.task == one.task);
            !one.own || (!runs && first.is_some_and(|first| first.order == one.order))
        };
        let in_group = |one: &&Stander| one.group.as_ref().is_some_and(|(of, _)| of == name);
        all.iter().filter(in_group).filter(|one| first(one)).cloned().collect()
    }

    /// The executions that may start, by the rule of the contract: all their lines have room, and
    /// none that could also start is ahead of them in a line that they share. One that cannot start
    /// takes a place in the line of its task only.
    fn turns(&self, now: Timestamp) -> BTreeSet<u64> {
        let (mut taken, mut next) = (self.running(), BTreeSet::new());
        for one in self.standers().into_iter().filter(|one| !one.lines().is_empty()) {
            let lines = one.lines();
            if lines.iter().any(|(key, limit)| taken.get(key).unwrap_or(&0) >= limit) {
                continue;
            }
            let able = one.owned && one.due.is_none_or(|due| due <= now);
            for (key, _) in lines {
                if able || matches!(key, LineKey::Task(_)) {
                    *taken.entry(key).or_insert(0) += 1;
                }
            }
            if able {
                next.insert(one.order.3);
            }
        }
        next
    }

    /// The next executions of a line, as the lines have them.
    fn next(&self, key: &LineKey, now: Timestamp) -> Vec<u64> {
        self.members.next_in_line(&self.world.state, key, now).iter().map(id).collect()
    }

    /// The executions that are next in all their lines, as the lines have them.
    fn next_everywhere(&self, now: Timestamp) -> BTreeSet<u64> {
        let lined = self.standers().into_iter().filter(|one| !one.lines().is_empty());
        let next = |one: &Stander| {
            one.lines().iter().all(|(key, _)| self.next(key, now).contains(&one.order.3))
        };
        lined.filter(next).map(|one| one.order.3).collect()
    }

    fn hold(&self) {
        for name in GROUPS {
            let mut ready: BTreeMap<u32, [Vec<u64>; 2]> = BTreeMap::new();
            let stamp = self.world.state.cluster().stamp;
            for one in self.ready(name) {
                let (_, limit) = one.group.expect("one of the group");
                let [due, later] = ready.entry(limit).or_default();
                let part = if one.due.is_none_or(|due| due <= stamp) { due } else { later };
                part.push(one.order.3);
            }
            let line = self.world.state.lines().get(&group(name));
            let kept = line.into_iter().flat_map(|line| line.ready());
            let kept =
                kept.map(|(limit, parts)| (limit, parts.map(|it| it.iter().map(id).collect())));
            assert_eq!(kept.collect::<BTreeMap<_, _>>(), ready, "{name}");
        }
        // Clocks of nodes show other times than the last entry.
        for moved in [-2_000, -500, 0, 500, 2_000] {
            let now = Timestamp(self.world.stamp.0 + moved);
            assert_eq!(self.next_everywhere(now), self.turns(now), "{moved}");
        }
        self.world.state.check().expect("a state that commands lead to");
    }

    /// A definition that is in some lines.
    fn spec(name: &str, dice: &mut StepNumbers) -> TaskSpec {
        let modes = [
            ExecutionMode::Sequential,
            ExecutionMode::Sequential,
            ExecutionMode::Parallel,
            ExecutionMode::Parallel,
            ExecutionMode::Skip,
            ExecutionMode::Replace,
        ];
        let mut spec = every(name, 1_000);
        spec.execution_mode = modes[usize::from(dice.below(6))];
        spec.queue_max = 8;
        spec.priority = [0, 5, 5, 9][usize::from(dice.below(4))];
        spec.retry.max_retry = u32::from(dice.below(3));
        spec.retry.delay = Millis(u64::from(dice.below(3)) * 1_000);
        spec.enabled = !dice.percent(10);
        let (argv, env, stdin) = (vec!["true".to_owned()], BTreeMap::new(), String::new());
        let mut shell = ShellAction { argv, env, cwd: None, stdin, user: None };
        spec.action = match dice.below(5) {
            0 => Some(Action::Shell(shell)),
            1 => {
                shell.user = Some("www".to_owned());
                Some(Action::Shell(shell))
            }
            2 => Some(Action::Func { id: "sum".to_owned() }),
            _ => None,
        };
        if dice.percent(40) {
            let zone = ZONES[usize::from(dice.below(2))].to_owned();
            spec.assignment.selector = BTreeMap::from([(zone, "yes".to_owned())]);
        }
        if dice.percent(75) {
            let (group, limit) = (GROUPS[usize::from(dice.below(2))], u32::from(dice.below(3)) + 1);
            spec.concurrency = Some(Concurrency { group: group.to_owned(), limit });
        }
        spec
    }

    fn step(&mut self, dice: &mut StepNumbers) {
        self.world.wait(u64::from(dice.below(3)) * 500);
        if dice.percent(10) {
            // The clock of the next leader is behind.
            self.world.stamp = Timestamp(self.world.stamp.0 - 700);
        }
        let name = NAMES[usize::from(dice.below(6))];
        let Some(task) = self.world.state.named(name).map(|task| task.key) else {
            self.world.put(PutMode::Force, Self::spec(name, dice));
            return;
        };
        let face = dice.below(40);
        let any =
            |all: &[(TaskKey, ExecutionId)]| all.get(usize::from(face) % all.len().max(1)).copied();
        let keys = |all: Vec<(&Task, &Execution)>| -> Vec<(TaskKey, ExecutionId)> {
            all.into_iter().map(|(task, one)| (task.key, one.id)).collect()
        };
        let session = self.session;
        match dice.below(24) {
            0..6 => drop(self.world.apply(&trigger(name))),
            6..9 => {
                let mut settle = self.world.claim(task, session, self.world.stamp);
                settle.claim = settle.claim.map(|claim| Claim { start: false, ..claim });
                drop(self.world.apply(&Command::Settle(settle)));
            }
            9..13 => {
                let execution =
                    self.next_everywhere(self.world.stamp).first().copied().map(ExecutionId);
                let found = execution.and_then(|id| self.world.state.execution(id));
                let found = found.map(|(task, one)| (task.key, one.id, one.due));
                if let Some((task, execution, due)) = found {
                    self.world.stamp = self.world.stamp.max(due);
                    let start = Start { task, execution, session, again: None };
                    self.world.accept(&Command::Start(start));
                }
            }
            13..17 => {
                let status = [Status::Success, Status::Failed][usize::from(dice.below(2))];
                if let Some((task, id)) = any(&keys(self.live(Status::Running))) {
                    let (_, one) = self.world.state.execution(id).expect("it runs");
                    let fence = one.attempt.as_ref().expect("an attempt").fence;
                    let report = report(status, self.world.stamp);
                    self.world.accept(&finish(task, id, fence, report));
                }
            }
            17 => {
                if let Some((task, execution)) = any(&keys(self.live(Status::Pending))) {
                    self.world.accept(&Command::Stop(OfExecution { task, execution }));
                }
            }
            18 => {
                let reason = String::new();
                let pause =
                    PauseTask { name: name.to_owned(), reason, until: None, if_match: None };
                drop(self.world.apply(&Command::Pause(pause)));
            }
            19 => drop(self.world.apply(&Command::Resume(named(name)))),
            20 => {
                self.world.accept(&Command::Scheduler(SetScheduler { on: dice.percent(60) }));
            }
            21 => drop(self.world.apply(&put(PutMode::Force, Self::spec(name, dice)))),
            22 => self.change_node(dice),
            _ if dice.percent(50) => drop(self.world.apply(&Command::MarkDeleted(deletion(name)))),
            _ => drop(self.world.apply(&Command::Cleanup(named(name)))),
        }
        if dice.percent(10) {
            self.world.state = load(self.world.state.all_rows());
        }
        self.members = Members::of(&self.world.state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_next_executions_are_those_that_a_walk_finds(
        steps in prop::collection::vec(prop::array::uniform24(any::<u16>()), 1..120),
    ) {
        let mut world = OrderWorld::new();
        for faces in steps {
            world.step(&mut StepNumbers::new(faces));
            world.hold();
        }
    }
}

/// A world with a sequential task and a parallel one in a group.
fn sequential_and_parallel(limit: u32) -> OrderWorld {
    let mut world = OrderWorld::new();
    let concurrency = Some(Concurrency { group: "g".to_owned(), limit });
    let mut sequential = every("s", 1_000);
    sequential.execution_mode = ExecutionMode::Sequential;
    sequential.concurrency = concurrency.clone();
    sequential.retry.max_retry = 1;
    sequential.retry.delay = Millis::from_secs(60);
    let mut parallel = every("t", 1_000);
    parallel.concurrency = concurrency;
    world.world.add(sequential);
    world.world.add(parallel);
    for name in ["s", "s", "t"] {
        world.world.wait(1);
        world.world.accept(&trigger(name));
    }
    world
}

#[test]
fn the_second_execution_of_a_sequential_task_takes_no_place_of_a_group() {
    let world = sequential_and_parallel(2);
    let waiting: Vec<u64> = world.standers().iter().map(|one| one.order.3).collect();
    let expected = [waiting[0], waiting[2]];
    assert_eq!(world.next(&group("g"), world.world.stamp), expected);
    assert_eq!(world.next_everywhere(world.world.stamp), BTreeSet::from(expected));
}

#[test]
fn an_execution_behind_one_that_waits_for_its_next_attempt_blocks_no_group() {
    let mut world = sequential_and_parallel(1);
    let (task, execution) = {
        let first = &world.standers()[0];
        (first.task, ExecutionId(first.order.3))
    };
    let start = Start { task, execution, session: world.session, again: None };
    let started = world.world.accept(&Command::Start(start));
    let Answer::Execution { fence: Some(fence), .. } = started else { panic!("{started:?}") };
    let failed = report(Status::Failed, world.world.stamp);
    world.world.accept(&finish(task, execution, fence, failed));
    let other = world.standers()[2].order.3;
    assert_eq!(world.next(&group("g"), world.world.stamp), [other]);
}

#[test]
fn a_stopped_scheduler_holds_ticks_and_lets_requests_start() {
    let mut world = sequential_and_parallel(2);
    let mut spec = every("u", 1_000);
    spec.execution_mode = ExecutionMode::Sequential;
    let task = world.world.add(spec);
    world.world.wait(1_000);
    let mut settle = world.world.claim(task, world.session, world.world.stamp);
    settle.claim = settle.claim.map(|claim| Claim { start: false, ..claim });
    world.world.accept(&Command::Settle(settle));
    world.world.accept(&trigger("u"));
    let own = LineKey::Task(task);
    let tick = world.next(&own, world.world.stamp);
    world.world.accept(&Command::Scheduler(SetScheduler { on: false }));
    let requested = world.next(&own, world.world.stamp);
    assert!(tick.len() == 1 && requested.len() == 1 && tick != requested, "{tick:?} {requested:?}");
    assert_eq!(world.next(&group("g"), world.world.stamp).len(), 2);
    world.world.state = load(world.world.state.all_rows());
    assert_eq!(world.next(&own, world.world.stamp), requested);
    world.world.accept(&Command::Scheduler(SetScheduler { on: true }));
    assert_eq!(world.next(&own, world.world.stamp), tick);
    world.hold();
}
