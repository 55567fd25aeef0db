//! Nodes with files, and what becomes of the names in them.

use super::*;
use crate::domain::ids::SessionId;
use crate::domain::machine::command::{
    Command, Declare, DeclaredObject, FilesRead, FilesStep, Named, NodeIntent, NodeUp, OfNode, Put,
    PutMode,
};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::machine::record::Intent;
use crate::domain::machine::{Answer, Applied, Refusal, Response, node_info};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

const NOON: Timestamp = Timestamp(1_772_452_800_000);

/// A cluster of one or two nodes.
struct FilesWorld {
    state: State,
    sessions: [SessionId; 2],
    index: u64,
}

impl FilesWorld {
    fn new() -> Self {
        Self::of(2)
    }

    fn of(nodes: u16) -> Self {
        let mut world = Self { state: State::default(), sessions: [SessionId(0); 2], index: 0 };
        (1..=nodes).for_each(|number| world.joins(number));
        world
    }

    fn joins(&mut self, number: u16) {
        let node = NodeId::new(number, 1);
        let up = NodeUp { node, boot: number.into(), info: node_info(number.into()) };
        match self.apply(&Command::NodeUp(Box::new(up))) {
            Ok(Answer::Session(session)) => self.sessions[usize::from(number) - 1] = session,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, command: &Command) -> Response {
        self.index += 1;
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let head = EntryHead { stamp: NOON, origin: 1, seq: self.index };
        let entry = envelope::entry(head, &packed);
        let mut applied = Applied::default();
        self.state.apply(self.index, &entry, &mut applied).unwrap();
        applied.responses.remove(0)
    }

    fn tells(&mut self, number: u16, step: FilesStep) {
        let (node, session) = (NodeId::new(number, 1), self.sessions[usize::from(number) - 1]);
        self.apply(&Command::FilesRead(FilesRead { node, session, step })).unwrap();
    }

    /// A node starts that reads no files.
    fn reads_none(&mut self, number: u16) {
        if without_files(&self.state, NodeId::new(number, 1)) == WithoutFiles::TakesBack {
            self.tells(number, FilesStep::None);
        }
    }

    fn turn(&self, number: u16, hash: u128) -> FilesTurn {
        turn(&self.state, NodeId::new(number, 1), hash)
    }

    fn declare(&mut self, name: &str, hash: u128) {
        let if_match = self.state.named(name).map(|task| task.live.revision);
        let object = DeclaredObject::Task { spec: spec(name), hash };
        let set = self.state.files_in_force().unwrap().set;
        self.apply(&Command::Declare(Box::new(Declare { set, object, if_match }))).unwrap();
    }

    fn change(&mut self, name: &str) {
        let mut spec = spec(name);
        spec.priority = 9;
        let mode = PutMode::Update { if_match: None };
        self.apply(&Command::Put(Box::new(Put { mode, spec }))).unwrap();
    }
}

fn spec(name: &str) -> TaskSpec {
    let every = Rule::Interval { every: Millis(60_000), anchor: None };
    TaskSpec::new(name, Schedule::of(every), None)
}

#[test]
fn a_set_is_begun_by_the_node_whose_files_changed_and_by_no_other() {
    let mut world = FilesWorld::new();
    assert_eq!(world.turn(1, 7), FilesTurn::Begin, "nobody has files");
    world.tells(1, FilesStep::Begin(7));
    let set = world.state.files_in_force().unwrap().set;
    assert_eq!(world.turn(1, 7), FilesTurn::Propose(set));
    // The same files elsewhere; and other files of a node that is new.
    assert_eq!(world.turn(2, 7), FilesTurn::Tell);
    assert_eq!(world.turn(2, 6), FilesTurn::Tell);
    world.tells(2, FilesStep::Tell(6));
    assert_eq!(world.turn(2, 6), FilesTurn::Different);
    world.tells(1, FilesStep::Complete(7));
    assert_eq!(world.turn(1, 7), FilesTurn::InStep);

    // The files of the other node change: its set is in force, and the first does not take it back.
    assert_eq!(world.turn(2, 8), FilesTurn::Begin);
    world.tells(2, FilesStep::Begin(8));
    assert_eq!(world.turn(1, 7), FilesTurn::Different);
    assert_eq!(world.turn(1, 8), FilesTurn::Tell);
    world.tells(1, FilesStep::Tell(8));
    assert_eq!(world.turn(1, 8), world.turn(2, 8), "both propose it");
    world.tells(1, FilesStep::Complete(8));
    assert_eq!([1, 2].map(|node| world.turn(node, 8)), [FilesTurn::InStep; 2]);
}

#[test]
fn problems_in_files_change_nothing_and_are_taken_back() {
    let mut world = FilesWorld::new();
    world.tells(1, FilesStep::Begin(7));
    world.tells(1, FilesStep::Complete(7));
    world.tells(1, FilesStep::Broken(2));
    assert_eq!(world.state.files_in_force().unwrap().hash, 7);
    assert_eq!(world.turn(1, 7), FilesTurn::Tell);
    world.tells(1, FilesStep::Tell(7));
    assert_eq!(world.turn(1, 7), FilesTurn::InStep);
    // One that never had any without problems.
    world.tells(2, FilesStep::Broken(1));
    assert_eq!(world.turn(2, 9), FilesTurn::Tell);
}

/// It was told to read no files for some time.
#[test]
fn the_only_node_proposes_what_changed_while_it_read_no_files() {
    for (nodes, changed) in [(1, FilesTurn::Begin), (2, FilesTurn::Tell)] {
        let mut world = FilesWorld::of(nodes);
        world.reads_none(1);
        world.tells(1, FilesStep::Begin(7));
        world.tells(1, FilesStep::Complete(7));
        world.reads_none(1);
        let same = if nodes == 1 { FilesTurn::InStep } else { FilesTurn::Tell };
        assert_eq!(world.turn(1, 7), same);
        assert_eq!(world.turn(1, 8), changed, "{nodes} nodes");
    }
}

/// It was single when it began to read no files, and others see its record only once there are some.
#[test]
fn a_node_without_files_takes_its_record_back_when_the_cluster_grows() {
    let mut world = FilesWorld::of(1);
    let without = |world: &FilesWorld| without_files(&world.state, NodeId::new(1, 1));
    assert_eq!(without(&world), WithoutFiles::Nothing);
    world.tells(1, FilesStep::Begin(7));
    world.tells(1, FilesStep::Complete(7));
    world.reads_none(1);
    assert_eq!(without(&world), WithoutFiles::Waits);
    assert_eq!(world.state.files().count(), 1);
    world.joins(2);
    assert_eq!(without(&world), WithoutFiles::TakesBack);
    world.reads_none(1);
    assert_eq!((without(&world), world.state.files().count()), (WithoutFiles::Nothing, 0));
}

/// What no member has any more stays in force: the older files of another node do not undo it.
#[test]
fn a_set_outlasts_the_nodes_that_have_it() {
    for removed in [false, true] {
        let mut world = FilesWorld::new();
        world.tells(2, FilesStep::Begin(6));
        world.tells(2, FilesStep::Complete(6));
        world.tells(1, FilesStep::Begin(7));
        world.tells(1, FilesStep::Complete(7));
        let set = world.state.files_in_force().unwrap().clone();
        if removed {
            let node = NodeId::new(1, 1);
            let intent = NodeIntent { node, intent: Intent::Removing };
            world.apply(&Command::NodeIntent(intent)).unwrap();
            world.apply(&Command::NodeRemove(OfNode { node })).unwrap();
        } else {
            world.tells(1, FilesStep::None);
        }
        assert_eq!(world.state.files_in_force(), Some(&set));
        assert_eq!(world.state.files().count(), 1);
        assert_eq!(world.turn(2, 6), FilesTurn::Different);
        let older = world.state.files_of(NodeId::new(2, 1)).unwrap().set;
        let object = DeclaredObject::Task { spec: spec("a"), hash: 61 };
        let declare = Declare { set: older, object, if_match: None };
        let refused = world.apply(&Command::Declare(Box::new(declare)));
        assert_eq!(refused, Err(Refusal::RevisionMismatch { current: set.set }));
        // The same files are in force again wherever they are; others are when they change.
        assert_eq!(world.turn(2, 7), FilesTurn::Tell);
        world.tells(2, FilesStep::Tell(7));
        assert_eq!(world.turn(2, 7), FilesTurn::InStep);
        assert_eq!(world.turn(2, 8), FilesTurn::Begin);
    }
}

#[test]
fn each_name_stands_as_it_was_made_and_changed() {
    let mut world = FilesWorld::new();
    world.tells(1, FilesStep::Begin(7));
    assert_eq!(task_standing(&world.state, "a", 71), Standing::Missing);
    ["a", "b", "c", "d"].into_iter().for_each(|name| world.declare(name, 71));
    assert_eq!(task_standing(&world.state, "a", 71), Standing::InStep);
    let outdated = Standing::Outdated(world.state.named("a").unwrap().live.revision);
    assert_eq!(task_standing(&world.state, "a", 72), outdated);
    world.change("b");
    assert_eq!(task_standing(&world.state, "b", 71), Standing::Drifted);
    let of_c = Named { name: "c".to_owned(), if_match: None };
    world.apply(&Command::Cleanup(of_c.clone())).unwrap();
    let add = Put { mode: PutMode::Add, spec: spec("c") };
    world.apply(&Command::Put(Box::new(add))).unwrap();
    assert_eq!(task_standing(&world.state, "c", 71), Standing::Foreign);

    let wanted = BTreeSet::from(["a"]);
    let told = |world: &FilesWorld, prune| -> Vec<(String, &str)> {
        let gone = gone_tasks(&world.state, &wanted, prune);
        gone.into_iter().map(|(task, how)| (task.live.name.to_string(), how.word())).collect()
    };
    let both = [("b".to_owned(), "drifted"), ("d".to_owned(), "gone")];
    assert_eq!(told(&world, Prune::Disable), both);
    world.declare("d", 0);
    let gone = gone_tasks(&world.state, &wanted, Prune::Disable);
    assert!(gone.iter().any(|(_, how)| *how == Standing::LeftBehind));
    // The prune that deletes still has something to do.
    let gone = gone_tasks(&world.state, &wanted, Prune::Delete);
    assert!(gone.iter().any(|(_, how)| matches!(how, Standing::Gone(_))));
}
