//! HTTP attempts: one request on a connection of its own.
//!
//! The connection is made first, within the action's `connect_timeout`: a lost packet costs a
//! second, a slow handshake more. Then the clock and the gate are read, and the first byte is sent
//! immediately after. A connection that was made too late is kept for the next grant. Redirects are
//! not followed, because they would bypass the guard.

mod connect;
mod guard;

use std::error::Error;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use url::{Position, Url};

use super::attempt::GrantedAttempt;
use super::boot::BootInstant;
use super::control::{AttemptControl, LATE, STOPPED_EARLY, Stop, after, may_start, stop_above};
use super::outcome::{AttemptOutcome, AttemptStatus};
use super::output::LiveOutput;
use super::prepared::PreparedAttempt;
use super::shortage::SHORT;
use crate::config::AllowedTarget;
use crate::domain::task::HttpAction;
pub(super) use connect::HttpConnection;
use connect::{ConnectError, HttpConnector};
use guard::AddressGuard;

#[cfg(test)]
pub(super) use connect::{reach, tls_with};

/// Headers that belong to the connection, not to the definition.
const REFUSED_HEADERS: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];

/// Makes requests.
pub(super) struct HttpRunner {
    pub(super) connector: HttpConnector,
}

/// The end of a request and its answer.
enum ExchangeEnd {
    Answered,
    Broke(hyper::Error),
    TimedOut,
    Stopped,
}

impl HttpRunner {
    pub(super) fn new(allow: Vec<AllowedTarget>, own: Vec<(String, u16)>, loopback: bool) -> Self {
        Self { connector: HttpConnector::new(AddressGuard::new(allow, own, loopback)) }
    }

    /// The cluster listens here from now on.
    pub(super) fn set_own(&self, own: Vec<(String, u16)>) {
        self.connector.guard.set_own(own);
    }

    /// Makes the request of an action whose references are resolved, and takes the answer, up to
    /// the time-out or a stop.
    pub(super) async fn attempt(
        &self,
        action: &HttpAction,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &LiveOutput,
        ready: &mut PreparedAttempt,
    ) -> AttemptOutcome {
        let mut stop = control.stop;
        let (url, request) = match prepare(action, attempt) {
            Ok(prepared) => prepared,
            Err(why) => return AttemptOutcome::failed(why),
        };
        let time_out = (attempt.timeout.0 > 0).then(|| after(attempt.timeout));
        let held = ready.connection.take().and_then(|mut held| held.is_quiet().then_some(held));
        let connection = match held {
            Some(held) => held,
            None => tokio::select! {
                biased;
                _asked = stop_above(&mut stop, Stop::No) => return AttemptOutcome::cancelled(STOPPED_EARLY),
                made = self.connector.connect(&url) => match made {
                    Ok(made) => made,
                    Err(ConnectError::Failed(why)) => return AttemptOutcome::failed(why),
                    Err(ConnectError::Short) => {
                        ready.shortages += 1;
                        return AttemptOutcome::not_started(SHORT);
                    }
                },
                () = sleep_until(time_out.unwrap_or_else(Instant::now)), if time_out.is_some() => {
                    let detail = format!("not connected within the timeout of {}", attempt.timeout);
                    return AttemptOutcome::new(AttemptStatus::Timeout, detail);
                }
                () = sleep_until(after(action.connect_timeout)) => {
                    let limit = action.connect_timeout;
                    return AttemptOutcome::failed(format!("not connected within {limit}"));
                }
            },
        };
        let started = match may_start(&control.gate, attempt.start_by) {
            Ok(started) => started,
            Err(why) => {
                ready.connection = (why == LATE).then_some(connection);
                return AttemptOutcome::not_started(why);
            }
        };
        let answer = PartialResponse::default();
        let exchange = answer.take(connection, request, live);
        let _ = control.started.send(started);
        let end = tokio::select! {
            ended = exchange => ended.map_or_else(ExchangeEnd::Broke, |()| ExchangeEnd::Answered),
            () = sleep_until(time_out.unwrap_or_else(Instant::now)), if time_out.is_some() => {
                ExchangeEnd::TimedOut
            }
            _asked = stop_above(&mut stop, Stop::No) => ExchangeEnd::Stopped,
        };
        answer.judge(end, action, attempt).timed(started, BootInstant::now())
    }
}

/// The request, and the URL whose host it goes to.
fn prepare(
    action: &HttpAction,
    attempt: &GrantedAttempt,
) -> Result<(Url, Request<Full<Bytes>>), String> {
    let url = Url::parse(&action.url).map_err(|error| format!("`{}`: {error}", action.url))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{}` is neither http nor https", action.url));
    }
    let method = Method::from_bytes(action.method.as_bytes())
        .map_err(|_error| format!("`{}` is no HTTP method", action.method))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let agent = concat!("punctual/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    add(&mut headers, "host", &url[Position::BeforeHost..Position::AfterPort])?;
    for (name, value) in &action.headers {
        add(&mut headers, name, value)?;
    }
    for (name, value) in attempt.headers() {
        add(&mut headers, name, &value)?;
    }
    // These have no content by nature, and servers refuse some.
    let bare = method == Method::GET || method == Method::HEAD;
    let body = match &action.body {
        Some(body) => body.clone(),
        None if bare => String::new(),
        None => {
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            attempt.body()
        }
    };
    if !(bare && body.is_empty()) {
        // Also where it is 0: a server may wait for content, or refuse to guess.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = url[Position::BeforePath..Position::AfterQuery]
        .parse()
        .map_err(|error| format!("no request can be made for `{}`: {error}", action.url))?;
    *request.headers_mut() = headers;
    Ok((url, request))
}

/// The part of the answer that has arrived.
#[derive(Default)]
struct PartialResponse {
    /// Zero: none yet.
    status: AtomicU16,
}

impl PartialResponse {
    /// Sends the request and reads the answer, up to the size that is kept of an output.
    async fn take(
        &self,
        connection: HttpConnection,
        request: Request<Full<Bytes>>,
        live: &LiveOutput,
    ) -> Result<(), hyper::Error> {
        let stream = TokioIo::new(connection.into_stream());
        let (mut sender, connection) = http1::handshake(stream).await?;
        // Carries the bytes; it ends with this future.
        let mut carrier = JoinSet::new();
        carrier.spawn(connection);
        let response = sender.send_request(request).await?;
        self.status.store(response.status().as_u16(), Ordering::Relaxed);
        if let Some(location) = response.headers().get(header::LOCATION)
            && response.status().is_redirection()
        {
            live.push(b"redirect, not followed: ");
            live.push(location.as_bytes());
            live.push(b"\n");
        }
        let mut body = response.into_body();
        let mut room = live.kept_bytes();
        while room > 0
            && let Some(frame) = body.frame().await
        {
            if let Ok(bytes) = frame?.into_data() {
                live.push(&bytes);
                room = room.saturating_sub(bytes.len());
            }
        }
        Ok(())
    }

    /// Says what the end means; see "Known and unknown outcomes" in the contract.
    fn judge(
        &self,
        end: ExchangeEnd,
        action: &HttpAction,
        attempt: &GrantedAttempt,
    ) -> AttemptOutcome {
        let status = Some(self.status.load(Ordering::Relaxed)).filter(|status| *status > 0);
        let outcome = match (end, status) {
            (ExchangeEnd::Answered, Some(code)) if expected(action, code) => {
                AttemptOutcome::new(AttemptStatus::Success, format!("status {code}"))
            }
            // What was refused is refused, however the rest of the answer fared.
            (ExchangeEnd::Answered | ExchangeEnd::Broke(_), Some(code))
                if !expected(action, code) =>
            {
                AttemptOutcome::failed(unexpected(action, code))
            }
            (ExchangeEnd::Broke(error), _) => {
                AttemptOutcome::lost(format!("the connection broke: {}", root(&error)))
            }
            (ExchangeEnd::Stopped, _) => {
                AttemptOutcome::cancelled("stopped; the request was under way")
            }
            (ExchangeEnd::TimedOut, _) => {
                let detail = format!("no whole answer within {}", attempt.timeout);
                AttemptOutcome::new(AttemptStatus::Timeout, detail)
            }
            (ExchangeEnd::Answered, _) => AttemptOutcome::lost("no answer"),
        };
        let known = matches!(outcome.status, AttemptStatus::Success | AttemptStatus::Failed);
        AttemptOutcome { unknown: !known, http_status: status, ..outcome }
    }
}

fn expected(action: &HttpAction, code: u16) -> bool {
    action.expect_status.iter().any(|(low, high)| (*low..=*high).contains(&code))
}

fn unexpected(action: &HttpAction, code: u16) -> String {
    let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
    let ranges: Vec<String> = action
        .expect_status
        .iter()
        .map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") })
        .collect();
    format!("status {code} {}, expected {}", reason.unwrap_or(""), ranges.join(", "))
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let key = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_error| format!("`{name}` is no name of a header"))?;
    if REFUSED_HEADERS.contains(&key) {
        return Err(format!("the header `{name}` is not a definition's to set"));
    }
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_error| format!("the header `{name}` cannot have a line break in it"))?;
    headers.insert(key, value);
    Ok(())
}

/// The innermost cause.
fn root(error: &hyper::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
