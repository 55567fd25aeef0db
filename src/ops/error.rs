//! Why an operation was not carried out.
//!
//! Every reason has a stable [`ErrorCode`]; [`refusal`] is the only table from refusals of the state
//! machine to sentences. How an error is written into an answer is the API's.
//!
//! In `errors` a pointer is a JSON pointer into the body; `?limit` names a query parameter and
//! `If-Match` a header.

use serde_json::{Map, Value};

use crate::consensus::{NoLeaderReason, ProposeError};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::Refusal;
use crate::domain::spec;
use crate::dto::FieldError;

/// Why an operation was not carried out.
#[derive(Clone, Debug)]
pub(crate) struct OpError(Box<OpErrorParts>);

#[derive(Clone, Debug)]
struct OpErrorParts {
    code: ErrorCode,
    detail: String,
    /// What to do, if that is not what the code says.
    advice: Option<String>,
    errors: Vec<spec::BodyProblem>,
    extra: Map<String, Value>,
}

/// What a refusal means to a caller; its code is its own, and says what to do.
const fn refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::TaskExists => "a task of this name exists",
        Refusal::TaskDeleted => "the name carries a deleted mark",
        Refusal::TaskNotFound => "there is no task of this name",
        Refusal::RevisionMismatch { .. } => "it was changed since the revision of If-Match",
        Refusal::KeyReused => "the Idempotency-Key was used for another request",
        Refusal::ExecutionNotFound => "there is no such execution, or it is no longer kept",
        Refusal::ExecutionEnded => "the execution has ended",
        Refusal::NotPending => "the execution was granted before",
        Refusal::StaleFence => "a newer grant was made, or the execution has ended",
        Refusal::Held => "a pause or the stopped scheduler holds the execution",
        Refusal::MaxLive => "the task has as many live executions as it may have",
        Refusal::Overlap => "an execution of the task has not ended, and its mode is skip",
        Refusal::QueueFull => "as many executions of the task wait as its queue_max allows",
        Refusal::NoRoom => "an execution of the task or of its group has to end first",
        Refusal::Session => "this node may not take executions now",
        Refusal::Cursor { .. } => "the tick was settled, and nobody claimed it",
        Refusal::Order => "ticks of a task must rise",
        Refusal::Ahead => "the instant lies ahead of cluster time",
        Refusal::Inactive => "the task or the scheduler is not active",
        Refusal::NodeNotFound => "there is no such node",
        Refusal::NotDue => "it is too early for this",
        Refusal::Initialised => "the cluster has a name and an id already",
        Refusal::ClusterName => "must be the name of this cluster",
        Refusal::Full => {
            "a limit of the cluster is reached (2,000,000 names, 1,000,000 of them marked deleted; \
             10,000 calendars; 10,000 executors)"
        }
        Refusal::BackfillNotFound => "the task has no backfill of this range",
        Refusal::CalendarNotFound => "there is no calendar of this name",
        Refusal::CalendarInUse => "tasks leave the calendar out",
        Refusal::TaskCancelled => "the task is cancelled",
        Refusal::ExecutorNotFound => "there is no executor of this id",
        Refusal::ExecutorOnline => "an executor of this id is online at another address",
        Refusal::ExecutorUnavailable => {
            "the executor is not online, or has as many executions as it takes"
        }
        Refusal::WrongAction => "an executor is named for what executors carry out, and no other",
        Refusal::NodeLeaving => "the node is stopping, or is being removed",
        Refusal::NodeGone => "the node was removed from the cluster",
        Refusal::MembersChanging => "another member is being added or removed",
        Refusal::AllWeightsZero => {
            "must not be 0: every node would have weight 0, and no task an owner"
        }
    }
}

impl OpError {
    /// A problem with a code of the table and a sentence for people.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(OpErrorParts {
            code,
            detail: detail.into(),
            advice: None,
            errors: Vec::new(),
            extra: Map::new(),
        }))
    }

    /// Says what to do, where more is known than the code says: sentences.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// A problem with one field, parameter or header.
    pub(crate) fn field(
        pointer: impl Into<String>,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Self {
        let (pointer, message) = (pointer.into(), message.into());
        Self::from(vec![spec::BodyProblem { pointer, code, message }])
    }

    /// A parameter that breaks a rule.
    pub(crate) fn parameter(name: &str, rule: impl Into<String>) -> Self {
        Self::field(format!("?{name}"), ErrorCode::InvalidParameter, rule)
    }

    /// A cursor that the list did not give out.
    pub(crate) fn cursor() -> Self {
        let problem = Self::parameter("cursor", "is not one of this list");
        problem.advise("Begin the list again, without `cursor`.")
    }

    /// What this version cannot do yet.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::new(ErrorCode::NotSupported, format!("{what}: not supported in this version"))
    }

    /// No leader is known, or this node is not ready; the sentence says what is waited for.
    pub(crate) fn no_leader(why: impl Into<String>) -> Self {
        Self::new(ErrorCode::NoLeader, why)
    }

    /// No leader serves this node: why, which members do not answer it (`unreachable`, by their
    /// peer addresses), and where else to ask (`ask`, base URLs of the others' APIs).
    pub(crate) fn unled(unled: &NoLeaderReason) -> Self {
        let mut problem = Self::no_leader(unled.to_string());
        if !unled.others.is_empty() {
            let others = unled.others.join(" or ");
            problem = problem.advise(format!("Repeat the request, or ask another node: {others}."));
        }
        if let Some(recovery) = unled.recovery() {
            problem = problem.advise(recovery);
        }
        problem.with("unreachable", unled.unreachable.clone()).with("ask", unled.others.clone())
    }

    /// Gives the reason for which something was not done, and what goes with it.
    pub(crate) fn because(mut self, reason: Self) -> Self {
        self.0.detail = format!("{}: {}", self.0.detail, reason.0.detail);
        self.0.extra.extend(reason.0.extra);
        self.0.advice = reason.0.advice.or(self.0.advice);
        self
    }

    /// What should not happen.
    pub(crate) fn internal(what: &str) -> Self {
        tracing::error!(what, "internal error");
        Self::new(ErrorCode::Internal, what)
    }

    /// Adds a member to the body.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Its code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Its sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What to do, in one sentence or more.
    pub(crate) fn advice(&self) -> &str {
        self.0.advice.as_deref().unwrap_or(self.0.code.advice())
    }

    /// What is wrong with the fields of the request.
    pub(crate) fn fields(&self) -> Vec<FieldError> {
        let one = |problem: &spec::BodyProblem| {
            let (pointer, message) = (problem.pointer.clone(), problem.message.clone());
            FieldError { pointer, code: problem.code.as_str().into(), message }
        };
        self.0.errors.iter().map(one).collect()
    }

    /// What else goes with it, such as the tasks that stand against it.
    pub(crate) fn extra(&self) -> &Map<String, Value> {
        &self.0.extra
    }

    /// Moves the pointers of its errors below `prefix`.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        for error in &mut self.0.errors {
            error.pointer.insert_str(0, prefix);
        }
        self
    }
}

impl From<Vec<spec::BodyProblem>> for OpError {
    /// The first problem of a body gives the code.
    fn from(errors: Vec<spec::BodyProblem>) -> Self {
        let code = errors.first().map_or(ErrorCode::InvalidValue, |first| first.code);
        let detail = match errors.first() {
            Some(first) if first.pointer.is_empty() => first.message.clone(),
            Some(first) => format!("{} {}", first.pointer, first.message),
            None => "the request is not valid".to_owned(),
        };
        let mut problem = Self::new(code, detail);
        problem.0.errors = errors;
        problem
    }
}

impl From<spec::BodyProblem> for OpError {
    fn from(error: spec::BodyProblem) -> Self {
        Self::from(vec![error])
    }
}

impl From<Refusal> for OpError {
    fn from(refused: Refusal) -> Self {
        let problem = Self::new(refused.code(), refusal(&refused));
        match refused {
            Refusal::RevisionMismatch { current } => problem.with("revision", current.0),
            Refusal::Cursor { at } => problem.with("cursor", at.to_string()),
            Refusal::ClusterName => Self::field("/cluster", refused.code(), refusal(&refused)),
            Refusal::AllWeightsZero => Self::field("/weight", refused.code(), refusal(&refused)),
            _ => problem,
        }
    }
}

impl From<ProposeError> for OpError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotAccepted | ProposeError::NoTime | ProposeError::Stopping => {
                Self::new(ErrorCode::NotAccepted, format!("{error}: nothing was changed"))
            }
            ProposeError::NeedsUpgrade { .. } => {
                Self::new(ErrorCode::NeedsUpgrade, error.to_string())
            }
            ProposeError::Unknown => {
                Self::new(ErrorCode::OutcomeUnknown, "it was handed over and not answered in time")
            }
        }
    }
}
