//! Executors of a run: they accept attempts and call back later, answer at once, refuse, fall silent,
//! crash and come back, call back twice, and under old fences. The fate of an attempt is drawn from
//! the seed and its fence.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use punctual::config::{ExecutorSettings, HealthCheckSettings};
use punctual::domain::executor::ExecutorInfo;
use punctual::domain::ids::{ExecutionId, Fence};
use punctual::domain::machine::command::{Finish, OfExecutor, PutExecutor};
use punctual::domain::machine::record::{Report, Status};
use punctual::domain::machine::{Command, envelope};
use punctual::domain::time::{Millis, Timestamp};
use punctual::exec::Exec;
use punctual::exec::executor::{ExecutorCall, ExecutorCallFailure, SimulatedExecutors};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::agreement::ReplicaAgreement;
use crate::check::history::{FaultKind, HistoryEvent, ObservedStart, RunHistory};

/// The name that all executors share.
pub const NAME: &str = "worker";
/// Their ids. The second one sends heartbeats, the others are probed; the last one takes two attempts.
const IDS: [&str; 3] = ["e1", "e2", "e3"];
/// A call of an executor is answered within this, or made again.
const PATIENCE: Duration = Duration::from_secs(3);
/// It is made so often.
const TRIES: u32 = 60;

/// How nodes watch executors.
pub fn settings() -> ExecutorSettings {
    ExecutorSettings {
        dispatch_wait: Millis(4_000),
        max_silence: Millis(20_000),
        health_check: HealthCheckSettings {
            enabled: true,
            interval: Millis(1_000),
            timeout: Millis(500),
            failure_threshold: 2,
            recovery_threshold: 2,
        },
        ..ExecutorSettings::default()
    }
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
enum ExecutorFate {
    /// Accepted, and called back when it is done, so many times.
    Accept(u32),
    /// Done when it is answered.
    AtOnce,
    /// Called back before the answer.
    Hasty,
    /// Accepted, and the answer is lost.
    AnswerLost,
    /// Refused.
    Refuse,
    /// Accepted, and never called back.
    Silent,
}

impl ExecutorFate {
    fn draw(random: &mut SeededRandom) -> Self {
        match random.below(100) {
            0..55 => Self::Accept(1),
            55..63 => Self::Accept(2),
            63..75 => Self::AtOnce,
            75..83 => Self::Hasty,
            83..88 => Self::AnswerLost,
            88..94 => Self::Refuse,
            _ => Self::Silent,
        }
    }
}

/// One executor.
#[derive(Debug, Default)]
struct SimExecutor {
    /// Requests do not reach it, nor it the nodes.
    down: bool,
    /// How often it crashed.
    crashes: u64,
    /// The attempts that it was asked to stop, by fence.
    stopped: BTreeMap<u64, ()>,
    /// The last attempt that it got of each execution.
    last: BTreeMap<u64, u64>,
}

/// A call back.
#[derive(Clone, Copy, Debug)]
struct SimulatedCallback {
    executor: usize,
    /// The crashes of the executor when it got the attempt.
    crashes: u64,
    execution: u64,
    fence: u64,
    well: bool,
}

/// All executors of a run.
pub struct SimExecutors {
    seed: u64,
    history: Arc<RunHistory>,
    executors: Mutex<Vec<SimExecutor>>,
    callbacks: mpsc::UnboundedSender<SimulatedCallback>,
    called: Mutex<Option<mpsc::UnboundedReceiver<SimulatedCallback>>>,
    healed: Mutex<bool>,
}

impl SimExecutors {
    /// Executors that are there, and not registered yet.
    pub fn new(seed: u64, history: Arc<RunHistory>) -> Arc<Self> {
        let (callbacks, called) = mpsc::unbounded_channel();
        let executors = IDS.iter().map(|_| SimExecutor::default()).collect();
        Arc::new(Self {
            seed,
            history,
            executors: Mutex::new(executors),
            callbacks,
            called: Mutex::new(Some(called)),
            healed: Mutex::new(false),
        })
    }

    /// Ends their trouble.
    pub fn heal(&self) {
        *self.healed.lock() = true;
        self.executors.lock().iter_mut().for_each(|executor| executor.down = false);
    }

    /// Answers the requests of a process from now on.
    pub fn attach(
        self: &Arc<Self>,
        exec: &Exec,
        (node, process): (usize, u64),
        agreement: &Arc<ReplicaAgreement>,
    ) {
        let (this, agreement) = (Arc::clone(self), Arc::clone(agreement));
        let answering: SimulatedExecutors = Arc::new(move |call| {
            let (this, agreement) = (Arc::clone(&this), Arc::clone(&agreement));
            // The connection is made, and the first byte leaves with the call itself.
            let taken = this.takes(&call);
            if taken && call.url.ends_with("/execute") {
                let body: Value = serde_json::from_str(&call.body).unwrap_or(Value::Null);
                this.note_start(node, process, &agreement, &body);
            }
            Box::pin(async move { this.answer(call, taken).await })
        });
        exec.simulate_executors(answering);
    }

    fn is_down(&self, executor: usize) -> bool {
        self.executors.lock().get(executor).is_none_or(|executor| executor.down)
    }

    fn crashes(&self, executor: usize) -> u64 {
        self.executors.lock().get(executor).map_or(0, |executor| executor.crashes)
    }

    /// Whether the executor of a call takes connections.
    fn takes(&self, call: &ExecutorCall) -> bool {
        let path = call.url.trim_start_matches("http://");
        let id = path.split_once('/').map(|(id, _)| id);
        let executor = IDS.iter().position(|known| Some(*known) == id);
        executor.is_some_and(|executor| !self.is_down(executor))
    }

    async fn answer(
        self: Arc<Self>,
        call: ExecutorCall,
        taken: bool,
    ) -> Result<(u16, Vec<u8>), ExecutorCallFailure> {
        let refused = || ExecutorCallFailure::NotSent("connection refused".to_owned());
        let path = call.url.trim_start_matches("http://");
        let (id, path) = path.split_once('/').ok_or_else(refused)?;
        let executor = IDS.iter().position(|known| *known == id).ok_or_else(refused)?;
        let body: Value = serde_json::from_str(&call.body).unwrap_or(Value::Null);
        let fence = body["fence"].as_u64().unwrap_or(0);
        let mut random = SeededRandom::of(self.seed ^ fence.rotate_left(23), path);
        sleep(Duration::from_micros(random.range(100, 3_000))).await;
        if !taken {
            // One that is gone refuses; one that is cut off is silent.
            return if random.chance(600) { Err(refused()) } else { pending().await };
        }
        match path {
            "execute" => self.execute(executor, &body, fence, random).await,
            "stop" => {
                if let Some(one) = self.executors.lock().get_mut(executor) {
                    // Some do not listen.
                    if random.chance(800) {
                        one.stopped.insert(fence, ());
                    }
                }
                Ok((200, Vec::new()))
            }
            _ => Ok((200, Vec::new())),
        }
    }

    fn note_start(&self, node: usize, process: u64, agreement: &ReplicaAgreement, body: &Value) {
        let tick = body["tick"].as_str().and_then(|text| Timestamp::parse(text).ok());
        let start = ObservedStart {
            process,
            fence: body["fence"].as_u64().unwrap_or(0),
            execution: number(&body["execution_id"]),
            attempt: u32::try_from(body["attempt"].as_u64().unwrap_or(0)).unwrap_or(0),
            task: body["task"].as_str().unwrap_or_default().to_owned(),
            tick: tick.map(|tick| tick.0),
            applied: agreement.at(process),
        };
        self.history.note(Some(node), HistoryEvent::Start(start));
    }

    async fn execute(
        self: &Arc<Self>,
        executor: usize,
        body: &Value,
        fence: u64,
        mut random: SeededRandom,
    ) -> Result<(u16, Vec<u8>), ExecutorCallFailure> {
        let execution = number(&body["execution_id"]);
        let former = {
            let mut executors = self.executors.lock();
            executors.get_mut(executor).and_then(|one| one.last.insert(execution, fence))
        };
        if let Some(former) = former.filter(|_| random.chance(400)) {
            self.history.fault(FaultKind::CallbackOld);
            self.call(executor, execution, former, true);
        }
        let fate = ExecutorFate::draw(&mut random);
        let well = random.chance(850);
        let time = random.log_time(Duration::from_millis(1), Duration::from_secs(2));
        let accepted = Ok((202, b"{}".to_vec()));
        match fate {
            ExecutorFate::Refuse => Ok((503, b"busy".to_vec())),
            ExecutorFate::Silent => {
                self.history.fault(FaultKind::ExecutorSilent);
                accepted
            }
            ExecutorFate::AtOnce => {
                sleep(time).await;
                let status = if well { "success" } else { "failed" };
                self.history.note(None, HistoryEvent::Done { fence, well });
                Ok((200, format!("{{\"status\":\"{status}\"}}").into_bytes()))
            }
            ExecutorFate::Hasty => {
                self.call(executor, execution, fence, well);
                sleep(time / 8).await;
                accepted
            }
            ExecutorFate::AnswerLost => {
                self.work(executor, execution, fence, well, time, 1);
                Err(ExecutorCallFailure::Broke("the connection broke".to_owned()))
            }
            ExecutorFate::Accept(times) => {
                self.work(executor, execution, fence, well, time, times);
                accepted
            }
        }
    }

    /// Works on an attempt for a time, and calls back.
    fn work(
        self: &Arc<Self>,
        executor: usize,
        execution: u64,
        fence: u64,
        well: bool,
        time: Duration,
        times: u32,
    ) {
        let (this, crashes) = (Arc::clone(self), self.crashes(executor));
        tokio::spawn(async move {
            for turn in 0..times {
                sleep(time).await;
                let stopped = {
                    let executors = this.executors.lock();
                    executors.get(executor).is_some_and(|one| one.stopped.contains_key(&fence))
                };
                if stopped || this.crashes(executor) != crashes {
                    return;
                }
                if turn > 0 {
                    this.history.fault(FaultKind::CallbackTwice);
                }
                this.history.note(None, HistoryEvent::Done { fence, well });
                this.call(executor, execution, fence, well);
            }
        });
    }

    fn call(&self, executor: usize, execution: u64, fence: u64, well: bool) {
        let crashes = self.crashes(executor);
        // The world ends first only when the run is over.
        let _over =
            self.callbacks.send(SimulatedCallback { executor, crashes, execution, fence, well });
    }
}

fn number(text: &Value) -> u64 {
    let own = text.as_str().and_then(|text| text.parse().ok());
    own.or_else(|| text.as_u64()).unwrap_or(0)
}

/// Lets the executors register and work.
pub fn begin(world: &Arc<SimWorld>) {
    for executor in 0..IDS.len() {
        tokio::spawn(live(Arc::clone(world), executor));
    }
    if let Some(called) = world.common.executors.called.lock().take() {
        tokio::spawn(call_back(Arc::clone(world), called));
    }
    if world.common.plan.focus.general() {
        tokio::spawn(trouble(Arc::clone(world)));
    }
}

/// Registers an executor, now and after each crash, and sends its heartbeats.
async fn live(world: Arc<SimWorld>, executor: usize) {
    let mut random = SeededRandom::of(world.common.plan.seed, &format!("executor {executor}"));
    let Some(id) = IDS.get(executor) else { return };
    let register = Command::PutExecutor(Box::new(PutExecutor {
        info: ExecutorInfo {
            id: (*id).to_owned(),
            name: NAME.to_owned(),
            base_url: format!("http://{id}"),
            health_check_url: (executor != 1).then(|| format!("http://{id}/health")),
            weight: u32::try_from(executor + 1).unwrap_or(1),
            capacity: if executor == 2 { 2 } else { 0 },
            metadata: BTreeMap::new(),
            tasks: Vec::new(),
        },
    }));
    let heartbeat = Command::ExecutorHeartbeat(OfExecutor { id: (*id).to_owned() });
    let mut registered = None;
    loop {
        let crashes = world.common.executors.crashes(executor);
        let command = if registered == Some(crashes) { &heartbeat } else { &register };
        let beats = executor == 1 || registered != Some(crashes);
        if beats
            && !world.common.executors.is_down(executor)
            && propose(&world, command, &mut random).await
        {
            registered = Some(crashes);
        }
        sleep(Duration::from_millis(random.range(700, 1_100))).await;
    }
}

/// Proposes a command on some node; true: it was answered.
async fn propose(world: &SimWorld, command: &Command, random: &mut SeededRandom) -> bool {
    let Some(alive) = world.alive(random.index(world.common.plan.nodes)) else { return false };
    let Some(running) = alive.context.running.get() else { return false };
    let consensus = running.consensus.clone();
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, command, "", None);
    let asked = async move { consensus.submit(bytes.into(), 1, PATIENCE).await.is_ok() };
    matches!(timeout(PATIENCE, alive.process.spawn(asked)).await, Ok(Ok(true)))
}

async fn call_back(world: Arc<SimWorld>, mut called: mpsc::UnboundedReceiver<SimulatedCallback>) {
    while let Some(callback) = called.recv().await {
        tokio::spawn(deliver(Arc::clone(&world), callback));
    }
}

/// Calls back until a node has answered.
async fn deliver(world: Arc<SimWorld>, callback: SimulatedCallback) {
    let SimulatedCallback { executor, crashes, execution, fence, well } = callback;
    let executors = &world.common.executors;
    let mut random = SeededRandom::of(world.common.plan.seed ^ fence.rotate_left(9), "callback");
    for _ in 0..TRIES {
        if executors.crashes(executor) != crashes {
            return;
        }
        let reached = !executors.is_down(executor);
        let node = random.index(world.common.plan.nodes);
        let task = world.alive(node).filter(|_| reached).and_then(|alive| {
            let state = alive.context.running.get()?.consensus.replica().read();
            state.execution(ExecutionId(execution)).map(|(task, _)| task.key)
        });
        if let Some(task) = task {
            let now = i64::try_from(world.history().now() / 1_000).unwrap_or(0);
            let now = Timestamp(world.common.plan.epoch_ms + now);
            let status = if well { Status::Success } else { Status::Failed };
            let report = Report::unreported(status, now, "called back");
            let (execution, fence) = (ExecutionId(execution), Fence(fence));
            let finish = Finish { task, execution, fence, report };
            if propose(&world, &Command::Finish(Box::new(finish)), &mut random).await {
                return;
            }
        }
        sleep(Duration::from_millis(random.range(50, 400))).await;
    }
}

/// Cuts executors off and crashes them, until all trouble ends.
async fn trouble(world: Arc<SimWorld>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "trouble of executors");
    let executors = Arc::clone(&world.common.executors);
    loop {
        sleep(random.log_time(Duration::from_millis(500), Duration::from_secs(12))).await;
        if *executors.healed.lock() {
            return;
        }
        let which = random.index(IDS.len());
        let length = random.log_time(Duration::from_millis(100), Duration::from_secs(14));
        let crash = random.chance(400);
        let what = format!("{} {crash} for {length:?}", IDS[which]);
        world.history().trouble(None, FaultKind::ExecutorDown, what);
        if let Some(one) = executors.executors.lock().get_mut(which) {
            one.down = true;
            one.crashes += u64::from(crash);
        }
        sleep(length).await;
        if let Some(one) = executors.executors.lock().get_mut(which) {
            one.down = false;
        }
    }
}
