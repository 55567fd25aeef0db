//! The HTTP client of the command line and of tests that stand outside of a node.
//!
//! Any node answers any request, so a client has a list of servers and takes the first that does.
//! Each write carries an `Idempotency-Key`; that makes it safe to send it again, to another node
//! too, while the answer is 503, 504 or none at all. How long that goes on is bounded.
//!
//! Every answer of a node carries its version in a header. An answer without it comes from another
//! program and is never taken for an answer, whatever its status: see [`ServerOutcome::Foreign`].

mod error;
mod http;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;

pub use self::error::{ClientError, ErrorKind, FieldProblem, ServerRefusal};
pub use self::stream::{EventStream, ServerEvent};

/// The header that makes a repeated write the same write.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header that every answer of a node carries.
const VERSION: &str = "punctual-version";
/// First pause before a request is sent again; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause before a request is sent again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Parameters of a URL.
pub type Query<'a> = &'a [(&'a str, String)];

/// How long a client waits and repeats.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A request is not sent again after this.
    pub repeat_for: Duration,
    /// One answer is waited for so long.
    pub answer_within: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { repeat_for: Duration::from_secs(10), answer_within: Duration::from_secs(30) }
    }
}

/// A good answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status, below 400.
    pub status: u16,
    /// As they came.
    pub headers: HeaderMap,
    /// JSON; a text if the answer is no JSON, null if it is empty.
    pub body: Value,
    /// The same, as it came.
    pub raw: Bytes,
}

/// Talks to the nodes of a cluster.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    servers: Vec<Url>,
    /// Index of the server that answered last.
    preferred: AtomicUsize,
    patience: Patience,
}

/// One request, so that it can be sent again as it was.
struct PreparedRequest<'a> {
    method: Method,
    path: &'a str,
    query: Query<'a>,
    body: Option<Bytes>,
    headers: Vec<(String, String)>,
    /// How long one answer is waited for, if less than usual.
    wait: Option<Duration>,
}

impl<'a> PreparedRequest<'a> {
    fn get(path: &'a str, query: Query<'a>) -> Self {
        Self { method: Method::GET, path, query, body: None, headers: Vec::new(), wait: None }
    }
}

/// What became of sending a request to one server.
enum ServerOutcome {
    Answered(Reply),
    /// Not connected: nothing was handed over.
    Refused(String),
    /// Another program answered: no node was asked.
    Foreign(String),
    /// Handed over, and no whole answer came.
    Broke(String),
}

/// What became of a request on all servers.
struct RoundOutcome {
    /// An answer, if one came.
    answer: Option<Reply>,
    /// Whether a server may have carried it out without saying so.
    handed_over: bool,
    /// Why there is no answer.
    why: String,
}

/// The path of the API below `/api/v1`, each part escaped.
#[must_use]
pub fn path<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::from("/api/v1");
    for part in parts {
        out.push('/');
        // One way to escape a part, that of the form encoding, where only the space is special.
        let escaped: String = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
        out.push_str(&escaped.replace('+', "%20"));
    }
    out
}

/// The header that binds a write to a revision of what it changes.
#[must_use]
pub fn if_match(revision: u64) -> [(&'static str, String); 1] {
    [("If-Match", format!("\"{revision}\""))]
}

/// A client for single requests, without repeating anything. Without a limit an answer may take as
/// long as it likes.
///
/// # Errors
/// No TLS library, as a sentence.
pub fn plain(answer_within: Option<Duration>) -> Result<reqwest::Client, String> {
    http::make(answer_within)
}

impl Client {
    /// A client of these servers, the first one preferred.
    ///
    /// # Errors
    /// No server, a URL that is neither http nor https, or no TLS library.
    pub fn new(servers: Vec<Url>, patience: Patience) -> Result<Self, ClientError> {
        if servers.is_empty() {
            return Err(ClientError::Usage("no server is given".to_owned()));
        }
        if let Some(odd) = servers.iter().find(|url| !matches!(url.scheme(), "http" | "https")) {
            return Err(ClientError::Usage(format!("{odd} is neither http nor https")));
        }
        let http = http::make(Some(patience.answer_within)).map_err(ClientError::Usage)?;
        Ok(Self { http, servers, preferred: AtomicUsize::new(0), patience })
    }

    /// The servers that it asks.
    #[must_use]
    pub fn servers(&self) -> &[Url] {
        &self.servers
    }

    /// Reads what is at a path, such as one made by [`path`].
    ///
    /// # Errors
    /// No good answer; see [`ClientError`].
    pub async fn get(&self, path: &str, query: Query<'_>) -> Result<Reply, ClientError> {
        self.carry_out(PreparedRequest::get(path, query)).await
    }

    /// Reads what is at a path, asking each server once at most; a server that has not answered
    /// after `wait` is left.
    ///
    /// # Errors
    /// No good answer; see [`ClientError`].
    pub async fn get_soon(
        &self,
        path: &str,
        query: Query<'_>,
        wait: Duration,
    ) -> Result<Reply, ClientError> {
        let order = PreparedRequest { wait: Some(wait), ..PreparedRequest::get(path, query) };
        let round = self.round(&order).await;
        match round.answer {
            Some(reply) => judge(reply),
            None if round.handed_over => Err(ClientError::Broken(round.why)),
            None => Err(ClientError::Unreachable(round.why)),
        }
    }

    /// Writes: any other method, with a body if there is one. Further headers go on top.
    ///
    /// # Errors
    /// No good answer; [`ClientError::Unknown`] if it may have been carried out nevertheless.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
        headers: &[(&str, String)],
    ) -> Result<Reply, ClientError> {
        let key = format!("{:032x}", rand::random::<u128>());
        let mut all = vec![(IDEMPOTENCY_KEY.to_owned(), key)];
        if body.is_some() {
            let kind = match method {
                Method::PATCH => "application/merge-patch+json",
                _ => "application/json",
            };
            all.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        for (name, value) in headers {
            all.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            all.push(((*name).to_owned(), value.clone()));
        }
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.carry_out(PreparedRequest { method, path, query, body, headers: all, wait: None })
            .await
    }

    /// `POST` with a body.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, ClientError> {
        self.send(Method::POST, path, &[], Some(body), &[]).await
    }

    /// The servers, from the preferred one on.
    fn in_order(&self) -> impl Iterator<Item = &Url> {
        let first = self.preferred.load(Ordering::Relaxed) % self.servers.len();
        let (behind, from) = self.servers.split_at(first);
        from.iter().chain(behind)
    }

    /// From now on this server is asked first.
    fn prefer(&self, server: &Url) {
        if let Some(index) = self.servers.iter().position(|one| one == server) {
            self.preferred.store(index, Ordering::Relaxed);
        }
    }

    /// From now on the server behind the preferred one is asked first.
    fn leave(&self) {
        let _before = self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends until there is an answer that waiting does not change.
    async fn carry_out(&self, order: PreparedRequest<'_>) -> Result<Reply, ClientError> {
        let write = order.method != Method::GET;
        let give_up = Instant::now() + self.patience.repeat_for;
        let mut pause = PAUSE_FIRST;
        let mut handed_over = false;
        loop {
            let round = self.round(&order).await;
            handed_over |= round.handed_over;
            match round.answer {
                Some(reply) if !matches!(reply.status, 503 | 504) => return judge(reply),
                // Unreachable again, and the request was never handed over: a retry would not help.
                None if !handed_over => return Err(ClientError::Unreachable(round.why)),
                _ if Instant::now() + pause < give_up => {}
                _ if write && handed_over => return Err(ClientError::Unknown(round.why)),
                Some(reply) => return judge(reply),
                None => return Err(ClientError::Broken(round.why)),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks one server after the other, from the preferred one on, until one answers for good.
    async fn round(&self, order: &PreparedRequest<'_>) -> RoundOutcome {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut round = RoundOutcome { answer: None, handed_over: false, why: String::new() };
        let mut reasons = Vec::new();
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            let Some(server) = self.servers.get(index) else { continue };
            match self.ask(server, order).await {
                ServerOutcome::Answered(reply) => {
                    let later = matches!(reply.status, 503 | 504);
                    let refusal = ServerRefusal::read(reply.status, reply.body.clone());
                    round.handed_over |= later && refusal.kind() == ErrorKind::Unknown;
                    if later {
                        reasons.push(format!("{} {}", shown(server), refusal.detail));
                    }
                    round.answer = Some(reply);
                    if !later {
                        self.preferred.store(index, Ordering::Relaxed);
                        return round;
                    }
                }
                ServerOutcome::Refused(why) | ServerOutcome::Foreign(why) => {
                    reasons.push(format!("{} {why}", shown(server)));
                }
                ServerOutcome::Broke(why) => {
                    round.handed_over = true;
                    reasons.push(format!("{} {why}", shown(server)));
                }
            }
        }
        round.why = reasons.join("; ");
        round
    }

    async fn ask(&self, server: &Url, order: &PreparedRequest<'_>) -> ServerOutcome {
        let mut url = server.clone();
        url.set_path(&format!("{}{}", server.path().trim_end_matches('/'), order.path));
        if !order.query.is_empty() {
            url.query_pairs_mut().extend_pairs(order.query.iter().map(|(key, value)| (key, value)));
        }
        let mut request = self.http.request(order.method.clone(), url);
        for (name, value) in &order.headers {
            request = request.header(name, value);
        }
        if let Some(wait) = order.wait {
            request = request.timeout(wait);
        }
        if let Some(body) = &order.body {
            request = request.body(body.clone());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return ServerOutcome::Refused(http::reason(&error));
            }
            Err(error) if http::no_http(&error) => {
                return ServerOutcome::Foreign(
                    "is no punctual API: what it sends is no HTTP".to_owned(),
                );
            }
            Err(error) => return ServerOutcome::Broke(http::reason(&error)),
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        if !headers.contains_key(VERSION) {
            return foreign(status);
        }
        let raw = match response.bytes().await {
            Ok(raw) => raw,
            Err(error) => return ServerOutcome::Broke(http::reason(&error)),
        };
        let body = match serde_json::from_slice(&raw) {
            Ok(body) => body,
            Err(_) if raw.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&raw).into_owned()),
        };
        ServerOutcome::Answered(Reply { status, headers, body, raw })
    }
}

/// What another program's answer means. Those of a proxy whose node is away leave open whether the
/// node was reached.
fn foreign(status: u16) -> ServerOutcome {
    match status {
        502..=504 => {
            ServerOutcome::Broke(format!("is a proxy that reaches no node (status {status})"))
        }
        _ => ServerOutcome::Foreign(format!("is no punctual API: it answers with status {status}")),
    }
}

/// A server's address without what every address has.
fn shown(server: &Url) -> &str {
    let text = server.as_str().trim_end_matches('/');
    text.strip_prefix("http://").unwrap_or(text)
}

fn judge(reply: Reply) -> Result<Reply, ClientError> {
    if reply.status < 400 {
        return Ok(reply);
    }
    Err(ClientError::Refused(Box::new(ServerRefusal::read(reply.status, reply.body))))
}
