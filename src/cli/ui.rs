//! `ui`: serves the web page apart from the nodes, on no vote and no data.
//!
//! Each request goes to a node, which makes the page; if one does not answer, to the next. What
//! changes something goes to one node only, unless that one was not reached at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use url::Url;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::signals::Signals;
use crate::api;
use crate::client::plain;
use crate::ui;

/// Maximum size of a form, in bytes.
const FORM_BYTES_MAX: usize = 1 << 20;

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
    tokio::select! {
        ended = axum::serve(listener, router) => match ended {
            Ok(()) => Ok(Exit::Ok),
            Err(error) => Err(Failure::usage(error.to_string())),
        },
        () = signals.next() => Ok(Exit::Ok),
    }
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
    if !ui::serves(parts.uri.path()) {
        return told(StatusCode::NOT_FOUND, "there is no such page; the API is at the nodes");
    }
    let preferences = parts.uri.path() == "/settings";
    if proxy.read_only && !parts.method.is_safe() && !preferences {
        return told(StatusCode::FORBIDDEN, "this page only shows, and changes nothing");
    }
    let Ok(body) = to_bytes(body, FORM_BYTES_MAX).await else {
        return told(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large");
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers = passed_on(&parts.headers, proxy.read_only && !preferences);
    proxy.ask(&parts.method, path, &headers, &body).await
}

impl Proxy {
    /// Asks the node that answered last, and if it cannot be reached the next.
    async fn ask(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response {
        let first = self.last.load(Ordering::Relaxed);
        let mut why = String::new();
        for turn in 0..self.servers.len() {
            let at = (first + turn) % self.servers.len();
            let Some(url) = self.servers.get(at).and_then(|server| server.join(path).ok()) else {
                continue;
            };
            let request = self.http.request(method.clone(), url).headers(headers.clone());
            match request.body(body.clone()).send().await {
                Ok(answer) => {
                    self.last.store(at, Ordering::Relaxed);
                    return given_back(answer);
                }
                Err(error) => {
                    why = error.to_string();
                    // Whether it was done is not known.
                    if !method.is_safe() && !error.is_connect() {
                        break;
                    }
                }
            }
        }
        told(StatusCode::BAD_GATEWAY, &format!("no node answers: {why}"))
    }
}

/// The headers of a request that a node gets.
fn passed_on(headers: &HeaderMap, read_only: bool) -> HeaderMap {
    let mut passed = headers.clone();
    for own in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING] {
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
