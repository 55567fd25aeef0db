//! The executor protocol: `POST {base_url}/execute`, `POST {base_url}/stop`, and probes.
//!
//! An executor is a program outside the cluster that carries out executions. Three things may come
//! of `/execute`:
//!
//! - It accepts (any status from 200 to 299): the attempt goes on until the executor calls back,
//!   and the outcome here is [`AttemptStatus::Accepted`].
//! - It answers 200 with a `status` that a callback may have: that is its result.
//! - It refuses, or cannot be connected to: a known failure. Without an answer the outcome is
//!   unknown.
//!
//! Requests go through the guard of HTTP actions. Answers are read up to [`ANSWER_MAX_BYTES`].

mod answer;
mod callback;
mod signature;
#[cfg(feature = "simulation")]
mod simulated;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::attempt::GrantedAttempt;
use super::boot::BootInstant;
use super::control::AttemptControl;
use super::http::{AnswerSink, ExchangeEnd, HttpExchange, HttpRunner};
use super::outcome::{AttemptOutcome, AttemptStatus};
use super::output::LiveOutput;
use super::prepared::PreparedAttempt;
use crate::config::{ExecutorSettings, Secret};
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::task::HttpAction;
use crate::domain::time::Millis;
use answer::ExecuteAnswer;
pub use answer::ResultText;
pub use callback::{callback_url, is_callback_key};
pub use signature::{SIGNATURE_HEADER, SignatureError, sign, unix_seconds, verify};
#[cfg(feature = "simulation")]
pub use simulated::{ExecutorCall, ExecutorCallFailure, ExecutorCallFuture, SimulatedExecutors};
#[cfg(feature = "simulation")]
pub(super) use simulated::{simulated_probe, simulated_stop};

/// The bytes of an answer that are read; the rest is not.
pub const ANSWER_MAX_BYTES: usize = 64 << 10;
/// A connection that is not made by then has failed.
const CONNECT_LIMIT: Millis = Millis::from_secs(10);
/// A request to stop is answered within this, or counts as lost.
const STOP_LIMIT: Millis = Millis::from_secs(5);

/// The executor that an attempt was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorTarget {
    /// The id under which it is registered.
    pub id: String,
    /// Where it listens, without a final slash.
    pub base_url: String,
    /// Where it reports the end of the attempt; see [`callback_url`].
    pub callback_url: String,
}

/// Speaks to executors.
pub(super) struct Executors {
    /// Signs requests.
    secret: Option<Secret>,
    /// Bounds the wait for an answer where the attempt has no timeout.
    max_silence: Millis,
    #[cfg(feature = "simulation")]
    simulated: parking_lot::RwLock<Option<SimulatedExecutors>>,
}

impl Executors {
    pub(super) fn new(settings: &ExecutorSettings) -> Self {
        Self {
            secret: settings.secret.clone(),
            max_silence: settings.max_silence,
            #[cfg(feature = "simulation")]
            simulated: parking_lot::RwLock::default(),
        }
    }

    /// Gives an attempt to its executor, and waits for the answer.
    pub(super) async fn attempt(
        &self,
        http: &HttpRunner,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &LiveOutput,
        ready: &mut PreparedAttempt,
    ) -> AttemptOutcome {
        let Some(target) = &attempt.executor else {
            return AttemptOutcome::failed("no executor was chosen for the attempt");
        };
        let bounded = match attempt.timeout.0 {
            0 => &GrantedAttempt { timeout: self.max_silence, ..attempt.clone() },
            _ => attempt,
        };
        let request = self.execute_request(target, attempt);
        let answer = BoundedAnswer::default();
        let exchange = http.exchange(&request, bounded, control, &answer, ready).await;
        let HttpExchange { end, status, started } = match exchange {
            Ok(exchange) => exchange,
            Err(outcome) => return outcome,
        };
        let given_up = matches!(end, ExchangeEnd::TimedOut | ExchangeEnd::Stopped);
        let outcome = match (end, status) {
            // What was refused is refused, however the rest of the answer fared.
            (ExchangeEnd::Answered | ExchangeEnd::Broke(_), Some(status))
                if !(200..300).contains(&status) =>
            {
                refusal(status, &answer, live)
            }
            (ExchangeEnd::Answered, Some(status)) => judge(status, &answer, live),
            // It has accepted, however the rest of the answer fared.
            (ExchangeEnd::Broke(_) | ExchangeEnd::TimedOut, Some(202)) => {
                judge(202, &BoundedAnswer::default(), live)
            }
            (end, status) => AttemptOutcome { http_status: status, ..end.without_answer(bounded) },
        };
        let outcome = outcome.timed(started, BootInstant::now());
        if given_up && outcome.status != AttemptStatus::Accepted {
            // The executor may work on it all the same. Whether it stops is not known here.
            let _unheard =
                self.stop(http, &target.base_url, attempt.execution, attempt.fence).await;
        }
        outcome
    }

    /// Asks an executor to stop an attempt.
    pub(super) async fn stop(
        &self,
        http: &HttpRunner,
        base_url: &str,
        execution: ExecutionId,
        fence: Fence,
    ) -> Result<(), String> {
        let (url, body) = stop_call(base_url, execution, fence);
        let headers = BTreeMap::from([("X-Execution-ID".to_owned(), execution.to_string())]);
        let request = self.request("POST", url, headers, Some(body));
        expect_success(http.call(&request, STOP_LIMIT, &BoundedAnswer::default()).await)
    }

    /// Asks the health check URL of an executor whether it is well.
    pub(super) async fn probe(
        &self,
        http: &HttpRunner,
        url: &str,
        limit: Millis,
    ) -> Result<(), String> {
        let request = self.request("GET", url.to_owned(), BTreeMap::new(), None);
        expect_success(http.call(&request, limit, &BoundedAnswer::default()).await)
    }

    fn execute_request(&self, target: &ExecutorTarget, attempt: &GrantedAttempt) -> HttpAction {
        let body = execute_body(target, attempt);
        let mut headers =
            BTreeMap::from([("X-Execution-ID".to_owned(), attempt.execution.to_string())]);
        headers.insert("Punctual-Executor".to_owned(), target.id.clone());
        self.request("POST", format!("{}/execute", target.base_url), headers, Some(body))
    }

    fn request(
        &self,
        method: &str,
        url: String,
        mut headers: BTreeMap<String, String>,
        body: Option<String>,
    ) -> HttpAction {
        if body.is_some() {
            headers.insert("Content-Type".to_owned(), "application/json".to_owned());
        }
        if let Some(secret) = &self.secret {
            let content = body.as_deref().unwrap_or_default();
            let signature = sign(secret.expose(), unix_seconds(), content.as_bytes());
            headers.insert(SIGNATURE_HEADER.to_owned(), signature);
        }
        HttpAction {
            url,
            method: method.to_owned(),
            headers,
            body,
            expect_status: vec![(200, 299)],
            connect_timeout: CONNECT_LIMIT,
        }
    }
}

fn expect_success(answered: Result<u16, String>) -> Result<(), String> {
    match answered? {
        200..300 => Ok(()),
        status => Err(format!("status {status}, expected 200-299")),
    }
}

/// The body of `/execute`.
fn execute_body(target: &ExecutorTarget, attempt: &GrantedAttempt) -> String {
    let mut body = attempt.json();
    if let Value::Object(fields) = &mut body {
        fields.insert("task_id".to_owned(), Value::String(attempt.task.clone()));
        fields.insert("task_name".to_owned(), Value::String(attempt.task.clone()));
        fields.insert("callback_url".to_owned(), Value::String(target.callback_url.clone()));
        fields.insert("timeout_ms".to_owned(), Value::from(attempt.timeout.0));
    }
    body.to_string()
}

/// The outcome of an answer with a status from 200 to 299.
fn judge(status: u16, answer: &BoundedAnswer, live: &LiveOutput) -> AttemptOutcome {
    let body = answer.bytes.lock();
    let outcome = match ExecuteAnswer::read(status, &body) {
        ExecuteAnswer::Accepted => {
            AttemptOutcome::new(AttemptStatus::Accepted, format!("accepted, status {status}"))
        }
        ExecuteAnswer::Unclear(word) => {
            tracing::warn!(
                "an executor answered 200 with the status {word}, which is neither accepted, success, \
                 failed nor timeout: its attempt counts as accepted"
            );
            AttemptOutcome::new(AttemptStatus::Accepted, format!("accepted, status {status}"))
        }
        ExecuteAnswer::Ended(result) => {
            live.push(result.text.output.as_bytes());
            AttemptOutcome::new(result.status, result.text.detail)
        }
    };
    AttemptOutcome { http_status: Some(status), ..outcome }
}

/// Address and body of a request to stop.
fn stop_call(base_url: &str, execution: ExecutionId, fence: Fence) -> (String, String) {
    let url = format!("{}/stop", base_url.trim_end_matches('/'));
    let body = json!({"execution_id": execution.to_string(), "fence": fence.0}).to_string();
    (url, body)
}

/// The outcome of any other answer.
fn refusal(status: u16, answer: &BoundedAnswer, live: &LiveOutput) -> AttemptOutcome {
    live.push(&answer.bytes.lock());
    let outcome = AttemptOutcome::failed(format!("the executor refused it with status {status}"));
    AttemptOutcome { http_status: Some(status), ..outcome }
}

/// The beginning of an answer.
#[derive(Default)]
struct BoundedAnswer {
    bytes: Mutex<Vec<u8>>,
}

impl AnswerSink for BoundedAnswer {
    fn room(&self) -> usize {
        ANSWER_MAX_BYTES.saturating_sub(self.bytes.lock().len())
    }

    fn push(&self, bytes: &[u8]) {
        let mut held = self.bytes.lock();
        let room = ANSWER_MAX_BYTES.saturating_sub(held.len());
        held.extend(bytes.iter().take(room));
    }
}
