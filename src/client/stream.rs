//! Events of a server, as they come: a stream that goes on at another node where it broke off.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{
    Client, ClientError, PAUSE_FIRST, PAUSE_MAX, Query, ServerRefusal, VERSION, http, shown,
};

/// A server that sends nothing for this long, not even a comment, is left.
const SILENT_MAX: Duration = Duration::from_secs(45);
/// The library bounds whole answers; a stream has no end.
const WITHOUT_END: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A longer event is none of a node.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The body of an answer, as it comes.
#[derive(Debug)]
pub struct Download(Response);

impl Download {
    /// Waits for the next piece; none: the answer ends.
    ///
    /// # Errors
    /// It breaks off, or nothing comes for too long.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        match timeout(SILENT_MAX, self.0.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(ClientError::Broken(http::reason(&error))),
            Err(_late) => Err(ClientError::Broken("the server sends nothing any more".to_owned())),
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// What kind it is of.
    pub name: String,
    /// Where a stream goes on behind it; none: where it did before.
    pub id: Option<String>,
    /// What it tells.
    pub data: Value,
}

/// A stream of events. It connects when the first event is asked for, and again, from the last id
/// on, whenever the connection ends.
#[derive(Debug)]
pub struct EventStream<'a> {
    client: &'a Client,
    path: String,
    query: Vec<(&'static str, String)>,
    last: Option<String>,
    open: Option<Response>,
    received: BytesMut,
}

/// What became of opening a stream at one server.
enum StreamOpening {
    Open(Response),
    /// It says no, and another one would too.
    Refused(ServerRefusal),
    /// Another one, or the same one later, may open it.
    Later(String, Option<ServerRefusal>),
}

impl Client {
    /// A stream of events at a path, such as one made by [`super::path`].
    #[must_use]
    pub fn events(&self, path: String, query: Vec<(&'static str, String)>) -> EventStream<'_> {
        let (last, open, received) = (None, None, BytesMut::new());
        EventStream { client: self, path, query, last, open, received }
    }

    /// The body of the answer at a path, however long it is and takes.
    ///
    /// # Errors
    /// A node says no, or no node answers for as long as the client repeats requests.
    pub async fn download(&self, path: &str, query: Query<'_>) -> Result<Download, ClientError> {
        self.open_any(path, query, None).await.map(Download)
    }

    /// Opens a stream at one of the servers.
    async fn open_any(
        &self,
        path: &str,
        query: Query<'_>,
        last: Option<&str>,
    ) -> Result<Response, ClientError> {
        let give_up = Instant::now() + self.patience.repeat_for;
        let mut pause = PAUSE_FIRST;
        loop {
            let mut reasons = Vec::new();
            let mut said = None;
            for server in self.in_order() {
                match self.open(server, path, query, last).await {
                    StreamOpening::Open(response) => {
                        self.prefer(server);
                        return Ok(response);
                    }
                    StreamOpening::Refused(refusal) => {
                        return Err(ClientError::Refused(Box::new(refusal)));
                    }
                    StreamOpening::Later(why, refusal) => {
                        reasons.push(why);
                        said = said.or(refusal);
                    }
                }
            }
            if Instant::now() + pause >= give_up {
                return Err(match said {
                    Some(refusal) => ClientError::Refused(Box::new(refusal)),
                    None => ClientError::Unreachable(reasons.join("; ")),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn open(
        &self,
        server: &Url,
        path: &str,
        query: Query<'_>,
        last: Option<&str>,
    ) -> StreamOpening {
        let mut request = self.http.get(located(server, path, query)).timeout(WITHOUT_END);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let later = |why: &str| StreamOpening::Later(format!("{} {why}", shown(server)), None);
        let response = match timeout(self.patience.answer_within, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return later(&http::reason(&error)),
            Err(_late) => return later("gives no answer in time"),
        };
        let status = response.status().as_u16();
        if !response.headers().contains_key(VERSION) {
            return later(&format!("is no punctual API: it answers with status {status}"));
        }
        if status < 400 {
            return StreamOpening::Open(response);
        }
        let Ok(Ok(raw)) = timeout(self.patience.answer_within, response.bytes()).await else {
            return later("breaks off its answer");
        };
        let body = serde_json::from_slice(&raw).unwrap_or(Value::Null);
        let refusal = ServerRefusal::read(status, body);
        match status {
            503 | 504 => {
                let why = format!("{} {}", shown(server), refusal.detail);
                StreamOpening::Later(why, Some(refusal))
            }
            _ => StreamOpening::Refused(refusal),
        }
    }
}

fn located(server: &Url, path: &str, query: Query<'_>) -> Url {
    let mut url = server.clone();
    url.set_path(&format!("{}{path}", server.path().trim_end_matches('/')));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query.iter().map(|(key, value)| (key, value)));
    }
    url
}

impl EventStream<'_> {
    /// Waits for the next event of a stream without an end.
    ///
    /// # Errors
    /// A node says no, or no node answers for as long as the client repeats requests.
    pub async fn next(&mut self) -> Result<ServerEvent, ClientError> {
        loop {
            if let Some(event) = self.next_or_end().await? {
                return Ok(event);
            }
            self.client.leave();
        }
    }

    /// Whether a node has said where the stream goes on.
    #[must_use]
    pub const fn began(&self) -> bool {
        self.last.is_some()
    }

    /// Waits for the next event; none: a node says that the stream ends.
    ///
    /// # Errors
    /// Those of [`Self::next`].
    pub async fn next_or_end(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            while let Some(block) = self.block() {
                let (id, event) = parse(&block);
                if id.is_some() {
                    self.last = id;
                }
                if event.is_some() {
                    return Ok(event);
                }
            }
            let Some(response) = &mut self.open else {
                let last = self.last.as_deref();
                self.open = Some(self.client.open_any(&self.path, &self.query, last).await?);
                continue;
            };
            match timeout(SILENT_MAX, response.chunk()).await {
                Ok(Ok(Some(bytes))) if self.received.len() < EVENT_BYTES_MAX => {
                    self.received.extend_from_slice(&bytes);
                }
                Ok(Ok(None)) if self.received.is_empty() => {
                    self.open = None;
                    return Ok(None);
                }
                // Half an event is none: it comes again, whole.
                _broken => {
                    self.open = None;
                    self.received.clear();
                    self.client.leave();
                }
            }
        }
    }

    /// The next whole event of what was received.
    fn block(&mut self) -> Option<String> {
        let end = self.received.windows(2).position(|two| two == b"\n\n")?;
        let block = self.received.split_to(end + 2);
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

/// Where the stream goes on behind a block, if it says so, and its event; none: it is a comment.
fn parse(block: &str) -> (Option<String>, Option<ServerEvent>) {
    let (mut name, mut id, mut data) = (None, None, String::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "id" => id = Some(value.to_owned()),
            "data" => data.push_str(value),
            _ => {}
        }
    }
    let data = serde_json::from_str(&data).unwrap_or(Value::Null);
    let event = name.map(|name| ServerEvent { name, id: id.clone(), data });
    (id, event)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_are_no_events() {
        assert_eq!(parse(":\n\n"), (None, None));
        assert_eq!(parse(":\nid: 7\n\n"), (Some("7".to_owned()), None));
        let (_, event) = parse("event: output\nid: 2-40\ndata: {\"text\":\"a\"}\n\n");
        let event = event.unwrap();
        let wanted = ("output", Some("2-40"), json!({"text": "a"}));
        assert_eq!((event.name.as_str(), event.id.as_deref(), event.data), wanted);
    }
}
