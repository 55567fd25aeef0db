//! Clients: they create, change, hold, delete and read tasks through the API of any node, lose
//! responses, and repeat calls with unknown outcomes under the same idempotency key.

mod backfill;
mod definitions;
mod many;
mod there_and_back;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use punctual::domain::schedule::Plan;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::plan::Focus;
use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::history::{ClientRequest, FaultKind, HistoryEvent, Returned};

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(8);
/// Maximum number of transmissions of a call.
const TRIES: u32 = 4;
/// Probability of losing a response, in per mille.
const LOST: u64 = 15;

/// Probability of making a change just before the task's next tick, when its owner has already
/// proposed the claim, in per mille.
const AIMED: u64 = 500;
/// Number of minutes of a run in which a calendar excludes some seconds.
const CALENDAR_MINUTES: i64 = 8;

/// A retry or a stop selects one of this number of newest executions.
const NEWEST: usize = 5;

/// How long before the tick such a change is made.
const AIM: Duration = Duration::from_millis(60);

static CALLS: AtomicU64 = AtomicU64::new(0);

/// One client.
struct SimClient {
    world: Arc<SimWorld>,
    random: SeededRandom,
    node: usize,
}

/// Creates the tasks that no client changes later.
pub async fn set_up(world: &Arc<SimWorld>) {
    let random = SeededRandom::of(world.common.plan.seed, "set up");
    let mut client = SimClient { world: Arc::clone(world), random, node: 0 };
    client.calendar().await;
    for task in 0..world.common.plan.steady {
        client.node = task % world.common.plan.nodes;
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let body = client.steady(task, call);
        client.place(call, ClientRequest::Add, &format!("steady-{task}"), Some(body)).await;
    }
}

/// The calendar that some tasks exclude: 12 seconds of each minute, starting at second `from`, in
/// UTC.
fn calendar(epoch_ms: i64, from: u64) -> Value {
    let minute = epoch_ms.div_euclid(60_000);
    let times = (minute..minute + CALENDAR_MINUTES).map(|minute| {
        let (hour, minute) = (minute.div_euclid(60).rem_euclid(24), minute.rem_euclid(60));
        let to = from + 12;
        format!("{hour:02}:{minute:02}:{from:02}/{hour:02}:{minute:02}:{to:02}")
    });
    json!({"timezone": "UTC", "rules": [{"times": times.collect::<Vec<_>>()}]})
}

/// Runs clients until the switch is true.
pub fn begin(world: &Arc<SimWorld>) -> watch::Sender<bool> {
    let (stop, stopping) = watch::channel(false);
    for number in 0..world.common.plan.clients {
        let random = SeededRandom::of(world.common.plan.seed, &format!("client {number}"));
        let client = SimClient { world: Arc::clone(world), random, node: number };
        tokio::spawn(client.work(stopping.clone()));
    }
    stop
}

impl SimClient {
    async fn work(mut self, stop: watch::Receiver<bool>) {
        let mean = u64::try_from(self.world.common.plan.pace.as_micros()).unwrap_or(500_000);
        while !*stop.borrow() {
            sleep(Duration::from_micros(self.random.range(mean / 10, mean * 19 / 10))).await;
            if self.random.chance(100) {
                self.node = self.random.index(self.world.common.plan.nodes);
            }
            if self.random.chance(8) {
                self.calendar().await;
            }
            if self.random.chance(70) {
                self.many().await;
                continue;
            }
            if self.random.chance(40) {
                self.backfill().await;
                continue;
            }
            if self.random.chance(25) {
                self.cancel_and_back().await;
                continue;
            }
            if self.world.common.plan.focus == Focus::Calm && self.random.chance(300) {
                self.far_and_back().await;
                continue;
            }
            let number = self.random.below(self.world.common.plan.names as u64);
            let task = name(number);
            let asked = self.wish(number, &task);
            self.call(asked, &task).await;
        }
    }

    fn wish(&mut self, number: u64, task: &str) -> ClientRequest {
        let wait = self.random.chance(400);
        match self.random.below(100) {
            0..22 => ClientRequest::Read,
            22..37 => ClientRequest::Add,
            37..44 => ClientRequest::Update,
            44..51 => ClientRequest::Patch,
            51..57 => ClientRequest::Pause { wait },
            57..60 => ClientRequest::Cancel { wait },
            60..68 => ClientRequest::Resume,
            68..76 => ClientRequest::Delete { wait },
            76..81 => ClientRequest::Reuse,
            81..88 => ClientRequest::Force,
            88..90 if number.is_multiple_of(4) => ClientRequest::Cleanup,
            90..94 => self.about_execution(task, true),
            94..96 => self.about_execution(task, false),
            _ => ClientRequest::Trigger,
        }
    }

    /// A retry of one of the newest ended executions, or a stop of one that has not ended,
    /// according to the client's node. If there is none, a trigger.
    fn about_execution(&mut self, task: &str, ended: bool) -> ClientRequest {
        let newest = self.world.alive(self.node).and_then(|alive| {
            let running = alive.context.running.get()?;
            let state = running.consensus.replica().read();
            let all = state.named(task)?.history.executions.iter().rev();
            let fit = all.filter(|one| one.status.ended() == ended).map(|one| one.id.0);
            Some(fit.take(NEWEST).collect::<Vec<u64>>())
        });
        match (self.random.pick(&newest.unwrap_or_default()), ended) {
            (Some(&execution), true) => ClientRequest::Retry { execution },
            (Some(&execution), false) => ClientRequest::Stop { execution },
            (None, _) => ClientRequest::Trigger,
        }
    }

    async fn call(&mut self, asked: ClientRequest, task: &str) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let body = self.body(asked, task, call);
        if asked != ClientRequest::Read && self.random.chance(AIMED) {
            self.aim(task).await;
        }
        self.place(call, asked, task, body).await;
    }

    /// A call, from its first transmission to its response or until the client gives up.
    async fn place(&mut self, call: u64, asked: ClientRequest, task: &str, body: Option<Value>) {
        let key = (asked != ClientRequest::Read).then(|| format!("call-{call}"));
        let event = HistoryEvent::Call { call, asked, task: task.to_owned(), key: key.clone() };
        self.world.history().note(None, event);
        let mut returned = Returned::Unknown;
        let mut sent = false;
        for _ in 0..TRIES {
            match self.send(asked, task, key.as_deref(), body.as_ref()).await {
                SendOutcome::Answered(answer) => {
                    returned = answer;
                    break;
                }
                SendOutcome::Nowhere => {}
                SendOutcome::Unknown => sent = true,
            }
            // Another node may have newer information.
            self.node = self.random.index(self.world.common.plan.nodes);
            sleep(Duration::from_millis(self.random.range(20, 400))).await;
        }
        if returned == Returned::Unknown && !sent {
            returned = Returned::Never;
        }
        self.world.history().note(None, HistoryEvent::Return { call, returned });
    }

    /// Creates or changes the calendar, with as many tries as necessary.
    async fn calendar(&mut self) {
        let from = self.random.range(0, 40);
        let body = calendar(self.world.common.plan.epoch_ms, from).to_string();
        for node in (0..self.world.common.plan.nodes).cycle().take(100) {
            let Some(alive) = self.world.alive(node) else { continue };
            let request = Request::put("/api/v1/calendars/pauses")
                .header("content-type", "application/json")
                .body(Body::from(body.clone()));
            let Ok(request) = request else { return };
            let answering = alive.process.spawn(alive.router.clone().oneshot(request));
            if let Ok(Ok(Ok(response))) = timeout(PATIENCE, answering).await
                && response.status().is_success()
            {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until shortly before the task's next tick, if it is soon.
    async fn aim(&mut self, task: &str) {
        let next = self.world.alive(self.node).and_then(|alive| {
            let running = alive.context.running.get()?;
            let state = running.consensus.replica().read();
            let task = state.named(task)?;
            let spec = task.spec()?;
            let set_at = task.live.scheduled_at;
            let plan = Plan::compile(&spec.schedule, &spec.name, "UTC", set_at).ok()?;
            plan.next_after(state.settled(task))
        });
        let Some(next) = next else { return };
        let before = self.random.range(0, u64::try_from(AIM.as_micros()).unwrap_or(0));
        let due =
            u64::try_from(next.0.saturating_sub(self.world.common.plan.epoch_ms)).unwrap_or(0);
        let at = due.saturating_mul(1_000).saturating_sub(before);
        let wait = Duration::from_micros(at.saturating_sub(self.world.history().now()));
        if wait < Duration::from_secs(5) {
            sleep(wait).await;
        }
    }

    /// Transmits a call once.
    async fn send(
        &mut self,
        asked: ClientRequest,
        task: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> SendOutcome {
        match self.exchange(route(asked, task), key, body).await {
            Exchange::Answered { status, index, revision, body } => {
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                match code.as_str() {
                    "outcome_unknown" | "internal" => SendOutcome::Unknown,
                    "no_leader" | "not_accepted" | "index_not_reached" => SendOutcome::Nowhere,
                    _ => SendOutcome::Answered(Returned::Answer { status, code, revision, index }),
                }
            }
            Exchange::Nowhere => SendOutcome::Nowhere,
            Exchange::Unknown => SendOutcome::Unknown,
        }
    }

    /// Sends one request to the current node, over links with latency that can lose responses.
    async fn exchange(
        &mut self,
        (method, path): (Method, String),
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Exchange {
        let Some(alive) = self.world.alive(self.node) else { return Exchange::Nowhere };
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let text = body.map(ToString::to_string).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(Body::from(text));
        let Ok(request) = request else { return Exchange::Nowhere };
        sleep(Duration::from_micros(self.random.range(50, 2_000))).await;
        let answering = alive.process.spawn(alive.router.clone().oneshot(request));
        let answer = timeout(PATIENCE, answering).await;
        sleep(Duration::from_micros(self.random.range(50, 2_000))).await;
        if !self.world.common.plan.calm && self.random.chance(LOST) {
            self.world.history().fault(FaultKind::AnswerLost);
            return Exchange::Unknown;
        }
        let Ok(Ok(Ok(response))) = answer else { return Exchange::Unknown };
        read(response).await
    }
}

/// The result of one transmission.
enum SendOutcome {
    /// A definite response.
    Answered(Returned),
    /// It was not sent, or certainly not accepted.
    Nowhere,
    /// The outcome is unknown.
    Unknown,
}

/// The result of one request.
enum Exchange {
    /// A response.
    Answered {
        /// HTTP status.
        status: u16,
        /// The log index that it reflects.
        index: Option<u64>,
        /// The revision from the ETag.
        revision: Option<u64>,
        /// The body, or null.
        body: Value,
    },
    /// It was not sent.
    Nowhere,
    /// The outcome is unknown.
    Unknown,
}

/// The name of a task that clients change. One in four is also cleaned up; the register property is
/// judged on the others.
fn name(number: u64) -> String {
    let kind = if number.is_multiple_of(4) { "loose" } else { "name" };
    format!("{kind}-{number}")
}

fn route(asked: ClientRequest, task: &str) -> (Method, String) {
    let one = format!("/tasks/{task}");
    match asked {
        ClientRequest::Add => (Method::POST, "/tasks".to_owned()),
        ClientRequest::Force => (Method::POST, "/tasks?force=true".to_owned()),
        ClientRequest::Update => (Method::PUT, one),
        ClientRequest::Patch => (Method::PATCH, one),
        ClientRequest::Delete { wait } => (Method::DELETE, format!("{one}?wait={wait}")),
        ClientRequest::Reuse => (Method::POST, format!("{one}/reuse")),
        ClientRequest::Cleanup => (Method::POST, format!("{one}/cleanup")),
        ClientRequest::Pause { wait } => (Method::POST, format!("{one}/pause?wait={wait}")),
        ClientRequest::Cancel { wait } => (Method::POST, format!("{one}/cancel?wait={wait}")),
        ClientRequest::Resume => (Method::POST, format!("{one}/resume")),
        ClientRequest::Trigger => (Method::POST, format!("{one}/trigger")),
        ClientRequest::Retry { execution } => {
            (Method::POST, format!("/executions/{execution}/retry"))
        }
        ClientRequest::Stop { execution } => {
            (Method::POST, format!("/executions/{execution}/stop"))
        }
        ClientRequest::Read => (Method::GET, one),
    }
}

async fn read(response: Response<Body>) -> Exchange {
    let status = response.status().as_u16();
    let revision = number(response.headers(), "etag");
    let index = number(response.headers(), "punctual-index");
    let body = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Exchange::Answered { status, index, revision, body }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim_matches('"').parse().ok()
}
