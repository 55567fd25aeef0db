//! Files of tasks: each node reads its own, and the simulated operator changes and removes them. A
//! node does with them what `ops/files/` does, by the decisions of `domain::declared`.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use punctual::domain::declared::{self, FilesTurn, Standing};
use punctual::domain::ids::NodeId;
use punctual::domain::machine::command::{Declare, DeclaredObject, FilesRead, FilesStep};
use punctual::domain::machine::{Command, State};
use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::TaskSpec;
use punctual::domain::time::Millis;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::history::FaultKind;

/// The tasks that files define.
const TASKS: u64 = 3;
/// Between two looks of a node at its files.
const LOOK: Duration = Duration::from_millis(700);
/// Time limit for a proposal to be accepted, and for the state to be read.
const LIMIT: Duration = Duration::from_secs(2);

/// What the files of each machine say, by a number; none: it has no files.
type FileNumbers = Arc<Mutex<Vec<Option<u64>>>>;

/// Changes files until the switch is true. Nodes follow them until the run ends.
pub fn begin(world: &Arc<SimWorld>, stop: &watch::Receiver<bool>) {
    let files = Arc::new(Mutex::new(vec![Some(1); world.common.plan.nodes]));
    tokio::spawn(change(Arc::clone(world), Arc::clone(&files), stop.clone()));
    for index in 0..world.common.plan.nodes {
        tokio::spawn(follow(Arc::clone(world), index, Arc::clone(&files)));
    }
}

/// Changes files: those of all machines in turn, those of one, or none of one any more.
async fn change(world: Arc<SimWorld>, files: FileNumbers, mut stop: watch::Receiver<bool>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "files");
    let set = |index: usize, number: Option<u64>| {
        if let Some(place) = files.lock().get_mut(index) {
            *place = number;
        }
    };
    for number in 2.. {
        let rest = random.log_time(Duration::from_secs(3), Duration::from_secs(20));
        let (first, kind) = (random.index(world.common.plan.nodes), random.below(100));
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        if kind < 15 {
            world.history().trouble(Some(first), FaultKind::FilesGone, "");
            set(first, None);
            continue;
        }
        let nodes = if kind < 65 { 1 } else { world.common.plan.nodes };
        for step in 0..nodes {
            let index = (first + step) % world.common.plan.nodes;
            world.history().trouble(Some(index), FaultKind::FilesChanged, number);
            set(index, Some(number));
            sleep(random.log_time(Duration::from_millis(10), Duration::from_secs(2))).await;
        }
        if kind < 40 {
            // Nobody has the newest files any more, and others have older ones.
            sleep(random.log_time(Duration::from_secs(2), Duration::from_secs(6))).await;
            world.history().trouble(Some(first), FaultKind::FilesGone, "");
            set(first, None);
        }
    }
}

/// A node looks at its files.
async fn follow(world: Arc<SimWorld>, index: usize, files: FileNumbers) {
    loop {
        sleep(LOOK).await;
        let Some(alive) = world.alive(index) else { continue };
        let number = files.lock().get(index).copied().flatten();
        let context = Arc::clone(&alive.context);
        let look = async move {
            let Some(running) = context.running.get() else { return };
            let Some(session) = running.engine.session() else { return };
            if !running.consensus.read_barrier(LIMIT).await {
                return;
            }
            let node = NodeId(running.consensus.id());
            let tell = |step| Command::FilesRead(FilesRead { node, session, step });
            let state = running.consensus.replica().frozen();
            for command in proposals(&state, node, number, tell) {
                // What is not taken is proposed again.
                let _taken = running.consensus.hint(&command, LIMIT);
            }
        };
        let _ended = timeout(LIMIT * 2, alive.process.spawn(look)).await;
    }
}

/// What a node proposes whose files have this number.
fn proposals(
    state: &State,
    node: NodeId,
    number: Option<u64>,
    tell: impl Fn(FilesStep) -> Command,
) -> Vec<Command> {
    let Some(number) = number else {
        let told = state.files_of(node).is_some();
        return told.then(|| tell(FilesStep::None)).into_iter().collect();
    };
    let hash = u128::from(number);
    let set = match declared::turn(state, node, hash) {
        FilesTurn::InStep | FilesTurn::Different => return Vec::new(),
        FilesTurn::Tell => return vec![tell(FilesStep::Tell(hash))],
        FilesTurn::Begin => return vec![tell(FilesStep::Begin(hash))],
        FilesTurn::Propose(set) => set,
    };
    let acts = (0..TASKS).filter_map(|task| {
        let name = format!("file-{task}");
        let if_match = match declared::task_standing(state, &name, hash) {
            Standing::Missing => None,
            Standing::Outdated(revision) => Some(revision),
            _ => return None,
        };
        let object = DeclaredObject::Task { spec: definition(name, number), hash };
        Some(Command::Declare(Box::new(Declare { set, object, if_match })))
    });
    let acts: Vec<Command> = acts.collect();
    if acts.is_empty() { vec![tell(FilesStep::Complete(hash))] } else { acts }
}

/// What files of this number say of a task.
fn definition(name: String, number: u64) -> TaskSpec {
    let every = Rule::Interval { every: Millis(2_000 + 500 * (number % 4)), anchor: None };
    let mut spec = TaskSpec::new(name, Schedule::of(every), None);
    spec.description = format!("files {number}");
    spec
}
