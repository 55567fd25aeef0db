//! Every cell of the overlap table: for each mode and for a group, each way in which an execution comes
//! while another one runs, and each way in which that one ends.
//!
//! `EXPECTED` is the contract, written down by hand; the cells are played against it, and after each
//! command the state is written out and read back. The stories `5?-overlap-*.txt` play the same cells
//! with all their answers.

use super::super::command::{NodeLiveness, OfExecution, OfFence, Start};
use super::super::task::record::{Execution, Reason, Verdict};
use super::super::{Hint, Refusal};
use super::*;
use crate::domain::task::{Concurrency, ExecutionMode};

/// Where the newcomer and the running one meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverlapCase {
    Parallel,
    Skip,
    Sequential,
    Replace,
    /// Two tasks that share a group of limit 1.
    Group,
}

/// How an execution comes while another one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverlapArrival {
    Tick,
    Trigger,
    /// It failed, and the time of its next attempt comes.
    Retry,
    HandRetry,
    /// A tick before the newest, settled late.
    LateTick,
}

/// How the running one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunningEnd {
    Ends,
    TimesOut,
    IsLost,
    IsCancelled,
}

/// What becomes of the newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellOutcome {
    /// It starts beside the running one.
    Beside,
    /// It waits, and starts when the running one has ended.
    Waits,
    /// It waits, and the running one is stopped for it.
    WaitsForStop,
    /// It does not come in; the next one does when the running one has ended.
    Refused,
    /// Nothing runs beside it: it is itself the one that ends, and keeps others out until then.
    KeepsOut,
    /// It ended when the running one came, which took its place.
    GaveWay,
}

use CellOutcome::{Beside, GaveWay, KeepsOut, Refused, Waits, WaitsForStop};

/// By newcomer: tick, trigger, retry, retry by hand, late tick.
const EXPECTED: [(OverlapCase, [CellOutcome; 5]); 5] = [
    (OverlapCase::Parallel, [Beside, Beside, Beside, Beside, Beside]),
    (OverlapCase::Skip, [Refused, Refused, KeepsOut, Refused, Refused]),
    (OverlapCase::Sequential, [Waits, Waits, Waits, Waits, Waits]),
    (OverlapCase::Replace, [WaitsForStop, WaitsForStop, GaveWay, WaitsForStop, WaitsForStop]),
    (OverlapCase::Group, [Waits, Waits, Waits, Waits, Waits]),
];

const NEWCOMERS: [OverlapArrival; 5] = [
    OverlapArrival::Tick,
    OverlapArrival::Trigger,
    OverlapArrival::Retry,
    OverlapArrival::HandRetry,
    OverlapArrival::LateTick,
];

/// Each with the status that it leaves.
const GOINGS: [(RunningEnd, Status); 4] = [
    (RunningEnd::Ends, Status::Success),
    (RunningEnd::TimesOut, Status::Timeout),
    (RunningEnd::IsLost, Status::Lost),
    (RunningEnd::IsCancelled, Status::Cancelled),
];

/// A cluster of two nodes in which one cell is played.
struct CellWorld {
    world: TestWorld,
    sessions: [SessionId; 2],
    /// The task of the running one, and that of the newcomer.
    tasks: [TaskKey; 2],
}

impl CellWorld {
    fn new(meeting: OverlapCase, newcomer: OverlapArrival) -> Self {
        let mut world = TestWorld::new();
        let sessions = [world.node(1, 1), world.node(2, 2)];
        let mut spec = every("one", 1_000);
        spec.execution_mode = match meeting {
            OverlapCase::Skip => ExecutionMode::Skip,
            OverlapCase::Sequential => ExecutionMode::Sequential,
            OverlapCase::Replace => ExecutionMode::Replace,
            OverlapCase::Parallel | OverlapCase::Group => ExecutionMode::Parallel,
        };
        if meeting == OverlapCase::Group {
            spec.concurrency = Some(Concurrency { group: "g".to_owned(), limit: 1 });
        }
        let mut coming = spec.clone();
        coming.retry.max_retry = u32::from(newcomer == OverlapArrival::Retry);
        let running = match meeting {
            OverlapCase::Group => {
                coming.name = "other".to_owned();
                Some(world.add(spec))
            }
            _ => None,
        };
        let coming = world.add(coming);
        Self { world, sessions, tasks: [running.unwrap_or(coming), coming] }
    }

    /// Applies a command and goes on from what was read back.
    fn apply(&mut self, command: &Command) -> (Response, Effects) {
        let told = self.world.apply_as(command, "", None);
        let loaded = load(self.world.state.all_rows());
        assert_eq!(loaded.digest(), self.world.state.digest());
        assert_eq!(derived(&loaded), derived(&self.world.state));
        self.world.state = loaded;
        told
    }

    fn create(&mut self, command: &Command) -> Result<ExecutionId, Refusal> {
        match self.apply(command).0? {
            Answer::Execution { execution, .. } => Ok(execution),
            Answer::NotFired(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn claim(&self, task: TaskKey, tick: Timestamp, trigger: Trigger) -> Command {
        let mut settle = self.world.claim(task, self.sessions[1], tick);
        let claim = Claim { tick, due: tick, trigger, start: false };
        settle.claim = Some(claim);
        Command::Settle(settle)
    }

    fn trigger(&self, task: TaskKey) -> Command {
        trigger(&self.world.state.task(task).expect("a task").live.name)
    }

    fn found(&self, execution: ExecutionId) -> Execution {
        self.world.state.execution(execution).expect("an execution").1.clone()
    }

    fn start(&mut self, task: TaskKey, execution: ExecutionId, node: usize) -> Response {
        let session = self.sessions[node];
        self.apply(&Command::Start(Start { task, execution, session, again: None })).0
    }

    /// Ends the attempt of a running execution.
    fn go(&mut self, task: TaskKey, execution: ExecutionId, going: RunningEnd) {
        self.world.wait(100);
        let fence = self.found(execution).attempt.expect("an attempt").fence;
        let end = |status, at| finish(task, execution, fence, report(status, at));
        let at = self.world.stamp;
        let last = match going {
            RunningEnd::Ends => end(Status::Success, at),
            RunningEnd::TimesOut => end(Status::Timeout, at),
            RunningEnd::IsLost => {
                let (node, session) = (NodeId::new(1, 1), self.sessions[0]);
                let liveness = Liveness::Down;
                let down = Command::NodeLiveness(NodeLiveness { node, session, liveness });
                self.apply(&down).0.expect("a node that was up");
                self.world.wait(10_000);
                Command::Lose(OfFence { task, execution, fence })
            }
            RunningEnd::IsCancelled => {
                self.apply(&Command::Stop(OfExecution { task, execution })).0.expect("it runs");
                end(Status::Cancelled, at)
            }
        };
        self.apply(&last).0.expect("it runs");
    }

    /// An execution that failed: the newcomer before it comes, or the one to be retried by hand.
    fn failed(&mut self, task: TaskKey) -> ExecutionId {
        let execution = self.create(&self.trigger(task)).expect("nothing else is there");
        self.start(task, execution, 0).expect("nothing else runs");
        let fence = self.found(execution).attempt.expect("an attempt").fence;
        let failure = finish(task, execution, fence, report(Status::Failed, self.world.stamp));
        self.apply(&failure).0.expect("it runs");
        execution
    }

    /// What comes from now on is not attempted again; what is there keeps the definition that it has.
    fn without_retries(&mut self) {
        let task = self.world.state.task(self.tasks[1]).expect("a task");
        let mut spec = task.spec().expect("a definition").clone();
        spec.retry.max_retry = 0;
        self.apply(&put(PutMode::Update { if_match: None }, spec)).0.expect("a task");
    }

    /// The request by which a newcomer comes.
    fn request(&self, newcomer: OverlapArrival, failed: Option<ExecutionId>) -> Command {
        let (task, now) = (self.tasks[1], self.world.stamp);
        match newcomer {
            OverlapArrival::Tick => self.claim(task, now, Trigger::Schedule),
            OverlapArrival::LateTick => {
                let settled = self.world.state.task(task).expect("a task").progress.cursor;
                self.claim(task, settled.plus(Millis(1)), Trigger::CatchUp)
            }
            OverlapArrival::Trigger => self.trigger(task),
            OverlapArrival::HandRetry | OverlapArrival::Retry => {
                let execution = failed.expect("one that failed");
                Command::Retry(OfExecution { task, execution })
            }
        }
    }
}

/// Plays a cell in which the newcomer comes while another one runs.
fn play(
    meeting: OverlapCase,
    newcomer: OverlapArrival,
    (going, left): (RunningEnd, Status),
    expected: CellOutcome,
) {
    let mut cell = CellWorld::new(meeting, newcomer);
    let [running, coming] = cell.tasks;
    let failed = match newcomer {
        OverlapArrival::Retry | OverlapArrival::HandRetry => Some(cell.failed(coming)),
        _ => None,
    };
    cell.without_retries();
    cell.world.wait(500);
    let ran = cell.create(&cell.trigger(running)).expect("nothing runs");
    cell.start(running, ran, 0).expect("nothing runs");
    cell.world.wait(1_000);
    let came = match newcomer {
        OverlapArrival::Retry => Ok(failed.expect("one that failed")),
        _ => cell.create(&cell.request(newcomer, failed)),
    };
    assert_eq!(cell.found(ran).stopping, expected == WaitsForStop);
    match expected {
        Beside => cell.start(coming, came.clone().unwrap(), 1).map(drop).expect("no line"),
        Refused => assert_eq!(came, Err(Refusal::Overlap)),
        GaveWay => assert_eq!(cell.found(came.clone().unwrap()).status, Status::Cancelled),
        _ => assert_eq!(cell.start(coming, came.clone().unwrap(), 1), Err(Refusal::NoRoom)),
    }
    cell.go(running, ran, going);
    assert_eq!(cell.found(ran).status, left);
    let later = match expected {
        Beside => return assert_eq!(cell.found(came.clone().unwrap()).status, Status::Running),
        Waits | WaitsForStop => came.clone().unwrap(),
        Refused | KeepsOut => cell.create(&cell.request(newcomer, failed)).expect("nothing runs"),
        GaveWay => cell.create(&cell.trigger(coming)).expect("nothing runs"),
    };
    cell.start(coming, later, 1).expect("the place is free");
    assert_eq!(cell.found(later).status, Status::Running);
}

/// Plays the cell in which what is to be attempted again keeps all others out.
fn play_kept_out(meeting: OverlapCase, (going, left): (RunningEnd, Status)) {
    let mut cell = CellWorld::new(meeting, OverlapArrival::Retry);
    let [_, task] = cell.tasks;
    let one = cell.failed(task);
    let other = |cell: &mut CellWorld| {
        let trigger = cell.trigger(task);
        cell.create(&trigger)
    };
    assert_eq!(other(&mut cell), Err(Refusal::Overlap), "it is to be attempted again");
    cell.world.wait(1_000);
    cell.start(task, one, 0).expect("nothing runs");
    assert_eq!(other(&mut cell), Err(Refusal::Overlap), "it runs");
    cell.go(task, one, going);
    assert_eq!(cell.found(one).status, left);
    let next = other(&mut cell).expect("nothing runs");
    cell.start(task, next, 1).expect("nothing runs");
}

#[test]
fn every_cell_of_the_overlap_table_is_as_the_contract_says() {
    for (meeting, row) in EXPECTED {
        for (newcomer, expected) in NEWCOMERS.into_iter().zip(row) {
            for going in GOINGS {
                println!("{meeting:?}, {newcomer:?}, {going:?}: {expected:?}");
                match expected {
                    KeepsOut => play_kept_out(meeting, going),
                    _ => play(meeting, newcomer, going, expected),
                }
            }
        }
    }
}

#[test]
fn every_cell_of_the_overlap_table_has_its_story() {
    let modes = ["parallel", "skip", "sequential", "replace", "group"];
    let comes = ["A tick", "A trigger", "A retry", "A retry by hand", "A late tick"];
    let goes = ["it ends", "it times out", "it is lost", "it is cancelled"];
    for (at, mode) in modes.into_iter().enumerate() {
        let path = folder("testscripts").join(format!("{}-overlap-{mode}.txt", 50 + at));
        let script = std::fs::read_to_string(path).expect("a script");
        let told = script.split("\n\n").skip(1).map(|story| story.lines().next());
        let told: Vec<&str> = told.flatten().collect();
        let cells = comes.iter().flat_map(|comes| goes.map(|goes| format!("# {comes}; {goes}.")));
        assert_eq!(told, cells.collect::<Vec<String>>(), "{mode}");
    }
}

/// A tick that does not come in is skipped with its reason, which the cells above do not look at.
#[test]
fn a_tick_that_does_not_come_in_says_why() {
    for (mode, queue_max, wanted) in [
        (ExecutionMode::Skip, 100, Reason::Overlap),
        (ExecutionMode::Sequential, 0, Reason::QueueFull),
    ] {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        let spec = TaskSpec { execution_mode: mode, queue_max, ..every("one", 1_000) };
        let task = world.add(spec);
        world.wait(1_000);
        world.accept(&trigger("one"));
        let settle = world.claim(task, session, world.stamp);
        let (response, effects) = world.apply_as(&Command::Settle(settle), "", None);
        assert!(matches!(response, Ok(Answer::NotFired(_))), "{response:?}");
        let skipped = Hint::Verdict(Verdict::Skipped, Some(wanted), 1);
        assert!(effects.hints.contains(&skipped), "{:?}", effects.hints);
    }
}
