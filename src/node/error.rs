//! Errors for embedding programs.

use std::fmt;
use std::sync::Arc;

use super::Fatal;
use crate::config::ConfigErrors;
use crate::dto::FieldError;
use crate::ops::OpError;

/// Why something was not done, with a stable [code](Error::code).
///
/// Refusals change nothing. `no_leader` and `not_accepted`: the change was not made, and may be
/// repeated. `outcome_unknown`: it was handed over and not answered; look before you repeat it.
///
/// ```no_run
/// # async fn add(node: punctual::Node, task: punctual::TaskBuilder) -> Result<(), punctual::Error> {
/// match node.add_task(task).await {
///     Err(error) if error.code() == "task_exists" => {}
///     added => drop(added?),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(ErrorReason);

#[derive(Clone)]
enum ErrorReason {
    Settings(ConfigErrors),
    Refused(OpError),
    Failed(Arc<Fatal>),
    Stopped,
}

impl Error {
    pub(super) const fn stopped() -> Self {
        Self(ErrorReason::Stopped)
    }

    /// The reason for programs, in one word that stays: `invalid_settings`, `node_failed`,
    /// `node_stopped`, or a code of the API such as `task_exists` (`/openapi.json` lists them).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0 {
            ErrorReason::Settings(_) => "invalid_settings",
            ErrorReason::Refused(problem) => problem.code().as_str(),
            ErrorReason::Failed(_) => "node_failed",
            ErrorReason::Stopped => "node_stopped",
        }
    }

    /// What to do next, as a sentence; `None`: the text of the error says it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        match &self.0 {
            ErrorReason::Settings(_) => None,
            ErrorReason::Refused(problem) => Some(problem.advice()),
            ErrorReason::Failed(fatal) => fatal.advice(),
            ErrorReason::Stopped => Some("Start the node again."),
        }
    }

    /// What is wrong with the fields of a definition, each with its JSON pointer.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldError> {
        match &self.0 {
            ErrorReason::Refused(problem) => problem.fields(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ErrorReason::Settings(errors) => errors.fmt(f),
            ErrorReason::Refused(problem) => f.write_str(problem.detail()),
            ErrorReason::Failed(fatal) => fatal.fmt(f),
            ErrorReason::Stopped => f.write_str("the node was stopped"),
        }
    }
}

/// What a program shows that ends with the error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.code())?;
        self.advice().map_or(Ok(()), |advice| write!(f, ". {advice}"))
    }
}

impl std::error::Error for Error {}

impl From<ConfigErrors> for Error {
    fn from(errors: ConfigErrors) -> Self {
        Self(ErrorReason::Settings(errors))
    }
}

impl From<OpError> for Error {
    fn from(problem: OpError) -> Self {
        Self(ErrorReason::Refused(problem))
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        Self::from(Arc::new(fatal))
    }
}

impl From<Arc<Fatal>> for Error {
    fn from(fatal: Arc<Fatal>) -> Self {
        Self(ErrorReason::Failed(fatal))
    }
}
