//! What is done for measurements, on nodes that were started for it.
//!
//! [`claims`] generates its load inside this process: each claim in flight is one packed settle of
//! its own (task, tick), handed to the proposer as any other command, and counts when this node's
//! own apply granted it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::OpError;
use super::context::Context;
use super::measure::Starts;
use crate::consensus::{Consensus, Proposal, ProposalOutcome, ProposalReply};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, Fence, Revision, SessionId, TaskKey};
use crate::domain::machine::command::{Claim, Command, Finish, Put, PutMode, Settle};
use crate::domain::machine::record::{Report, Status, Trigger};
use crate::domain::machine::{Answer, Refusal, Task, envelope};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::{ExecutionMode, TaskSpec};
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{
    BenchClaims, BenchClaimsReport, BenchStart, BenchState, BenchTasks, BenchUncovered,
};
use crate::engine::AttemptStart;

/// Commands of one proposal while tasks are made.
const SETUP_BATCH: usize = 200;
/// A claim is waited for this long.
const CLAIM_LIMIT: Duration = Duration::from_secs(5);

/// Makes manual tasks.
pub(crate) async fn setup(context: &Context, wanted: &BenchTasks) -> Result<BenchTasks, OpError> {
    let running = context.running()?;
    let names: Vec<String> = (0..wanted.tasks).map(|number| format!("bench-{number:06}")).collect();
    for chunk in names.chunks(SETUP_BATCH) {
        let mut commands = Vec::new();
        for name in chunk {
            let mut spec = TaskSpec::new(name.clone(), Schedule::of(Rule::Manual), None);
            if wanted.sequential {
                spec.execution_mode = ExecutionMode::Sequential;
            }
            let put = Command::Put(Box::new(Put { mode: PutMode::Force, spec }));
            envelope::pack(&mut commands, &put, "bench", None);
        }
        running.consensus.submit(commands.into(), chunk.len(), CLAIM_LIMIT).await?;
    }
    Ok(wanted.clone())
}

/// A task that this process claims ticks of.
struct BenchTask {
    key: TaskKey,
    revision: Revision,
    settled: Timestamp,
    held: Option<(ExecutionId, Fence)>,
}

#[derive(Default)]
struct Tally {
    granted: u64,
    refused: BTreeMap<String, u64>,
    unanswered: u64,
    latencies_us: Vec<u32>,
}

/// Claims ticks for some seconds.
pub(crate) async fn claims(
    context: &Context,
    load: &BenchClaims,
) -> Result<BenchClaimsReport, OpError> {
    let running = context.running()?;
    let session = running.engine.session();
    let session = session.ok_or_else(|| OpError::no_leader("the node is not yet registered"))?;
    let mut targets: Vec<BenchTask> = {
        let state = running.consensus.replica().frozen();
        let tasks = state.tasks().filter(|task| task.live.name.starts_with("bench-"));
        tasks
            .skip(load.offset)
            .step_by(load.stride.max(1))
            .map(|task| BenchTask {
                key: task.key,
                revision: task.live.revision,
                settled: state.settled(task),
                held: load.finish.then(|| held(task)).flatten(),
            })
            .collect()
    };
    if load.in_flight == 0 || targets.len() < load.in_flight {
        let rule = "must be from 1 to the number of tasks";
        return Err(OpError::field("/in_flight", ErrorCode::OutOfRange, rule));
    }
    let began = Instant::now();
    let tally = generate(context, &running.consensus, session, &mut targets, load).await;
    let seconds = began.elapsed().as_secs_f64();
    let Tally { granted, refused, unanswered, latencies_us: mut latencies } = tally;
    latencies.sort_unstable();
    let latencies_us = percentiles(&latencies);
    Ok(BenchClaimsReport { granted, refused, unanswered, seconds, latencies_us })
}

/// What a load before this one has left running.
fn held(task: &Task) -> Option<(ExecutionId, Fence)> {
    task.live_executions().find_map(|one| Some((one.id, one.attempt.as_ref()?.fence)))
}

/// Every thousandth part of the latencies, so that those of several nodes can be joined.
fn percentiles(sorted: &[u32]) -> Vec<u32> {
    (0..=1_000)
        .filter_map(|at| sorted.get(at * sorted.len().saturating_sub(1) / 1_000))
        .copied()
        .collect()
}

async fn generate(
    context: &Context,
    consensus: &Consensus,
    session: SessionId,
    targets: &mut [BenchTask],
    load: &BenchClaims,
) -> Tally {
    let (collector, mut answers) = mpsc::unbounded_channel::<Vec<(u64, ProposalOutcome)>>();
    let share = targets.len() / load.in_flight;
    // A slot claims from tasks of its own, so that none is claimed twice at a time.
    let mut slots: Vec<(usize, Instant)> = vec![(0, Instant::now()); load.in_flight];
    let end = Instant::now() + Duration::from_secs(load.seconds);
    let mut tally = Tally::default();
    let mut open = 0;
    for slot in 0..load.in_flight {
        let target = &targets[slot * share];
        propose(context, consensus, session, target, slot, &collector, load.finish).await;
        open += 1;
    }
    while open > 0 {
        let Some(batch) = answers.recv().await else { break };
        let now = Instant::now();
        for (token, outcome) in batch {
            let slot = usize::try_from(token).unwrap_or(0);
            let Some((turn, sent)) = slots.get_mut(slot) else { continue };
            let target = &mut targets[slot * share + *turn];
            settle(target, outcome, &mut tally, now.duration_since(*sent));
            open -= 1;
            if now < end {
                *turn = (*turn + 1) % share;
                *sent = now;
                let target = &targets[slot * share + *turn];
                propose(context, consensus, session, target, slot, &collector, load.finish).await;
                open += 1;
            }
        }
    }
    tally
}

fn settle(target: &mut BenchTask, outcome: ProposalOutcome, tally: &mut Tally, latency: Duration) {
    let Ok(answered) = outcome else {
        tally.unanswered += 1;
        return;
    };
    for response in answered.responses {
        match response {
            Ok(Answer::Execution { execution, fence: Some(fence), .. }) => {
                tally.granted += 1;
                target.held = Some((execution, fence));
                tally.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
            }
            Ok(_) => {}
            Err(refusal) => {
                *tally.refused.entry(refusal.code().to_string()).or_insert(0) += 1;
                if let Refusal::Cursor { at } = refusal {
                    target.settled = at;
                    return;
                }
            }
        }
    }
    target.settled = target.settled.plus(Millis(1));
}

async fn propose(
    context: &Context,
    consensus: &Consensus,
    session: SessionId,
    target: &BenchTask,
    slot: usize,
    collector: &mpsc::UnboundedSender<Vec<(u64, ProposalOutcome)>>,
    finish: bool,
) {
    let now = context.clock.now();
    // Ticks rise by a millisecond from the task's creation on, so all of them lie in the past.
    let tick = target.settled.plus(Millis(1));
    let settle = Settle {
        task: target.key,
        revision: target.revision,
        calendars: Revision(0),
        session,
        now,
        after: target.settled,
        spans: Vec::new(),
        claim: Some(Claim { tick, due: tick, trigger: Trigger::Claim, start: true }),
        exhausted: false,
    };
    let mut commands = Vec::with_capacity(96);
    let mut count = 1;
    if let (true, Some((execution, fence))) = (finish, target.held) {
        let report =
            Report { started_at: Some(now), ..Report::unreported(Status::Success, now, "") };
        let finish = Finish { task: target.key, execution, fence, report };
        envelope::pack(&mut commands, &Command::Finish(Box::new(finish)), "", None);
        count = 2;
    }
    envelope::pack(&mut commands, &Command::Settle(settle), "", None);
    let reply = ProposalReply::Collect(collector.clone(), u64::try_from(slot).unwrap_or(0));
    let deadline = Instant::now() + CLAIM_LIMIT;
    consensus.propose(Proposal { commands: commands.into(), count, reply, deadline }).await;
}

/// What the states of the nodes are compared by.
pub(crate) fn state(context: &Context) -> Result<BenchState, OpError> {
    let running = context.running()?;
    let state = running.consensus.replica().frozen();
    Ok(BenchState {
        fired: state.tasks().map(|task| task.progress.totals.fired).sum(),
        applied: state.cluster().applied,
        digest: format!("{:032x}", state.digest()),
        fsyncs: running.consensus.fsyncs(),
        term: running.consensus.status().term,
        leader: running.consensus.is_leader(),
        pid: std::process::id(),
        now_ms: context.clock.now().0,
        tasks: state.task_count(),
    })
}

/// The starts of this node since the last call.
pub(crate) fn starts(context: &Context) -> Vec<BenchStart> {
    let starts = context.settings.bench.as_ref().map(Starts::take).unwrap_or_default();
    let one = |start: &AttemptStart| {
        let late = (start.at_nanos - start.due.0.saturating_mul(1_000_000)) / 1_000;
        BenchStart(start.task.0, start.tick.map(|tick| tick.0), late)
    };
    starts.iter().map(one).collect()
}

/// Fired ticks of each task whose name begins so, by name, as this node has applied them.
pub(crate) fn fired(context: &Context, prefix: &str) -> Result<Vec<u64>, OpError> {
    let state = context.running()?.consensus.replica().frozen();
    let tasks = state.by_name(prefix).take_while(|task| task.live.name.starts_with(prefix));
    Ok(tasks.map(|task| task.progress.totals.fired).collect())
}

/// The time of these tasks' lives that neither a fired tick nor a span covers.
pub(crate) fn uncovered(context: &Context, prefix: &str) -> Result<BenchUncovered, OpError> {
    let state = context.running()?.consensus.replica().frozen();
    let tasks = state.by_name(prefix).take_while(|task| task.live.name.starts_with(prefix));
    Ok(BenchUncovered { ms: tasks.map(|task| uncovered_ms(task)).sum() })
}

fn uncovered_ms(task: &Task) -> u64 {
    let ticks = task.history.ticks.iter().map(|tick| (tick.from, tick.tick));
    let spans = task.history.spans.iter().map(|span| (span.from, span.to));
    let mut covered: Vec<(Timestamp, Timestamp)> = ticks.chain(spans).collect();
    covered.sort_unstable();
    let mut gaps = 0;
    let mut at = task.progress.truncated_before;
    for (from, to) in covered {
        gaps += from.since(at).0;
        at = at.max(to);
    }
    gaps + task.progress.cursor.since(at).0
}
