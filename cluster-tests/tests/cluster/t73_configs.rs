//! The unit for systemd and the objects for Kubernetes fit each other and the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cluster_tests::{TestResult, field, node_program, run, skipped, text};
use serde_json::{Value, json};

/// A node that is asked to end does so within this: it waits twice 10 s for attempts, and some
/// seconds for the others.
pub const LEAVES_WITHIN: Duration = Duration::from_secs(30);
/// The secret of the cluster.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The user of the image, which is also that of the pods.
pub const USER: u64 = 65_532;
/// Where the API listens in a container.
pub const HTTP: u64 = 8080;
/// Where a node listens for the others in a container.
pub const PEER: u64 = 7070;

pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

pub fn configs(file: &str) -> PathBuf {
    root().join("configs").join(file)
}

pub fn read(file: &str) -> TestResult<String> {
    Ok(fs::read_to_string(configs(file))?)
}

/// The documents of a YAML file.
pub fn documents(file: &str) -> TestResult<Vec<Value>> {
    let text = read(file)?;
    let parsed: Result<Vec<Value>, _> = text.split("\n---\n").map(serde_saphyr::from_str).collect();
    // A document of comments only is null.
    Ok(parsed?.into_iter().filter(|document| !document.is_null()).collect())
}

/// What a JSON pointer leads to; null: nothing.
pub fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

pub fn seconds(text: &str) -> TestResult<Duration> {
    Ok(Duration::from_secs(text.trim_end_matches('s').parse()?))
}

/// The program with nothing but these variables, until it ends.
pub fn with_environment(arguments: &[&str], variables: &[(String, String)]) -> TestResult<Output> {
    let mut command = Command::new(node_program()?);
    command.args(arguments).env_clear().envs(variables.iter().cloned());
    Ok(command.stdin(Stdio::null()).output()?)
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The value of a setting of a unit file.
fn of_unit<'t>(unit: &'t str, name: &str) -> TestResult<&'t str> {
    let mut found = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.next_back().ok_or_else(|| format!("the unit has no {name}").into())
}

#[tokio::test]
async fn the_unit_fits_the_program() -> TestResult<()> {
    let unit = read("systemd/punctual.service")?;
    assert!(seconds(of_unit(&unit, "TimeoutStopSec")?)? > LEAVES_WITHIN);
    assert_eq!(of_unit(&unit, "KillMode")?, "mixed");
    let start: Vec<&str> = of_unit(&unit, "ExecStart")?.split(' ').collect();
    let [program, "serve", "--config", settings] = start[..] else {
        return Err(format!("{start:?}").into());
    };
    // Settings that are not right end it with the code after which systemd does not start it again.
    let refused = run(&["serve", "--config", "/nonexistent/punctual.toml"]).await?;
    let code = refused.code.map(|code| code.to_string());
    assert_eq!(code.as_deref(), Some(of_unit(&unit, "RestartPreventExitStatus")?));
    // The settings that it speaks of keep their data where it has its folder.
    let state = format!("data_dir = \"/var/lib/{}\"", of_unit(&unit, "StateDirectory")?);
    for node in 1..=3 {
        assert!(read(&format!("three-machines/n{node}.toml"))?.contains(&state), "{node}");
    }
    assert!(
        unit.contains(&format!("#     punctual config check {settings}\n")),
        "its comment says how {settings} gets there"
    );

    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("systemd-analyze is not installed (Debian: apt-get install systemd)");
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("punctual.service");
    let built = node_program()?.display().to_string();
    fs::write(&copy, unit.replace(&format!("={program} "), &format!("={built} ")))?;
    let more = folder.path().join("punctual.service.d");
    fs::create_dir(&more)?;
    let verify = || -> TestResult<String> {
        let mut command = Command::new("systemd-analyze");
        let output = command.arg("verify").arg(&copy).output()?;
        // It also tells of other units of this machine.
        let told = said(&output);
        let own: Vec<&str> = told.lines().filter(|line| line.contains("punctual")).collect();
        Ok(own.join("\n"))
    };
    assert_eq!(verify()?, "");
    fs::copy(configs("systemd/shell.conf"), more.join("shell.conf"))?;
    assert_eq!(verify()?, "");
    fs::write(more.join("wrong.conf"), "[Service]\nKillModes=mixed\n")?;
    assert!(verify()?.contains("KillModes"), "a fault is not told");
    Ok(())
}

/// The object of this kind and name.
fn object(kind: &str, name: &str) -> TestResult<Value> {
    let found = documents("kubernetes/punctual.yaml")?;
    let found = found.into_iter().find(|object| {
        text(object, "kind") == kind && at(object, "/metadata/name").as_str() == Some(name)
    });
    found.ok_or_else(|| format!("no {kind} {name}").into())
}

/// The paths that the probes of the pods ask.
pub fn probe_paths() -> TestResult<Vec<String>> {
    let set = object("StatefulSet", "punctual")?;
    let container = at(&set, "/spec/template/spec/containers/0");
    let path = |probe: &str| {
        let asks = at(container, &format!("/{probe}/httpGet"));
        assert_eq!(text(asks, "port"), "http", "{probe}");
        text(asks, "path").to_owned()
    };
    let [started, alive, ready] = ["startupProbe", "livenessProbe", "readinessProbe"].map(path);
    assert_eq!([&*started, &*alive, &*ready], ["/livez", "/livez", "/readyz"]);
    Ok(vec![alive, ready])
}

#[test]
fn the_objects_of_kubernetes_fit_each_other() -> TestResult<()> {
    let set = object("StatefulSet", "punctual")?;
    let pod = at(&set, "/spec/template/spec");
    let labels = at(&set, "/spec/template/metadata/labels");
    assert!(labels.is_object());
    for (kind, name, selector) in [
        ("StatefulSet", "punctual", "/spec/selector/matchLabels"),
        ("Service", "punctual-peers", "/spec/selector"),
        ("Service", "punctual", "/spec/selector"),
        ("PodDisruptionBudget", "punctual", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "punctual", "/spec/podSelector/matchLabels"),
        ("NetworkPolicy", "punctual", "/spec/ingress/0/from/0/podSelector/matchLabels"),
    ] {
        assert_eq!(at(&object(kind, name)?, selector), labels, "{kind} {name}");
    }
    let rule = "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
    assert_eq!(at(pod, &format!("{rule}/labelSelector/matchLabels")), labels);
    let peers = object("Service", "punctual-peers")?;
    assert_eq!(at(&peers, "/spec/clusterIP"), "None");
    // Without both, no node would ever be ready.
    assert_eq!(at(&peers, "/spec/publishNotReadyAddresses"), true);
    assert_eq!(at(&set, "/spec/podManagementPolicy"), "Parallel");
    assert_eq!(at(&object("PodDisruptionBudget", "punctual")?, "/spec/maxUnavailable"), 1);
    let grace = field(pod, "terminationGracePeriodSeconds").as_u64();
    assert!(grace > Some(LEAVES_WITHIN.as_secs()), "{grace:?}");
    for number in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(at(pod, "/securityContext")[number], USER, "{number}");
    }
    let ports = at(pod, "/containers/0/ports");
    let listed = json!([{"name": "http", "containerPort": HTTP},
        {"name": "peer", "containerPort": PEER}]);
    assert_eq!(ports, &listed);
    let mounts = at(pod, "/containers/0/volumeMounts").as_array().ok_or("no mounts")?;
    let volumes = at(pod, "/volumes").as_array().ok_or("no volumes")?;
    let claims = at(&set, "/spec/volumeClaimTemplates/0/metadata");
    for mount in mounts {
        let named = |volume: &Value| volume["name"] == mount["name"];
        assert!(volumes.iter().chain([claims]).any(named), "{mount}");
    }
    Ok(())
}

#[test]
fn the_settings_of_kubernetes_name_the_pods() -> TestResult<()> {
    let set = object("StatefulSet", "punctual")?;
    let container = at(&set, "/spec/template/spec/containers/0");
    let mounted = |name: &str| -> TestResult<String> {
        let mounts = at(container, "/volumeMounts").as_array().ok_or("no mounts")?;
        let mount = mounts.iter().find(|mount| text(mount, "name") == name);
        Ok(text(mount.ok_or_else(|| format!("no {name}"))?, "mountPath").to_owned())
    };
    let settings = object("ConfigMap", "punctual")?;
    let settings = text(at(&settings, "/data"), "punctual.toml");
    let folder = tempfile::tempdir()?;
    let (file, secret) = (folder.path().join("punctual.toml"), folder.path().join("secret"));
    fs::write(&secret, SECRET)?;
    let there = format!("${{file:{}/cluster-secret}}", mounted("secret")?);
    assert!(settings.contains(&there), "{there}");
    fs::write(&file, settings.replace(&there, &format!("${{file:{}}}", secret.display())))?;

    let variables = at(container, "/env").as_array().ok_or("no environment")?;
    let [config, id] = &variables[..] else { return Err(format!("{variables:?}").into()) };
    assert_eq!(text(config, "name"), "PUNCTUAL_CONFIG");
    assert_eq!(text(config, "value"), format!("{}/punctual.toml", mounted("settings")?));
    let label = "metadata.labels['apps.kubernetes.io/pod-index']";
    assert_eq!(at(id, "/valueFrom/fieldRef/fieldPath"), label);
    let first = at(&set, "/spec/ordinals/start").as_u64().ok_or("no first number")?;
    let replicas = at(&set, "/spec/replicas").as_u64().ok_or("no number of replicas")?;
    assert_eq!(settings.matches("[[cluster.member]]").count(), usize::try_from(replicas)?);
    for number in first..first + replicas {
        let variable = (text(id, "name").to_owned(), number.to_string());
        let path = file.display().to_string();
        let config = with_environment(&["config", "show", &path], &[variable])?;
        let shown = said(&config);
        assert!(config.status.success(), "{number}: {shown}");
        let (name, service) = (at(&set, "/metadata/name"), at(&set, "/spec/serviceName"));
        let (name, service) = (name.as_str().ok_or("?")?, service.as_str().ok_or("?")?);
        let pod = format!("{name}-{number}.{service}");
        for member in [format!("\"{pod}:{PEER}\""), format!("\"http://{pod}:{HTTP}\"")] {
            assert!(shown.contains(&member), "{member} in {shown}");
        }
        assert!(shown.contains(&format!("[node]\nid = {number}\n")), "{number}: {shown}");
        for line in [
            format!("data_dir = \"{}/node\"", mounted("data")?),
            format!("listen = \"0.0.0.0:{PEER}\""),
            format!("listen = \"0.0.0.0:{HTTP}\""),
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
    }
    Ok(())
}
