//! Reports of an attempt that ended, or that an executor accepted, until the state shows them.

use std::sync::Arc;

use crate::consensus::ProposalAnswers;
use crate::domain::machine::command::{Command, Finish, OfFence};
use crate::domain::machine::envelope;
use crate::domain::machine::record::{self, Execution, Report};
use crate::domain::time::{Millis, Timestamp};
use crate::exec::{AttemptOutcome, AttemptStatus};

use super::context::EngineContext;
use super::execution_actor::{ExecutionGrant, current};
use super::limits::{PROPOSAL_LIMIT, REPORT_PAUSE};

/// Proposes a command again and again until it is answered; none: it is not wanted any more.
async fn insist(
    context: &EngineContext,
    command: &Command,
    wanted: impl Fn() -> bool,
) -> Option<ProposalAnswers> {
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, command, "", None);
    let bytes = bytes::Bytes::from(bytes);
    while wanted() {
        if let Ok(answers) = context.consensus.submit(bytes.clone(), 1, PROPOSAL_LIMIT).await {
            return Some(answers);
        }
        tokio::time::sleep(REPORT_PAUSE).await;
    }
    None
}

/// Whether the cluster gave an attempt up before it ended here, or granted it again.
fn overtaken(context: &EngineContext, grant: &ExecutionGrant) -> bool {
    let state = context.consensus.replica().read();
    let task = state.task(grant.task);
    let execution = task.and_then(|task| task.history.execution(grant.execution));
    execution.is_some_and(|execution| match execution.status {
        // Somebody had it stopped, and it did stop.
        record::Status::Cancelled => false,
        record::Status::Running => {
            execution.attempt.as_ref().is_some_and(|attempt| attempt.fence != grant.fence)
        }
        _ => true,
    })
}

/// Reports that the executor of the attempt has accepted it, until the state shows that. An executor
/// whose attempt the cluster gave up meanwhile is asked to stop it.
pub(super) async fn accepted(
    context: &Arc<EngineContext>,
    grant: &ExecutionGrant,
    base_url: String,
) {
    let (task, execution, fence) = (grant.task, grant.execution, grant.fence);
    let unknown = |execution: &Execution| {
        execution.attempt.as_ref().is_some_and(|attempt| attempt.accepted_at().is_none())
    };
    let wanted = || current(context, grant).is_some_and(|(_, execution)| unknown(&execution));
    let accept = Command::Accept(OfFence { task, execution, fence });
    let _answers = insist(context, &accept, wanted).await;
    // What was refused has ended, which is not applied here yet.
    while wanted() {
        tokio::time::sleep(REPORT_PAUSE).await;
    }
    if given_up(context, grant) {
        let context = Arc::clone(context);
        context.clone().spawn(async move {
            let _unheard = context.exec.stop_on_executor(&base_url, execution, fence).await;
        });
    }
}

/// Whether the cluster gave up an attempt before it knew that it was accepted.
fn given_up(context: &EngineContext, grant: &ExecutionGrant) -> bool {
    let state = context.consensus.replica().read();
    let task = state.task(grant.task);
    let execution = task.and_then(|task| task.history.execution(grant.execution));
    let attempt = execution.and_then(|one| one.attempts().find(|one| one.fence == grant.fence));
    let unwanted = |status| matches!(status, record::Status::Cancelled | record::Status::Lost);
    attempt.is_none_or(|attempt| {
        let report = attempt.report.as_ref();
        attempt.accepted_at().is_none() && report.is_some_and(|report| unwanted(report.status))
    })
}

/// When an attempt started and ended. The news of the start came a little later than the start, and
/// whatever follows begins after this.
fn times(
    started_at: Option<Timestamp>,
    lasted: Millis,
    now: Timestamp,
) -> (Option<Timestamp>, Timestamp) {
    let ended_at = started_at.map_or(now, |at| at.plus(lasted).min(now));
    (started_at.map(|at| at.min(ended_at)), ended_at)
}

/// Reports the end until the state shows one.
pub(super) async fn finish(
    context: &Arc<EngineContext>,
    grant: &ExecutionGrant,
    outcome: AttemptOutcome,
    started_at: Option<Timestamp>,
) {
    let status = match outcome.status {
        AttemptStatus::Success => record::Status::Success,
        AttemptStatus::Failed => record::Status::Failed,
        AttemptStatus::Timeout => record::Status::Timeout,
        AttemptStatus::Cancelled => record::Status::Cancelled,
        AttemptStatus::Lost | AttemptStatus::NotStarted | AttemptStatus::Accepted => {
            record::Status::Lost
        }
    };
    let lasted = Millis(outcome.duration_ms);
    let (started_at, ended_at) = times(started_at, lasted, context.clock.now());
    let report = Report {
        status,
        unknown: outcome.unknown,
        started_at,
        ended_at,
        exit_code: outcome.exit_code,
        http_status: outcome.http_status,
        detail: outcome.detail,
        tail: outcome.tail,
    };
    let (task, execution, fence) = (grant.task, grant.execution, grant.fence);
    let command = Command::Finish(Box::new(Finish { task, execution, fence, report }));
    if overtaken(context, grant) {
        context.metrics.reports_refused.inc();
    }
    let _answered = insist(context, &command, || current(context, grant).is_some()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_ended_when_its_end_is_reported() {
        let of = |started: Option<i64>, lasted| {
            let (start, end) = times(started.map(Timestamp), Millis(lasted), Timestamp(1_400));
            (start.map(|at| at.0), end.0)
        };
        assert_eq!(of(Some(1_000), 300), (Some(1_000), 1_300));
        assert_eq!(of(Some(1_000), 500), (Some(1_000), 1_400), "it would end in the future");
        assert_eq!(of(Some(1_500), 10), (Some(1_400), 1_400), "the clock was set back");
        assert_eq!(of(None, 300), (None, 1_400));
    }
}
