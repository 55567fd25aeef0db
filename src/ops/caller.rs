//! Who asks for a change, and what holds for it: which revisions may be changed, and under which
//! key a repeated request is the same request.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::OpError;
use super::context::{Context, Freshness, StateView};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{PutMode, TakeKey};
use crate::domain::machine::envelope::IdempotencyKey;
use crate::domain::machine::{Answer, Command, Refusal};

/// Which revisions a request may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these; empty: nothing matches.
    OneOf(Vec<Revision>),
}

/// One who asks for a change.
pub(crate) struct Caller {
    /// The node.
    pub context: Arc<Context>,
    /// How fresh the state has to be from which the change is made.
    pub fresh: Freshness,
    /// The revisions that the caller accepts.
    pub if_match: IfMatch,
    /// The caller's idempotency key. It stands for one request: whoever repeats that gets the first
    /// answer, whatever the state has become. A request of several commands calls
    /// [`Caller::take_key`] first and sends each under a [`Caller::part`] of the key.
    pub key: Option<String>,
    /// A hash of the request.
    pub request: u128,
}

/// An answer, the state that it shows, and the revision that goes with it.
pub(crate) struct OpAnswer<T> {
    /// The state.
    pub view: StateView,
    /// The answer.
    pub body: T,
    /// Of what was changed.
    pub revision: Option<Revision>,
}

impl<T> OpAnswer<T> {
    /// An answer without a revision.
    pub fn of(view: StateView, body: T) -> Self {
        Self { view, body, revision: None }
    }
}

impl Caller {
    /// The state with all that was acknowledged before.
    pub async fn view(&self) -> Result<StateView, OpError> {
        self.context.view(Freshness { stale: false, ..self.fresh }).await
    }

    /// The caller's key with what it stands for.
    pub fn key(&self) -> Option<IdempotencyKey<'_>> {
        self.key.as_deref().map(|text| self.under(text))
    }

    /// A key that stands for this request.
    pub const fn under<'a>(&self, text: &'a str) -> IdempotencyKey<'a> {
        IdempotencyKey { text, request: self.request }
    }

    /// The text of a key for one of several commands; none: the caller gave no key. No caller's key
    /// looks like it, since they have no spaces.
    pub fn part(&self, name: &str) -> Option<String> {
        let key = self.key.as_deref()?;
        Some(format!("{:032x} {name}", xxh3_128(key.as_bytes())))
    }

    /// What the request was answered before under its key; none: it is new, or has no key.
    ///
    /// # Errors
    /// `idempotency_key_reused`, or why it was refused before.
    pub fn first(&self, view: &StateView) -> Result<Option<Answer>, OpError> {
        let Some(key) = self.key() else { return Ok(None) };
        let known = view.state.first(key)?;
        Ok(known.map(|known| known.response.clone()).transpose()?)
    }

    /// Answers a request by the command that `make` makes of the state; a repeated one as it was
    /// the first time, without asking. None: there is nothing to do.
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

    /// A refusal that rests on the time or on a state that may be old; if the request was answered
    /// before under its key, that answer instead.
    ///
    /// # Errors
    /// The refusal.
    pub async fn unless_answered(&self, problem: OpError) -> Result<Answer, OpError> {
        if self.key.is_none() {
            return Err(problem);
        }
        self.first(&self.view().await?)?.ok_or(problem)
    }

    /// Proposes a command under the caller's key; a refusal becomes a problem.
    pub async fn submit(&self, command: &Command) -> Result<Answer, OpError> {
        Ok(self.try_submit(command).await??)
    }

    /// Proposes a command under the caller's key.
    pub async fn try_submit(&self, command: &Command) -> Result<Result<Answer, Refusal>, OpError> {
        self.check_bound(command)?;
        self.context.submit(command, self.key()).await
    }

    /// Notes in the log what the caller's key stands for, for a request of several commands or of
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

    /// The revision of `If-Match` that a command carries, `current` being that of its object: the
    /// log decides. None: any.
    pub fn if_match(&self, current: Option<Revision>) -> Option<Revision> {
        match &self.if_match {
            IfMatch::Any => None,
            IfMatch::OneOf(tags) => {
                let accepted = current.filter(|current| tags.contains(current));
                // No revision is 0, so nothing matches a list without a tag of ours.
                accepted.or(tags.first().copied()).or(Some(Revision(0)))
            }
        }
    }

    /// [`Caller::if_match`] for a task.
    pub fn if_match_of(&self, name: &str) -> Result<Option<Revision>, OpError> {
        let view = self.context.here()?;
        Ok(self.if_match(view.state.named(name).map(|task| task.live.revision)))
    }

    /// A command that no revision is bound to cannot keep what `If-Match` asks for.
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
            | Command::DeleteCalendar(_) => true,
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
