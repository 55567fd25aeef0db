//! Commands as they might come: mostly such that the state accepts them, some stale, some foreign.

use std::collections::BTreeMap;

use super::super::command::{
    Assign, Claim, CleanupAll, Command, Declare, DeclaredObject, FilesRead, FilesStep, Named,
    NodeIntent, NodeJoin, NodeLiveness, OfExecution, OfFence, OfNode, PauseTask, PutCalendar,
    PutMode, SetScheduler, Settle, SettleSpan, Start,
};
use super::super::envelope::IdempotencyKey;
use super::super::task::record::{Execution, Intent, Liveness, Reason, Status, Trigger, Verdict};
use super::super::{State, Task};
use super::{DAY, backfill, executors, finish, genesis, node_up, put, report, spec, trigger};
use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use crate::domain::schedule::Rule;
use crate::domain::task::{Action, AfterRun, Concurrency, ExecutionMode, ExecutorAction, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

/// The numbers that one step is made of, used up one by one.
#[derive(Clone, Debug)]
pub(super) struct StepNumbers {
    faces: [u16; 24],
    next: usize,
}

impl StepNumbers {
    pub fn new(faces: [u16; 24]) -> Self {
        Self { faces, next: 0 }
    }

    pub fn below(&mut self, sides: u16) -> u16 {
        let face = self.faces[self.next % self.faces.len()];
        self.next += 1;
        face % sides
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u16) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let sides = u16::try_from(all.len()).expect("few");
        (sides > 0).then(|| all[usize::from(self.below(sides))])
    }

    fn millis(&mut self, sides: u16) -> Millis {
        Millis(u64::from(self.below(sides)))
    }
}

/// The next stamp: mostly a little later, now and then earlier or much later.
pub(super) fn stamp(now: Timestamp, dice: &mut StepNumbers) -> Timestamp {
    match dice.below(100) {
        0..5 => now.minus(dice.millis(300)),
        5..8 => now.plus(Millis(dice.millis(100).0 * 60_000)),
        8..12 => now,
        _ => now.plus(dice.millis(900)),
    }
}

/// The numbers of up to 159 steps.
pub(super) fn steps() -> impl proptest::strategy::Strategy<Value = Vec<[u16; 24]>> {
    let numbers = proptest::array::uniform24(proptest::prelude::any::<u16>());
    proptest::collection::vec(numbers, 1..160)
}

/// A command, who sent it, and its idempotency key.
pub(super) fn command(
    state: &State,
    now: Timestamp,
    dice: &mut StepNumbers,
) -> (Command, Option<IdempotencyKey<'static>>) {
    let key = dice.percent(8).then(|| IdempotencyKey {
        text: ["k1", "k2", "k3"][usize::from(dice.below(3))],
        request: u128::from(dice.below(2)),
    });
    let command = match dice.below(200) {
        0..68 => settle(state, now, dice),
        68..118 => about_execution(state, now, dice),
        118..136 => Some(of_put(now, dice)),
        136..168 => Some(lifecycle(state, now, dice)),
        168..180 => Some(executors::plausible(state, dice)),
        180..196 => Some(about_node(state, dice)),
        196..198 => Some(assign(dice)),
        198 => Some(Command::CleanupAll(CleanupAll {
            cluster: "punctual".to_owned(),
            from: 0,
            upto: None,
        })),
        _ => Some(genesis()),
    };
    (command.unwrap_or_else(|| of_put(now, dice)), key)
}

fn name(dice: &mut StepNumbers) -> String {
    ["a", "b", "c", "d"][usize::from(dice.below(4))].to_owned()
}

/// A definition with what matters to the machine varied.
fn definition(now: Timestamp, dice: &mut StepNumbers) -> TaskSpec {
    let name = name(dice);
    let rule = match dice.below(10) {
        0 => Rule::Immediate,
        1 => {
            Rule::At(DAY.plus(Millis::from_secs(43_000)).plus(Millis(dice.millis(1_000).0 * 1_000)))
        }
        2 => Rule::At(now.minus(dice.millis(2_000))),
        3 => Rule::Manual,
        n => Rule::Interval { every: Millis(u64::from(n) * 100), anchor: None },
    };
    let mut spec = spec(&name, rule);
    spec.enabled = dice.percent(85);
    if dice.percent(15) {
        spec.schedule.exclude = vec![["x", "y"][usize::from(dice.below(2))].to_owned()];
    }
    spec.catch_up_on_resume = dice.percent(30);
    spec.keep.ticks = u32::from(dice.below(5));
    spec.keep.executions = u32::from(dice.below(4));
    spec.keep.age = Millis(dice.millis(100).0 * 1_000);
    if dice.percent(15) {
        let (balance, names) = ("sticky".to_owned(), Vec::new());
        let action = ExecutorAction { balance, names, weights: BTreeMap::new() };
        spec.action = Some(Action::Executor(action));
    }
    spec.lost_after = Millis(300);
    spec.one_shot = dice.percent(12);
    if dice.percent(20) {
        spec.after_run = dice.pick(&[AfterRun::MarkDeleted, AfterRun::Cleanup]).expect("one");
    }
    if dice.percent(20) {
        spec.max_live = 1 + u32::from(dice.below(2));
    }
    if dice.percent(60) {
        let modes = [ExecutionMode::Skip, ExecutionMode::Sequential, ExecutionMode::Replace];
        spec.execution_mode = dice.pick(&modes).expect("one");
        spec.queue_max = u32::from(dice.below(3));
    }
    if dice.percent(50) {
        let group = ["g", "h"][usize::from(dice.below(2))].to_owned();
        spec.concurrency = Some(Concurrency { group, limit: 1 + u32::from(dice.below(2)) });
        spec.priority = [4, 5, 9][usize::from(dice.below(3))];
    }
    if dice.percent(20) {
        spec.then.success = vec![self::name(dice)];
        spec.then.lost = vec![self::name(dice)];
    }
    spec
}

fn revision(task: Option<&Task>, dice: &mut StepNumbers) -> Option<Revision> {
    match dice.below(10) {
        0..7 => None,
        7..9 => task.map(|task| task.live.revision),
        _ => Some(Revision(u64::from(dice.below(40)))),
    }
}

fn of_put(now: Timestamp, dice: &mut StepNumbers) -> Command {
    let mode = match dice.below(10) {
        0..5 => PutMode::Add,
        5..7 => PutMode::Force,
        7..9 => PutMode::Update { if_match: None },
        _ => PutMode::Update { if_match: Some(Revision(u64::from(dice.below(60)))) },
    };
    put(mode, definition(now, dice))
}

fn lifecycle(state: &State, now: Timestamp, dice: &mut StepNumbers) -> Command {
    let known: Vec<&std::sync::Arc<Task>> = state.tasks().collect();
    let name = match dice.pick(&known) {
        Some(task) if dice.percent(85) => task.live.name.to_string(),
        _ => name(dice),
    };
    let if_match = revision(state.named(&name).map(|task| &**task), dice);
    let named = Named { name: name.clone(), if_match };
    match dice.below(20) {
        18..20 => Command::Cancel(named),
        0..3 => {
            let until = dice.percent(50).then(|| now.plus(dice.millis(2_000)).minus(Millis(200)));
            Command::Pause(PauseTask { name, reason: "why".to_owned(), until, if_match })
        }
        3..6 => Command::Resume(named),
        6..8 => Command::MarkDeleted(super::MarkDeleted {
            name,
            stop: dice.percent(30),
            tombstone: dice.percent(30),
            if_match,
        }),
        8..10 => Command::Reuse(named),
        10 => Command::Cleanup(named),
        12 => {
            let mut calendar = super::samples::calendar();
            calendar.name = ["x", "y"][usize::from(dice.below(2))].to_owned();
            calendar.rules[0].dates[0].to = i32::from(dice.below(3));
            Command::PutCalendar(Box::new(PutCalendar { calendar, if_match: None, source: None }))
        }
        13 => {
            let name = ["x", "y"][usize::from(dice.below(2))].to_owned();
            Command::DeleteCalendar(Named { name, if_match: None })
        }
        11 => Command::Scheduler(SetScheduler { on: dice.percent(75) }),
        14 => about_files(state, now, dice),
        15..=16 => backfill::plausible(state, &name, dice).unwrap_or_else(|| trigger(&name)),
        _ => trigger(&name),
    }
}

/// A node that reads its files, or proposes what is in them.
fn about_files(state: &State, now: Timestamp, dice: &mut StepNumbers) -> Command {
    let hash = u128::from(1 + dice.below(3));
    if dice.percent(40) {
        let node = NodeId::new(1 + dice.below(3), 1);
        let session = state.node(node).map_or(SessionId(0), |node| node.session);
        let step = match dice.below(8) {
            0 => FilesStep::None,
            1 => FilesStep::Tell(hash),
            2 => FilesStep::Broken(1),
            3 => FilesStep::Complete(hash),
            _ => FilesStep::Begin(hash),
        };
        return Command::FilesRead(FilesRead { node, session, step });
    }
    let set = state.files_in_force().map_or(Revision(0), |kept| kept.set);
    let spec = definition(now, dice);
    let found = state.named(&spec.name);
    let if_match = found.map(|task| task.live.revision).filter(|_| dice.percent(80));
    let object = match dice.below(4) {
        0 => DeclaredObject::TaskGone(spec.name),
        _ => DeclaredObject::Task { spec, hash },
    };
    Command::Declare(Box::new(Declare { set, object, if_match }))
}

/// Parts or choices, mostly ones that may be.
fn assign(dice: &mut StepNumbers) -> Command {
    let node = |dice: &mut StepNumbers| NodeId::new(1 + dice.below(3), 1);
    if dice.percent(50) {
        let choice = dice.percent(80).then(|| node(dice));
        return Command::Assign(Assign::Choices(vec![(name(dice), choice)]));
    }
    let first = if dice.percent(90) { String::new() } else { name(dice) };
    Command::Assign(Assign::Parts(vec![(first, node(dice)), (name(dice), node(dice))]))
}

fn about_node(state: &State, dice: &mut StepNumbers) -> Command {
    let id = 1 + dice.below(3);
    // A removed node comes back under a further number only.
    let join = u16::try_from(state.last_gone(u64::from(id))).unwrap_or(u16::MAX) + 1;
    let node = NodeId::new(id, join);
    let known = state.node(node);
    let session = match known {
        Some(node) if dice.percent(90) => node.session,
        _ => SessionId(u64::from(dice.below(30))),
    };
    let boot = u128::from(dice.below(4));
    match dice.below(20) {
        // Without nodes that work nothing else happens.
        0..3 if known.is_none() => Command::NodeJoin(Box::new(NodeJoin {
            node,
            peer: "n:7070".to_owned(),
            http: String::new(),
        })),
        3 if known.is_none() => Command::NodeRemove(OfNode { node }),
        4 if state.joining().is_some() => Command::NodeJoined(OfNode { node }),
        _ if known.is_none() => node_up(node, boot),
        // A removal goes on to its end, after which the node may join again.
        roll if known.is_some_and(|known| known.intent == Intent::Removing) => match roll {
            0..8 => Command::NodeRemove(OfNode { node }),
            8..16 => {
                Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Down })
            }
            _ => Command::NodeIntent(NodeIntent { node, intent: Intent::None }),
        },
        0 => node_up(node, boot),
        1..3 => Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Down }),
        3 => {
            let wishes = [Intent::Draining, Intent::Leaving, Intent::Removing, Intent::None];
            Command::NodeIntent(NodeIntent { node, intent: dice.pick(&wishes).expect("one") })
        }
        4..8 => Command::NodeIntent(NodeIntent { node, intent: Intent::None }),
        8 => Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Starting }),
        _ => Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Working }),
    }
}

/// A session, most often one that may propose.
fn session(state: &State, dice: &mut StepNumbers) -> SessionId {
    let able = |node: &&std::sync::Arc<super::super::task::record::NodeRecord>| {
        node.liveness == Liveness::Working && node.intent == Intent::None
    };
    let able: Vec<SessionId> = state.nodes().filter(able).map(|node| node.session).collect();
    match dice.pick(&able) {
        Some(session) if dice.percent(92) => session,
        _ => SessionId(u64::from(dice.below(30))),
    }
}

fn settle(state: &State, now: Timestamp, dice: &mut StepNumbers) -> Option<Command> {
    let active = |task: &&std::sync::Arc<Task>| task.inactive().is_none();
    let some = dice.percent(70);
    let tasks: Vec<TaskKey> =
        state.tasks().filter(|task| !some || active(task)).map(|task| task.key).collect();
    let session = session(state, dice);
    let task = state.task(dice.pick(&tasks)?)?;
    let settled = state.settled(task);
    let after = if dice.percent(95) { settled } else { settled.minus(Millis(100)) };
    let seen = if dice.percent(95) { task.live.revision } else { Revision(1) };
    let said = now.plus(dice.millis(160)).minus(Millis(50));
    // Mostly within what is due, sometimes beyond what may be.
    let mut at = if dice.percent(80) { after } else { after.max(now.minus(Millis(400))) };
    let mut spans = Vec::new();
    for _ in 0..[0, 0, 0, 1, 1, 2, 3][usize::from(dice.below(7))] {
        at = at.plus(dice.millis(250));
        spans.push(span(at, dice));
    }
    let claim = dice.percent(70).then(|| {
        let tick = at.plus(dice.millis(400)).plus(Millis(u64::from(dice.percent(97))));
        let due = tick.plus(Millis(if dice.percent(85) { 0 } else { dice.millis(250).0 }));
        let trigger = if dice.percent(50) { Trigger::Schedule } else { Trigger::CatchUp };
        Claim { tick, due, trigger, start: dice.percent(70) }
    });
    let exhausted = dice.percent(6);
    let calendars = if dice.percent(95) { state.calendars_of(task) } else { Revision(1) };
    let task = task.key;
    let (revision, now) = (seen, said);
    Some(Command::Settle(Settle {
        task,
        revision,
        calendars,
        session,
        now,
        after,
        spans,
        claim,
        exhausted,
    }))
}

fn span(to: Timestamp, dice: &mut StepNumbers) -> SettleSpan {
    let (verdict, reason) = [
        (Verdict::Missed, Reason::Window),
        (Verdict::Missed, Reason::NoNode),
        (Verdict::Skipped, Reason::Paused),
        (Verdict::Coalesced, Reason::Later),
    ][usize::from(dice.below(4))];
    SettleSpan { to, verdict, reason, count: dice.percent(70).then(|| u64::from(dice.below(9))) }
}

fn about_execution(state: &State, now: Timestamp, dice: &mut StepNumbers) -> Option<Command> {
    let live: Vec<(TaskKey, ExecutionId)> = state
        .tasks()
        .flat_map(|task| task.live_executions().map(|execution| (task.key, execution.id)))
        .collect();
    let any: Vec<(TaskKey, ExecutionId)> = state
        .tasks()
        .flat_map(|task| task.history.executions.iter().map(|kept| (task.key, kept.id)))
        .collect();
    let session = session(state, dice);
    if dice.percent(10) {
        let (task, execution) = dice.pick(&any)?;
        let which = OfExecution { task, execution };
        let dismiss = dice.percent(20);
        return Some(if dismiss { Command::Dismiss(which) } else { Command::Retry(which) });
    }
    let some = if dice.percent(90) { live } else { any };
    let (task, id) = dice.pick(&some)?;
    let (_, execution) = state.execution(id)?;
    let fence = match &execution.attempt {
        Some(attempt) if dice.percent(90) => attempt.fence,
        _ => Fence(u64::from(dice.below(100))),
    };
    let of_fence = OfFence { task, execution: id, fence };
    let of_execution = OfExecution { task, execution: id };
    let by_executor =
        state.task(task).is_some_and(|found| state.needs_executor(found, execution.revision));
    if by_executor && dice.percent(50) {
        let again = execution.status == Status::Running;
        return Some(executors::plausible_dispatch(of_fence, session, again, dice));
    }
    Some(match dice.below(20) {
        0..6 if execution.status == Status::Pending => {
            Command::Start(Start { task, execution: id, session, again: None })
        }
        0..10 => finish(task, id, fence, report(end(dice), now)),
        10..13 => again(execution, task, fence, session),
        13..15 => Command::Return(of_fence),
        15..18 => Command::Lose(of_fence),
        _ => Command::Stop(of_execution),
    })
}

fn end(dice: &mut StepNumbers) -> Status {
    match dice.below(10) {
        0 => Status::Running,
        1 => Status::Timeout,
        2 => Status::Cancelled,
        3..5 => Status::Failed,
        _ => Status::Success,
    }
}

/// The holder of a grant asks for it again.
fn again(execution: &Execution, task: TaskKey, fence: Fence, session: SessionId) -> Command {
    let session = execution.attempt.as_ref().map_or(session, |attempt| attempt.session);
    Command::Start(Start { task, execution: execution.id, session, again: Some(fence) })
}
