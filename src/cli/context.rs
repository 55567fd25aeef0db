//! What every command is handed: where the nodes are, and where to print.

use std::cell::OnceCell;

use clap::Args;
use url::Url;

use super::exit::Failure;
use super::local::{LocalClock, zone_to_show};
use super::output::{Format, Output};
use crate::client::{Client, Patience};
use crate::clock::own_time;

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
    /// Show times in UTC instead of this machine's zone
    #[arg(long, global = true)]
    pub utc: bool,
    /// The zone in which this process is told to show times.
    #[arg(long, global = true, env = "TZ", hide = true, value_name = "ZONE")]
    pub local_zone: Option<String>,
}

/// What every command is handed.
pub struct Context {
    /// Where to print.
    pub out: Output,
    /// The servers that were named; none: the default one.
    pub servers: Vec<Url>,
    client: OnceCell<Client>,
}

/// Where a node is looked for that nobody named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

impl Context {
    /// What these options say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let zone = match global.utc {
            true => "UTC".to_owned(),
            false => zone_to_show(global.local_zone.as_deref()),
        };
        let clock = LocalClock::new(&zone, own_time());
        let out = Output::standard(global.output, !global.no_headers, clock);
        Self::with(out, global.server.clone())
    }

    /// Prints here, and asks these servers.
    #[must_use]
    pub fn with(out: Output, servers: Vec<Url>) -> Self {
        Self { out, servers, client: OnceCell::new() }
    }

    /// The client, made when it is first needed.
    ///
    /// # Errors
    /// Servers that no client can be made for.
    pub fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let servers = match self.servers.is_empty() {
            true => Url::parse(DEFAULT_SERVER).into_iter().collect(),
            false => self.servers.clone(),
        };
        let client = Client::new(servers, Patience::default())?;
        Ok(self.client.get_or_init(|| client))
    }
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
    use super::read_server;

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
