//! What holds of lines, whatever comes: no more run than the limit, who waits stands in the order of
//! the contract, and while executions are started in that order everything that waits gets its place.
//! It holds in a state that was written out and read back as well.

use proptest::prelude::*;

use super::super::command::{OfExecution, OfFence, PauseTask, Start};
use super::super::task::record::Execution;
use super::super::{Line, LineKey, Refusal, Task, WaitingExecution};
use super::plausible::StepNumbers;
use super::*;
use crate::domain::assign::Members;
use crate::domain::task::{Concurrency, ExecutionMode};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// The limit of each group; all tasks name the same.
const GROUPS: [(&str, u32); 2] = [("g", 1), ("h", 2)];

/// A definition that stands in some lines.
fn lined(name: &str, dice: &mut StepNumbers) -> TaskSpec {
    let modes = [
        ExecutionMode::Sequential,
        ExecutionMode::Sequential,
        ExecutionMode::Parallel,
        ExecutionMode::Skip,
        ExecutionMode::Replace,
    ];
    let mut spec = every(name, 1_000);
    spec.execution_mode = modes[usize::from(dice.below(5))];
    spec.queue_max = 8;
    spec.priority = [0, 5, 5, 9][usize::from(dice.below(4))];
    spec.retry.max_retry = u32::from(dice.below(2));
    spec.retry.delay = Millis(0);
    if dice.percent(70) {
        let (group, limit) = GROUPS[usize::from(dice.below(2))];
        spec.concurrency = Some(Concurrency { group: group.to_owned(), limit });
    }
    spec
}

struct LineWorld {
    world: TestWorld,
    session: SessionId,
}

impl LineWorld {
    fn new(dice: &mut StepNumbers) -> Self {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        for name in NAMES {
            world.add(lined(name, dice));
        }
        Self { world, session }
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.world.state.tasks().map(|task| &**task)
    }

    fn live(&self, status: Status) -> Vec<(TaskKey, Execution)> {
        let all =
            self.tasks().flat_map(|task| task.live_executions().map(move |one| (task.key, one)));
        all.filter(|(_, one)| one.status == status).map(|(key, one)| (key, one.clone())).collect()
    }

    /// Those that wait and that nothing holds, in the order of the contract, written out here once
    /// more: priority 9 first, then the tick (or when it was asked for), then the id.
    fn waiting(&self, which: impl Fn(&Task) -> bool) -> Vec<ExecutionId> {
        let mut all: Vec<(i16, i64, u64)> = Vec::new();
        for task in self.tasks().filter(|task| which(task)) {
            let priority = i16::from(task.spec().expect("a definition").priority);
            let pending = task.live_executions().filter(|one| one.status == Status::Pending);
            let held = task.live.paused.is_some();
            for one in pending.filter(|one| !(held && one.tick.is_some())) {
                all.push((-priority, one.tick.unwrap_or(one.created_at).0, one.id.0));
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, _, id)| ExecutionId(id)).collect()
    }

    /// Each line with the tasks in it and its limit, from the definitions.
    fn lines(&self) -> Vec<(LineKey, Vec<TaskKey>, u32)> {
        let of_group = |group: &str| {
            let named = |task: &&Task| {
                let wanted = task.spec().and_then(|spec| spec.concurrency.as_ref());
                wanted.is_some_and(|wanted| wanted.group == group)
            };
            self.tasks().filter(named).map(|task| task.key).collect()
        };
        let groups =
            GROUPS.map(|(group, limit)| (LineKey::Group(group.into()), of_group(group), limit));
        let own = |task: &&Task| {
            task.spec().is_some_and(|spec| spec.execution_mode != ExecutionMode::Parallel)
        };
        let own = self.tasks().filter(own);
        let own = own.map(|task| (LineKey::Task(task.key), vec![task.key], 1));
        own.chain(groups).collect()
    }

    /// The laws of all lines.
    fn hold(&self) {
        let running = self.live(Status::Running);
        for (key, tasks, limit) in self.lines() {
            let runs = running.iter().filter(|(task, _)| tasks.contains(task)).count();
            let runs = u32::try_from(runs).expect("few");
            assert!(runs <= limit, "{runs} run in {key:?}");
            let line = self.world.state.lines().get(&key);
            assert_eq!(line.map_or(0, Line::running), runs, "{key:?}");
            let kept = line.into_iter().flat_map(|line| line.waiting().keys());
            let kept: Vec<ExecutionId> = kept.map(|one| one.execution).collect();
            assert_eq!(kept, self.waiting(|task| tasks.contains(&task.key)), "{key:?}");
        }
    }

    /// Those that may start now, as owners find them: among the next in each of their lines.
    fn next(&self) -> Vec<WaitingExecution> {
        let state = &self.world.state;
        let members = Members::of(state);
        let in_line = |key: &LineKey| members.next_in_line(state, key, self.world.stamp);
        let mut next = Vec::new();
        for key in state.lines().contended() {
            for one in in_line(key) {
                let lines = state.task(one.task).expect("a task").lines();
                let everywhere = lines.iter().all(|(key, _)| in_line(key).contains(&one));
                if everywhere && !next.contains(&one) {
                    next.push(one);
                }
            }
        }
        next
    }

    fn start(&mut self, task: TaskKey, execution: ExecutionId) -> Response {
        let session = self.session;
        self.world.apply(&Command::Start(Start { task, execution, session, again: None }))
    }

    /// Starts all that may start: each is granted, and none overtakes one of its own lines.
    fn start_all(&mut self) -> usize {
        let next = self.next();
        for one in &next {
            let lines = self.world.state.task(one.task).expect("a task").lines();
            let waiting = self.waiting(|task| task.lines().iter().eq(lines.iter()));
            let before = waiting.iter().take_while(|id| **id != one.execution);
            let overtaken: Vec<&ExecutionId> =
                before.filter(|id| next.iter().all(|other| other.execution != **id)).collect();
            assert!(overtaken.is_empty(), "{one:?} overtakes {overtaken:?}");
        }
        // Whoever is first of all that have room is first in each of its lines.
        let free = |one: &&WaitingExecution| {
            let lines = self.world.state.task(one.task).expect("a task").lines();
            self.world.state.lines().have_room(&lines)
        };
        let all = self.world.state.lines().contended();
        let all = all.filter_map(|key| self.world.state.lines().get(key));
        let free = all.flat_map(|line| line.waiting().keys()).filter(free).min();
        assert!(free.is_none_or(|first| next.contains(first)), "{free:?} may start");
        for one in &next {
            self.start(one.task, one.execution).expect("it may start");
            self.hold();
        }
        next.len()
    }

    fn end(&mut self, task: TaskKey, execution: &Execution, status: Status) {
        let fence = execution.attempt.as_ref().expect("an attempt").fence;
        let report = report(status, self.world.stamp);
        self.world.accept(&finish(task, execution.id, fence, report));
    }

    fn step(&mut self, dice: &mut StepNumbers) {
        self.world.wait(u64::from(dice.below(3)) * 500);
        let name = NAMES[usize::from(dice.below(6))];
        let task = self.world.state.named(name).expect("a task").key;
        let pick = |all: Vec<(TaskKey, Execution)>, dice: &mut StepNumbers| {
            let sides = u16::try_from(all.len().max(1)).expect("few");
            all.into_iter().nth(usize::from(dice.below(sides)))
        };
        match dice.below(20) {
            0..5 => drop(self.world.apply(&trigger(name))),
            5..8 => {
                let mut settle = self.world.claim(task, self.session, self.world.stamp);
                settle.claim = settle.claim.map(|claim| Claim { start: false, ..claim });
                drop(self.world.apply(&Command::Settle(settle)));
            }
            8..11 => _ = self.start_all(),
            11..15 => {
                let ends = [Status::Success, Status::Failed, Status::Timeout, Status::Lost];
                let status = ends[usize::from(dice.below(4))];
                if let Some((task, one)) = pick(self.live(Status::Running), dice) {
                    self.end(task, &one, status);
                }
            }
            15 => {
                let until = None;
                let reason = String::new();
                let pause = PauseTask { name: name.to_owned(), reason, until, if_match: None };
                drop(self.world.apply(&Command::Pause(pause)));
            }
            16 => drop(self.world.apply(&Command::Resume(named(name)))),
            17 => {
                if let Some((task, one)) = pick(self.live(Status::Pending), dice) {
                    let stop = OfExecution { task, execution: one.id };
                    self.world.accept(&Command::Stop(stop));
                }
            }
            18 => {
                if let Some((task, one)) = pick(self.live(Status::Running), dice) {
                    let fence = one.attempt.expect("an attempt").fence;
                    let given = OfFence { task, execution: one.id, fence };
                    self.world.accept(&Command::Return(given));
                }
            }
            // Whoever asks for a place that is taken does not get it.
            _ => {
                let state = &self.world.state;
                let full = |task: TaskKey| {
                    let task = state.task(task).expect("a task");
                    task.lined() && !state.lines().have_room(&task.lines())
                };
                let waiting = self.live(Status::Pending);
                let waiting = waiting.into_iter().filter(|(task, one)| {
                    let paused = state.task(*task).expect("a task").live.paused.is_some();
                    full(*task) && !(paused && one.tick.is_some())
                });
                if let Some((task, one)) = pick(waiting.collect(), dice) {
                    assert_eq!(self.start(task, one.id), Err(Refusal::NoRoom));
                }
            }
        }
        if dice.percent(25) {
            self.world.state = load(self.world.state.all_rows());
        }
        self.hold();
    }

    /// Nothing comes any more: in as many turns as there are attempts to make, all have ended.
    fn drain(&mut self) {
        for name in NAMES {
            if self.world.state.named(name).expect("a task").live.paused.is_some() {
                self.world.accept(&Command::Resume(named(name)));
            }
        }
        let mut turns = self.live(Status::Pending).len() + self.live(Status::Running).len();
        loop {
            // What stands in no line is no matter here.
            let unlined = |state: &State, task: TaskKey| !state.task(task).expect("a task").lined();
            for (task, one) in self.live(Status::Pending) {
                if unlined(&self.world.state, task) {
                    self.start(task, one.id).expect("no line");
                }
            }
            self.start_all();
            let running = self.live(Status::Running);
            if running.is_empty() {
                break;
            }
            assert!(turns > 0, "it does not end");
            turns -= 1;
            for (task, one) in running {
                self.end(task, &one, Status::Success);
            }
            self.hold();
        }
        assert_eq!(self.live(Status::Pending), [], "it waits for ever");
        assert_eq!(self.world.state.lines().contended().next(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn lines_keep_limit_and_order_and_nobody_starves(
        definitions in prop::array::uniform24(any::<u16>()),
        steps in prop::collection::vec(prop::array::uniform24(any::<u16>()), 1..120),
    ) {
        let mut world = LineWorld::new(&mut StepNumbers::new(definitions));
        for faces in steps {
            world.step(&mut StepNumbers::new(faces));
        }
        world.drain();
    }
}
