//! `ui`: serves the web page apart from the nodes, on no vote and no data.
//!
//! Each request goes to a node, which makes the page; if one does not answer, to the next. What
//! changes something goes to one node only, unless that one was not reached at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;
use tokio::time::timeout;
use url::Url;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::signals::Signals;
use crate::api;
use crate::client::plain;
use crate::ui;

/// Maximum size of a form, in bytes.
const FORM_BYTES_MAX: usize = 1 << 20;
/// A node that does not begin to answer in this time is passed over.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Options of `ui`.
#[derive(Debug, Args)]
pub struct UiArgs {
    /// Where the page is served
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Show everything, and allow no change
    #[arg(long)]
    read_only: bool,
    /// Serve beyond loopback although anybody who reaches the address may then look, and act unless
    /// --read-only stands there
    #[arg(long)]
    insecure: bool,
}

/// The nodes, and which of them answered last.
struct Proxy {
    http: reqwest::Client,
    servers: Vec<Url>,
    last: AtomicUsize,
    loopback: bool,
    read_only: bool,
}

/// Serves the page until a signal comes.
pub async fn run(args: UiArgs, context: &mut CliContext) -> CommandResult {
    let listen = args.listen;
    let loopback = listen.ip().is_loopback();
    if !loopback && !args.insecure {
        let why = format!(
            "{listen} is not on loopback, and there are no tokens yet: anybody who reaches it could \
             use the page; add --insecure if the network keeps others out"
        );
        return Err(Failure::usage(why));
    }
    let servers = context.client()?.servers().to_vec();
    let http = plain(None).map_err(Failure::usage)?;
    let listener = TcpListener::bind(listen).await;
    let listener =
        listener.map_err(|error| Failure::usage(format!("cannot listen on {listen}: {error}")))?;
    let at = listener.local_addr().unwrap_or(listen);
    let mut signals = Signals::receive(&[SignalKind::interrupt(), SignalKind::terminate()]);
    let proxy =
        Proxy { http, servers, last: AtomicUsize::new(0), loopback, read_only: args.read_only };
    let router = Router::new().fallback(forward).with_state(Arc::new(proxy));
    context.out.say(&format!("the page is at http://{}", shown(at)));
    let (stop, stopping) = watch::channel(false);
    let serving = api::serve(listener, router, stopping, api::HttpLimits::default());
    tokio::select! {
        () = serving => {}
        () = signals.next() => {
            let _ended = stop.send(true);
        }
    }
    Ok(Exit::Ok)
}

/// An address that a browser can open.
fn shown(at: SocketAddr) -> String {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("127.0.0.1:{}", at.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("[::1]:{}", at.port()),
        _ => at.to_string(),
    }
}

/// Sends a request to a node, and its answer back.
async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Another site may point its own name here, and would then be this page for a browser.
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if proxy.loopback && !api::is_loopback(named) {
        return told(StatusCode::FORBIDDEN, "this page is served on loopback only");
    }
    if foreign(&parts.headers, named) && !parts.method.is_safe() {
        return told(StatusCode::FORBIDDEN, "a page of another site may not change anything here");
    }
    let path = parts.uri.path();
    if !is_page(path) {
        return told(StatusCode::NOT_FOUND, "there is no such page; the API is at the nodes");
    }
    let preferences = path == "/settings";
    if proxy.read_only && !parts.method.is_safe() && !preferences {
        return told(StatusCode::FORBIDDEN, "this page only shows, and changes nothing");
    }
    let Ok(body) = to_bytes(body, FORM_BYTES_MAX).await else {
        return told(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large");
    };
    let headers = passed_on(&parts.headers, proxy.read_only && !preferences);
    proxy.ask(&parts.method, &parts.uri, &headers, &body).await
}

/// Whether a browser sends this on behalf of another site.
fn foreign(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| origin.split_once("://").is_none_or(|(_, own)| own != host))
}

/// Whether this is an address of the page as it stands, and not only after something is resolved.
fn is_page(path: &str) -> bool {
    let plain = !path.starts_with("//") && !path.contains('\\');
    let dots = |segment: &str| {
        let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
        decoded == "." || decoded == ".."
    };
    plain && !path.split('/').any(dots) && ui::serves(path)
}

/// The same address at a node; none: it would be another one there.
fn at_node(server: &Url, uri: &Uri) -> Option<Url> {
    let mut url = server.clone();
    url.set_path(uri.path());
    url.set_query(uri.query());
    let same = url.host() == server.host() && url.path() == uri.path();
    same.then_some(url)
}

impl Proxy {
    /// Asks the node that answered last. If it cannot be reached, or does not serve yet, the next.
    async fn ask(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let first = self.last.load(Ordering::Relaxed);
        let mut why = told(StatusCode::BAD_GATEWAY, "no node answers");
        for turn in 0..self.servers.len() {
            let at = (first + turn) % self.servers.len();
            let Some(url) = self.servers.get(at).and_then(|server| at_node(server, uri)) else {
                return told(StatusCode::BAD_REQUEST, "this address means another one at a node");
            };
            let request = self.http.request(method.clone(), url).headers(headers.clone());
            let sent = timeout(HEAD_WITHIN, request.body(body.clone()).send()).await;
            // Whether it was done is not known, unless there was no connection.
            let unknown = match sent {
                Ok(Ok(answer)) => {
                    let status = answer.status();
                    let ready = status != StatusCode::SERVICE_UNAVAILABLE
                        && status != StatusCode::BAD_GATEWAY;
                    if ready || !method.is_safe() {
                        self.last.store(at, Ordering::Relaxed);
                        return given_back(answer);
                    }
                    why = given_back(answer);
                    false
                }
                Ok(Err(error)) => {
                    let text = format!("no node answers: {error}");
                    why = told(StatusCode::BAD_GATEWAY, &text);
                    !error.is_connect()
                }
                Err(_late) => {
                    why = told(StatusCode::GATEWAY_TIMEOUT, "no node answers in time");
                    true
                }
            };
            if unknown && !method.is_safe() {
                break;
            }
        }
        why
    }
}

/// The headers of a request that a node gets.
fn passed_on(headers: &HeaderMap, read_only: bool) -> HeaderMap {
    let mut passed = headers.clone();
    for own in [HOST, ORIGIN, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING] {
        passed.remove(own);
    }
    passed.remove(ui::READ_ONLY);
    if read_only {
        passed.insert(ui::READ_ONLY, HeaderValue::from_static("true"));
    }
    passed
}

/// The answer of a node, as it comes.
fn given_back(answer: reqwest::Response) -> Response {
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for own in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(own);
    }
    (status, headers, Body::from_stream(answer.bytes_stream())).into_response()
}

fn told(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_page_are_passed_on() {
        for (path, passed) in [
            ("/", true),
            ("/tasks", true),
            ("/tasks/a%2Bb/pause", true),
            ("/new", true),
            ("/executions/12/output", true),
            ("/settings", true),
            ("/api/v1/tasks", false),
            ("/metrics", false),
            ("//tasks/x", false),
            ("/tasks/../api/v1/tasks", false),
            ("/tasks/%2E%2e/api/v1/tasks", false),
            ("/tasks/.%2e/x", false),
            ("/tasks/./x", false),
            ("/tasks\\..\\api", false),
        ] {
            assert_eq!(is_page(path), passed, "{path}");
        }
        let server = Url::parse("http://10.0.0.1:8080/").unwrap();
        let uri: Uri = "/tasks/a%2Bb?zoom=1h".parse().unwrap();
        let url = at_node(&server, &uri).unwrap();
        assert_eq!(url.as_str(), "http://10.0.0.1:8080/tasks/a%2Bb?zoom=1h");
        let resolved: Uri = "/tasks/../api".parse().unwrap();
        assert_eq!(at_node(&server, &resolved), None);
    }

    #[test]
    fn a_form_of_another_origin_is_foreign() {
        for (origin, other) in [
            (None, false),
            (Some("http://127.0.0.1:8090"), false),
            (Some("http://127.0.0.1:8080"), true),
            (Some("https://other.example"), true),
            (Some("null"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(foreign(&headers, "127.0.0.1:8090"), other, "{origin:?}");
        }
    }
}
