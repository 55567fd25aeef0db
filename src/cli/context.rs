//! What every command is handed: where the nodes are, and where to print.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::exit::{Exit, Failure};
use super::fetch::{ReplyKind, TypedReply, typed};
use super::local::{LocalClock, zone_to_show};
use super::output::{Format, Output};
use super::suggest::not_found;
use crate::client::{Client, ClientError, ErrorKind, Patience, Reply, path};
use crate::clock::own_time;
use crate::domain::error_code::ErrorCode;
use crate::dto::ClusterView;

/// A command that may show what one node knows waits so long for an answer that is confirmed by
/// the cluster, and so long again for the other.
const SHORT_WAIT: Duration = Duration::from_millis(900);

/// The header of an answer with the log index that it shows.
const INDEX: &str = "punctual-index";

/// Options that every command has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where a node's API is; several are tried in order [default: http://127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        env = "PUNCTUAL_SERVER",
        hide_env_values = true,
        value_name = "URL[,URL]",
        value_delimiter = ',',
        value_parser = read_server
    )]
    pub server: Vec<Url>,
    /// The form of what is printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Format,
    /// Leave out the heading of tables
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// Show what the node knows by itself, which may be old; it works without a leader
    #[arg(long, global = true)]
    pub stale: bool,
    /// Show times in UTC instead of this machine's zone
    #[arg(long, global = true)]
    pub utc: bool,
    /// The zone in which this process is told to show times.
    #[arg(long, global = true, env = "TZ", hide = true, value_name = "ZONE")]
    pub local_zone: Option<String>,
}

/// What every command is handed.
pub struct CliContext {
    /// Where to print.
    pub out: Output,
    /// The servers that were named; none: the default one.
    pub servers: Vec<Url>,
    client: OnceCell<Arc<Client>>,
    reading: Reading,
}

/// How fresh the answers to reads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    /// Confirmed by a majority; waited for.
    #[default]
    Confirmed,
    /// Confirmed if that is quick, else what the node knows.
    Either,
    /// What the node knows.
    Stale,
}

/// Where a node is looked for that nobody named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

impl CliContext {
    /// What these options say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let zone = match global.utc {
            true => "UTC".to_owned(),
            false => zone_to_show(global.local_zone.as_deref()),
        };
        let clock = LocalClock::new(&zone, own_time());
        let out = Output::standard(global.output, !global.no_headers, clock);
        Self::with(out, global.server.clone(), global.stale)
    }

    /// Prints here, and asks these servers, for what they know by themselves if `stale`.
    #[must_use]
    pub fn with(out: Output, servers: Vec<Url>, stale: bool) -> Self {
        let reading = if stale { Reading::Stale } else { Reading::Confirmed };
        Self { out, servers, client: OnceCell::new(), reading }
    }

    /// The client, made when it is first needed.
    ///
    /// # Errors
    /// Servers that no client can be made for.
    pub fn client(&self) -> Result<&Client, ClientError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.patient_client(Patience::default())?;
        Ok(self.client.get_or_init(|| Arc::new(client)))
    }

    /// The same, to be kept while something is printed.
    ///
    /// # Errors
    /// Servers that no client can be made for.
    pub fn own_client(&self) -> Result<Arc<Client>, ClientError> {
        self.client()?;
        self.client.get().cloned().ok_or_else(|| ClientError::Usage("no server".to_owned()))
    }

    /// A client of its own patience.
    ///
    /// # Errors
    /// Servers that no client can be made for.
    pub fn patient_client(&self, patience: Patience) -> Result<Client, ClientError> {
        let servers = match self.servers.is_empty() {
            true => Url::parse(DEFAULT_SERVER).into_iter().collect(),
            false => self.servers.clone(),
        };
        Client::new(servers, patience)
    }

    /// From now on reads show people what the node knows, if the cluster confirms nothing soon.
    /// Programs that read the answer are not given old data unasked.
    pub fn tolerate_stale(&mut self) {
        if self.reading == Reading::Confirmed && self.out.for_people() {
            self.reading = Reading::Either;
        }
    }

    /// Reads what is at a path.
    ///
    /// # Errors
    /// No good answer.
    pub async fn get(
        &mut self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Reply, ClientError> {
        if self.reading == Reading::Confirmed {
            return self.client()?.get(path, query).await;
        }
        if self.reading == Reading::Either {
            match self.client()?.get_soon(path, query, SHORT_WAIT).await {
                Err(error)
                    if error.kind() == ErrorKind::NotAccepted
                        && !matches!(error, ClientError::Unreachable(_)) =>
                {
                    self.reading = Reading::Stale;
                    let known = self.get_stale(path, query).await?;
                    self.warn_of_stale(&known).await;
                    return Ok(known);
                }
                other => return other,
            }
        }
        self.get_stale(path, query).await
    }

    /// What a read asks for beside its own parameters, for those who read by the client itself.
    #[must_use]
    pub fn freshness(&self) -> Vec<(&'static str, String)> {
        let stale = self.reading == Reading::Stale;
        stale.then(|| ("consistency", "stale".to_owned())).into_iter().collect()
    }

    async fn get_stale(&self, path: &str, query: &[(&str, String)]) -> Result<Reply, ClientError> {
        let mut query = query.to_vec();
        query.push(("consistency", "stale".to_owned()));
        self.client()?.get_soon(path, &query, SHORT_WAIT).await
    }

    /// Says that what follows is old, and whom to ask instead.
    async fn warn_of_stale(&mut self, known: &Reply) {
        let index = known.headers.get(INDEX).and_then(|index| index.to_str().ok());
        let index = index.map(|index| format!(" (log index {index})")).unwrap_or_default();
        let cluster = self.get_stale(&path(["cluster"]), &[]).await.ok();
        let cluster =
            cluster.and_then(|reply| typed::<ClusterView>(&reply.body, Exit::NotAccepted).ok());
        let own = cluster.as_ref().map_or("the node", |cluster| cluster.node.as_str()).to_owned();
        self.out.say(&format!(
            "stale: {own} has no contact with a leader; this is what it knows{index}"
        ));
        let members = cluster.map(|cluster| cluster.members).unwrap_or_default();
        let others = members.iter().filter(|member| member.name != own);
        let others: Vec<String> =
            others.map(|node| format!("{} {}", node.name, node.http).trim().to_owned()).collect();
        if !others.is_empty() {
            self.out.say(&format!("ask another node instead: {}", others.join(", ")));
        }
    }

    /// Reads one thing of a kind.
    ///
    /// # Errors
    /// No good answer, or it is of another kind.
    pub async fn read<T: ReplyKind>(
        &mut self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<TypedReply<T>, Failure> {
        let answer = self.get(path, query).await;
        self.typed(answer, path, Exit::NotAccepted).await
    }

    /// Sends a write whose answer is of a kind.
    ///
    /// # Errors
    /// No good answer, or it is of another kind: then what was done is not known.
    pub async fn send<T: ReplyKind>(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<TypedReply<T>, Failure> {
        let answer = self.client()?.send(method, path, query, body, &[]).await;
        self.typed(answer, path, Exit::Unknown).await
    }

    async fn typed<T: ReplyKind>(
        &mut self,
        answer: Result<Reply, ClientError>,
        path: &str,
        exit: Exit,
    ) -> Result<TypedReply<T>, Failure> {
        let Reply { status, body, .. } = self.found(answer, path).await?;
        let says = typed(&body, exit)?;
        Ok(TypedReply { status, body, says })
    }

    /// The answer, or what is said of a name that nothing has.
    async fn found(
        &mut self,
        answer: Result<Reply, ClientError>,
        path: &str,
    ) -> Result<Reply, Failure> {
        let what = match &answer {
            Err(ClientError::Refused(refusal)) => match refusal.known() {
                Some(ErrorCode::TaskNotFound) => Some(("task", refusal.code.clone())),
                Some(ErrorCode::NodeNotFound) => Some(("node", refusal.code.clone())),
                _ => None,
            },
            Ok(_) | Err(_) => None,
        };
        if let (Some((what, code)), Some(name)) = (what, named(path)) {
            return Err(not_found(what, &name, &code, self).await);
        }
        answer.map_err(Failure::from)
    }
}

/// The name in a path of the API: what follows the collection.
fn named(path: &str) -> Option<String> {
    let escaped = path.strip_prefix("/api/v1/")?.split('/').nth(1)?;
    let pair = format!("name={}", escaped.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, name)| name.into_owned())
}

/// Reads a server's address; `host:port` means http.
fn read_server(text: &str) -> Result<Url, String> {
    let whole =
        if text.contains("://") { text.to_owned() } else { format!("http://{}", text.trim()) };
    let url = Url::parse(&whole).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must be an http or https URL".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::{named, path, read_server};

    #[test]
    fn a_path_tells_the_name_that_it_is_about() {
        for name in ["hello", "a b", "ü/x", "a+b", "a%b"] {
            assert_eq!(named(&path(["tasks", name])).as_deref(), Some(name));
            assert_eq!(named(&path(["tasks", name, "why"])).as_deref(), Some(name));
        }
        assert_eq!(named(&path(["cluster"])), None);
    }

    #[test]
    fn servers_may_be_written_short() {
        for (text, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/"),
            ("localhost", "http://localhost/"),
            ("https://cron.example/prefix/", "https://cron.example/prefix/"),
        ] {
            assert_eq!(read_server(text).unwrap().as_str(), url);
        }
        for bad in ["", "ftp://x", "http://", "a b"] {
            assert!(read_server(bad).is_err(), "{bad}");
        }
    }
}
