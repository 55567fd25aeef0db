//! The cost of one claim in apply: `cargo bench --features simulation --bench apply -- [TASKS]
//! [CLAIMS]`.
//!
//! One state, without log and network: entries of 64 claims, each of another task and preceded by
//! the end of that task's previous execution, as `bench claims --finish` sends them. It prints
//! nanoseconds per claim and the bytes of memory that a claim leaves behind. Then it prints the
//! cost of a checkpoint for later claims: the first claim of each task on a state that is shared
//! with a frozen view, the second claim, and the drop of the view. At last it prints the same for
//! tasks of the mode `sequential`, where each entry ends an execution, starts the next one in the
//! line and claims one more, which waits. The last rows are about long lines: the time to find the
//! next execution of a line, and the time to end one and to start the next; and the same in groups in
//! which almost all executions wait for a further attempt, with the time of the entry by whose stamp
//! all of them may start. At last there are groups in which other tasks are ahead, which no node may
//! own: of one class, or each of a class of its own, of functions or of selectors.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use punctual::domain::assign::Members;
use punctual::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use punctual::domain::machine::command::{
    Claim, Finish, Genesis, NodeLiveness, NodeUp, Put, PutMode, Settle, Start, TriggerTask,
};
use punctual::domain::machine::envelope::{self, EntryHead};
use punctual::domain::machine::record::{Liveness, NodeInfo, Report, Status, Trigger};
use punctual::domain::machine::{Answer, Applied, Command, LineKey, Response, State, Task};
use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::{
    Concurrency, ExecutionMode, MAX_LIVE_MAX, PRIORITY_MAX, Retry, TaskSpec,
};
use punctual::domain::time::{Millis, Timestamp};

const START: Timestamp = Timestamp(1_772_409_600_000);
const ENTRY: usize = 64;

struct ApplyBench {
    state: State,
    index: u64,
    stamp: Timestamp,
}

impl ApplyBench {
    fn apply(&mut self, commands: &[Command]) -> Vec<Response> {
        let mut packed = Vec::new();
        for command in commands {
            envelope::pack(&mut packed, command, "", None);
        }
        let mut applied = Applied::default();
        self.index += 1;
        let head = EntryHead { stamp: self.stamp, origin: 1, seq: self.index };
        let entry = envelope::entry(head, &packed);
        let outcome = self.state.apply(self.index, &entry, &mut applied);
        assert!(outcome.is_ok(), "{outcome:?}");
        applied.responses
    }
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let tasks = numbers.first().copied().unwrap_or(30_000);
    let claims = numbers.get(1).copied().unwrap_or(1_500_000);
    let (mut load, mut targets) = ClaimBench::new(tasks, ExecutionMode::Parallel);

    let memory = resident();
    let each = load.claims(&mut targets, claims);
    let grown = resident().saturating_sub(memory) / claims as u64;
    println!("{tasks} tasks, {claims} claims: {each} ns a claim, {grown} bytes a claim");

    let dirty = load.world.state.take_dirty();
    let frozen = load.world.state.clone();
    let (first, second) = (load.claims(&mut targets, tasks), load.claims(&mut targets, tasks));
    let copied = resident();
    let began = Instant::now();
    drop((frozen, dirty));
    let gone = began.elapsed().as_millis();
    let copied = copied.saturating_sub(resident()) >> 20;
    println!(
        "after a freeze: {first} ns for a task's first claim, {second} for its second; \
         the view went in {gone} ms with {copied} MiB"
    );
    drop((load, targets));
    let (mut load, mut targets) = ClaimBench::new(tasks, ExecutionMode::Sequential);
    let each = load.claims(&mut targets, claims);
    println!("sequential: {each} ns for an end, a start and a claim");
    drop((load, targets));
    for (tasks, each, limit) in
        [(1_000, 100, Some(2)), (10, 9_999, Some(2)), (1_000, 100, Some(1_000)), (1, 9_999, None)]
    {
        let mut load = LineBench::new(tasks, each, limit, ExecutionMode::Sequential);
        let (find, change) = load.rounds(2_000);
        let line = limit.map_or("own line".to_owned(), |limit| format!("group of {limit}"));
        println!(
            "{line}, {tasks} sequential tasks with {each} waiting: {find} ns to find the next one, \
             {change} ns for an end and a start"
        );
    }
    for (tasks, each) in [(1_000, 100), (11, 9_090)] {
        let mut load = LineBench::new(tasks, each, Some(2), ExecutionMode::Parallel);
        let due = load.delay_all();
        let (find, change) = load.rounds(2_000);
        load.world.stamp = due;
        let began = Instant::now();
        load.world.apply(&[]);
        let entry = began.elapsed().as_millis();
        let (find_due, _) = load.rounds(2_000);
        println!(
            "group of 2, {tasks} parallel tasks with {each} delayed: {find} ns to find the next one, \
             {change} ns for an end and a start; {entry} ms for the entry when all are due, then \
             {find_due} ns to find the next one"
        );
    }
    for unowned in Unowned::ALL {
        let mut load = LineBench::new(1_000, 2, Some(2), ExecutionMode::Parallel);
        load.add_unowned(100_000, unowned);
        let (find, change) = load.rounds(2_000);
        println!(
            "group of 2, 1000 parallel tasks behind 100000 that no node may own ({unowned:?}): {find} \
             ns to find the next one, {change} ns for an end and a start"
        );
    }
}

/// Why no node may own tasks.
#[derive(Clone, Copy, Debug)]
enum Unowned {
    /// They have one selector, which no node matches.
    OneSelector,
    /// Each needs the function of its name, and no node has functions.
    NameEach,
    /// Each has a selector of its own, which no node matches.
    SelectorEach,
}

impl Unowned {
    const ALL: [Self; 3] = [Self::OneSelector, Self::NameEach, Self::SelectorEach];
}

/// How long executions wait for their second attempt.
const DELAY: Millis = Millis::from_secs(86_400);

/// Executions of tasks that wait in one line.
struct LineBench {
    world: ApplyBench,
    session: SessionId,
    line: LineKey,
    limit: usize,
    running: VecDeque<Command>,
}

impl LineBench {
    /// Tasks with this many waiting executions each, in a group with a limit or in their own lines.
    fn new(tasks: usize, each: usize, limit: Option<u32>, mode: ExecutionMode) -> Self {
        let mut world = ApplyBench { state: State::default(), index: 0, stamp: START };
        let session = prepare(&mut world);
        let group = "bench".to_owned();
        let concurrency = limit.map(|limit| Concurrency { group, limit });
        for number in 0..tasks {
            let name = format!("bench-{number:06}");
            let mut spec = TaskSpec::new(name, Schedule::of(Rule::Manual), None);
            spec.execution_mode = mode;
            spec.retry = Retry { max_retry: 1, delay: DELAY, max_delay: DELAY, ..spec.retry };
            spec.max_live = MAX_LIVE_MAX;
            spec.queue_max = MAX_LIVE_MAX;
            spec.concurrency = concurrency.clone();
            world.apply(&[Command::Put(Box::new(Put { mode: PutMode::Force, spec }))]);
        }
        let tasks: Vec<(TaskKey, String)> =
            world.state.tasks().map(|task| (task.key, task.live.name.to_string())).collect();
        for (_, name) in &tasks {
            for _ in 0..each {
                world.stamp = world.stamp.plus(Millis(1));
                world.apply(&[trigger(name)]);
            }
        }
        let own = tasks.first().map_or(TaskKey(0), |(key, _)| *key);
        let line = limit.map_or(LineKey::Task(own), |_| LineKey::Group("bench".into()));
        let limit = limit.map_or(1, |limit| usize::try_from(limit).unwrap_or(1));
        Self { world, session, line, limit, running: VecDeque::new() }
    }

    /// Adds tasks that no node may own, each with one waiting execution ahead of all others.
    fn add_unowned(&mut self, tasks: usize, why: Unowned) {
        for number in 0..tasks {
            let name = format!("unowned-{number:06}");
            let every = Rule::Interval { every: DELAY, anchor: None };
            let mut spec = TaskSpec::new(name.clone(), Schedule::of(every), None);
            let zone = match why {
                Unowned::OneSelector => Some("north".to_owned()),
                Unowned::NameEach => None,
                Unowned::SelectorEach => Some(format!("z{number}")),
            };
            spec.assignment.selector =
                zone.map(|zone| ("zone".to_owned(), zone)).into_iter().collect();
            let limit = u32::try_from(self.limit).unwrap_or(1);
            spec.concurrency = Some(Concurrency { group: "bench".to_owned(), limit });
            spec.priority = PRIORITY_MAX;
            self.world.stamp = self.world.stamp.plus(Millis(1));
            let put = Command::Put(Box::new(Put { mode: PutMode::Force, spec }));
            self.world.apply(&[put, trigger(&name)]);
        }
    }

    /// Lets the first attempt of each fail, and asks for one more of each task. Returns when all
    /// second attempts are due.
    fn delay_all(&mut self) -> Timestamp {
        let members = Members::of(&self.world.state);
        let now = |world: &ApplyBench| members.next_in_line(&world.state, &self.line, world.stamp);
        while let Some(one) = now(&self.world).first() {
            let (task, execution, session) = (one.task, one.execution, self.session);
            let start = Command::Start(Start { task, execution, session, again: None });
            let answers = self.world.apply(&[start]);
            let [Ok(Answer::Execution { fence: Some(fence), .. })] = answers[..] else { break };
            let report = Report::unreported(Status::Failed, self.world.stamp, "");
            let finish = Finish { task, execution, fence, report };
            self.world.apply(&[Command::Finish(Box::new(finish))]);
        }
        let names: Vec<String> =
            self.world.state.tasks().map(|task| task.live.name.to_string()).collect();
        names.iter().for_each(|name| _ = self.world.apply(&[trigger(name)]));
        self.world.stamp.plus(DELAY)
    }

    /// Nanoseconds to find the next execution while all places but one are taken, and to end one
    /// and start the next. As many wait afterwards.
    fn rounds(&mut self, rounds: usize) -> (u128, u128) {
        let (mut find, mut change, mut found) = (0, 0, 0);
        let members = Members::of(&self.world.state);
        while found < rounds {
            let full = self.running.len() == self.limit;
            let began = Instant::now();
            let finish = if full { self.running.pop_front() } else { None };
            self.world.apply(finish.as_slice());
            let ended = began.elapsed().as_nanos();
            let began = Instant::now();
            let next = members.next_in_line(&self.world.state, &self.line, self.world.stamp);
            let looked = began.elapsed().as_nanos();
            let Some(one) = next.first() else { break };
            let (task, execution, session) = (one.task, one.execution, self.session);
            let start = Command::Start(Start { task, execution, session, again: None });
            let began = Instant::now();
            let answers = self.world.apply(&[start]);
            let started = began.elapsed().as_nanos();
            let [Ok(Answer::Execution { fence: Some(fence), .. })] = answers[..] else { break };
            let report = Report::unreported(Status::Success, self.world.stamp, "");
            let finish = Finish { task, execution, fence, report };
            self.running.push_back(Command::Finish(Box::new(finish)));
            let name = self.world.state.task(task).map(|task| task.live.name.to_string());
            self.world.stamp = self.world.stamp.plus(Millis(1));
            self.world.apply(&name.iter().map(|name| trigger(name)).collect::<Vec<_>>());
            if full {
                (find, change, found) = (find + looked, change + ended + started, found + 1);
            }
        }
        (find / found.max(1) as u128, change / found.max(1) as u128)
    }
}

fn trigger(name: &str) -> Command {
    Command::TriggerTask(TriggerTask { name: name.to_owned(), parameters: None })
}

/// What is claimed, in which order.
struct ClaimBench {
    world: ApplyBench,
    session: SessionId,
    at: usize,
}

impl ClaimBench {
    fn new(tasks: usize, mode: ExecutionMode) -> (Self, Vec<ClaimedTask>) {
        let mut world = ApplyBench { state: State::default(), index: 0, stamp: START };
        let session = prepare(&mut world);
        let targets = make_tasks(&mut world, tasks, mode);
        world.stamp = START.plus(Millis::from_secs(3_600));
        (Self { world, session, at: 0 }, targets)
    }

    /// Nanoseconds a claim, its task's execution before ended with it.
    fn claims(&mut self, targets: &mut [ClaimedTask], claims: usize) -> u128 {
        let (mut spent, mut done) = (0_u128, 0);
        while done < claims {
            let mut packed = Vec::new();
            let mut claimed = Vec::with_capacity(ENTRY);
            for _ in 0..ENTRY {
                // Spread over the tasks as the slots of the load are.
                let at = (self.at * 7_919) % targets.len();
                self.at += 1;
                claimed.push((at, self.pack(&mut packed, &mut targets[at])));
            }
            done += ENTRY;
            self.world.index += 1;
            let head = EntryHead { stamp: self.world.stamp, origin: 1, seq: self.world.index };
            let entry = envelope::entry(head, &packed);
            let mut applied = Applied::default();
            let began = Instant::now();
            let outcome = self.world.state.apply(self.world.index, &entry, &mut applied);
            spent += began.elapsed().as_nanos();
            assert!(outcome.is_ok() && applied.responses.iter().all(Result::is_ok), "{applied:?}");
            let mut responses = applied.responses.iter();
            for (at, commands) in claimed {
                for response in responses.by_ref().take(commands) {
                    let Ok(Answer::Execution { execution, fence, .. }) = response else { continue };
                    match fence {
                        Some(fence) => targets[at].held = Some((*execution, *fence)),
                        None => targets[at].waiting = Some(*execution),
                    }
                }
            }
        }
        spent / done as u128
    }

    /// Packs what one claim of a task takes, and tells how many commands that are.
    fn pack(&self, packed: &mut Vec<u8>, target: &mut ClaimedTask) -> usize {
        let mut commands = 1;
        let now = self.world.stamp;
        if let Some((execution, fence)) = target.held.take() {
            let report =
                Report { started_at: Some(now), ..Report::unreported(Status::Success, now, "") };
            let finish = Finish { task: target.task, execution, fence, report };
            envelope::pack(packed, &Command::Finish(Box::new(finish)), "", None);
            commands += 1;
        }
        if let Some(execution) = target.waiting.take() {
            let (task, session) = (target.task, self.session);
            let start = Start { task, execution, session, again: None };
            envelope::pack(packed, &Command::Start(start), "", None);
            commands += 1;
        }
        let trigger = if target.lined { Trigger::Schedule } else { Trigger::Claim };
        let tick = target.settled.plus(Millis(1));
        let settle = Settle {
            task: target.task,
            revision: target.revision,
            calendars: Revision(0),
            session: self.session,
            now,
            after: target.settled,
            spans: Vec::new(),
            claim: Some(Claim { tick, due: tick, trigger, start: true }),
            exhausted: false,
        };
        target.settled = tick;
        envelope::pack(packed, &Command::Settle(settle), "", None);
        commands
    }
}

fn prepare(world: &mut ApplyBench) -> SessionId {
    let genesis = Genesis {
        id: 1,
        name: "bench".to_owned(),
        timezone: "UTC".to_owned(),
        scheduler: true,
        callback_key: 7,
    };
    let info = NodeInfo {
        name: "n1".to_owned(),
        hostname: "bench".to_owned(),
        pid: 1,
        http: String::new(),
        peer: String::new(),
        version: String::new(),
        level: 1,
        weight: 1,
        labels: std::collections::BTreeMap::new(),
        slots: 0,
        functions: Vec::new(),
        shell: true,
        users: None,
    };
    let node = NodeId::new(1, 1);
    world.apply(&[Command::Genesis(genesis)]);
    world.apply(&[Command::NodeUp(Box::new(NodeUp { node, boot: 1, info }))]);
    let session = world.state.node(node).map_or(SessionId(0), |node| node.session);
    let working = NodeLiveness { node, session, liveness: Liveness::Working };
    world.apply(&[Command::NodeLiveness(working)]);
    session
}

struct ClaimedTask {
    task: TaskKey,
    revision: Revision,
    settled: Timestamp,
    held: Option<(ExecutionId, Fence)>,
    /// Whether its executions stand in a line.
    lined: bool,
    waiting: Option<ExecutionId>,
}

fn make_tasks(world: &mut ApplyBench, tasks: usize, mode: ExecutionMode) -> Vec<ClaimedTask> {
    for from in (0..tasks).step_by(ENTRY) {
        let puts: Vec<Command> = (from..tasks.min(from + ENTRY))
            .map(|number| {
                let mut spec =
                    TaskSpec::new(format!("bench-{number:06}"), Schedule::of(Rule::Manual), None);
                spec.execution_mode = mode;
                Command::Put(Box::new(Put { mode: PutMode::Force, spec }))
            })
            .collect();
        let answers = world.apply(&puts);
        assert!(answers.iter().all(|answer| !matches!(answer, Err(_) | Ok(Answer::NotFired(_)))));
    }
    let state = &world.state;
    let target = |task: &Arc<Task>| ClaimedTask {
        task: task.key,
        revision: task.live.revision,
        settled: state.settled(task),
        held: None,
        lined: mode != ExecutionMode::Parallel,
        waiting: None,
    };
    state.tasks().map(target).collect()
}

/// Bytes of memory in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
