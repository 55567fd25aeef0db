//! Executors of a simulation: what answers them takes the place of the network.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::sleep_until;

use super::{BoundedAnswer, Executors, execute_body, judge, refusal, stop_call};
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::time::Millis;
use crate::exec::attempt::GrantedAttempt;
use crate::exec::boot::BootInstant;
use crate::exec::control::{AttemptControl, STOPPED_EARLY, Stop, after, may_start_by, stop_above};
use crate::exec::http::AnswerSink;
use crate::exec::outcome::{AttemptOutcome, AttemptStatus};
use crate::exec::output::LiveOutput;

/// One request to an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorCall {
    /// Where to.
    pub url: String,
    /// Its body; empty for a probe.
    pub body: String,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorCallFailure {
    /// No byte of it reached the executor.
    NotSent(String),
    /// It may have reached the executor.
    Broke(String),
}

/// The answer to one request: status and body. One that never comes is silence.
pub type ExecutorCallFuture =
    Pin<Box<dyn Future<Output = Result<(u16, Vec<u8>), ExecutorCallFailure>> + Send>>;
/// What answers requests to executors.
pub type SimulatedExecutors = Arc<dyn Fn(ExecutorCall) -> ExecutorCallFuture + Send + Sync>;

impl Executors {
    /// Requests go to these executors from now on.
    pub(in crate::exec) fn simulate(&self, executors: SimulatedExecutors) {
        *self.simulated.write() = Some(executors);
    }

    /// The executors of the simulation; none: the requests go over the network.
    pub(in crate::exec) fn simulation(&self) -> Option<SimulatedExecutors> {
        self.simulated.read().clone()
    }

    /// [`Executors::attempt`] in a simulation, by the clock `boot`.
    pub(in crate::exec) async fn simulated_attempt(
        &self,
        executors: &SimulatedExecutors,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &LiveOutput,
        boot: &(dyn Fn() -> BootInstant + Send + Sync),
    ) -> AttemptOutcome {
        let Some(target) = &attempt.executor else {
            return AttemptOutcome::failed("no executor was chosen for the attempt");
        };
        let mut stop = control.stop;
        if *stop.borrow() > Stop::No {
            return AttemptOutcome::cancelled(STOPPED_EARLY);
        }
        let started = match may_start_by(&control.gate, attempt.start_by, boot) {
            Ok(started) => started,
            Err(why) => return AttemptOutcome::not_started(why),
        };
        let timeout = if attempt.timeout.0 > 0 { attempt.timeout } else { self.max_silence };
        let deadline = after(timeout);
        let url = format!("{}/execute", target.base_url);
        let call = ExecutorCall { url, body: execute_body(target, attempt) };
        let answering = executors(call);
        let _ = control.started.send(started);
        let (outcome, given_up) = tokio::select! {
            biased;
            answered = answering => (read(answered, live), false),
            () = sleep_until(deadline) => {
                let detail = format!("no whole answer within {timeout}");
                (AttemptOutcome::new(AttemptStatus::Timeout, detail), true)
            }
            _asked = stop_above(&mut stop, Stop::No) => {
                (AttemptOutcome::cancelled("stopped; the request was under way"), true)
            }
        };
        if given_up {
            let _unheard =
                simulated_stop(executors, &target.base_url, attempt.execution, attempt.fence).await;
            return AttemptOutcome { unknown: true, ..outcome }.timed(started, boot());
        }
        outcome.timed(started, boot())
    }
}

fn read(
    answered: Result<(u16, Vec<u8>), ExecutorCallFailure>,
    live: &LiveOutput,
) -> AttemptOutcome {
    match answered {
        Ok((status, body)) => {
            let answer = BoundedAnswer::default();
            answer.push(&body);
            match status {
                200..300 => judge(status, &answer, live),
                _ => refusal(status, &answer, live),
            }
        }
        Err(ExecutorCallFailure::NotSent(why)) => AttemptOutcome::failed(why),
        Err(ExecutorCallFailure::Broke(why)) => AttemptOutcome::lost(why),
    }
}

/// Asks a simulated executor to stop an attempt.
pub(in crate::exec) async fn simulated_stop(
    executors: &SimulatedExecutors,
    base_url: &str,
    execution: ExecutionId,
    fence: Fence,
) -> Result<(), String> {
    let (url, body) = stop_call(base_url, execution, fence);
    simulated_call(executors, ExecutorCall { url, body }, super::STOP_LIMIT).await
}

/// Probes a simulated executor.
pub(in crate::exec) async fn simulated_probe(
    executors: &SimulatedExecutors,
    url: &str,
    limit: Millis,
) -> Result<(), String> {
    let call = ExecutorCall { url: url.to_owned(), body: String::new() };
    simulated_call(executors, call, limit).await
}

async fn simulated_call(
    executors: &SimulatedExecutors,
    call: ExecutorCall,
    limit: Millis,
) -> Result<(), String> {
    match tokio::time::timeout(limit.std(), executors(call)).await {
        Ok(Ok((status, _body))) => super::expect_success(Ok(status)),
        Ok(Err(ExecutorCallFailure::NotSent(why) | ExecutorCallFailure::Broke(why))) => Err(why),
        Err(_elapsed) => Err(format!("no answer within {limit}")),
    }
}
