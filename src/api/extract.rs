//! What a handler is given of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::Method;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{PutMode, TakeKey};
use crate::domain::machine::envelope::Key;
use crate::domain::machine::{Answer, Command, Refusal};
use crate::domain::spec::parse_json;

use super::params::{IfMatch, Params, idempotency_key};
use super::routes;
use crate::ops::OpError;
use crate::ops::context::{Context, Freshness, View, aside};

/// What a handler gives back.
pub(super) type Reply = Result<Response, OpError>;

/// Largest body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of a request about thousands of tasks.
const BULKY_BYTES_MAX: usize = 8 << 20;
/// The routes that take such.
const BULKY_ROUTES: [&str; 2] = ["/api/v1/tasks/batch", "/api/v1/tasks/bulk"];
/// A body that takes longer is given up.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// A request that changes nothing.
pub(super) struct Read {
    /// The node.
    pub context: Arc<Context>,
    /// The query.
    pub params: Params,
    /// The headers.
    pub headers: HeaderMap,
}

impl Read {
    /// The state, as fresh as the request asks for.
    pub async fn view(&self) -> Result<View, OpError> {
        self.context.view(self.params.freshness()?).await
    }
}

impl FromRequestParts<Arc<Context>> for Read {
    type Rejection = OpError;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, OpError> {
        context.running()?;
        let params = Params::of(parts.uri.query(), routes::find(parts))?;
        Ok(Self { context: Arc::clone(context), params, headers: parts.headers.clone() })
    }
}

/// A request that changes something.
pub(super) struct Write {
    /// The node.
    pub context: Arc<Context>,
    /// The query.
    pub params: Params,
    /// The revisions that the caller accepts.
    if_match: IfMatch,
    /// The caller's idempotency key. It stands for one request: whoever repeats that gets the first
    /// answer, whatever the state has become. A request of several commands calls
    /// [`Write::take_key`] first and sends each under a [`Write::part`] of the key.
    key: Option<String>,
    /// A hash of the route with its query, and the body as it came.
    request: u128,
    /// The body; none: it is empty.
    pub body: Option<Value>,
}

impl Write {
    /// The state with all that was acknowledged before.
    pub async fn view(&self) -> Result<View, OpError> {
        let fresh = self.params.freshness()?;
        self.context.view(Freshness { stale: false, ..fresh }).await
    }

    /// The body, which must be there.
    pub fn body(&self) -> Result<&Value, OpError> {
        self.body.as_ref().ok_or_else(|| {
            OpError::new(ErrorCode::InvalidJson, "the body is empty; a JSON value is needed")
        })
    }

    /// The caller's key with what it stands for.
    pub fn key(&self) -> Option<Key<'_>> {
        self.key.as_deref().map(|text| self.under(text))
    }

    /// A key that stands for this request.
    pub const fn under<'a>(&self, text: &'a str) -> Key<'a> {
        Key { text, request: self.request }
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
    pub fn first(&self, view: &View) -> Result<Option<Answer>, OpError> {
        let Some(key) = self.key() else { return Ok(None) };
        let known = view.state.first(key)?;
        Ok(known.map(|known| known.response.clone()).transpose()?)
    }

    /// Answers a request by the command that `make` makes of the state; a repeated one as it was
    /// the first time, without asking. None: there is nothing to do.
    ///
    /// # Errors
    /// Those of `make` and [`Write::submit`].
    pub async fn answer(
        &self,
        make: impl FnOnce(&View) -> Result<Option<Command>, OpError>,
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
    /// `idempotency_key_reused`; those of [`Write::submit`].
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

    /// [`Write::if_match`] for a task.
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
            | Command::PutCalendar(_)
            | Command::DeleteCalendar(_) => true,
            _ => false,
        };
        if bound || matches!(self.if_match, IfMatch::Any) {
            return Ok(());
        }
        let why = "this request changes no revision, so none can match If-Match; leave it out";
        Err(OpError::new(ErrorCode::RevisionMismatch, why))
    }

    async fn read(request: Request, context: &Arc<Context>, max: usize) -> Result<Self, OpError> {
        context.running()?;
        let (parts, body) = request.into_parts();
        let params = Params::of(parts.uri.query(), routes::find(&parts))?;
        let if_match = IfMatch::of(&parts.headers)?;
        let key = idempotency_key(&parts.headers)?.map(str::to_owned);
        let bytes = read_body(&parts.headers, body, max).await?;
        let request = hash(&parts, &bytes);
        let context = Arc::clone(context);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { context, params, if_match, key, request, body: None });
        }
        check_type(&parts.headers)?;
        let parse = move || {
            let text = String::from_utf8(bytes).map_err(|_error| {
                OpError::new(ErrorCode::InvalidJson, "the body is not UTF-8; send JSON in UTF-8")
            })?;
            parse_json(&text).map_err(OpError::from)
        };
        // A large body takes long to read, and others wait meanwhile.
        let value = if max > BODY_BYTES_MAX { aside(parse).await?? } else { parse()? };
        Ok(Self { context, params, if_match, key, request, body: Some(value) })
    }
}

impl FromRequest<Arc<Context>> for Write {
    type Rejection = OpError;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, OpError> {
        Self::read(request, context, BODY_BYTES_MAX).await
    }
}

/// A request about many tasks.
pub(super) struct Bulky(pub Write);

impl FromRequest<Arc<Context>> for Bulky {
    type Rejection = OpError;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, OpError> {
        Write::read(request, context, BULKY_BYTES_MAX).await.map(Self)
    }
}

/// How large a body may be that is sent there.
pub(super) fn body_bytes_max(method: &Method, path: &str) -> usize {
    let bulky = *method == Method::POST && BULKY_ROUTES.contains(&path);
    if bulky { BULKY_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// Refuses a body that is larger than `max`.
pub(super) fn body_too_large(max: usize) -> OpError {
    let rule = format!("the body may have at most {max} bytes here; send less at once");
    OpError::new(ErrorCode::BodyTooLarge, rule)
}

fn hash(parts: &Parts, body: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(format!("{} {}\n", parts.method, parts.uri).as_bytes());
    hash.update(body);
    hash.digest128()
}

/// The part of a path that names something, decoded.
pub(super) struct Segment(pub String);

impl FromRequestParts<Arc<Context>> for Segment {
    type Rejection = OpError;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, OpError> {
        let wrong = |_| {
            let rule = "the path is not UTF-8; percent-encode the UTF-8 bytes of names";
            OpError::new(ErrorCode::InvalidPath, rule)
        };
        let params = RawPathParams::from_request_parts(parts, context).await.map_err(wrong)?;
        // A fixed path where a name could stand has no parameter: its last part is the name.
        let last = || parts.uri.path().rsplit('/').next().unwrap_or_default();
        let name = params.iter().next().map_or_else(last, |(_, name)| name);
        Ok(Self(name.to_owned()))
    }
}

/// JSON, however it is called.
fn check_type(headers: &HeaderMap) -> Result<(), OpError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = kind == "application/json"
        || kind.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"));
    if json {
        return Ok(());
    }
    let rule = "the body must be JSON with Content-Type: application/json";
    Err(OpError::new(ErrorCode::UnsupportedMediaType, rule))
}

async fn read_body(headers: &HeaderMap, body: Body, max: usize) -> Result<Vec<u8>, OpError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
    let read = tokio::time::timeout(BODY_LIMIT, collect(body, announced, max)).await;
    read.unwrap_or_else(|_late| {
        Err(OpError::new(ErrorCode::BodyTimeout, "the body took longer than 30 s; send it at once"))
    })
}

async fn collect(body: Body, announced: usize, max: usize) -> Result<Vec<u8>, OpError> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.min(max));
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_error| {
            OpError::new(ErrorCode::BadRequest, "the body was cut short; send the request again")
        })?;
        if bytes.len() + frame.len() > max {
            return Err(body_too_large(max));
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}
