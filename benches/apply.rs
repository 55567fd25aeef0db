//! What one claim costs in apply: `cargo bench --bench apply -- [TASKS] [CLAIMS]`.
//!
//! One state, no log and no network: entries of 64 claims, each of another task, as `bench claims`
//! sends them. It prints nanoseconds a claim and the bytes of memory that one leaves behind.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::Instant;

use punctual::domain::ids::{NodeId, SessionId, TaskKey};
use punctual::domain::machine::command::{
    Claim, Genesis, NodeLiveness, NodeUp, Put, PutMode, Settle,
};
use punctual::domain::machine::envelope::{self, Head};
use punctual::domain::machine::record::{Liveness, NodeInfo, Trigger};
use punctual::domain::machine::{Answer, Applied, Command, Response, State};
use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::TaskSpec;
use punctual::domain::time::{Millis, Timestamp};

const START: Timestamp = Timestamp(1_772_409_600_000);
const ENTRY: usize = 64;

struct World {
    state: State,
    index: u64,
    stamp: Timestamp,
}

impl World {
    fn apply(&mut self, commands: &[Command]) -> Vec<Response> {
        let mut packed = Vec::new();
        for command in commands {
            envelope::pack(&mut packed, command, "", None);
        }
        let mut applied = Applied::default();
        self.index += 1;
        let head = Head { stamp: self.stamp, origin: 1, seq: self.index };
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
    let mut world = World { state: State::default(), index: 0, stamp: START };
    let session = prepare(&mut world);
    let mut targets = make_tasks(&mut world, tasks);
    world.stamp = START.plus(Millis::from_secs(3_600));

    // Spread over the tasks as the slots of the load are.
    let order: Vec<usize> = (0..tasks).map(|at| (at * 7_919) % tasks).collect();
    let (mut spent, mut done, memory) = (0_u128, 0, resident());
    while done < claims {
        let mut packed = Vec::new();
        for at in 0..ENTRY {
            let target = &mut targets[order[(done + at) % tasks]];
            let tick = target.2.plus(Millis(1));
            let settle = Settle {
                task: target.0,
                revision: target.1,
                session,
                now: world.stamp,
                after: target.2,
                spans: Vec::new(),
                claim: Some(Claim { tick, due: tick, trigger: Trigger::Claim, start: true }),
                exhausted: false,
            };
            target.2 = tick;
            envelope::pack(&mut packed, &Command::Settle(settle), "", None);
        }
        done += ENTRY;
        world.index += 1;
        let head = Head { stamp: world.stamp, origin: 1, seq: world.index };
        let entry = envelope::entry(head, &packed);
        let mut applied = Applied::default();
        let began = Instant::now();
        let outcome = world.state.apply(world.index, &entry, &mut applied);
        spent += began.elapsed().as_nanos();
        assert!(outcome.is_ok() && applied.responses.iter().all(Result::is_ok), "{applied:?}");
    }
    let grown = resident().saturating_sub(memory);
    println!(
        "{tasks} tasks, {done} claims: {} ns a claim, {} bytes a claim",
        spent / done as u128,
        grown / done as u64
    );
}

fn prepare(world: &mut World) -> SessionId {
    let genesis =
        Genesis { id: 1, name: "bench".to_owned(), timezone: "UTC".to_owned(), scheduler: true };
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
    };
    let node = NodeId::new(1, 1);
    world.apply(&[Command::Genesis(genesis)]);
    world.apply(&[Command::NodeUp(Box::new(NodeUp { node, boot: 1, info }))]);
    let session = world.state.node(node).map_or(SessionId(0), |node| node.session);
    let working = NodeLiveness { node, session, liveness: Liveness::Working };
    world.apply(&[Command::NodeLiveness(working)]);
    session
}

type Target = (TaskKey, punctual::domain::ids::Revision, Timestamp);

fn make_tasks(world: &mut World, tasks: usize) -> Vec<Target> {
    for from in (0..tasks).step_by(ENTRY) {
        let puts: Vec<Command> = (from..tasks.min(from + ENTRY))
            .map(|number| {
                let spec =
                    TaskSpec::new(format!("bench-{number:06}"), Schedule::of(Rule::Manual), None);
                Command::Put(Box::new(Put { mode: PutMode::Force, spec }))
            })
            .collect();
        let answers = world.apply(&puts);
        assert!(answers.iter().all(|answer| !matches!(answer, Err(_) | Ok(Answer::NotFired))));
    }
    let state = &world.state;
    state.tasks().map(|task| (task.key, task.live.revision, state.settled(task))).collect()
}

/// Bytes of memory in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
