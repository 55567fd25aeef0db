//! HTTP attempts: one request on a connection of its own.
//!
//! Connections are not kept, so that each attempt passes the gate between its connection and its
//! first byte. Names are looked up once, here, and only addresses that the guard lets through are
//! connected to. Redirects are not followed and no proxy is used: either would lead around the
//! guard.

mod guard;
mod start;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::sleep_until;

use super::attempt::Attempt;
use super::boot::BootInstant;
use super::control::{Control, STOPPED_EARLY, Stop, after, firmer, may_start, passed};
use super::outcome::{Outcome, Status};
use super::output::{KEPT_MAX_BYTES, Live};
use super::refs::resolve;
use crate::domain::task::HttpAction;
use crate::domain::time::Millis;
use guard::Guard;
use start::{Gated, Lookup, Start};

/// A target that is not connected to for so long has failed; in less time it was we who were late.
const CONNECT_FAIR: Millis = Millis(500);
/// Headers that belong to the connection, not to the definition.
const REFUSED_HEADERS: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];

/// Makes requests.
pub(super) struct Http {
    guard: Guard,
    /// Made when it is first needed: reading the machine's certificates takes its time.
    client: OnceCell<Client>,
}

/// How the exchange came to its end.
enum End {
    Answered,
    Broke(reqwest::Error),
    NotConnected,
    TimedOut,
    Stopped,
}

impl Http {
    pub(super) fn new(allow: &[String], own: Vec<(String, u16)>, loopback: bool) -> Self {
        Self { guard: Guard::new(allow, own, loopback), client: OnceCell::new() }
    }

    /// Makes the request and takes the answer, up to the time-out or a stop.
    pub(super) async fn attempt(
        &self,
        action: &HttpAction,
        attempt: &Attempt,
        control: Control,
        live: &Live,
    ) -> Outcome {
        let from = BootInstant::now();
        let mut stop = control.stop;
        // Looking up a name can take as long as connecting to it.
        let prepared = tokio::select! {
            biased;
            _asked = firmer(&mut stop, Stop::No) => return Outcome::cancelled(STOPPED_EARLY),
            prepared = self.prepare(action, attempt) => prepared,
            () = passed(attempt.start_by) => return not_connected(from),
        };
        let (client, request, addresses) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Outcome::failed(why),
        };
        // Looked at again when the connection stands; without leave now there need be none.
        if let Err(why) = may_start(&control.gate, attempt.start_by) {
            return Outcome::not_started(why);
        }
        let start =
            Arc::new(Start::new(&control.gate, attempt.start_by, addresses, control.started));
        let answer = Answer::default();
        let exchange = start::scope(&start, answer.take(client, request, live));
        let bounded = attempt.timeout.0 > 0;
        let end = tokio::select! {
            ended = exchange => ended.map_or_else(End::Broke, |()| End::Answered),
            () = start.overdue() => End::NotConnected,
            () = sleep_until(after(attempt.timeout)), if bounded => End::TimedOut,
            _asked = firmer(&mut stop, Stop::No) => End::Stopped,
        };
        answer.judge(end, &start, from, action, attempt)
    }

    async fn prepare(
        &self,
        action: &HttpAction,
        attempt: &Attempt,
    ) -> Result<(&Client, Request, Vec<SocketAddr>), String> {
        let url = Url::parse(&action.url).map_err(|error| format!("`{}`: {error}", action.url))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither http nor https", action.url));
        }
        let method = Method::from_bytes(action.method.as_bytes())
            .map_err(|_error| format!("`{}` is no HTTP method", action.method))?;
        let host = url.host_str().ok_or("the URL has no host")?.to_owned();
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &action.headers {
            add(&mut headers, name, &resolve(value).await?)?;
        }
        for (name, value) in attempt.headers() {
            add(&mut headers, name, &value)?;
        }
        let body = match &action.body {
            Some(body) => Some(resolve(body).await?),
            // These have no body by nature, and servers refuse one.
            None if method == Method::GET || method == Method::HEAD => None,
            None => {
                headers
                    .entry(header::CONTENT_TYPE)
                    .or_insert(HeaderValue::from_static("application/json"));
                Some(attempt.body())
            }
        };
        let addresses = self.guard.addresses(&host, port).await?;
        let client = self.client().await?;
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let request = request.build().map_err(|error| format!("no request: {}", root(&error)))?;
        Ok((client, request, addresses))
    }

    async fn client(&self) -> Result<&Client, String> {
        let made = self.client.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(make_client).await;
            made.map_err(|_panic| "the HTTP client cannot be made".to_owned())?
        });
        made.await
    }
}

/// What is known of the answer so far.
#[derive(Default)]
struct Answer {
    /// Zero: none yet.
    status: AtomicU16,
}

impl Answer {
    /// Sends the request and takes as much of the answer as is kept of any output.
    async fn take(
        &self,
        client: &Client,
        request: Request,
        live: &Live,
    ) -> Result<(), reqwest::Error> {
        let mut response = client.execute(request).await?;
        self.status.store(response.status().as_u16(), Ordering::Relaxed);
        if let Some(location) = response.headers().get(header::LOCATION)
            && response.status().is_redirection()
        {
            live.push(b"redirect, not followed: ");
            live.push(location.as_bytes());
            live.push(b"\n");
        }
        let mut room = KEPT_MAX_BYTES;
        while room > 0
            && let Some(bytes) = response.chunk().await?
        {
            live.push(&bytes);
            room = room.saturating_sub(bytes.len());
        }
        Ok(())
    }

    /// Says what the end means; see "Known and unknown outcomes" in the contract.
    fn judge(
        &self,
        end: End,
        start: &Start,
        from: BootInstant,
        action: &HttpAction,
        attempt: &Attempt,
    ) -> Outcome {
        let now = BootInstant::now();
        let status = Some(self.status.load(Ordering::Relaxed)).filter(|status| *status > 0);
        let Some(started) = start.started() else {
            return match end {
                End::Stopped => Outcome::cancelled(STOPPED_EARLY),
                End::TimedOut => Outcome::new(Status::Timeout, "not connected within the timeout"),
                End::NotConnected => not_connected(from),
                End::Broke(_) if let Some(why) = start.refused() => Outcome::not_started(why),
                End::Broke(error) => Outcome::failed(format!("not connected: {}", root(&error))),
                End::Answered => Outcome::failed("answered without a request"),
            };
        };
        let outcome = match (end, status) {
            (End::Answered, Some(code)) if expected(action, code) => {
                Outcome::new(Status::Success, format!("status {code}"))
            }
            // What was refused is refused, however the rest of the answer fared.
            (End::Answered | End::Broke(_), Some(code)) if !expected(action, code) => {
                Outcome::failed(unexpected(action, code))
            }
            (End::Broke(error), _) => {
                Outcome::new(Status::Lost, format!("the connection broke: {}", root(&error)))
            }
            (End::Stopped, _) => Outcome::cancelled("stopped; the request was under way"),
            (End::TimedOut, _) => {
                let detail = format!("no whole answer within {}", attempt.timeout);
                Outcome::new(Status::Timeout, detail)
            }
            (End::Answered | End::NotConnected, _) => Outcome::new(Status::Lost, "no answer"),
        };
        let known = matches!(outcome.status, Status::Success | Status::Failed);
        Outcome { unknown: !known, http_status: status, ..outcome }.timed(started, now)
    }
}

/// The time to start has passed, and since `from` there was no connection.
fn not_connected(from: BootInstant) -> Outcome {
    let waited = BootInstant::now().since(from);
    if waited < CONNECT_FAIR {
        Outcome::not_started("not connected in time to start")
    } else {
        Outcome::failed(format!("not connected within {waited}"))
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

/// The innermost cause; the outer ones repeat the URL, which may hold a password.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() { "unknown cause".to_owned() } else { cause.to_string() }
}

/// A client that trusts the machine's certificate authorities.
fn make_client() -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    // None at all: https then fails and says so; http needs none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("punctual/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .dns_resolver(Lookup)
        .connector_layer(Gated)
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", root(&error)))
}
