//! Executors in samples, in stories, and as they might come.

use std::collections::BTreeMap;

use super::super::State;
use super::super::command::{
    Command, ExecutorLiveness, FailPending, Named, OfExecutor, OfFence, PutExecutor,
    SetExecutorStatus, StartOn,
};
use super::super::task::record::{Attempt, AttemptExecutor};
use super::plausible::StepNumbers;
use super::samples::at;
use super::telling::clock;
use crate::domain::executor::{ExecutorInfo, ExecutorRecord, ExecutorStatus};
use crate::domain::ids::{ExecutionId, Fence, Revision, SessionId, TaskKey};
use crate::domain::time::{Millis, Timestamp};
use crate::stories::ScriptLine;

/// What an executor tells of itself, in which every field says something.
fn info() -> ExecutorInfo {
    ExecutorInfo {
        id: "executor-001".to_owned(),
        name: "data-processor".to_owned(),
        base_url: "http://10.0.0.9:9090".to_owned(),
        health_check_url: Some("http://10.0.0.9:9090/health".to_owned()),
        weight: 5,
        capacity: 8,
        metadata: BTreeMap::from([("zone".to_owned(), "eu-1".to_owned())]),
        tasks: vec!["daily-report".to_owned(), "nightly-report".to_owned()],
    }
}

/// A record in which every field says something.
pub(super) fn record() -> ExecutorRecord {
    ExecutorRecord {
        info: info(),
        status: ExecutorStatus::Maintenance,
        reason: "upgrade".to_owned(),
        offline_since: Some(at(30)),
        registered_at: at(1),
        renewed_at: at(40),
        revision: Revision(40),
    }
}

/// The executor of an attempt that it accepted.
pub(super) fn accepted() -> AttemptExecutor {
    AttemptExecutor { id: "executor-001".into(), accepted_at: Some(at(11)) }
}

/// One command of every kind, in the order of their numbers.
pub(super) fn commands(grant: OfFence, session: SessionId) -> Vec<Command> {
    let OfFence { task, execution, fence } = grant;
    let id = || "executor-001".to_owned();
    vec![
        Command::PutExecutor(Box::new(PutExecutor { info: info() })),
        Command::ExecutorHeartbeat(OfExecutor { id: id() }),
        Command::ExecutorLiveness(ExecutorLiveness {
            id: id(),
            revision: Revision(40),
            renewed_at: Timestamp(1_750_000_000_000),
            online: true,
            reason: "answers".to_owned(),
        }),
        Command::ExecutorStatus(SetExecutorStatus {
            id: id(),
            status: ExecutorStatus::Maintenance,
            reason: "upgrade".to_owned(),
            if_match: Some(Revision(40)),
        }),
        Command::DeleteExecutor(Named { name: id(), if_match: Some(Revision(40)) }),
        Command::StartOn(StartOn { task, execution, session, executor: id(), again: Some(fence) }),
        Command::Accept(grant),
        Command::Fail(FailPending { task, execution, session, reason: "no_executor".to_owned() }),
    ]
}

/// The command of a line about an executor; none: it is about something else.
pub(super) fn command(state: &State, line: &ScriptLine) -> Option<Command> {
    let id = line.word(1).to_owned();
    let if_match = line.revision("if_match");
    let reason = line.option("reason").unwrap_or("").to_owned();
    Some(match line.word(0) {
        "executor" => Command::PutExecutor(Box::new(PutExecutor { info: of_line(line) })),
        "heartbeat" => Command::ExecutorHeartbeat(OfExecutor { id }),
        "probe" => {
            let kept = state.executor(&id);
            let kept = kept.map(|kept| (kept.revision, kept.renewed_at)).unwrap_or_default();
            let revision = line.revision("revision").unwrap_or(kept.0);
            let ago = line.option("renewed-ago").map_or(0, |text| text.parse().expect("ms"));
            let renewed_at = kept.1.minus(Millis(ago));
            let online = line.word(2) == "answers";
            Command::ExecutorLiveness(ExecutorLiveness { id, revision, renewed_at, online, reason })
        }
        "status" => {
            let status = match line.word(2) {
                "online" => ExecutorStatus::Online,
                "offline" => ExecutorStatus::Offline,
                _ => ExecutorStatus::Maintenance,
            };
            Command::ExecutorStatus(SetExecutorStatus { id, status, reason, if_match })
        }
        "delete-executor" => Command::DeleteExecutor(Named { name: id, if_match }),
        _ => return None,
    })
}

fn of_line(line: &ScriptLine) -> ExecutorInfo {
    let number = |key: &str, default| {
        line.option(key).map_or(default, |text| text.parse().expect("a number"))
    };
    let id = line.word(1).to_owned();
    ExecutorInfo {
        name: line.option("name").unwrap_or("worker").to_owned(),
        base_url: line.option("url").map_or(format!("http://{id}"), str::to_owned),
        health_check_url: line.option("health").map(str::to_owned),
        weight: number("weight", 1),
        capacity: number("capacity", 0),
        metadata: BTreeMap::new(),
        tasks: line
            .option("tasks")
            .into_iter()
            .flat_map(|text| text.split(','))
            .map(str::to_owned)
            .collect(),
        id,
    }
}

/// The command of a line about an execution that an executor carries out; none: it is another.
pub(super) fn dispatch(
    line: &ScriptLine,
    of: OfFence,
    session: SessionId,
    again: Option<Fence>,
) -> Option<Command> {
    let OfFence { task, execution, .. } = of;
    Some(match line.word(0) {
        "start-on" => {
            let executor = line.option("on").expect("an executor").to_owned();
            Command::StartOn(StartOn { task, execution, session, executor, again })
        }
        "accept" => Command::Accept(of),
        "fail" => {
            let reason = "no_executor".to_owned();
            Command::Fail(FailPending { task, execution, session, reason })
        }
        _ => return None,
    })
}

/// What the line of an execution says of the executor of an attempt.
pub(super) fn told(attempt: &Attempt) -> String {
    let Some(executor) = &attempt.executor else { return String::new() };
    let accepted = match executor.accepted_at {
        Some(at) => format!(", accepted {}", clock(at)),
        None => String::new(),
    };
    format!(" on {}{accepted}", executor.id)
}

/// All executors.
pub(super) fn shown(state: &State) -> Vec<String> {
    let told = state.executors().map(|one| {
        let ExecutorRecord { info, status, reason, offline_since, renewed_at, revision, .. } =
            &**one;
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let since =
            offline_since.map_or(String::new(), |at| format!(", silent since {}", clock(at)));
        let many = state.in_flight(&info.id);
        let renewed = clock(*renewed_at);
        format!(
            "{} r{revision} {}{reason}{since}, {many} in flight, renewed {renewed}",
            info.id,
            status.word(),
        )
    });
    told.collect()
}

/// A command about executors as it might come.
pub(super) fn plausible(state: &State, dice: &mut StepNumbers) -> Command {
    let id = ["e1", "e2", "e3"][usize::from(dice.below(3))].to_owned();
    let kept = state.executor(&id);
    let revision = kept.map_or(Revision(1), |kept| kept.revision);
    let revision = if dice.percent(85) { revision } else { Revision(2) };
    let renewed_at = kept.map_or(Timestamp(0), |kept| kept.renewed_at);
    let renewed_at = if dice.percent(85) { renewed_at } else { Timestamp(1) };
    match dice.below(10) {
        0..3 => {
            let health_check_url = dice.percent(50).then(|| "http://h".to_owned());
            let base_url = ["http://a", "http://b"][usize::from(dice.below(2))].to_owned();
            let tasks = ["a", "b"][..usize::from(dice.below(3))].iter().map(|it| (*it).to_owned());
            let capacity = u32::from(dice.below(3));
            let (tasks, metadata) = (tasks.collect(), BTreeMap::new());
            let name = "worker".to_owned();
            let weight = 1;
            Command::PutExecutor(Box::new(PutExecutor {
                info: ExecutorInfo {
                    id,
                    name,
                    base_url,
                    health_check_url,
                    weight,
                    capacity,
                    metadata,
                    tasks,
                },
            }))
        }
        3 => Command::ExecutorHeartbeat(OfExecutor { id }),
        4..7 => {
            let (online, reason) = (dice.percent(60), "why".to_owned());
            Command::ExecutorLiveness(ExecutorLiveness { id, revision, renewed_at, online, reason })
        }
        7..9 => {
            let all =
                [ExecutorStatus::Online, ExecutorStatus::Offline, ExecutorStatus::Maintenance];
            let status = all[usize::from(dice.below(3))];
            let if_match = dice.percent(10).then_some(revision);
            let reason = "why".to_owned();
            Command::ExecutorStatus(SetExecutorStatus { id, status, reason, if_match })
        }
        _ => Command::DeleteExecutor(Named { name: id, if_match: None }),
    }
}

/// A command about an execution that an executor carries out, as it might come.
pub(super) fn plausible_dispatch(
    of: OfFence,
    session: SessionId,
    again: bool,
    dice: &mut StepNumbers,
) -> Command {
    let OfFence { task, execution, fence } = of;
    match dice.below(10) {
        0..6 => {
            let executor = ["e1", "e2", "e3"][usize::from(dice.below(3))].to_owned();
            let again = again.then_some(fence);
            Command::StartOn(StartOn { task, execution, session, executor, again })
        }
        6..9 => Command::Accept(of),
        _ => {
            let reason = "no_executor".to_owned();
            Command::Fail(FailPending { task, execution, session, reason })
        }
    }
}

/// The attempts that are counted are those that are there, each with its executor.
pub(super) fn listed(state: &State) {
    let mut all: Vec<(ExecutionId, TaskKey)> = state.on_executors().collect();
    let by_executor = state.executors().flat_map(|one| state.in_flight.of(&one.info.id));
    let mut each: Vec<(ExecutionId, TaskKey)> = by_executor.collect();
    all.sort_unstable();
    each.sort_unstable();
    assert_eq!(all, each, "an attempt names an executor that is there");
    let counts = state.executors().map(|one| state.in_flight(&one.info.id));
    assert_eq!(counts.sum::<u32>(), u32::try_from(all.len()).unwrap());
}
