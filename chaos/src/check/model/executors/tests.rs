//! What the product does is right, and what a broken one would do is found.

use std::collections::BTreeMap;

use punctual::domain::executor::ExecutorInfo;
use punctual::domain::ids::{EventId, ExecutionId, Fence, NodeId, SessionId, TaskKey};
use punctual::domain::machine::command::{
    ExecutorLiveness, Finish, Genesis, NodeLiveness, NodeUp, OfFence, Put, PutExecutor, PutMode,
    StartOn, TriggerTask,
};
use punctual::domain::machine::envelope::{self, EntryHead};
use punctual::domain::machine::record::{Liveness, NodeInfo, Report, Status};
use punctual::domain::machine::{Answer, Applied, Command, EventKind, Response, State};
use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::{ExecutorAction, TaskSpec};
use punctual::domain::time::{Millis, Timestamp};

use super::*;

const NODE: NodeId = NodeId(65_537);

/// The product and the model of it, fed with the same commands.
struct Both {
    state: State,
    model: ReferenceModel,
    stamp: Timestamp,
    task: TaskKey,
    session: SessionId,
    boot: u128,
}

impl Both {
    /// A node that works, an executor, and a task for it.
    fn new() -> Self {
        let mut both = Self {
            state: State::default(),
            model: ReferenceModel::default(),
            stamp: Timestamp(1_772_452_800_000),
            task: TaskKey(0),
            session: SessionId(0),
            boot: 0,
        };
        let (name, timezone) = ("sim".to_owned(), "UTC".to_owned());
        let genesis = Genesis { id: 1, name, timezone, scheduler: true, callback_key: 7 };
        both.accepted(&Command::Genesis(genesis));
        both.up();
        both.accepted(&Command::PutExecutor(Box::new(PutExecutor {
            info: ExecutorInfo {
                id: "e1".to_owned(),
                name: "worker".to_owned(),
                base_url: "http://e1".to_owned(),
                health_check_url: Some("http://e1/health".to_owned()),
                weight: 1,
                capacity: 1,
                metadata: BTreeMap::new(),
                tasks: Vec::new(),
            },
        })));
        let (balance, weights) = ("sticky".to_owned(), BTreeMap::new());
        let action = ExecutorAction { balance, names: vec!["worker".to_owned()], weights };
        let action = Some(Action::Executor(action));
        let spec = TaskSpec::new("load", Schedule::of(Rule::Manual), action);
        let put = Command::Put(Box::new(Put { mode: PutMode::Add, spec }));
        let Answer::Task { task, .. } = both.accepted(&put) else { panic!("no task") };
        both.task = task;
        both
    }

    /// The entry that carries a command now, and its index.
    fn entry(&self, command: &Command) -> (u64, Vec<u8>) {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let index = self.state.cluster().applied + 1;
        let head = EntryHead { stamp: self.stamp, origin: 1, seq: index };
        (index, envelope::entry(head, &packed))
    }

    /// The product and the model take a command.
    fn apply(&mut self, command: &Command) -> Response {
        let (index, entry) = self.entry(command);
        let mut applied = Applied::default();
        self.state.apply(index, &entry, &mut applied).unwrap();
        let events = &applied.effects.events;
        self.model.entry(index, &entry, &applied.responses, &[], events);
        applied.responses.remove(0)
    }

    fn accepted(&mut self, command: &Command) -> Answer {
        self.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"))
    }

    /// The model takes a command that a broken product has answered so, with an event.
    fn forged(&mut self, command: &Command, answer: Answer, ended: Option<(ExecutionId, Status)>) {
        let (index, entry) = self.entry(command);
        let object = ended.map(|(execution, status)| {
            let task = "load".into();
            EventObject::Execution { task, execution, status }
        });
        let event = object.map(|object| Event {
            id: EventId(1_000_000),
            at: self.stamp,
            kind: EventKind::ExecutionChanged,
            object,
        });
        let events: Vec<Event> = event.into_iter().collect();
        self.model.entry(index, &entry, &[Ok(answer)], &[], &events);
    }

    fn node_up(&mut self) -> Command {
        self.boot += 1;
        let info = NodeInfo {
            name: "n1".to_owned(),
            hostname: "machine".to_owned(),
            pid: 1,
            http: String::new(),
            peer: String::new(),
            version: "sim".to_owned(),
            level: 1,
            weight: 1,
            labels: BTreeMap::new(),
            slots: 0,
            functions: Vec::new(),
            shell: false,
            users: None,
        };
        Command::NodeUp(Box::new(NodeUp { node: NODE, boot: self.boot, info }))
    }

    fn up(&mut self) {
        let up = self.node_up();
        let Answer::Session(session) = self.accepted(&up) else { panic!("no session") };
        self.session = session;
        let liveness = Liveness::Working;
        self.accepted(&Command::NodeLiveness(NodeLiveness { node: NODE, session, liveness }));
    }

    fn trigger(&mut self) -> ExecutionId {
        let trigger = TriggerTask { name: "load".to_owned(), parameters: None };
        let answer = self.accepted(&Command::TriggerTask(trigger));
        let Answer::Execution { execution, .. } = answer else { panic!("{answer:?}") };
        execution
    }

    fn start_on(&self, execution: ExecutionId) -> Command {
        let (task, session, executor) = (self.task, self.session, "e1".to_owned());
        Command::StartOn(StartOn { task, execution, session, executor, again: None })
    }

    fn granted(&mut self, execution: ExecutionId) -> OfFence {
        let answer = self.accepted(&self.start_on(execution));
        let Answer::Execution { task, fence: Some(fence), .. } = answer else {
            panic!("{answer:?}")
        };
        OfFence { task, execution, fence }
    }

    /// An execution that the executor has accepted.
    fn taken(&mut self) -> OfFence {
        let execution = self.trigger();
        let grant = self.granted(execution);
        self.accepted(&Command::Accept(grant));
        grant
    }

    fn finish(&self, grant: OfFence, status: Status) -> Command {
        let OfFence { task, execution, fence } = grant;
        let report = Report::unreported(status, self.stamp, "");
        Command::Finish(Box::new(Finish { task, execution, fence, report }))
    }

    fn silent(&mut self) {
        let (id, reason) = ("e1".to_owned(), "refused".to_owned());
        let seen = self.state.executor(&id).unwrap();
        let (revision, renewed_at) = (seen.revision, seen.renewed_at);
        let found = ExecutorLiveness { id, revision, renewed_at, online: false, reason };
        self.accepted(&Command::ExecutorLiveness(found));
    }

    /// The properties that were found broken.
    fn broken(&self) -> BTreeSet<&'static str> {
        self.model.wrong.iter().map(|(_, property, _)| *property).collect()
    }
}

#[test]
fn what_the_product_does_is_right() {
    let mut both = Both::new();
    let grant = both.taken();
    both.up();
    assert!(both.apply(&both.start_on(grant.execution)).is_err());
    both.accepted(&both.finish(grant, Status::Success));
    assert!(both.apply(&both.finish(grant, Status::Success)).is_err());
    let waiting = both.trigger();
    let grant = both.taken();
    assert!(both.apply(&both.start_on(waiting)).is_err(), "it takes one");
    both.silent();
    assert!(both.apply(&Command::Lose(grant)).is_err(), "too early");
    both.stamp = both.stamp.plus(Millis(10_000));
    both.accepted(&Command::Lose(grant));
    assert!(both.apply(&both.start_on(waiting)).is_err(), "it is offline");
    assert!(both.model.wrong.is_empty(), "{:?}", both.model.wrong);
    for property in [ONLINE, OUTLIVE, ONCE] {
        assert!(both.model.judged.get(property).is_some_and(|times| *times > 0), "{property}");
    }
}

#[test]
fn a_node_that_ends_what_was_accepted_is_found() {
    let mut both = Both::new();
    let grant = both.taken();
    let up = both.node_up();
    both.forged(&up, Answer::Session(SessionId(900)), Some((grant.execution, Status::Lost)));
    assert_eq!(both.broken(), BTreeSet::from([OUTLIVE]));
}

#[test]
fn a_report_under_an_old_fence_is_found() {
    let mut both = Both::new();
    let grant = both.taken();
    let old = OfFence { fence: Fence(grant.fence.0 - 1), ..grant };
    both.forged(&both.finish(old, Status::Success), Answer::Done, None);
    assert_eq!(both.broken(), BTreeSet::from(["fences"]));
}

#[test]
fn an_acceptance_under_an_old_fence_is_found() {
    let mut both = Both::new();
    let execution = both.trigger();
    let grant = both.granted(execution);
    let old = OfFence { fence: Fence(grant.fence.0 - 1), ..grant };
    both.forged(&Command::Accept(old), Answer::Done, None);
    assert_eq!(both.broken(), BTreeSet::from(["fences"]));
}

#[test]
fn a_dispatch_to_one_that_is_offline_or_full_is_found() {
    for full in [false, true] {
        let mut both = Both::new();
        let execution = both.trigger();
        if full {
            both.taken();
        } else {
            both.silent();
        }
        let (task, fence) = (both.task, Some(Fence(900)));
        let granted = Answer::Execution { task, execution, fence };
        both.forged(&both.start_on(execution), granted, None);
        assert_eq!(both.broken(), BTreeSet::from([ONLINE]), "full: {full}");
    }
}

#[test]
fn a_loss_before_the_silence_is_over_is_found() {
    for silent in [false, true] {
        let mut both = Both::new();
        let grant = both.taken();
        if silent {
            both.silent();
            both.stamp = both.stamp.plus(Millis(9_999));
        }
        let lost = Some((grant.execution, Status::Lost));
        both.forged(&Command::Lose(grant), Answer::Done, lost);
        assert_eq!(both.broken(), BTreeSet::from([OUTLIVE]), "silent: {silent}");
    }
}

#[test]
fn work_of_unknown_outcome_that_is_done_again_is_found() {
    let mut both = Both::new();
    let grant = both.taken();
    both.silent();
    both.stamp = both.stamp.plus(Millis(10_000));
    both.accepted(&Command::Lose(grant));
    let (task, execution, fence) = (both.task, grant.execution, Some(Fence(900)));
    let granted = Answer::Execution { task, execution, fence };
    both.forged(&both.start_on(execution), granted, None);
    assert!(both.broken().contains(ONCE), "{:?}", both.model.wrong);
}
