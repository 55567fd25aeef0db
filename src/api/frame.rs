//! The layer around all routes: request ids, response headers, and errors in one format.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use crate::domain::error_code::ErrorCode;
use crate::telemetry::metrics::Metrics;

use super::error::{ErrorForm, PROBLEM, method_not_allowed};
use super::extract::{body_bytes_max, body_too_large};
use super::reply::INDEX_HEADER;
use crate::ops::OpError;
use crate::ops::context::Context;

/// The header with the request id, in responses and logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header by which clients recognize a node, even through a proxy.
const VERSION: HeaderName = HeaderName::from_static("punctual-version");
/// Maximum length of a caller's request id. Longer ids are replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The state of the layer around one router.
#[derive(Clone)]
pub(super) struct RequestFrame {
    context: Arc<Context>,
    /// The format of errors.
    form: ErrorForm,
}

impl RequestFrame {
    /// The layer of a router with this error format.
    pub fn of(context: &Arc<Context>, form: ErrorForm) -> Self {
        Self { context: Arc::clone(context), form }
    }
}

/// Handles a request and completes its response.
pub(super) async fn frame(
    State(RequestFrame { context, form }): State<RequestFrame>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let _answering = Answering::begin(&context.metrics);
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id);
    let response = answer(&context, form, request, next, &id).instrument(span).await;
    let metrics = &context.metrics;
    metrics.http_requests.inc(match response.status().as_u16() {
        ..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    });
    metrics.http_request_seconds.observe(begun.elapsed().as_secs_f64());
    response
}

/// Counts a request in flight. Dropped with the response, or when the client disconnects.
struct Answering(Metrics);

impl Answering {
    fn begin(metrics: &Metrics) -> Self {
        metrics.http_requests_in_flight.inc();
        Self(metrics.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.http_requests_in_flight.dec();
    }
}

/// Checks a request, runs its handler, and completes the response.
async fn answer(
    context: &Context,
    form: ErrorForm,
    request: Request,
    next: Next,
    id: &str,
) -> Response {
    let foreign = if context.settings.loopback { foreign_host(&request) } else { None };
    if let Some(problem) = foreign.or_else(|| cross_site(&request)) {
        return complete(context, form.render(&problem, id), id);
    }
    if let Some(problem) = too_large(&request) {
        let mut response = complete(context, form.render(&problem, id), id);
        // The body is not read, so the connection cannot be reused.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let mut response = run(request, next, id).await;
    let problem = match response.extensions_mut().remove::<OpError>() {
        Some(problem) => Some(problem),
        None => bare(&response),
    };
    if let Some(problem) = problem {
        let headers = std::mem::take(response.headers_mut());
        response = form.render(&problem, id);
        for name in [INDEX_HEADER, ALLOW] {
            if let Some(value) = headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    complete(context, response, id)
}

/// Runs the handler. A panic becomes an error response, and the log contains its location.
async fn run(request: Request, next: Next, id: &str) -> Response {
    let route = format!("{} {}", request.method(), request.uri().path());
    // Shared state is protected by locks that stay usable after a panic.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let panic = text.unwrap_or("no text");
            tracing::error!(route, panic, request = id, "a handler panicked");
            let why = "a fault of this node kept it from answering";
            OpError::new(ErrorCode::Internal, why).into_response()
        }
    }
}

/// An error response to a request that did not reach a router.
pub(super) fn refuse(problem: OpError, headers: &HeaderMap) -> Response {
    let id = request_id(headers);
    named(PROBLEM.render(&problem, &id), &id)
}

/// The error for a body whose announced length exceeds the limit of its route. It is returned
/// before the client sends the body (`100 Continue`), also for routes that read no body.
fn too_large(request: &Request) -> Option<OpError> {
    let max = body_bytes_max(request.method(), request.uri().path());
    let announced = request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse::<usize>().ok()?;
    (announced > max).then(|| body_too_large(max))
}

/// The error for a write that a browser sent on behalf of another site. There are no tokens, so any
/// web page could otherwise change a node on loopback.
fn cross_site(request: &Request) -> Option<OpError> {
    let site = request.headers().get("sec-fetch-site")?;
    let own = matches!(site.as_bytes(), b"same-origin" | b"none");
    let why = "a page of another site may not change anything here";
    (!own && !request.method().is_safe()).then(|| OpError::new(ErrorCode::CrossSite, why))
}

/// The error for a request with a foreign host name to a node on loopback. With DNS rebinding, a
/// site points its own name at this node, so that browsers treat the node as part of the site.
fn foreign_host(request: &Request) -> Option<OpError> {
    let named = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
    let named = named.chain(request.uri().host().map(str::as_bytes));
    let foreign = named.map(String::from_utf8_lossy).find(|host| !is_loopback(host))?;
    let why = format!(
        "`{foreign}` is no name of this machine's loopback, the only one where this node listens"
    );
    Some(OpError::new(ErrorCode::ForeignHost, why))
}

/// Whether a `Host` header is a loopback address, with or without a port.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    let v6 = bare.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || v6.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Converts an error response of the framework, which has no body, to an error.
fn bare(response: &Response) -> Option<OpError> {
    let status = response.status();
    let plain = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match status {
        StatusCode::METHOD_NOT_ALLOWED => method_not_allowed(response.headers().get(ALLOW)),
        StatusCode::NOT_FOUND => OpError::new(ErrorCode::RouteNotFound, "there is no such route"),
        StatusCode::PAYLOAD_TOO_LARGE => {
            OpError::new(ErrorCode::BodyTooLarge, "the body is too large")
        }
        other if other.is_client_error() => {
            let problem = OpError::new(ErrorCode::BadRequest, "the request cannot be read");
            problem.advise("Check its path, its query and its headers.")
        }
        _ => OpError::internal("a route failed"),
    })
}

fn complete(context: &Context, mut response: Response, id: &str) -> Response {
    let headers = response.headers_mut();
    if let (false, Some(running)) = (headers.contains_key(INDEX_HEADER), context.running.get()) {
        let applied = running.consensus.replica().applied();
        headers.insert(INDEX_HEADER, HeaderValue::from(applied));
    }
    headers.insert(VERSION, HeaderValue::from_static(context.settings.version));
    named(response, id)
}

/// Adds the headers of all responses.
fn named(mut response: Response, id: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Output of attempts is returned unchanged. Browsers must not interpret it as HTML.
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(HeaderName::from_static("x-content-type-options"), nosniff);
    response
}

/// The caller's request id if it is valid in a header, otherwise a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let usable = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    match given.filter(usable) {
        Some(id) => id.to_owned(),
        None => new_request_id(),
    }
}

/// A new random request id.
pub(super) fn new_request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The response for unknown routes.
pub(super) async fn not_found(uri: Uri) -> OpError {
    OpError::new(ErrorCode::RouteNotFound, format!("there is no route {}", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback_has_few_names() {
        for own in [
            "localhost",
            "LocalHost:8080",
            "localhost.:80",
            "a.b.localhost:1",
            "127.0.0.1",
            "127.9.9.9:8080",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for foreign in [
            "",
            ":8080",
            "example.com",
            "localhost.example.com:8080",
            "127.0.0.1.example.com",
            "notlocalhost",
            "10.0.0.1:8080",
            "0.0.0.0",
            "[::]:8080",
            "[fe80::1]",
            "localhost:80@example.com",
        ] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
