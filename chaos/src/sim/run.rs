//! One run, from its seed to its verdict.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, RngSeed};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::plan::RunPlan;
use super::world::SimWorld;
use super::{SimArguments, clients, executors, files, nemesis, operator, readers, stopped, story};
use crate::check::history::HistoryEvent;
use crate::check::judge::{Findings, Run, Violation, judge};
use crate::check::successor;

/// Time from the start of the nodes to the start of the clients.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long clients continue after all faults have ended.
const RECOVER: Duration = Duration::from_secs(12);
/// Time without requests after that.
const SETTLE: Duration = Duration::from_secs(15);
/// A run with fewer claims per minute is not conclusive.
const CLAIMS_MIN: u64 = 40;

/// If virtual time does not advance for this real time, the run is stuck.
const SPIN: Duration = Duration::from_secs(20);

static PULSE: AtomicU64 = AtomicU64::new(0);
/// Whether virtual time has ended, and the run is judged.
static ENDED: AtomicBool = AtomicBool::new(false);
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The result of a run.
struct RunOutcome {
    /// Each cluster of the run.
    runs: Vec<Run>,
    findings: Findings,
    world: Arc<SimWorld>,
}

/// Runs the seed of the arguments, judges the run and prints the result.
pub fn one(arguments: &SimArguments) -> ExitCode {
    if arguments.log {
        let rules = std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned());
        let Ok(rules) = rules.parse::<Targets>() else {
            eprintln!("RUST_LOG must be rules such as `warn,punctual=debug`");
            return ExitCode::from(2);
        };
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
        tracing_subscriber::registry().with(lines.with_filter(rules)).init();
    }
    std::panic::set_hook(Box::new(|panic| PANICS.lock().push(panic.to_string())));
    let nodes = arguments.nodes.as_deref().and_then(|nodes| nodes.parse().ok());
    let (minutes, wild) = (arguments.minutes, arguments.wild_clocks);
    let plan = RunPlan::of(arguments.seed, nodes, minutes, wild, arguments.focus);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&arguments.seed.to_le_bytes()))
        .build();
    watch(arguments.clone());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let (world, ended) = runtime.block_on(live(plan));
    ENDED.store(true, Ordering::Relaxed);
    let outcome = weigh(world, ended);
    let code = print(arguments, &outcome);
    // The world is not dropped, to save time.
    std::mem::forget((runtime, outcome));
    code
}

/// Checks in a separate thread that virtual time advances. A task that is always ready would stop
/// it.
fn watch(arguments: SimArguments) {
    std::thread::spawn(move || {
        let mut seen = 0;
        loop {
            std::thread::sleep(SPIN);
            let now = PULSE.load(Ordering::Relaxed);
            if ENDED.load(Ordering::Relaxed) {
                return;
            }
            if now == seen {
                println!("violation 0 no spin: virtual time stands still near {} s", now / 10);
                println!("again: {}", again(&arguments));
                println!("hash {:016x} claims 0 faults 0 verdict invalid", 0);
                std::process::exit(1);
            }
            seen = now;
        }
    });
}

/// Runs a cluster as planned. Also returns the end time, which only the runtime knows.
async fn live(plan: RunPlan) -> (Arc<SimWorld>, u64) {
    tokio::spawn(async {
        loop {
            sleep(Duration::from_millis(100)).await;
            PULSE.fetch_add(1, Ordering::Relaxed);
        }
    });
    let world = SimWorld::new(plan);
    tokio::spawn(stopped::watch(Arc::clone(&world)));
    for index in 0..world.common.plan.nodes {
        world.start(index);
        sleep(Duration::from_millis(137)).await;
    }
    readers::begin(&world);
    sleep(WARM_UP).await;
    executors::begin(&world);
    clients::set_up(&world).await;
    let trouble = tokio::spawn(nemesis::run(Arc::clone(&world)));
    let clients = clients::begin(&world);
    let (quiet, until_quiet) = watch::channel(false);
    files::begin(&world, &until_quiet);
    let operator = operator::begin(&world, until_quiet);
    sleep(world.common.plan.length).await;
    trouble.abort();
    nemesis::heal(&world).await;
    quiet.send_replace(true);
    let _ended = operator.await;
    sleep(RECOVER).await;
    clients.send_replace(true);
    sleep(SETTLE).await;
    let ended = world.history().now();
    (world, ended)
}

/// Judges the run.
fn weigh(world: Arc<SimWorld>, ended: u64) -> RunOutcome {
    let history = world.history();
    let mut runs = runs(&world, ended);
    let mut findings = Findings::default();
    for run in &mut runs {
        run.epoch_ms = world.common.plan.epoch_ms;
        run.wild_clocks = world.common.plan.wild_clocks;
        run.focus = world.common.plan.focus;
        run.slots = world.common.plan.slots;
        findings.add(judge(run));
    }
    let (compared, checked) = world.common.clusters.looks();
    findings.judge("same answer everywhere", compared);
    findings.judge("records agree with each other", checked);
    for (property, times) in history.checks() {
        findings.judge(property, times);
    }
    let watched = history.violations().into_iter();
    let watched = watched.map(|(at, property, what)| Violation { at, property, what, task: None });
    findings.violations.extend(watched);
    findings.judge("no panic", 1);
    findings.judge("no spin", PULSE.load(Ordering::Relaxed));
    for panic in PANICS.lock().iter() {
        findings.complain(ended, "no panic", None, panic.replace('\n', " "));
    }
    findings.violations.sort_by_key(|violation| violation.at);
    RunOutcome { runs, findings, world }
}

/// What is judged: each cluster of a run, where a later one has what it knows of the one before.
fn runs(world: &SimWorld, ended: u64) -> Vec<Run> {
    let (records, nodes) = (world.history().records(), world.members().len());
    let begun = records.iter().enumerate().find_map(|(at, record)| match record.event {
        HistoryEvent::NewCluster { index } => Some((at, index, record.at)),
        _ => None,
    });
    let Some((at, index, stopped)) = begun else {
        let mut run = Run::new(records, world.states(), nodes);
        run.ended = ended;
        return vec![run];
    };
    let (past, own) = records.split_at(at);
    let known = [successor::known(past, index), own.to_vec()].concat();
    let begun = world.begun.lock();
    let mut later = Run::going_on(known, world.states(), nodes, begun.as_ref());
    (later.ended, later.former_issued) = (ended, Some(successor::issued(past)));
    let mut former = Run::new(past.to_vec(), Vec::new(), nodes);
    (former.ended, former.broken_off) = (stopped, true);
    vec![former, later]
}

fn print(arguments: &SimArguments, outcome: &RunOutcome) -> ExitCode {
    let RunOutcome { runs, findings, world } = outcome;
    if arguments.trace {
        for record in &world.history().records() {
            println!("{}", story::line(record));
        }
    }
    for (property, times) in &findings.judged {
        println!("property {times} {property}");
    }
    let faults = world.history().faults();
    for (fault, times) in &faults {
        println!("trouble {times} {fault:?}");
    }
    let Some(last) = runs.last() else { return ExitCode::from(2) };
    let virtual_s = last.ended / 1_000_000;
    println!("seconds {virtual_s} entries {} nodes {}", last.applied_at.len(), last.nodes);
    if let Some(first) = findings.violations.first() {
        for violation in findings.violations.iter().take(10) {
            println!("violation {violation}");
        }
        println!("of {}; the story before the first:", findings.violations.len());
        let run = runs.iter().find(|run| first.at <= run.ended).unwrap_or(last);
        for line in story::around(run, first) {
            println!("  {line}");
        }
        println!("again: {}", again(arguments));
    }
    let claims = last.model.claims;
    let enough = claims >= CLAIMS_MIN * arguments.minutes;
    let (verdict, code) = match (findings.violations.is_empty(), enough) {
        (false, _) => ("invalid", 1),
        (true, false) => ("rejected", 2),
        (true, true) => ("valid", 0),
    };
    let faults: u64 = faults.values().sum();
    let hash = world.history().hash();
    println!("hash {hash:016x} claims {claims} faults {faults} verdict {verdict}");
    ExitCode::from(code)
}

/// The command that repeats this run.
pub fn again(arguments: &SimArguments) -> String {
    let nodes = arguments.nodes.as_ref().map(|nodes| format!(" --nodes {nodes}"));
    let focus = arguments.focus.map(|focus| format!(" --focus {}", focus.name()));
    let wild = if arguments.wild_clocks { " --wild-clocks" } else { "" };
    format!(
        "cargo run --release -p chaos -- sim --seed {} --minutes {}{}{}{wild} --trace",
        arguments.seed,
        arguments.minutes,
        nodes.unwrap_or_default(),
        focus.unwrap_or_default()
    )
}
