//! What a handler is given of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::Revision;
use crate::domain::machine::command::TakeKey;
use crate::domain::machine::{Answer, Command, Refusal};
use crate::domain::spec::parse_json;
use crate::life;

use super::context::{Context, View};
use super::error::Problem;
use super::params::{Params, idempotency_key, if_match};

/// What a handler gives back.
pub(super) type Reply = Result<Response, Problem>;

/// Largest body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of a request about thousands of tasks.
const BULKY_BYTES_MAX: usize = 8 << 20;
/// So much of a body that is too large is read and thrown away, so that its sender hears why.
const DRAIN_BYTES_MAX: usize = 64 << 20;
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
    pub async fn view(&self) -> Result<View, Problem> {
        self.context.view(self.params.freshness()?).await
    }
}

impl FromRequestParts<Arc<Context>> for Read {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, Problem> {
        context.running()?;
        let params = Params::parse(parts.uri.query());
        Ok(Self { context: Arc::clone(context), params, headers: parts.headers.clone() })
    }
}

/// A request that changes something.
pub(super) struct Write {
    /// The node.
    pub context: Arc<Context>,
    /// The query.
    pub params: Params,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
    /// The caller's idempotency key. It stands for one command, so two routes that ask for
    /// different things cannot share it; a request of several commands calls
    /// [`Write::take_key`] first.
    pub key: Option<String>,
    /// A hash of the route with its query, and the body as it came.
    request: u128,
    /// The body; none: it is empty.
    pub body: Option<Value>,
}

impl Write {
    /// The state with all that was acknowledged before.
    pub async fn view(&self) -> Result<View, Problem> {
        let fresh = self.params.freshness()?;
        self.context.view(super::context::Freshness { stale: false, ..fresh }).await
    }

    /// The body, which must be there.
    pub fn body(&self) -> Result<&Value, Problem> {
        self.body.as_ref().ok_or_else(|| {
            Problem::new("invalid_json", "the body is empty; a JSON value is needed")
        })
    }

    /// Proposes a command under the caller's key; a refusal becomes a problem.
    pub async fn submit(&self, command: &Command) -> Result<Answer, Problem> {
        Ok(self.try_submit(command).await??)
    }

    /// Proposes a command under the caller's key.
    pub async fn try_submit(&self, command: &Command) -> Result<Result<Answer, Refusal>, Problem> {
        self.context.submit(command, self.key.as_deref()).await
    }

    /// Notes in the log what the caller's key stands for, for a request of several commands; they
    /// follow under keys made of it.
    ///
    /// # Errors
    /// `idempotency_key_reused`; those of [`Write::submit`].
    pub async fn take_key(&self) -> Result<(), Problem> {
        if self.key.is_some() {
            self.submit(&Command::TakeKey(TakeKey { request: self.request })).await?;
        }
        Ok(())
    }

    async fn read(request: Request, context: &Arc<Context>, max: usize) -> Result<Self, Problem> {
        context.running()?;
        let params = Params::parse(request.uri().query());
        let if_match = if_match(request.headers())?;
        let key = idempotency_key(request.headers())?.map(str::to_owned);
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, max).await?;
        let request = hash(&parts, &bytes);
        let context = Arc::clone(context);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { context, params, if_match, key, request, body: None });
        }
        check_type(&parts.headers)?;
        let parse = move || {
            let text = String::from_utf8(bytes)
                .map_err(|_error| Problem::new("invalid_json", "the body is not UTF-8"))?;
            parse_json(&text).map_err(Problem::from)
        };
        // A large body takes long to read, and others wait meanwhile.
        let value = if max > BODY_BYTES_MAX {
            let parsed = life::blocking(parse).await;
            parsed.map_err(|_panicked| Problem::internal("the body could not be read"))??
        } else {
            parse()?
        };
        Ok(Self { context, params, if_match, key, request, body: Some(value) })
    }
}

impl FromRequest<Arc<Context>> for Write {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Problem> {
        Self::read(request, context, BODY_BYTES_MAX).await
    }
}

/// A request about many tasks.
pub(super) struct Bulky(pub Write);

impl FromRequest<Arc<Context>> for Bulky {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Problem> {
        Write::read(request, context, BULKY_BYTES_MAX).await.map(Self)
    }
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
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, context).await;
        let wrong = |_| Problem::new("invalid_path", "the path must be percent-encoded UTF-8");
        path.map(|Path(name)| Self(name)).map_err(wrong)
    }
}

/// JSON, however it is called.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = kind == "application/json"
        || kind.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"));
    if json {
        return Ok(());
    }
    let rule = "the body must be JSON with Content-Type: application/json";
    Err(Problem::new("unsupported_media_type", rule))
}

async fn read_body(headers: &HeaderMap, body: Body, max: usize) -> Result<Vec<u8>, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
    let read = tokio::time::timeout(BODY_LIMIT, collect(body, announced, max)).await;
    read.unwrap_or_else(|_late| Err(Problem::new("body_timeout", "the body took too long")))
}

async fn collect(body: Body, announced: usize, max: usize) -> Result<Vec<u8>, Problem> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.min(max));
    let mut total = 0_usize;
    while let Some(frame) = frames.next().await {
        let frame =
            frame.map_err(|_error| Problem::new("bad_request", "the body was cut short"))?;
        total = total.saturating_add(frame.len());
        if total > DRAIN_BYTES_MAX {
            break;
        }
        if total <= max {
            bytes.extend_from_slice(&frame);
        }
    }
    if total > max {
        let rule = format!("the body may have at most {max} bytes");
        return Err(Problem::new("body_too_large", rule));
    }
    Ok(bytes)
}
