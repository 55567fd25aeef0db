//! HTTP attempts: one request on a connection of its own.
//!
//! The connection is made first, within the action's `connect_timeout`: a lost packet costs a
//! second, a slow handshake more. Then the clock and the gate are read, and the first byte is sent
//! immediately after. A connection that was made too late is kept for the next grant. Redirects are
//! not followed, because they would bypass the guard.
//!
//! [`HttpRunner::exchange`] is what every request of an attempt has in common; the executor
//! protocol uses it too. [`HttpRunner::call`] makes the requests that start nothing.

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
use crate::domain::time::Millis;
pub(super) use connect::HttpConnection;
use connect::{ConnectError, HttpConnector};
use guard::{AddressError, AddressGuard};

#[cfg(test)]
pub(super) use connect::{reach, tls_with};

/// Headers that belong to the connection, not to the definition.
const REFUSED_HEADERS: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];

/// Makes requests.
pub(super) struct HttpRunner {
    pub(super) connector: HttpConnector,
}

/// The end of a request that was sent.
pub(super) enum ExchangeEnd {
    /// It was answered.
    Answered,
    /// The connection broke before the answer was whole.
    Broke(hyper::Error),
    /// The answer was not whole in time.
    TimedOut,
    /// It was asked to stop before the answer was whole.
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
        match self.exchange(action, attempt, control, live, ready).await {
            Ok(exchange) => judge(exchange.end, exchange.status, action, attempt)
                .timed(exchange.started, BootInstant::now()),
            Err(outcome) => outcome,
        }
    }

    /// Makes a request, and takes the answer up to the time-out or a stop.
    ///
    /// # Errors
    /// The outcome, if no byte of it was sent.
    pub(super) async fn exchange(
        &self,
        action: &HttpAction,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        answer: &impl AnswerSink,
        ready: &mut PreparedAttempt,
    ) -> Result<HttpExchange, AttemptOutcome> {
        let mut stop = control.stop;
        let (url, request) = prepare(action, attempt).map_err(AttemptOutcome::failed)?;
        let time_out = (attempt.timeout.0 > 0).then(|| after(attempt.timeout));
        let held = ready.connection.take().filter(|held| held.leads_to(&url));
        let held = held.and_then(|mut held| held.is_quiet().then_some(held));
        let connection = match held {
            Some(held) => held,
            None => tokio::select! {
                biased;
                _asked = stop_above(&mut stop, Stop::No) => return Err(AttemptOutcome::cancelled(STOPPED_EARLY)),
                made = self.connector.connect(&url) => match made {
                    Ok(made) => made,
                    Err(ConnectError::Failed(why)) => return Err(AttemptOutcome::failed(why)),
                    Err(ConnectError::Short) => {
                        ready.shortages += 1;
                        return Err(AttemptOutcome::not_started(SHORT));
                    }
                },
                () = sleep_until(time_out.unwrap_or_else(Instant::now)), if time_out.is_some() => {
                    let detail = format!("not connected within the timeout of {}", attempt.timeout);
                    return Err(AttemptOutcome::new(AttemptStatus::Timeout, detail));
                }
                () = sleep_until(after(action.connect_timeout)) => {
                    let limit = action.connect_timeout;
                    return Err(AttemptOutcome::failed(format!("not connected within {limit}")));
                }
            },
        };
        let started = match may_start(&control.gate, attempt.start_by) {
            Ok(started) => started,
            Err(why) => {
                ready.connection = (why == LATE).then_some(connection);
                return Err(AttemptOutcome::not_started(why));
            }
        };
        let status = AtomicU16::new(0);
        let exchange = take(&status, connection, request, answer);
        let _ = control.started.send(started);
        let end = tokio::select! {
            // An answer that has come is told, whatever else is wanted.
            biased;
            ended = exchange => ended.map_or_else(ExchangeEnd::Broke, |()| ExchangeEnd::Answered),
            () = sleep_until(time_out.unwrap_or_else(Instant::now)), if time_out.is_some() => {
                ExchangeEnd::TimedOut
            }
            _asked = stop_above(&mut stop, Stop::No) => ExchangeEnd::Stopped,
        };
        let status = Some(status.into_inner()).filter(|status| *status > 0);
        Ok(HttpExchange { end, status, started })
    }

    /// Makes a request that starts nothing, such as a probe, within a time: the status of the
    /// answer, whose content goes to `answer`.
    ///
    /// # Errors
    /// A sentence that says why there is no answer.
    pub(super) async fn call(
        &self,
        action: &HttpAction,
        limit: Millis,
        answer: &impl AnswerSink,
    ) -> Result<u16, String> {
        let (url, request) = assemble(action, &[], String::new)?;
        let calling = async {
            let connection = self.connector.connect(&url).await.map_err(|error| match error {
                ConnectError::Failed(why) => why,
                ConnectError::Short => SHORT.to_owned(),
            })?;
            let status = AtomicU16::new(0);
            let taken = take(&status, connection, request, answer).await;
            match status.into_inner() {
                0 => Err(taken.err().map_or_else(|| "no answer".to_owned(), |why| root(&why))),
                status => Ok(status),
            }
        };
        let called = tokio::time::timeout(limit.std(), calling).await;
        called.unwrap_or_else(|_elapsed| Err(format!("no answer within {limit}")))
    }

    /// Why the guard refuses the host of a URL. A name that is unknown here is not refused: it may
    /// be known to other nodes, or later.
    pub(super) async fn refused(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        match self.connector.guard.addresses(host, port).await {
            Err(AddressError::Refused(why)) => Some(why),
            Ok(_) | Err(AddressError::Unknown(_) | AddressError::Short) => None,
        }
    }
}

/// A request that was sent, and what came of it.
pub(super) struct HttpExchange {
    /// How it ended.
    pub(super) end: ExchangeEnd,
    /// The status of the answer, once there was one.
    pub(super) status: Option<u16>,
    /// When its first byte was sent.
    pub(super) started: BootInstant,
}

/// Where the content of an answer goes.
pub(super) trait AnswerSink {
    /// How many bytes are wanted; the rest is not read.
    fn room(&self) -> usize;
    /// Takes the next bytes.
    fn push(&self, bytes: &[u8]);
}

impl AnswerSink for LiveOutput {
    fn room(&self) -> usize {
        self.kept_bytes()
    }

    fn push(&self, bytes: &[u8]) {
        self.push(bytes);
    }
}

/// The request, and the URL whose host it goes to.
fn prepare(
    action: &HttpAction,
    attempt: &GrantedAttempt,
) -> Result<(Url, Request<Full<Bytes>>), String> {
    assemble(action, &attempt.headers(), || attempt.body())
}

/// The request with these headers after its own, and this body if it has none of its own.
fn assemble(
    action: &HttpAction,
    headers_last: &[(&'static str, String)],
    default_body: impl FnOnce() -> String,
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
    for (name, value) in headers_last {
        add(&mut headers, name, value)?;
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
            default_body()
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

/// Sends the request and reads the answer, up to the size that is wanted of it. The status is
/// stored as soon as it is known.
async fn take(
    status: &AtomicU16,
    connection: HttpConnection,
    request: Request<Full<Bytes>>,
    answer: &impl AnswerSink,
) -> Result<(), hyper::Error> {
    let stream = TokioIo::new(connection.into_stream());
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Carries the bytes; it ends with this future.
    let mut carrier = JoinSet::new();
    carrier.spawn(connection);
    let response = sender.send_request(request).await?;
    status.store(response.status().as_u16(), Ordering::Relaxed);
    if let Some(location) = response.headers().get(header::LOCATION)
        && response.status().is_redirection()
    {
        answer.push(b"redirect, not followed: ");
        answer.push(location.as_bytes());
        answer.push(b"\n");
    }
    let mut body = response.into_body();
    let mut room = answer.room();
    while room > 0
        && let Some(frame) = body.frame().await
    {
        if let Ok(bytes) = frame?.into_data() {
            answer.push(&bytes);
            room = room.saturating_sub(bytes.len());
        }
    }
    Ok(())
}

/// Says what the end means; see "Known and unknown outcomes" in the contract.
fn judge(
    end: ExchangeEnd,
    status: Option<u16>,
    action: &HttpAction,
    attempt: &GrantedAttempt,
) -> AttemptOutcome {
    let outcome = match (end, status) {
        (ExchangeEnd::Answered, Some(code)) if expected(action, code) => {
            AttemptOutcome::new(AttemptStatus::Success, format!("status {code}"))
        }
        // What was refused is refused, however the rest of the answer fared.
        (ExchangeEnd::Answered | ExchangeEnd::Broke(_), Some(code)) if !expected(action, code) => {
            AttemptOutcome::failed(unexpected(action, code))
        }
        (end, _) => end.without_answer(attempt),
    };
    let known = matches!(outcome.status, AttemptStatus::Success | AttemptStatus::Failed);
    AttemptOutcome { unknown: !known, http_status: status, ..outcome }
}

impl ExchangeEnd {
    /// The outcome of a request that was sent and has no answer that counts.
    pub(super) fn without_answer(self, attempt: &GrantedAttempt) -> AttemptOutcome {
        let outcome = match self {
            Self::Broke(error) => {
                AttemptOutcome::lost(format!("the connection broke: {}", root(&error)))
            }
            Self::Stopped => AttemptOutcome::cancelled("stopped; the request was under way"),
            Self::TimedOut => {
                let detail = format!("no whole answer within {}", attempt.timeout);
                AttemptOutcome::new(AttemptStatus::Timeout, detail)
            }
            Self::Answered => AttemptOutcome::lost("no answer"),
        };
        AttemptOutcome { unknown: true, ..outcome }
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
