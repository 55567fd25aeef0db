//! The caller of a write operation, with its preconditions: the revisions that may be changed, and
//! the idempotency key.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::OpError;
use super::context::{Context, Freshness, StateView};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{PutMode, TakeKey};
use crate::domain::machine::envelope::IdempotencyKey;
use crate::domain::machine::{Answer, Command, Refusal, Response};

/// The revisions that a request may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Any revision.
    Any,
    /// One of these. An empty list matches nothing.
    OneOf(Vec<Revision>),
}

/// The caller of a write operation.
pub(crate) struct Caller {
    /// The context of the node.
    pub context: Arc<Context>,
    /// The required freshness of the state on which the change is based.
    pub fresh: Freshness,
    /// The revisions that may be changed.
    pub if_match: IfMatch,
    /// The idempotency key. It identifies one request: repeating the request returns the first
    /// response, regardless of the current state. A request that consists of several commands calls
    /// [`Caller::take_key`] first and sends each command under a [`Caller::part`] of the key.
    pub key: Option<String>,
    /// A hash of the request.
    pub request: u128,
}

/// The result of an operation, with the state it reflects.
pub(crate) struct OpAnswer<T> {
    /// The state.
    pub view: StateView,
    /// The result.
    pub body: T,
    /// The revision of the changed object.
    pub revision: Option<Revision>,
}

impl<T> OpAnswer<T> {
    /// A result without a revision.
    pub fn of(view: StateView, body: T) -> Self {
        Self { view, body, revision: None }
    }
}

impl Caller {
    /// A state that includes everything acknowledged before.
    pub async fn view(&self) -> Result<StateView, OpError> {
        self.context.view(Freshness { stale: false, ..self.fresh }).await
    }

    /// The caller's key, bound to this request.
    pub fn key(&self) -> Option<IdempotencyKey<'_>> {
        self.key.as_deref().map(|text| self.under(text))
    }

    /// A key bound to this request.
    pub const fn under<'a>(&self, text: &'a str) -> IdempotencyKey<'a> {
        IdempotencyKey { text, request: self.request }
    }

    /// The key of one of several commands; `None` if the caller gave no key. It contains a space,
    /// so it cannot equal a caller's key.
    pub fn part(&self, name: &str) -> Option<String> {
        let key = self.key.as_deref()?;
        Some(format!("{:032x} {name}", xxh3_128(key.as_bytes())))
    }

    /// The earlier response to this request. `None` if the request is new or has no key.
    ///
    /// # Errors
    /// `idempotency_key_reused`, or the earlier error.
    pub fn first(&self, view: &StateView) -> Result<Option<Answer>, OpError> {
        Ok(self.first_response(view)?.transpose()?)
    }

    /// The same, with a refusal as a value.
    ///
    /// # Errors
    /// `idempotency_key_reused`.
    pub fn first_response(&self, view: &StateView) -> Result<Option<Response>, OpError> {
        let Some(key) = self.key() else { return Ok(None) };
        Ok(view.state.first(key)?.map(|known| known.response.clone()))
    }

    /// Submits the command that `make` builds from the state. For a repeated request it returns the
    /// first response without calling `make`. If `make` returns `None`, nothing is changed.
    ///
    /// # Errors
    /// Those of `make` and [`Caller::submit`].
    pub async fn answer(
        &self,
        make: impl FnOnce(&StateView) -> Result<Option<Command>, OpError>,
    ) -> Result<Answer, OpError> {
        let view = self.view().await?;
        if let Some(first) = self.first(&view)? {
            return Ok(first);
        }
        match make(&view)? {
            Some(command) => self.submit(&command).await,
            None => self.take_key().await.map(|()| Answer::Done),
        }
    }

    /// For errors that depend on the time or on a possibly stale state: returns the earlier
    /// response to this request if there is one, otherwise the error.
    ///
    /// # Errors
    /// The given error.
    pub async fn unless_answered(&self, problem: OpError) -> Result<Answer, OpError> {
        if self.key.is_none() {
            return Err(problem);
        }
        self.first(&self.view().await?)?.ok_or(problem)
    }

    /// Submits a command under the caller's key and converts a refusal to an error.
    pub async fn submit(&self, command: &Command) -> Result<Answer, OpError> {
        Ok(self.try_submit(command).await??)
    }

    /// Submits a command under the caller's key.
    pub async fn try_submit(&self, command: &Command) -> Result<Result<Answer, Refusal>, OpError> {
        self.check_bound(command)?;
        self.context.submit(command, self.key()).await
    }

    /// Stores the caller's key in the log, for requests that consist of several commands or of
    /// none.
    ///
    /// # Errors
    /// `idempotency_key_reused`; those of [`Caller::submit`].
    pub async fn take_key(&self) -> Result<(), OpError> {
        let command = Command::TakeKey(TakeKey);
        self.check_bound(&command)?;
        if self.key.is_some() {
            self.submit(&command).await?;
        }
        Ok(())
    }

    /// The revision that a command carries for `If-Match`. `current` is the revision of its object;
    /// the final check is made when the log entry is applied. `None` means any revision.
    pub fn if_match(&self, current: Option<Revision>) -> Option<Revision> {
        match &self.if_match {
            IfMatch::Any => None,
            IfMatch::OneOf(tags) => {
                let accepted = current.filter(|current| tags.contains(current));
                // There is no revision 0, so a list without valid tags matches nothing.
                accepted.or(tags.first().copied()).or(Some(Revision(0)))
            }
        }
    }

    /// [`Caller::if_match`] for a task.
    pub fn if_match_of(&self, name: &str) -> Result<Option<Revision>, OpError> {
        let view = self.context.here()?;
        Ok(self.if_match(view.state.named(name).map(|task| task.live.revision)))
    }

    /// Rejects `If-Match` for commands that do not support it.
    fn check_bound(&self, command: &Command) -> Result<(), OpError> {
        let bound = match command {
            Command::Put(put) => matches!(put.mode, PutMode::Update { .. }),
            Command::MarkDeleted(_)
            | Command::Reuse(_)
            | Command::Cleanup(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Cancel(_)
            | Command::PutCalendar(_)
            | Command::DeleteCalendar(_)
            | Command::ExecutorStatus(_)
            | Command::DeleteExecutor(_) => true,
            _ => false,
        };
        if bound || matches!(self.if_match, IfMatch::Any) {
            return Ok(());
        }
        let why = "this request changes no revision, so none can match If-Match";
        let problem = OpError::new(ErrorCode::RevisionMismatch, why);
        Err(problem.advise("Leave If-Match out."))
    }
}
