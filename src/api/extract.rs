//! Extractors: the parts of a request that handlers receive.

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
use xxhash_rust::xxh3::Xxh3;

use crate::domain::error_code::ErrorCode;
use crate::domain::spec::parse_json;
use crate::exec::executor::{SIGNATURE_HEADER, SignatureError, verify};

use super::fields::BodyFields;
use super::params::{Params, idempotency_key, if_match};
use super::routes;
use crate::ops::OpError;
use crate::ops::caller::Caller;
use crate::ops::context::{Context, StateView};

/// The result of a handler.
pub(super) type HandlerResult = Result<Response, OpError>;

/// Maximum body size, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Maximum body size of requests about many tasks, in bytes.
const BULKY_BYTES_MAX: usize = 8 << 20;
/// The routes with that limit.
const BULKY_ROUTES: [&str; 2] = ["/api/v1/tasks/batch", "/api/v1/tasks/bulk"];
/// Time limit for receiving a body.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// A read request.
pub(super) struct ReadRequest {
    /// The context of the node.
    pub context: Arc<Context>,
    /// The query parameters.
    pub params: Params,
    /// The headers.
    pub headers: HeaderMap,
}

impl ReadRequest {
    /// The state, with the freshness that the request requires.
    pub async fn view(&self) -> Result<StateView, OpError> {
        self.context.view(self.params.freshness()?).await
    }
}

impl FromRequestParts<Arc<Context>> for ReadRequest {
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

/// A write request.
pub(super) struct WriteRequest {
    /// The caller.
    pub caller: Caller,
    /// The query parameters.
    pub params: Params,
    /// The body. `None` if it is empty.
    pub body: Option<Value>,
    /// What its signature is worth; none: callbacks are not to be signed.
    pub signed: Option<Result<(), SignatureError>>,
}

impl WriteRequest {
    /// The body, which is required.
    pub fn body(&self) -> Result<&Value, OpError> {
        self.body.as_ref().ok_or_else(|| OpError::new(ErrorCode::InvalidJson, "the body is empty"))
    }

    /// Rejects a body that contains any field.
    pub fn no_fields(&self) -> Result<(), OpError> {
        BodyFields::of::<()>(self.body.as_ref())?.done()
    }

    async fn read(request: Request, context: &Arc<Context>, max: usize) -> Result<Self, OpError> {
        context.running()?;
        let (parts, body) = request.into_parts();
        let params = Params::of(parts.uri.query(), routes::find(&parts))?;
        let if_match = if_match(&parts.headers)?;
        let key = idempotency_key(&parts.headers)?.map(str::to_owned);
        let bytes = read_body(&parts.headers, body, max).await?;
        let request = hash(&parts, &bytes);
        let signed = signed(context, &parts.headers, &bytes);
        let (context, fresh) = (Arc::clone(context), params.freshness()?);
        let caller = Caller { context, fresh, if_match, key, request };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { caller, params, body: None, signed });
        }
        check_type(&parts.headers)?;
        let parse = move || {
            let text = String::from_utf8(bytes)
                .map_err(|_error| OpError::new(ErrorCode::InvalidJson, "the body is not UTF-8"))?;
            parse_json(&text).map_err(OpError::from)
        };
        // Parsing a large body takes long, so it does not run on the async threads.
        let value =
            if max > BODY_BYTES_MAX { caller.context.scans.run(parse).await?? } else { parse()? };
        Ok(Self { caller, params, body: Some(value), signed })
    }
}

impl FromRequest<Arc<Context>> for WriteRequest {
    type Rejection = OpError;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, OpError> {
        Self::read(request, context, BODY_BYTES_MAX).await
    }
}

/// A write request about many tasks.
pub(super) struct Bulky(pub WriteRequest);

impl FromRequest<Arc<Context>> for Bulky {
    type Rejection = OpError;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, OpError> {
        WriteRequest::read(request, context, BULKY_BYTES_MAX).await.map(Self)
    }
}

/// Maximum body size for a method and path, in bytes.
pub(super) fn body_bytes_max(method: &Method, path: &str) -> usize {
    let bulky = *method == Method::POST && BULKY_ROUTES.contains(&path);
    if bulky { BULKY_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// The error for a body larger than `max` bytes.
pub(super) fn body_too_large(max: usize) -> OpError {
    let rule = format!("the body may have at most {max} bytes here");
    OpError::new(ErrorCode::BodyTooLarge, rule)
}

fn hash(parts: &Parts, body: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(format!("{} {}\n", parts.method, parts.uri).as_bytes());
    hash.update(body);
    hash.digest128()
}

/// The decoded path parameter.
pub(super) struct PathSegment(pub String);

impl FromRequestParts<Arc<Context>> for PathSegment {
    type Rejection = OpError;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, OpError> {
        let wrong = |_| {
            let rule = "the path is not UTF-8";
            OpError::new(ErrorCode::InvalidPath, rule)
        };
        let params = RawPathParams::from_request_parts(parts, context).await.map_err(wrong)?;
        // A fixed path that overlaps with `{name}` has no parameter. Its last segment is the name.
        let last = || parts.uri.path().rsplit('/').next().unwrap_or_default();
        let name = params.iter().next().map_or_else(last, |(_, name)| name);
        Ok(Self(name.to_owned()))
    }
}

/// What the signature of a body is worth; none: this node has no secret to check it by.
fn signed(
    context: &Context,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Result<(), SignatureError>> {
    let secret = context.settings.executor_secret.as_ref()?;
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let now = u64::try_from(context.clock.now().0 / 1_000).unwrap_or(0);
    Some(verify(secret.expose(), signature, body, now))
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
        Err(OpError::new(ErrorCode::BodyTimeout, "the body took longer than 30 s"))
    })
}

async fn collect(body: Body, announced: usize, max: usize) -> Result<Vec<u8>, OpError> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.min(max));
    while let Some(frame) = frames.next().await {
        let frame = frame
            .map_err(|_error| OpError::new(ErrorCode::BadRequest, "the body was cut short"))?;
        if bytes.len() + frame.len() > max {
            return Err(body_too_large(max));
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}
