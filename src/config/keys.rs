//! Every setting there is.

/// One setting.
pub(super) struct SettingKey {
    /// The table that it stands in.
    pub(super) section: &'static str,
    /// Its name in there.
    pub(super) name: &'static str,
    /// Its default, as TOML.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) about: &'static str,
    /// Whether this version can only keep the default.
    pub(super) later: bool,
}

impl SettingKey {
    /// Section and name: `peer.listen`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// The list of members, which has tables of its own in the file.
pub(super) const MEMBERS: &str = "cluster.member";
/// The settings that hold free names of the operator.
pub(super) const LABELS: &str = "node.labels";

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> SettingKey {
    SettingKey { section, name, default, about, later: false }
}

const fn later(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> SettingKey {
    SettingKey { section, name, default, about, later: true }
}

/// The settings whose values are never shown.
pub(super) const SECRETS: [&str; 2] = ["cluster.secret", "executors.secret"];

/// The keys in the order of the commented file.
#[rustfmt::skip]
pub(super) const KEYS: &[SettingKey] = &[
    key("cluster", "name", r#""punctual""#,
        "Only nodes of one cluster name talk to each other."),
    key("cluster", "secret", r#""""#,
        "Proved in every handshake between peers; at least 16 bytes. ${file:PATH} and ${env:NAME} \
         are read at start. Needed where peer.listen is not loopback."),
    key("cluster", "timezone", r#""UTC""#,
        "IANA name; for schedules that name none."),
    key("cluster", "member", "[]",
        "Who forms the cluster at its first start: the same list on every node. Without members \
         the node is a cluster of one."),
    key("node", "id", "1",
        "Which member this node is, 1 to 65535."),
    key("node", "data_dir", r#""data""#,
        "All that the node keeps; relative to the working directory."),
    key("node", "weight", "1",
        "The node's share of the tasks, beside the other weights; 0 owns none."),
    key("node", "slots", "0",
        "Executions that the node carries out at once; 0 = no limit."),
    key("node", "labels", "{}",
        "For the selectors of tasks, such as { zone = \"eu-1\" }. Automatic are node, \
         host, and shell (\"true\" where processes are started)."),
    key("http", "enabled", "true",
        "Whether the API is served."),
    key("http", "listen", r#""127.0.0.1:8080""#,
        "IP address and port. Not loopback: needs insecure = true."),
    key("http", "insecure", "false",
        "True: whoever reaches http.listen may do anything."),
    key("http", "streams", "256",
        "Streams of output that may be open at once, at most 1000; one more gets 503 \
         too_many_streams. 0 = none."),
    key("http", "event_readers", "2000",
        "Streams of events that may be open at once, at most 8000; one more gets 503 \
         too_many_streams. 0 = none."),
    later("http", "token_file", r#""""#,
        "Holds the first admin token."),
    later("http.tls", "cert", r#""""#,
        "PEM file with the certificate chain."),
    later("http.tls", "key", r#""""#,
        "PEM file with the private key."),
    key("peer", "listen", r#""127.0.0.1:7070""#,
        "IP address and port for the other nodes. Not loopback: needs cluster.secret, or insecure \
         = true. Whoever speaks to it can give commands."),
    key("peer", "insecure", "false",
        "True: whoever reaches peer.listen may give commands."),
    later("peer.tls", "ca", r#""""#,
        "PEM file with the certificates that sign the peers' ones."),
    later("peer.tls", "cert", r#""""#,
        "PEM file with the certificate chain."),
    later("peer.tls", "key", r#""""#,
        "PEM file with the private key."),
    key("raft", "heartbeat", r#""100ms""#,
        "A leader speaks at least this often; at most half of election_min."),
    key("raft", "election_min", r#""300ms""#,
        "A follower that hears no leader waits at least this long before it stands for election."),
    key("raft", "election_max", r#""600ms""#,
        "And at most this long; drawn anew each time."),
    key("raft", "retained_log", "100000",
        "Log entries kept after a snapshot, so that a node that was away catches up without one; \
         at least 1000."),
    key("raft", "snapshot_every", "50000",
        "Log entries between two snapshots."),
    key("log", "level", r#""info""#,
        "error, warn, info, debug, trace or off; also per part: \"info,consensus=debug\"."),
    key("log", "format", r#""auto""#,
        "text, json, or auto: text on a terminal, else json."),
    key("log", "file", r#""""#,
        "Empty: standard error."),
    key("log", "rotate.every", r#""1d""#,
        "When a new file begins: 1m, 1h, 1d, 7d, or 0s for never."),
    key("log", "rotate.keep", "14",
        "Files kept; 0 = all."),
    key("metrics", "tasks", "1000",
        "Tasks that have series of their own on /metrics, the first ones by name; 0 = none. \
         punctual_tasks_without_series says how many are left out."),
    key("scheduler", "enabled", "true",
        "False: the cluster starts stopped, on its first start only."),
    key("scheduler", "strategy", r#""consistent""#,
        "How tasks are given to nodes: consistent, hash_sharding, hash_slot, range, weighted or \
         round_robin. Counts on the cluster's first start only; later: punctual scheduler \
         strategy."),
    key("schedule", "min_interval", r#""100ms""#,
        "The shortest interval that a task may have; at least 100ms."),
    key("calendars", "path", r#""""#,
        "A file or folder of calendars, in YAML, TOML or JSON, read as tasks.path is; those \
         that were made or changed otherwise stay. Empty: none."),
    key("executors", "callback_base", r#""""#,
        "The URL under which executors reach this node, such as https://punctual.example.org. \
         Empty: the node's http address."),
    key("executors", "dispatch_wait", r#""30s""#,
        "An execution for which no executor is available fails after this."),
    key("executors", "max_silence", r#""1d""#,
        "An execution of a task without a timeout ends as timed out when its executor has not \
         called back for this long."),
    key("executors", "secret", r#""""#,
        "Signs requests to executors and checks what they send; at least 16 bytes. ${file:PATH} \
         and ${env:NAME} are read at start. Empty: nothing is signed."),
    key("executors", "health_check.enabled", "true",
        "Whether registered executors are probed."),
    key("executors", "health_check.interval", r#""30s""#,
        "Between two probes."),
    key("executors", "health_check.timeout", r#""5s""#,
        "Of one probe."),
    key("executors", "health_check.failure_threshold", "3",
        "Failed probes in a row that make an executor offline; without a health check URL, the \
         intervals without a heartbeat."),
    key("executors", "health_check.recovery_threshold", "2",
        "Good probes in a row that make it online."),
    key("actions.shell", "enabled", "false",
        "Whether tasks may start processes on this node."),
    key("actions.http", "allow", "[]",
        "Targets that tasks may call although they are loopback, link-local, a cloud's metadata \
         service or the cluster's own ports: host, host:port, address, address:port or a network \
         such as 10.1.0.0/16. A node on loopback only may call loopback anyway."),
    key("actions.refs", "files", "[]",
        "Files that ${file:PATH} in a task's argv, env, headers and body may name: absolute paths; \
         one that ends with / names all files below a folder. Regular files of at most 1 MiB; \
         never below /proc, /sys, /dev or node.data_dir, and never the file of a secret or the \
         settings file."),
    key("actions.refs", "env", "[]",
        "Variables of the node that ${env:NAME} may name: names, or a beginning with * such as \
         APP_*. Never PUNCTUAL__*, and never the variable of a secret."),
    key("actions.output", "live_bytes", "65536",
        "Bytes of a running execution's output that are held in memory, the newest; 64 KiB to 16 \
         MiB."),
    key("actions.output", "kept_bytes", "1048576",
        "Bytes of an execution's output that are kept on disk, beginning and end; at least twice \
         live_bytes, at most 1 GiB."),
    key("actions.output", "quota_bytes", "1073741824",
        "Bytes that the kept output of all executions may take; the oldest goes first."),
    key("limits", "failover_timeout", r#""5s""#,
        "A tick settled within this is on time, whichever node died."),
    key("limits", "down_after", r#""1s""#,
        "A node that is silent for this long loses its tasks."),
    key("limits", "max_clock_skew", r#""500ms""#,
        "The clocks of a majority must agree within this."),
    key("limits", "dispatch_ttl", r#""1s""#,
        "An attempt starts within this of its request, or asks again."),
    key("limits", "activation_horizon", r#""10s""#,
        "A task whose next tick is farther away has no actor."),
    key("tasks", "path", r#""""#,
        "A file or folder of tasks and calendars, in YAML, TOML or JSON, with the same content on \
         every node. It is read when the node starts, when it changes, and on SIGHUP; punctual \
         task drift shows what came of it."),
    key("tasks", "prune", r#""disable""#,
        "What becomes of tasks that are gone from the files: disable, or delete, which also \
         removes calendars."),
];

/// The sections in the order of the commented file.
pub(super) fn sections() -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    for key in KEYS {
        if !out.contains(&key.section) {
            out.push(key.section);
        }
    }
    out
}

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.path() == path)
}

/// Whether there are keys below this path.
pub(super) fn is_table(path: &str) -> bool {
    let below =
        |key: &SettingKey| key.path().strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    KEYS.iter().any(below)
}
