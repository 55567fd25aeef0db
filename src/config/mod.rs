//! A node's settings: flag > environment (`PUNCTUAL__PEER__LISTEN`) > file > default.
//!
//! One table, `keys::KEYS`, says which keys there are, with default and comment; the loader, the
//! commented file of `config init` and `config show` all walk it, so they cannot disagree. Loading
//! goes in three steps, and every problem of all three is reported at once, with its line:
//!
//! 1. `source` lays flags, environment and file over the defaults, key by key, and remembers where
//!    each value came from;
//! 2. `reader` turns values into the types below;
//! 3. `check` looks at settings that must fit each other.
//!
//! The process is asked in two functions only, [`environment`] and [`read_file`]; tests give maps.

pub mod actions;
mod address;
mod check;
mod code;
mod definitions;
mod document;
mod error;
mod executors;
pub mod files;
mod keys;
mod level;
mod reader;
mod secret;
mod show;
mod source;
#[cfg(feature = "cli")]
pub mod watch;
#[cfg(feature = "cli")]
pub mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::actions::{AllowedTarget, KERNEL_FOLDERS, RefFiles, RefSettings, is_plain};
pub(crate) use self::address::{base_url, host_port};
pub use self::code::CodeSettings;
pub use self::definitions::{Defined, Definitions};
pub use self::error::{ConfigError, ConfigErrors};
pub use self::executors::{ExecutorSettings, HealthCheckSettings};
pub use self::level::LogLevel;
pub use self::secret::Secret;
pub use self::source::Flag;
use self::source::SettingValues;
use crate::domain::declared::Prune;
use crate::domain::task::Strategy;
use crate::domain::time::Millis;

/// Environment variables of settings begin with this.
pub const ENVIRONMENT_PREFIX: &str = "PUNCTUAL__";

/// Where settings come from.
pub struct Sources<'a> {
    /// From the command line; the last one of a key counts.
    pub flags: Vec<Flag>,
    /// The process's environment: settings, and what `${env:NAME}` refers to.
    pub environment: BTreeMap<String, String>,
    /// The settings file; none: there is none.
    pub file: Option<PathBuf>,
    /// Reads the settings file, and what `${file:PATH}` refers to.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl Sources<'static> {
    /// The sources of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Sources { flags, environment: environment(), file, read_file: &read_file }
    }
}

/// The environment of this process, but for what is no Unicode.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(unicode).collect()
}

/// The text of a file.
///
/// # Errors
/// Those of the file system, and files that are no UTF-8.
pub fn read_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// All settings of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[cluster]`
    pub cluster: ClusterSettings,
    /// `[node]`
    pub node: NodeSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[peer]`
    pub peer: PeerSettings,
    /// `[raft]`
    pub raft: RaftSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[metrics]`
    pub metrics: MetricsSettings,
    /// `[scheduler]`
    pub scheduler: SchedulerSettings,
    /// `[schedule]`
    pub schedule: ScheduleSettings,
    /// `[calendars]`
    pub calendars: CalendarSettings,
    /// `[tasks]`
    pub tasks: TaskFileSettings,
    /// `[executors]`
    pub executors: ExecutorSettings,
    /// `[actions]`
    pub actions: ActionSettings,
    /// `[limits]`
    pub limits: LimitSettings,
    /// As they were given, for [`Config::show`].
    settings: SettingValues,
}

/// What all nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Only nodes of one name talk to each other.
    pub name: String,
    /// Proved in every handshake between peers.
    pub secret: Option<Secret>,
    /// IANA name; for schedules that name no zone.
    pub timezone: String,
    /// Who forms the cluster at its first start, by id; at least this node.
    pub members: Vec<MemberSettings>,
}

/// One entry of `[[cluster.member]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSettings {
    /// Its `node.id`.
    pub id: u16,
    /// Where peers reach it: `host:port`, the host perhaps a name.
    pub peer: String,
    /// Where its API is reached: `http://host:port`.
    pub http: Option<String>,
}

/// This node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Which member it is.
    pub id: u16,
    /// All that it keeps.
    pub data_dir: PathBuf,
    /// Its share of the tasks; 0 owns none.
    pub weight: u32,
    /// Executions that it carries out at once; 0: no limit.
    pub slots: u32,
    /// For the selectors of tasks.
    pub labels: BTreeMap<String, String>,
}

impl NodeSettings {
    /// How this node is called in logs: `n1`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("n{}", self.id)
    }
}

/// The API and the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether they are served at all.
    pub enabled: bool,
    /// Where.
    pub listen: SocketAddr,
    /// Whether the operator accepts that anyone who reaches it may do anything.
    pub insecure: bool,
    /// Streams of output that may be open at once.
    pub streams: usize,
    /// Streams of events that may be open at once.
    pub event_readers: usize,
}

/// The links between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Where this node accepts them.
    pub listen: SocketAddr,
    /// Whether the operator accepts that anyone who reaches it may give commands.
    pub insecure: bool,
}

/// Consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// A leader speaks at least this often.
    pub heartbeat: Millis,
    /// A follower without a leader waits at least this long.
    pub election_min: Millis,
    /// And at most this long.
    pub election_max: Millis,
    /// Entries kept after a snapshot, for followers that lag.
    pub retained_log: u64,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
}

/// The node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How much is logged.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// Where to; none: standard error.
    pub file: Option<PathBuf>,
    /// When a new file begins.
    pub rotate: Rotate,
    /// Files kept; 0: all.
    pub keep: u32,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// When a new log file begins (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Never.
    Never,
    /// Each minute.
    Minute,
    /// Each hour.
    Hour,
    /// Each day.
    Day,
    /// Each week.
    Week,
}

/// The page for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Tasks that have series of their own.
    pub tasks: usize,
}

/// Whether ticks fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// False: the cluster starts stopped, on its first start only.
    pub enabled: bool,
    /// How tasks are given to nodes, from the first start of the cluster on.
    pub strategy: Strategy,
}

/// Bounds of task schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// The shortest interval.
    pub min_interval: Millis,
}

/// What the node declares to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarSettings {
    /// A file or folder of calendars.
    pub path: Option<PathBuf>,
}

/// The files of definitions that the node reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFileSettings {
    /// A file or folder of tasks and calendars.
    pub path: Option<PathBuf>,
    /// What becomes of what the files have no more.
    pub prune: Prune,
}

/// What executions may do on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSettings {
    /// Whether processes may be started.
    pub shell_enabled: bool,
    /// Where requests may go although it is loopback, link-local or the cluster's own.
    pub http_allow: Vec<AllowedTarget>,
    /// What references in definitions may yield.
    pub refs: RefSettings,
    /// How much of outputs is held and kept.
    pub output: OutputLimits,
}

/// How much of what attempts print is held and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of a running attempt's output that are held in memory: the newest. At least 64 KiB,
    /// which is what is read at once several times over.
    pub live_bytes: usize,
    /// Bytes of an attempt's output that are kept on disk; at least twice `live_bytes`.
    pub kept_bytes: usize,
    /// Bytes that the kept output of all attempts may take; the oldest goes first.
    pub quota_bytes: u64,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { live_bytes: 64 << 10, kept_bytes: 1 << 20, quota_bytes: 1 << 30 }
    }
}

/// The contract's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Ticks younger than this when settled are on time.
    pub failover_timeout: Millis,
    /// A node that is silent for this long loses its tasks.
    pub down_after: Millis,
    /// Clocks of a majority must agree within this.
    pub max_clock_skew: Millis,
    /// A granted attempt starts within this, or asks again.
    pub dispatch_ttl: Millis,
    /// Tasks whose next tick is farther away have no actor.
    pub activation_horizon: Millis,
}

impl Config {
    /// Loads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        Self::load_with(sources, CodeSettings::default())
    }

    /// Loads the settings, with those of an embedding program laid over them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn load_with(
        sources: &Sources<'_>,
        code: CodeSettings,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let Some(mut settings) = SettingValues::gather(sources, &mut errors) else {
            return Err(ConfigErrors::new(errors));
        };
        settings.add_code(code);
        let config = reader::read(settings, sources, &mut errors);
        check::check(&config, &mut errors);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors::new(errors)) }
    }

    /// Reads the text of a settings file, and nothing else but the files that `${file:PATH}` names.
    /// Those of an embedding program are laid over them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn from_toml(text: &str, code: CodeSettings) -> Result<Self, ConfigErrors> {
        let settings = Path::new("settings");
        let read_file = |path: &Path| {
            if path == settings { Ok(text.to_owned()) } else { std::fs::read_to_string(path) }
        };
        let sources = Sources {
            flags: Vec::new(),
            environment: BTreeMap::new(),
            file: Some(settings.to_owned()),
            read_file: &read_file,
        };
        Self::load_with(&sources, code)
    }

    /// What is wrong with a setting that cannot be told by the settings alone.
    #[must_use]
    pub fn refuse(&self, key: &str, message: &str) -> ConfigErrors {
        let setting = self.settings.get(key);
        let origin = setting.map_or(&source::Origin::Default, |setting| &setting.origin);
        ConfigErrors::new(vec![origin.error(key, message)])
    }

    /// The entry of `[[cluster.member]]` that is this node.
    #[must_use]
    pub fn this_member(&self) -> Option<&MemberSettings> {
        self.cluster.members.iter().find(|member| member.id == self.node.id)
    }

    /// Host and port of everything that listens for the cluster: the members of the settings, and
    /// this node, its API at `http`.
    #[must_use]
    pub fn listeners(&self, http: Option<SocketAddr>) -> Vec<(String, u16)> {
        let members = self.cluster.members.iter();
        let members =
            members.map(|member| (&*member.peer, member.http.as_deref().unwrap_or_default()));
        self.listeners_of(members, http)
    }

    /// The same of other members, each with its peer address and the URL of its API.
    pub fn listeners_of<'a>(
        &self,
        members: impl Iterator<Item = (&'a str, &'a str)>,
        http: Option<SocketAddr>,
    ) -> Vec<(String, u16)> {
        let members = members.flat_map(|(peer, url)| {
            [Some(peer), url.split_once("://").map(|(_, rest)| rest)].into_iter().flatten()
        });
        let members = members.filter_map(|addr| address::split(addr.trim_end_matches('/')));
        let here = http.into_iter().chain([self.peer.listen]);
        members
            .map(|(host, port)| (host.to_owned(), port))
            .chain(here.map(|addr| (addr.ip().to_string(), addr.port())))
            .collect()
    }

    /// Whether nothing but this machine can reach the node.
    #[must_use]
    pub fn loopback_only(&self) -> bool {
        let http = !self.http.enabled || self.http.listen.ip().is_loopback();
        http && self.peer.listen.ip().is_loopback()
    }

    /// The settings in force as TOML, secrets hidden; with `origin` each says where it is from.
    #[must_use]
    pub fn show(&self, origin: bool) -> String {
        show::show(&self.settings, origin)
    }

    /// A file with every key, its default and what it means.
    #[must_use]
    pub fn commented_default() -> String {
        show::commented_default()
    }
}
