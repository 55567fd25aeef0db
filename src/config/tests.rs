//! Settings from maps: what wins, what is refused and how it is said.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{
    AllowedTarget, Config, ConfigErrors, ExecutorSettings, Flag, HealthCheckSettings, LogFormat,
    Rotate, Sources,
};
use crate::domain::time::Millis;

mod actions;

/// Loads `file` as `punctual.toml`, with an environment, flags and other files.
fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigErrors> {
    let read_file = |path: &Path| match path.to_str() {
        Some("punctual.toml") => Ok(file.to_owned()),
        Some("/etc/punctual/cluster-secret") => Ok("from-a-file-0123456789\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let flag = |(key, value): &(&str, &str)| Flag {
        name: format!("--set {key}"),
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    Config::load(&Sources {
        flags: flags.iter().map(flag).collect(),
        environment: environment.iter().map(pair).collect(),
        file: Some(PathBuf::from("punctual.toml")),
        read_file: &read_file,
    })
}

fn defaults() -> Config {
    let no_files = |_path: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let sources =
        Sources { flags: vec![], environment: BTreeMap::new(), file: None, read_file: &no_files };
    Config::load(&sources).unwrap()
}

/// The lines of the report.
fn refused(file: &str) -> Vec<String> {
    load(file, &[], &[]).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_given_is_a_cluster_of_one_on_loopback() {
    let config = defaults();
    assert_eq!(config.node.id, 1);
    assert_eq!(config.node.name(), "n1");
    assert_eq!(config.cluster.members.len(), 1);
    assert_eq!(config.this_member().unwrap().peer, "127.0.0.1:7070");
    assert_eq!(config.this_member().unwrap().http.as_deref(), Some("http://127.0.0.1:8080"));
    assert!(config.loopback_only());
    assert_eq!(config.cluster.secret, None);
    assert_eq!(config.raft.heartbeat, Millis(100));
    assert_eq!(config.raft.election_min, Millis(300));
    assert_eq!(config.raft.election_max, Millis(600));
    assert_eq!((config.raft.retained_log, config.raft.snapshot_every), (100_000, 50_000));
    assert_eq!(config.limits.failover_timeout, Millis(5_000));
    assert_eq!(config.limits.down_after, Millis(1_000));
    assert_eq!(config.limits.max_clock_skew, Millis(500));
    assert_eq!(config.limits.dispatch_ttl, Millis(1_000));
    assert_eq!(config.limits.activation_horizon, Millis(10_000));
    assert_eq!(config.schedule.min_interval, Millis(100));
    assert_eq!((config.log.format, config.log.rotate), (LogFormat::Auto, Rotate::Day));
    assert_eq!((config.log.keep, config.log.file), (14, None));
    assert!(config.http.enabled && config.scheduler.enabled && !config.actions.shell_enabled);
}

#[test]
fn flag_goes_before_environment_before_file_before_default() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[peer]\nlisten = \"127.0.0.1:2\"\n\
                [node]\nlabels = { zone = \"eu\" }\nslots = 7\n";
    let environment = [
        ("PUNCTUAL__HTTP__LISTEN", "127.0.0.1:3"),
        ("PUNCTUAL__PEER__LISTEN", "127.0.0.1:4"),
        ("PUNCTUAL__LOG__ROTATE__KEEP", "3"),
        ("PUNCTUAL__HTTP__ENABLED", "false"),
        ("PUNCTUAL__ACTIONS__HTTP__ALLOW", "[\"localhost\"]"),
        ("PUNCTUAL_SERVER", "not a setting"),
        ("PATH", "/bin"),
    ];
    let config = load(file, &environment, &[("http.listen", "127.0.0.1:5")]).unwrap();
    assert_eq!(config.http.listen.port(), 5);
    assert_eq!(config.peer.listen.port(), 4);
    assert_eq!(config.node.slots, 7);
    assert_eq!(config.node.labels["zone"], "eu");
    assert_eq!(config.log.keep, 3);
    assert!(!config.http.enabled);
    assert_eq!(config.actions.http_allow, [AllowedTarget::parse("localhost").unwrap()]);
    assert_eq!(config.node.weight, 1);

    let shown = config.show(true);
    for line in [
        "listen = \"127.0.0.1:5\"  # from --set http.listen",
        "listen = \"127.0.0.1:4\"  # from PUNCTUAL__PEER__LISTEN",
        "slots = 7  # from punctual.toml:7",
        "weight = 1  # default",
        "labels = { zone = \"eu\" }  # from punctual.toml:6",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
}

#[test]
fn what_is_shown_loads_again() {
    let file = "[cluster]\nsecret = \"${file:/etc/punctual/cluster-secret}\"\n\
                [[cluster.member]]\nid = 1\npeer = \"10.0.0.1:7070\"\n\
                [[cluster.member]]\nid = 2\npeer = \"n2.example:7070\"\n\
                http = \"http://n2.example:8080\"\n\
                [node]\nid = 2\nlabels = { \"a/b\" = \"c d\" }\n\
                [peer]\nlisten = \"0.0.0.0:7070\"\n";
    let config = load(file, &[], &[]).unwrap();
    for origin in [false, true] {
        let again = load(&config.show(origin), &[], &[]).unwrap();
        assert_eq!(again.show(false), config.show(false));
        assert_eq!(again.cluster, config.cluster);
        assert_eq!(again.node, config.node);
    }
}

#[test]
fn executors_have_settings_of_their_own() {
    let secret = "${file:/etc/punctual/cluster-secret}";
    let file = format!(
        "[executors]\ncallback_base = \"http://n1:8080/\"\ndispatch_wait = \"5s\"\n\
         secret = \"{secret}\"\nhealth_check = {{ interval = \"2s\", failure_threshold = 5 }}\n"
    );
    let config = load(&file, &[], &[]).unwrap();
    assert_eq!(config.executors.callback_base.as_deref(), Some("http://n1:8080"));
    assert_eq!(config.executors.dispatch_wait, Millis::from_secs(5));
    assert_eq!(config.executors.secret.as_ref().unwrap().expose(), "from-a-file-0123456789");
    let defaults = HealthCheckSettings::default();
    let interval = Millis::from_secs(2);
    let wanted = HealthCheckSettings { interval, failure_threshold: 5, ..defaults };
    assert_eq!(config.executors.health_check, wanted);
    assert_eq!(load("", &[], &[]).unwrap().executors, ExecutorSettings::default());
    let files = &config.actions.refs.secret_files;
    assert!(files.contains(&PathBuf::from("/etc/punctual/cluster-secret")), "{files:?}");

    let shown = load("[executors]\nsecret = \"open-0123456789-sesame\"\n", &[], &[]).unwrap();
    assert!(!shown.show(true).contains("sesame"), "{}", shown.show(true));
    assert!(!refused("[executors]\nsecret = 5\n").concat().contains('5'));
    let lines = refused(
        "[executors]\ncallback_base = \"n1:8080\"\nsecret = \"short\"\nmax_silence = \"0s\"\n\
         health_check = { timeout = \"2m\", failure_threshold = 0 }\n",
    );
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

#[test]
fn unknown_keys_are_refused_with_suggestion_file_line_and_key() {
    let file = "[peer]\nlisen = \"127.0.0.1:1\"\n\n[htp]\nlisten = \"x\"\nmore = 1\n\
                [node]\nlisten = 1\n\
                shoe_size = 44\n[log]\nrotate = { evry = \"1d\" }\n[http.tsl]\ncert = \"x\"\n";
    assert_eq!(
        refused(file),
        [
            "punctual.toml:2: [peer] lisen: unknown key; did you mean `listen`?",
            "punctual.toml:4: [htp]: unknown section; did you mean `http`?",
            "punctual.toml:8: [node] listen: unknown key; did you mean `http.listen`?",
            "punctual.toml:9: [node] shoe_size: unknown key; known here: id, data_dir, weight, \
             slots, labels",
            "punctual.toml:11: [log] rotate.evry: unknown key; did you mean `every`?",
            "punctual.toml:12: [http] tsl: unknown key; did you mean `tls`?",
        ]
    );
    let errors = load("", &[("PUNCTUAL__PEER__LISEN", "x")], &[("nod.id", "1")]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "PUNCTUAL__PEER__LISEN: [peer] lisen: unknown key; did you mean `listen`?\n\
         --set nod.id: [nod] id: unknown section; did you mean `node`?"
    );
}

#[test]
fn wrong_values_are_refused_each_with_its_line() {
    let file = "[cluster]\nname = \"a b\"\ntimezone = \"Europe/Berln\"\nsecret = \"short\"\n\
                [node]\nid = 0\nweight = -1\nslots = \"many\"\ndata_dir = \"\"\n\
                labels = { host = \"x\" }\n\
                [http]\nlisten = 8080\nenabled = \"yes\"\n[peer]\nlisten = \"localhost\"\n\
                [raft]\nheartbeat = \"1ms\"\nretained_log = 999\n\
                [log]\nlevel = \"loud\"\nformat = \"xml\"\n\
                rotate = { every = \"2h\", keep = 1.5 }\n\
                [schedule]\nmin_interval = \"10ms\"\n[actions.http]\nallow = [1]\n\
                [limits]\ndown_after = 5\n[tasks]\nprune = \"keep\"\n";
    let lines = refused(file);
    let want = [
        (2, "[cluster] name: must be letters"),
        (3, "[cluster] timezone: \"Europe/Berln\" is not a known timezone; did you mean"),
        (4, "[cluster] secret: must have at least 16 bytes, has 5"),
        (6, "[node] id: must be a whole number from 1 to 65535, got 0"),
        (7, "[node] weight: must be a whole number from 0 to 1000000, got -1"),
        (8, "[node] slots: must be a whole number from 0 to 4294967295, got \"many\""),
        (9, "[node] data_dir: must not be empty"),
        (10, "[node] labels: host is set by the node itself"),
        (12, "[http] listen: must be text in quotes, got 8080"),
        (13, "[http] enabled: must be true or false, got \"yes\""),
        (15, "[peer] listen: must be an IP address and port"),
        (17, "[raft] heartbeat: must be 10ms to 1m, got 1ms"),
        (18, "[raft] retained_log: must be a whole number of at least 1000, got 999"),
        (20, "[log] level: has an unknown level `loud`"),
        (21, "[log] format: must be auto, text or json"),
        (22, "[log] rotate.every: must be 1m, 1h, 1d, 7d, or 0s for never"),
        (22, "[log] rotate.keep: must be a whole number"),
        (24, "[schedule] min_interval: must be 100ms to 1d, got 10ms"),
        (
            26,
            "[actions.http] allow: must be a list of hosts, host:port, addresses or networks, got 1",
        ),
        (28, "[limits] down_after: must be text in quotes, got 5"),
        (30, "[tasks] prune: must be disable or delete"),
    ];
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, start) in want {
        let start = format!("punctual.toml:{line}: {start}");
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{start}\n{lines:#?}");
    }
}

#[test]
fn no_toml_is_refused_with_every_line_and_nothing_else() {
    let lines = refused("[http]\nlisten = 0.0.0.0:8080\n[peer]\nlisten = \"x\nid = 1\n");
    assert!(lines.len() >= 2, "{lines:#?}");
    assert!(lines[0].starts_with("punctual.toml:2: "), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("punctual.toml:4: ")), "{lines:#?}");
    let twice = refused("[http]\nenabled = true\nenabled = false\n");
    assert_eq!(twice.len(), 1, "{twice:#?}");
    assert_eq!(twice[0], "punctual.toml:3: the key `enabled` stands twice in its table");
    let tables = refused("[http]\nenabled = true\n[peer]\n[http]\n");
    assert_eq!(tables, ["punctual.toml:4: the key `http` stands twice in its table"]);
    let no_files = |_path: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let file = Some(PathBuf::from("none.toml"));
    let sources =
        Sources { flags: vec![], environment: BTreeMap::new(), file, read_file: &no_files };
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert_eq!(errors, "cannot read none.toml: entity not found");
}

#[test]
fn what_is_reachable_must_be_protected() {
    let open = "[http]\nlisten = \"0.0.0.0:8080\"\n[peer]\nlisten = \"10.0.0.1:7070\"\n";
    let lines = refused(open);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("[http] listen: 0.0.0.0:8080 is not loopback"), "{lines:#?}");
    assert!(lines[0].contains("; set http.insecure = true if"), "{lines:#?}");
    assert!(lines[1].contains("set cluster.secret, or peer.insecure = true"), "{lines:#?}");
    // As the commented file has it.
    let no_token = "[http]\nlisten = \"0.0.0.0:8080\"\ntoken_file = \"\"\n";
    assert_eq!(refused(no_token).len(), 1);

    let accepted = "[http]\nlisten = \"0.0.0.0:8080\"\ninsecure = true\n\
                    [peer]\nlisten = \"10.0.0.1:7070\"\ninsecure = true\n";
    assert!(!load(accepted, &[], &[]).unwrap().loopback_only());
    let off = "[http]\nlisten = \"0.0.0.0:8080\"\nenabled = false\n";
    assert!(load(off, &[], &[]).unwrap().loopback_only());
    let ipv6 = "[http]\nlisten = \"[::1]:8080\"\n[peer]\nlisten = \"[::1]:7070\"\n";
    assert!(load(ipv6, &[], &[]).unwrap().loopback_only());
}

#[test]
fn secrets_come_from_files_and_variables_and_stay_hidden() {
    let secret = |written: &str| {
        let file = format!("[cluster]\nsecret = \"{written}\"\n");
        load(&file, &[("SECRET", "from-the-environment")], &[])
    };
    let exposed = |written: &str| {
        let config = secret(written).unwrap();
        config.cluster.secret.unwrap().expose().to_owned()
    };
    assert_eq!(exposed("${file:/etc/punctual/cluster-secret}"), "from-a-file-0123456789");
    assert_eq!(exposed("${env:SECRET}"), "from-the-environment");
    assert_eq!(exposed("0123456789abcdef"), "0123456789abcdef");
    for (written, want) in [
        ("${file:/none}", "cannot read /none"),
        ("${env:NONE}", "the environment has no NONE"),
        ("${env:SECRET} and more", "must be a secret, ${file:PATH} or ${env:NAME}"),
        ("${vault:x}", "must be a secret, ${file:PATH} or ${env:NAME}"),
    ] {
        let error = secret(written).unwrap_err().to_string();
        assert!(error.contains(want), "{written}: {error}");
    }
    // A secret of the wrong type or place is not printed either.
    for (written, kind) in [
        ("1234567890123456", "a number"),
        ("[\"0123456789abcdef\"]", "a list"),
        ("{ text = \"0123456789abcdef\" }", "a table"),
    ] {
        let lines = refused(&format!("[cluster]\nsecret = {written}\n"));
        let said = lines.join("\n");
        assert!(said.contains(&format!("must be text in quotes, got {kind}")), "{said}");
        assert!(!said.contains("0123456789abcdef") && !said.contains("1234567890123456"), "{said}");
    }
    let config = secret("0123456789abcdef").unwrap();
    assert!(!config.show(true).contains("0123456789abcdef"));
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
    let referred = secret("${env:SECRET}").unwrap();
    assert!(referred.show(false).contains("secret = \"${env:SECRET}\""));
    assert!(!format!("{referred:?}").contains("from-the-environment"));
}

#[test]
fn members_must_form_a_cluster_that_has_this_node() {
    let cluster = |members: &[(&str, &str)], rest: &str| {
        let member = |(id, peer): &(&str, &str)| {
            format!("[[cluster.member]]\nid = {id}\npeer = \"{peer}\"\n")
        };
        let file: String = members.iter().map(member).chain([rest.to_owned()]).collect();
        load(&file, &[], &[]).map_err(|errors| errors.to_string())
    };
    let two = [("1", "127.0.0.1:7070"), ("2", "127.0.0.1:7072")];
    assert_eq!(cluster(&two, "[node]\nid = 1\n").unwrap().cluster.members.len(), 2);
    for (members, rest, want) in [
        (&two[..], "", "[node] id: must say which member this node is: 1, 2"),
        (&two, "[node]\nid = 3\n", "punctual.toml:8: [node] id: must be one of the members 1, 2"),
        (
            &two,
            "[node]\nid = 2\n",
            "[peer] listen: is 127.0.0.1:7070, but the other members reach this node at \
             127.0.0.1:7072 (member 2)",
        ),
        (
            &[two[0], ("1", "127.0.0.1:7073")],
            "[node]\nid = 1\n",
            "punctual.toml:4: [cluster] member: id 1 stands twice",
        ),
        (
            &[two[0], ("2", "127.0.0.1:7070")],
            "[node]\nid = 1\n",
            "punctual.toml:4: [cluster] member: peer 127.0.0.1:7070 stands twice",
        ),
        (
            &[two[0], ("2", "10.0.0.2:7070")],
            "[node]\nid = 1\n",
            "punctual.toml:1: [cluster] member: member 1 at 127.0.0.1:7070 cannot be reached from \
             member 2 at 10.0.0.2:7070",
        ),
        (
            &[two[0], ("65536", "127.0.0.1")],
            "[node]\nid = 1\n",
            "punctual.toml:4: [cluster] member: id must be a whole number from 1 to 65535, got \
             65536\n\
             punctual.toml:4: [cluster] member: peer must be host:port such as 10.0.0.1:7070 or \
             n1.example:7070, got \"127.0.0.1\"",
        ),
        (
            &[],
            "[cluster.member]\nid = 1\n",
            "punctual.toml:1: [cluster] member: must be written as [[cluster.member]]",
        ),
        (
            &[],
            "[[cluster.member]]\nidd = 1\nhttp = \"n1:80\"\n",
            "punctual.toml:1: [cluster] member: unknown key `idd`; did you mean `id`?\n\
             punctual.toml:1: [cluster] member: id is needed\n\
             punctual.toml:1: [cluster] member: http must be a URL such as http://10.0.0.1:8080, \
             got \"n1:80\"\n\
             punctual.toml:1: [cluster] member: peer is needed",
        ),
    ] {
        let error = cluster(members, rest).unwrap_err();
        assert!(error == want || error.ends_with(&format!(": {want}")), "{error}\n---\n{want}");
    }
    let json = "[{ id = 1, peer = \"127.0.0.1:7070\" }, { id = 2, peer = \"127.0.0.1:7071\" }]";
    let environment = [("PUNCTUAL__CLUSTER__MEMBER", json), ("PUNCTUAL__NODE__ID", "1")];
    assert_eq!(load("", &environment, &[]).unwrap().cluster.members.len(), 2);
}

#[test]
fn times_must_fit_each_other() {
    let file = "[raft]\nheartbeat = \"200ms\"\nelection_min = \"300ms\"\nelection_max = \"300ms\"\n\
                [limits]\nfailover_timeout = \"1s\"\n";
    let lines = refused(file);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("punctual.toml:2: [raft] heartbeat: is 200ms, must be at most half")
    );
    assert!(lines[1].starts_with("punctual.toml:4: [raft] election_max: is 300ms, must be longer"));
    assert!(
        lines[2].starts_with("punctual.toml:6: [limits] failover_timeout: is 1s, must be longer")
    );
}

#[test]
fn what_is_not_built_yet_is_refused_and_its_default_is_not() {
    for (file, want) in [
        ("[http]\ntoken_file = \"/x\"\n", "[http] token_file: is not supported yet"),
        ("[http.tls]\ncert = \"/x\"\n", "[http.tls] cert: is not supported yet"),
        ("[peer.tls]\nca = \"/x\"\n", "[peer.tls] ca: is not supported yet"),
    ] {
        let lines = refused(file);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains(want), "{lines:#?}");
    }
    let defaults = "[http]\ntoken_file = \"\"\n";
    assert!(load(defaults, &[], &[]).is_ok());
}

#[test]
fn the_commented_file_has_every_key_and_loads_as_the_defaults() {
    let file = Config::commented_default();
    let config = load(&file, &[], &[]).unwrap();
    assert_eq!(config.show(false), defaults().show(false));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/punctual.toml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&shipped, &file).unwrap();
    }
    let shipped = std::fs::read_to_string(shipped).unwrap();
    assert_eq!(shipped, file, "run this test with BLESS=1 to write configs/punctual.toml anew");
    assert!(file.lines().all(|line| line.len() <= 100));
}

#[test]
fn the_shipped_files_load() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let load = |file: String| {
        let read_file = |path: &Path| match path.to_str() {
            Some("/etc/punctual/cluster-secret") => Ok("0123456789abcdef".to_owned()),
            _ => super::read_file(path),
        };
        Config::load(&Sources {
            flags: vec![],
            environment: BTreeMap::new(),
            file: Some(configs.join(&file)),
            read_file: &read_file,
        })
        .unwrap_or_else(|errors| panic!("{file}\n{errors}"))
    };
    for (folder, count) in [("node", 3), ("five/node", 5)] {
        for id in 1..=count {
            let config = load(format!("{folder}{id}.toml"));
            assert_eq!(config.node.id, id);
            assert_eq!(config.cluster.members.len(), usize::from(count));
            assert_eq!(config.http.listen.port(), 8080 + id);
            assert_eq!(config.peer.listen.port(), 7070 + id);
            assert!(config.loopback_only());
            assert!(config.actions.shell_enabled, "{folder}{id}: the README's tasks are commands");
        }
    }
    for id in 1..=3 {
        let config = load(format!("three-machines/n{id}.toml"));
        assert_eq!(config.this_member().unwrap().peer, format!("10.0.0.{id}:7070"));
        assert_eq!(config.peer.listen.to_string(), format!("10.0.0.{id}:7070"));
        assert!(config.cluster.secret.is_some());
    }
}
