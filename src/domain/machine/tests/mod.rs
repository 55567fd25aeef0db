//! Golden stories, golden bytes and properties of the state machine.

mod backfill;
mod cases;
mod checked;
mod codec;
mod counts;
mod ends;
mod executors;
mod golden;
mod kept;
mod laws;
mod level;
mod lifecycle;
mod line_laws;
mod line_order;
mod overlap;
mod plausible;
mod registers;
mod samples;
mod story;
mod successor;
mod telling;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::command::{
    Claim, Command, Finish, Genesis, MarkDeleted, Named, NodeLiveness, NodeUp, Put, PutMode,
    Settle, TriggerTask,
};
use super::envelope::{self, EntryHead, IdempotencyKey};
use super::persist::RecordRow;
use super::record::{Liveness, NodeInfo, Report, Status, Trigger};
use super::{Answer, Applied, Effects, Loader, Response, State};
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

/// 2026-03-02T00:00:00Z, a Monday: the day on which all tests play.
const DAY: Timestamp = Timestamp(1_772_409_600_000);

/// A state with the log's end before it.
struct TestWorld {
    state: State,
    index: u64,
    stamp: Timestamp,
}

impl TestWorld {
    /// An empty state at noon.
    fn empty() -> Self {
        Self { state: State::default(), index: 0, stamp: DAY.plus(Millis::from_secs(43_200)) }
    }

    /// A cluster with its scheduler started.
    fn new() -> Self {
        let mut world = Self::empty();
        world.accept(&genesis());
        world
    }

    /// Applies one command in an entry of its own.
    fn apply_as(
        &mut self,
        command: &Command,
        by: &str,
        key: Option<IdempotencyKey<'_>>,
    ) -> (Response, Effects) {
        let entry = self.entry(command, by, key);
        let mut applied = Applied::default();
        self.index += 1;
        self.state.apply(self.index, &entry, &mut applied).expect("a well-formed entry");
        let [response] = &applied.responses[..] else { panic!("one answer a command") };
        (response.clone(), applied.effects)
    }

    /// The entry that would carry a command now.
    fn entry(&self, command: &Command, by: &str, key: Option<IdempotencyKey<'_>>) -> Vec<u8> {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, by, key);
        envelope::entry(EntryHead { stamp: self.stamp, origin: 7, seq: self.index + 1 }, &packed)
    }

    fn apply(&mut self, command: &Command) -> Response {
        self.apply_as(command, "", None).0
    }

    fn accept(&mut self, command: &Command) -> Answer {
        self.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"))
    }

    /// Registers a node and makes it work.
    fn node(&mut self, number: u16, boot: u128) -> SessionId {
        let node = NodeId::new(number, 1);
        let Answer::Session(session) = self.accept(&node_up(node, boot)) else { panic!() };
        let liveness = Liveness::Working;
        self.accept(&Command::NodeLiveness(NodeLiveness { node, session, liveness }));
        session
    }

    fn add(&mut self, spec: TaskSpec) -> TaskKey {
        self.put(PutMode::Add, spec)
    }

    fn put(&mut self, mode: PutMode, spec: TaskSpec) -> TaskKey {
        let Answer::Task { task, .. } = self.accept(&put(mode, spec)) else { panic!() };
        task
    }

    /// A claim as the owner in this session would propose it.
    fn claim(&self, task: TaskKey, session: SessionId, tick: Timestamp) -> Settle {
        let found = self.state.task(task).expect("a task");
        Settle {
            task,
            revision: found.live.revision,
            calendars: self.state.calendars_of(found),
            session,
            now: self.stamp,
            after: self.state.settled(found),
            spans: Vec::new(),
            claim: Some(Claim { tick, due: tick, trigger: Trigger::Schedule, start: true }),
            exhausted: false,
        }
    }

    fn fire(&mut self, task: TaskKey, session: SessionId, tick: Timestamp) -> (ExecutionId, Fence) {
        let settle = self.claim(task, session, tick);
        match self.accept(&Command::Settle(settle)) {
            Answer::Execution { execution, fence: Some(fence), .. } => (execution, fence),
            other => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, millis: u64) {
        self.stamp = self.stamp.plus(Millis(millis));
    }

    /// All rows but the cluster's, to see what a command changed.
    fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.state.all_rows().filter(|(key, _)| key != b"c").collect()
    }
}

/// Puts changed rows into a store.
fn write(store: &mut BTreeMap<Vec<u8>, Vec<u8>>, rows: Vec<RecordRow>) {
    for (key, value) in rows {
        match value {
            Some(value) => drop(store.insert(key, value)),
            None => drop(store.remove(&key)),
        }
    }
}

fn load(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> State {
    let mut loader = Loader::default();
    for (key, value) in rows {
        loader.row(&key, &value).expect("a row that was written");
    }
    loader.finish().expect("rows that add up")
}

fn genesis() -> Command {
    Command::Genesis(Genesis {
        id: 0xC1,
        name: "punctual".to_owned(),
        timezone: "UTC".to_owned(),
        scheduler: true,
        callback_key: 0x5EC2E7,
    })
}

/// What is derived from the records is what they say: a state that was loaded has it afresh.
fn derived(state: &State) -> impl PartialEq + std::fmt::Debug + use<> {
    let busy: Vec<TaskKey> = state.tasks.busy().map(|task| task.key).collect();
    let failures: Vec<usize> = state.tasks().map(|task| task.history.failures).collect();
    let running: Vec<u32> = state.tasks().map(|task| task.history.running).collect();
    let users = state.calendar_users.clone();
    let executors = (state.in_flight.clone(), state.declared.clone());
    (busy, failures, running, state.marks.clone(), users, state.lines.clone(), executors)
}

/// What a node of that number tells of itself.
pub(crate) fn node_info(number: u64) -> NodeInfo {
    NodeInfo {
        name: format!("n{number}"),
        hostname: format!("host-{number}"),
        pid: 4_000 + u32::try_from(number).unwrap(),
        http: format!("http://127.0.0.1:808{number}"),
        peer: format!("127.0.0.1:707{number}"),
        version: "0.1.0".to_owned(),
        level: 1,
        weight: 1,
        labels: BTreeMap::new(),
        slots: 0,
        functions: vec!["*".to_owned()],
        shell: true,
        users: None,
    }
}

fn node_up(node: NodeId, boot: u128) -> Command {
    let info = node_info(node.configured());
    Command::NodeUp(Box::new(NodeUp { node, boot, info }))
}

fn put(mode: PutMode, spec: TaskSpec) -> Command {
    Command::Put(Box::new(Put { mode, spec }))
}

fn spec(name: &str, rule: Rule) -> TaskSpec {
    TaskSpec::new(name, Schedule::of(rule), None)
}

fn every(name: &str, millis: u64) -> TaskSpec {
    spec(name, Rule::Interval { every: Millis(millis), anchor: None })
}

fn named(name: &str) -> Named {
    Named { name: name.to_owned(), if_match: None }
}

fn deletion(name: &str) -> MarkDeleted {
    MarkDeleted { name: name.to_owned(), stop: false, tombstone: false, if_match: None }
}

fn trigger(name: &str) -> Command {
    Command::TriggerTask(TriggerTask { name: name.to_owned(), parameters: None })
}

fn finish(task: TaskKey, execution: ExecutionId, fence: Fence, report: Report) -> Command {
    Command::Finish(Box::new(Finish { task, execution, fence, report }))
}

fn report(status: Status, at: Timestamp) -> Report {
    Report {
        status,
        unknown: status == Status::Lost,
        started_at: Some(at),
        ended_at: at.plus(Millis(3)),
        exit_code: Some(i32::from(status != Status::Success)),
        http_status: None,
        detail: String::new(),
        tail: Vec::new(),
    }
}

/// A folder beside these tests.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/domain/machine").join(name)
}
