//! A stream of events of one node.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::{Api, LIMIT, TestResult};

/// A stream lasts as long as its test.
const WITHOUT_END: Duration = Duration::from_secs(3_600);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamedEvent {
    /// What kind it is of.
    pub name: String,
    /// Where the stream goes on behind it.
    pub id: String,
    /// What it tells.
    pub data: Value,
}

/// An open stream.
#[derive(Debug)]
pub struct OpenStream {
    response: Response,
    received: String,
}

impl Api {
    /// Opens a stream, from an event's id on.
    ///
    /// # Errors
    /// Any answer that is not good: its status and its body.
    pub async fn follow(&self, path: &str, last: Option<&str>) -> TestResult<OpenStream> {
        let mut request = self.http().get(format!("{}{path}", self.base())).timeout(WITHOUT_END);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("{} {}", status.as_u16(), response.text().await?).into());
        }
        Ok(OpenStream { response, received: String::new() })
    }
}

impl OpenStream {
    /// The next event; none: the stream has ended.
    ///
    /// # Errors
    /// It breaks off, or nothing comes within [`LIMIT`].
    pub async fn next(&mut self) -> TestResult<Option<StreamedEvent>> {
        loop {
            if let Some(end) = self.received.find("\n\n") {
                let block: String = self.received.drain(..end + 2).collect();
                let field = |name: &str| {
                    let begin = format!("{name}: ");
                    block.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default()
                };
                if !field("event").is_empty() {
                    let (name, id) = (field("event").to_owned(), field("id").to_owned());
                    let data = serde_json::from_str(field("data"))?;
                    return Ok(Some(StreamedEvent { name, id, data }));
                }
                continue;
            }
            match timeout(LIMIT, self.response.chunk()).await?? {
                Some(bytes) => self.received.push_str(std::str::from_utf8(&bytes)?),
                None => return Ok(None),
            }
        }
    }

    /// The next event of a kind.
    ///
    /// # Errors
    /// It does not come.
    pub async fn next_of(&mut self, name: &str) -> TestResult<StreamedEvent> {
        loop {
            match self.next().await? {
                Some(event) if event.name == name => return Ok(event),
                Some(_other) => {}
                None => return Err(format!("the stream ended without {name}").into()),
            }
        }
    }
}
