//! From values to types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Value;

use super::actions::{AllowedTarget, RefFiles, RefNames, RefSettings};
use super::error::ConfigError;
use super::keys::{KEYS, LABELS, MEMBERS, SECRETS};
use super::secret::{Secret, reference};
use super::source::{Origin, SettingValue, SettingValues};
use super::{
    ActionSettings, CalendarSettings, ClusterSettings, Config, ExecutorSettings,
    HealthCheckSettings, HttpSettings, LimitSettings, LogFormat, LogLevel, LogSettings,
    MemberSettings, MetricsSettings, NodeSettings, OutputLimits, PeerSettings, RaftSettings,
    Rotate, ScheduleSettings, SchedulerSettings, Sources, TaskFileSettings, address, executors,
};
use crate::domain::assign::WEIGHT_MAX;
use crate::domain::declared::Prune;
use crate::domain::machine::record::AUTOMATIC_LABELS;
use crate::domain::schedule::{MIN_INTERVAL, zone};
use crate::domain::spec::{self, check_label, check_name, closest};
use crate::domain::task::Strategy;
use crate::domain::time::Millis;

/// Longest duration of a setting.
const DURATION_MAX: Millis = Millis::from_secs(86_400);
/// Longest silence of an executor.
const YEAR: Millis = Millis::from_secs(365 * 86_400);

/// Reads every setting; where one has a problem, the result carries some value.
pub(super) fn read(
    settings: SettingValues,
    sources: &Sources<'_>,
    errors: &mut Vec<ConfigError>,
) -> Config {
    let mut reader = SettingsReader { settings: &settings, errors };
    reader.refuse_later();
    let (http, peer) = (reader.http(), reader.peer());
    let node = reader.node();
    let cluster = reader.cluster(&node, &http, &peer, sources);
    let (raft, log, limits) = (reader.raft(), reader.log(), reader.limits());
    let scheduler = SchedulerSettings {
        enabled: reader.flag("scheduler.enabled"),
        strategy: reader.checked("scheduler.strategy", Strategy::default(), |word| {
            spec::strategy(&word.into()).map_err(|problem| problem.message)
        }),
    };
    let min_interval = reader.duration("schedule.min_interval", MIN_INTERVAL..=DURATION_MAX);
    let executors = reader.executors(sources);
    let actions = reader.actions(sources);
    let schedule = ScheduleSettings { min_interval };
    let metrics = MetricsSettings { tasks: reader.whole("metrics.tasks", 0..=1_000_000) };
    let calendars = CalendarSettings { path: reader.path("calendars.path") };
    let tasks = TaskFileSettings {
        path: reader.path("tasks.path"),
        prune: reader.checked("tasks.prune", Prune::Disable, |word| match word.as_str() {
            "disable" => Ok(Prune::Disable),
            "delete" => Ok(Prune::Delete),
            _ => Err("must be disable or delete".to_owned()),
        }),
    };
    Config {
        cluster,
        node,
        http,
        peer,
        raft,
        log,
        metrics,
        scheduler,
        schedule,
        calendars,
        tasks,
        executors,
        actions,
        limits,
        settings,
    }
}

struct SettingsReader<'a> {
    settings: &'a SettingValues,
    errors: &'a mut Vec<ConfigError>,
}

impl SettingsReader<'_> {
    /// A path; an empty one: none.
    fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.checked(key, None, |path| match path.as_str() {
            "" => Ok(None),
            path => Ok(Some(PathBuf::from(path))),
        })
    }

    fn cluster(
        &mut self,
        node: &NodeSettings,
        http: &HttpSettings,
        peer: &PeerSettings,
        sources: &Sources<'_>,
    ) -> ClusterSettings {
        let mut members = self.members();
        if members.is_empty() {
            let http = http.enabled.then(|| format!("http://{}", http.listen));
            members.push(MemberSettings { id: node.id, peer: peer.listen.to_string(), http });
        }
        ClusterSettings {
            name: self
                .checked("cluster.name", String::new(), |name| check_name(&name).map(|()| name)),
            secret: self.secret("cluster.secret", sources),
            timezone: self.checked("cluster.timezone", String::new(), |name| {
                zone::canonical(&name).map_err(|error| error.message)
            }),
            members,
        }
    }

    fn node(&mut self) -> NodeSettings {
        NodeSettings {
            id: self.whole("node.id", 1..=i64::from(u16::MAX)),
            data_dir: self.checked("node.data_dir", PathBuf::new(), |path| match path.as_str() {
                "" => Err("must not be empty".to_owned()),
                path => Ok(PathBuf::from(path)),
            }),
            weight: self.whole("node.weight", 0..=i64::from(WEIGHT_MAX)),
            slots: self.whole("node.slots", 0..=i64::from(u32::MAX)),
            labels: self.labels(),
        }
    }

    fn http(&mut self) -> HttpSettings {
        HttpSettings {
            enabled: self.flag("http.enabled"),
            listen: self.listen("http.listen"),
            insecure: self.flag("http.insecure"),
            streams: self.whole("http.streams", 0..=1_000),
            event_readers: self.whole("http.event_readers", 0..=8_000),
        }
    }

    fn peer(&mut self) -> PeerSettings {
        PeerSettings { listen: self.listen("peer.listen"), insecure: self.flag("peer.insecure") }
    }

    fn raft(&mut self) -> RaftSettings {
        let time = Millis(10)..=Millis::from_secs(60);
        RaftSettings {
            heartbeat: self.duration("raft.heartbeat", time.clone()),
            election_min: self.duration("raft.election_min", time.clone()),
            election_max: self.duration("raft.election_max", time),
            retained_log: self.whole("raft.retained_log", 1_000..=i64::MAX),
            snapshot_every: self.whole("raft.snapshot_every", 1..=i64::MAX),
        }
    }

    fn log(&mut self) -> LogSettings {
        LogSettings {
            level: self.checked("log.level", LogLevel::default(), |text| LogLevel::parse(&text)),
            format: self.checked("log.format", LogFormat::Auto, |format| match format.as_str() {
                "auto" => Ok(LogFormat::Auto),
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err(format!("must be auto, text or json, got {format:?}")),
            }),
            file: self.checked("log.file", None, |path| {
                Ok((!path.is_empty()).then(|| PathBuf::from(path)))
            }),
            rotate: self.checked("log.rotate.every", Rotate::Never, |every| {
                match Millis::parse(&every)?.0 / 1_000 {
                    0 => Ok(Rotate::Never),
                    60 => Ok(Rotate::Minute),
                    3_600 => Ok(Rotate::Hour),
                    86_400 => Ok(Rotate::Day),
                    604_800 => Ok(Rotate::Week),
                    _ => Err(format!("must be 1m, 1h, 1d, 7d, or 0s for never, got {every:?}")),
                }
            }),
            keep: self.whole("log.rotate.keep", 0..=i64::from(u32::MAX)),
        }
    }

    fn limits(&mut self) -> LimitSettings {
        let time = Millis(10)..=DURATION_MAX;
        LimitSettings {
            failover_timeout: self.duration("limits.failover_timeout", time.clone()),
            down_after: self.duration("limits.down_after", time.clone()),
            max_clock_skew: self.duration("limits.max_clock_skew", time.clone()),
            dispatch_ttl: self.duration("limits.dispatch_ttl", time.clone()),
            activation_horizon: self.duration("limits.activation_horizon", time),
        }
    }

    fn executors(&mut self, sources: &Sources<'_>) -> ExecutorSettings {
        let time = Millis::from_secs(1)..=DURATION_MAX;
        let threshold = 1..=1_000;
        ExecutorSettings {
            callback_base: self
                .checked("executors.callback_base", None, |url| executors::callback_base(&url)),
            dispatch_wait: self.duration("executors.dispatch_wait", time.clone()),
            max_silence: self.duration("executors.max_silence", Millis::from_secs(1)..=YEAR),
            secret: self.secret("executors.secret", sources),
            health_check: HealthCheckSettings {
                enabled: self.flag("executors.health_check.enabled"),
                interval: self.duration("executors.health_check.interval", time),
                timeout: self.duration(
                    "executors.health_check.timeout",
                    Millis(100)..=Millis::from_secs(60),
                ),
                failure_threshold: self
                    .whole("executors.health_check.failure_threshold", threshold.clone()),
                recovery_threshold: self
                    .whole("executors.health_check.recovery_threshold", threshold),
            },
        }
    }

    fn secret(&mut self, path: &str, sources: &Sources<'_>) -> Option<Secret> {
        self.checked(path, None, |written| match written.as_str() {
            "" => Ok(None),
            written => Secret::resolve(written, sources).map(Some),
        })
    }

    /// Refuses values of what this version has not built.
    fn refuse_later(&mut self) {
        for key in KEYS.iter().filter(|key| key.later) {
            let path = key.path();
            let Some(setting) = self.settings.get(&path) else { continue };
            if key.default.parse::<Value>().ok().as_ref() != Some(&setting.value) {
                let message = format!("is not supported yet; leave it out, or {}", key.default);
                self.errors.push(setting.origin.error(&path, message));
            }
        }
    }

    fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.settings.get(path).map_or(&Origin::Default, |setting| &setting.origin);
        self.errors.push(origin.error(path, message));
    }

    /// The value under `path` as `read` gives it; what that refuses is an error and `instead`.
    fn value<T>(
        &mut self,
        path: &str,
        instead: T,
        read: impl FnOnce(&SettingValue) -> Result<T, String>,
    ) -> T {
        let Some(setting) = self.settings.get(path) else {
            self.refuse(path, "has no default");
            return instead;
        };
        read(setting).unwrap_or_else(|message| {
            self.refuse(path, message);
            instead
        })
    }

    /// A text that `check` turns into what it means.
    fn checked<T>(
        &mut self,
        path: &str,
        instead: T,
        check: impl FnOnce(String) -> Result<T, String>,
    ) -> T {
        self.value(path, instead, |setting| match &setting.value {
            Value::String(text) => check(text.clone()),
            // The value of a secret is not for the terminal, whatever its type.
            other if SECRETS.contains(&path) => {
                Err(format!("must be text in quotes, got {}", kind(other)))
            }
            other => Err(wrong("text in quotes", other)),
        })
    }

    fn flag(&mut self, path: &str) -> bool {
        self.value(path, false, |setting| match &setting.value {
            Value::Boolean(flag) => Ok(*flag),
            other => Err(wrong("true or false", other)),
        })
    }

    fn whole<T: TryFrom<i64> + Default>(&mut self, path: &str, range: RangeInclusive<i64>) -> T {
        self.value(path, T::default(), |setting| whole(&setting.value, &range))
    }

    fn duration(&mut self, path: &str, range: RangeInclusive<Millis>) -> Millis {
        self.checked(path, *range.start(), |text| {
            let length = Millis::parse(&text)?;
            if range.contains(&length) {
                return Ok(length);
            }
            Err(format!("must be {} to {}, got {length}", range.start(), range.end()))
        })
    }

    fn listen(&mut self, path: &str) -> SocketAddr {
        let instead = SocketAddr::from(([127, 0, 0, 1], 0));
        self.checked(path, instead, |text| address::listen(&text))
    }

    /// A list of texts, each turned into what it means; an error names the item's line.
    fn list<T>(
        &mut self,
        path: &str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(setting) = self.settings.get(path) else { return Vec::new() };
        let Value::Array(items) = &setting.value else {
            self.refuse(path, wrong(&format!("a list of {what}"), &setting.value));
            return Vec::new();
        };
        let mut out = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let parsed = match item {
                Value::String(text) => parse(text).map_err(|rule| format!("{rule}, got {text:?}")),
                other => Err(wrong(&format!("a list of {what}"), other)),
            };
            match parsed {
                Ok(parsed) => out.push(parsed),
                Err(rule) => self.errors.push(item_origin(setting, index).error(path, rule)),
            }
        }
        out
    }

    fn actions(&mut self, sources: &Sources<'_>) -> ActionSettings {
        let written = |path| self.settings.get(path).and_then(|secret| secret.value.as_str());
        let references = SECRETS.into_iter().filter_map(written).filter_map(reference);
        let (files, env): (Vec<_>, Vec<_>) = references.partition(|(kind, _)| *kind == "file");
        // The settings file may hold a secret as it is.
        let secret_files =
            files.into_iter().map(|(_, path)| PathBuf::from(path)).chain(sources.file.clone());
        let secret_files = secret_files.collect();
        let secret_env = env.into_iter().map(|(_, name)| name.to_owned()).collect();
        ActionSettings {
            shell_enabled: self.flag("actions.shell.enabled"),
            http_allow: self.list(
                "actions.http.allow",
                "hosts, host:port, addresses or networks",
                AllowedTarget::parse,
            ),
            refs: RefSettings {
                files: self.list("actions.refs.files", "paths", RefFiles::parse),
                env: self.list("actions.refs.env", "names of variables", RefNames::parse),
                secret_files,
                secret_env,
            },
            output: OutputLimits {
                live_bytes: self.whole("actions.output.live_bytes", 65_536..=16_777_216),
                kept_bytes: self.whole("actions.output.kept_bytes", 131_072..=1_073_741_824),
                quota_bytes: self.whole("actions.output.quota_bytes", 0..=i64::MAX),
            },
        }
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        self.value(LABELS, BTreeMap::new(), |setting| {
            let Value::Table(fields) = &setting.value else {
                return Err(wrong("a table such as { zone = \"eu-1\" }", &setting.value));
            };
            let mut out = BTreeMap::new();
            for (key, value) in fields {
                let Value::String(value) = value else {
                    return Err(format!("{key} {}", wrong("text in quotes", value)));
                };
                check_label(key, value).map_err(|rule| format!("{key} {rule}"))?;
                if AUTOMATIC_LABELS.contains(&key.as_str()) {
                    return Err(format!("{key} is set by the node itself"));
                }
                out.insert(key.clone(), value.clone());
            }
            Ok(out)
        })
    }

    fn members(&mut self) -> Vec<MemberSettings> {
        let Some(setting) = self.settings.get(MEMBERS) else { return Vec::new() };
        let Value::Array(items) = &setting.value else {
            self.refuse(MEMBERS, format!("must be written as [[{MEMBERS}]]"));
            return Vec::new();
        };
        let mut out = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let origin = item_origin(setting, index);
            match member(item) {
                Ok(member) => out.push(member),
                Err(rules) => {
                    let errors = rules.iter().map(|rule| origin.error(MEMBERS, rule));
                    self.errors.extend(errors);
                }
            }
        }
        out
    }
}

/// Where the item of a list stands.
pub(super) fn item_origin(setting: &SettingValue, index: usize) -> Origin {
    match (&setting.origin, setting.item_lines.get(index)) {
        (Origin::File { name, .. }, Some(line)) => Origin::File { name: name.clone(), line: *line },
        (origin, _) => origin.clone(),
    }
}

/// Reads one `[[cluster.member]]`, or everything that is wrong with it.
fn member(item: &Value) -> Result<MemberSettings, Vec<String>> {
    const FIELDS: [&str; 3] = ["id", "peer", "http"];
    let Value::Table(fields) = item else { return Err(vec![wrong("a table", item)]) };
    let mut rules = Vec::new();
    for key in fields.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
        rules.push(match closest(key, FIELDS) {
            Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
            None => format!("unknown key `{key}`; known here: {}", FIELDS.join(", ")),
        });
    }
    let mut note = |key: &str, rule: String| rules.push(format!("{key} {rule}"));
    let id = match fields.get("id") {
        None => Err("is needed".to_owned()),
        Some(value) => whole(value, &(1..=i64::from(u16::MAX))),
    };
    let id = id.map_err(|rule| note("id", rule)).unwrap_or_default();
    let mut text = |key: &str, check: fn(&str) -> Result<(), String>| match fields.get(key) {
        None => None,
        Some(Value::String(text)) => {
            let checked = check(text).map_err(|rule| note(key, format!("{rule}, got {text:?}")));
            checked.ok().map(|()| text.clone())
        }
        Some(other) => {
            note(key, wrong("text in quotes", other));
            None
        }
    };
    let peer = text("peer", address::host_port);
    let http = text("http", address::base_url);
    if !fields.contains_key("peer") {
        note("peer", "is needed".to_owned());
    }
    if rules.is_empty() {
        Ok(MemberSettings { id, peer: peer.unwrap_or_default(), http })
    } else {
        Err(rules)
    }
}

fn whole<T: TryFrom<i64>>(value: &Value, range: &RangeInclusive<i64>) -> Result<T, String> {
    let expected = match *range.end() {
        i64::MAX => format!("a whole number of at least {}", range.start()),
        end => format!("a whole number from {} to {end}", range.start()),
    };
    let number = value.as_integer().filter(|number| range.contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| wrong(&expected, value))
}

/// What a value is, without the value.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn wrong(expected: &str, value: &Value) -> String {
    format!("must be {expected}, got {value}")
}
