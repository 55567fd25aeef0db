//! The files for Docker: they fit each other and the program, and the nodes of the Compose file form
//! a cluster.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cluster_tests::{
    Api, ExecutorProcess, TestResult, field, free_address, items, node_program, run, text, until,
};
use serde_json::{Value, json};

use crate::t73_configs::{
    HTTP, LEAVES_WITHIN, PEER, SECRET, USER, at, configs, documents, probe_paths, read, root, said,
    seconds, with_environment,
};

/// The instructions of the image, the last of each name, continued lines joined.
fn image(instruction: &str) -> TestResult<String> {
    let text = read("docker/Dockerfile")?.replace("\\\n", " ");
    let found =
        text.lines().filter_map(|line| line.strip_prefix(&format!("{instruction} "))).next_back();
    Ok(found.ok_or_else(|| format!("the image has no {instruction}"))?.trim().to_owned())
}

/// A command in the form without a shell, which the image does not have.
fn exec_form(written: &str) -> TestResult<Vec<String>> {
    Ok(serde_json::from_str(written)?)
}

#[test]
fn the_image_has_what_a_node_needs() -> TestResult<()> {
    assert_eq!(image("FROM")?, "scratch");
    assert_eq!(image("USER")?, format!("{USER}:{USER}"));
    assert_eq!(image("EXPOSE")?, format!("{HTTP} {PEER}"));
    let entry = [exec_form(&image("ENTRYPOINT")?)?, exec_form(&image("CMD")?)?].concat();
    assert_eq!(entry, ["/punctual", "serve"]);
    // The default data folder is relative, and the volume is what it leads to.
    let shown = said(&with_environment(&["config", "show"], &[])?);
    let folder = shown.lines().find_map(|line| line.strip_prefix("data_dir = "));
    let folder = folder.ok_or("no data folder")?.trim_matches('"');
    assert_eq!(image("VOLUME")?, format!("{}{folder}", image("WORKDIR")?));

    // The oldest Rust that builds it is not newer than the image's.
    let number = |text: &str| -> Option<u32> { text.split('-').next()?.parse().ok() };
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"1."));
    let dockerfile = read("docker/Dockerfile")?;
    let used = dockerfile.lines().find_map(|line| line.strip_prefix("FROM rust:1."));
    let oldest = oldest.and_then(|oldest| number(oldest.trim_end_matches('"')));
    assert!(oldest.is_some() && used.and_then(number) >= oldest, "{used:?}, not {oldest:?}");

    // The context has every package of the workspace, and nothing that is not there.
    let ignored = fs::read_to_string(root().join(".dockerignore"))?;
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for part in ["Cargo.toml", "Cargo.lock", "src", ".cargo", "chaos", "cluster-tests"] {
        assert!(sent.contains(&part), "{part}");
    }
    for part in sent {
        assert!(root().join(part).exists(), "{part}");
    }
    Ok(())
}

/// The services of the Compose file, by name.
fn services() -> TestResult<Vec<(String, Value)>> {
    let file = documents("docker/compose.yaml")?.pop().ok_or("empty")?;
    let services = at(&file, "/services").as_object().ok_or("no services")?.clone();
    Ok(services.into_iter().collect())
}

fn variables(service: &Value) -> TestResult<Vec<(String, String)>> {
    let variables = at(service, "/environment").as_object().ok_or("no environment")?;
    let pair = |(name, value): (&String, &Value)| match value.as_str() {
        Some(value) if value.starts_with("${") => Ok((name.clone(), SECRET.to_owned())),
        Some(value) => Ok((name.clone(), value.to_owned())),
        // Compose would make other text of a number or of true.
        None => Err(format!("{name} is no text").into()),
    };
    variables.iter().map(pair).collect()
}

#[test]
fn the_services_of_compose_are_the_members() -> TestResult<()> {
    let services = services()?;
    assert_eq!(services.len(), 3);
    let folder = image("VOLUME")?;
    for (number, (name, service)) in (1..).zip(&services) {
        let published = format!("127.0.0.1:{}:{HTTP}", 8080 + number);
        assert_eq!(at(service, "/ports"), &json!([published]), "{name}");
        assert_eq!(at(service, "/volumes"), &json!([format!("{name}:{folder}")]), "{name}");
        assert!(seconds(text(service, "stop_grace_period"))? > LEAVES_WITHIN, "{name}");
        let variables = variables(service)?;
        let config = with_environment(&["config", "show"], &variables)?;
        let shown = said(&config);
        assert!(config.status.success(), "{name}: {shown}");
        assert!(shown.contains(&format!("[node]\nid = {number}\n")), "{name}: {shown}");
        for (member, _) in &services {
            for address in [format!("\"{member}:{PEER}\""), format!("\"http://{member}:{HTTP}\"")] {
                assert!(shown.contains(&address), "{name}: {address} in {shown}");
            }
        }
    }
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(arguments).env("PUNCTUAL_CLUSTER_SECRET", SECRET).output()
    };
    if compose(&["version"]).is_ok_and(|version| version.status.success()) {
        let file = configs("docker/compose.yaml").display().to_string();
        let checked = compose(&["--file", &file, "config", "--quiet"])?;
        assert!(checked.status.success(), "{}", said(&checked));
    }
    Ok(())
}

/// A node as Compose starts it, on loopback.
struct ComposeNode {
    process: ExecutorProcess,
    api: Api,
}

/// Starts the services, each name and port replaced by a loopback address of its own.
fn compose_up(folder: &Path) -> TestResult<Vec<ComposeNode>> {
    let services = services()?;
    let mut places = Vec::new();
    for (name, _) in &services {
        places.push((name, free_address()?.to_string(), free_address()?.to_string()));
    }
    let program = node_program()?;
    let start = |(own, (name, service)): (usize, &(String, Value))| {
        let data = folder.join(name);
        fs::create_dir(&data)?;
        let mut arguments: Vec<OsString> = ["-i", "-C"].map(OsString::from).to_vec();
        arguments.push(data.into());
        for (variable, mut value) in variables(service)? {
            for (name, http, peer) in &places {
                value = value.replace(&format!("{name}:{PEER}"), peer);
                value = value.replace(&format!("{name}:{HTTP}"), http);
            }
            value = value.replace(&format!("0.0.0.0:{PEER}"), &places[own].2);
            value = value.replace(&format!("0.0.0.0:{HTTP}"), &places[own].1);
            arguments.push(format!("{variable}={value}").into());
        }
        // As an image with programs sets it, see the Dockerfile.
        arguments.push("PUNCTUAL__ACTIONS__SHELL__ENABLED=true".into());
        arguments.extend([program.clone().into(), OsString::from("serve")]);
        let log = folder.join(format!("{name}.log"));
        let process = ExecutorProcess::start(Path::new("/usr/bin/env"), arguments, log)?;
        Ok(ComposeNode { process, api: Api::new(format!("http://{}", places[own].1))? })
    };
    services.iter().enumerate().map(start).collect()
}

/// The exit code of the image's health check against a node.
async fn health_check(node: &ComposeNode) -> TestResult<Option<i32>> {
    let check = image("HEALTHCHECK")?;
    let (_, command) = check.split_once("CMD").ok_or("no command")?;
    let command = exec_form(command.trim())?;
    let mut arguments: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
    arguments.extend(["--server", node.api.base()]);
    Ok(run(&arguments).await?.code)
}

#[tokio::test]
async fn the_nodes_of_compose_form_a_cluster() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let mut nodes = compose_up(folder.path())?;
    for node in &nodes {
        until("a node to be ready", async || {
            node.api.ready().await.map_err(|why| format!("{why}: {}", node.process.said()).into())
        })
        .await?;
        assert_eq!(health_check(node).await?, Some(0));
        for path in probe_paths()? {
            node.api.get(&path).await?;
        }
    }
    let members = nodes[1].api.get("/api/v1/nodes").await?;
    assert_eq!(items(&members).len(), nodes.len(), "{members}");
    let hello = json!({"name": "hello", "schedule": {"interval": "1s"},
        "action": {"shell": {"argv": ["true"]}}});
    nodes[0].api.post("/api/v1/tasks", &hello).await?;
    until("a run", async || {
        let task = nodes[2].api.get("/api/v1/tasks/hello").await?;
        let last = field(&task, "last_execution");
        if text(last, "status") == "success" { Ok(()) } else { Err(last.to_string().into()) }
    })
    .await?;

    // A node leaves within the time that all these files give it, even with a command that ends
    // neither by itself nor by SIGTERM.
    let script = "trap '' TERM; while :; do sleep 1; done";
    let stubborn = json!({"name": "stubborn", "schedule": {"manual": true},
        "action": {"shell": {"argv": ["sh", "-c", script]}}});
    nodes[0].api.post("/api/v1/tasks", &stubborn).await?;
    nodes[0].api.post("/api/v1/tasks/stubborn/trigger", &json!({})).await?;
    let place = until("the command to run", async || {
        let list = nodes[0].api.get("/api/v1/tasks/stubborn/executions").await?;
        let execution = items(&list).first().ok_or("no execution")?;
        let number = text(execution, "node").trim_start_matches('n').parse::<usize>();
        if text(execution, "status") == "running" { Ok(number?) } else { Err("not yet".into()) }
    })
    .await?;
    let begun = Instant::now();
    let mut leaving = nodes.remove(place - 1);
    leaving.process.ask_to_end()?;
    assert!(leaving.process.ended().await?.success(), "{}", leaving.process.said());
    assert!(begun.elapsed() < LEAVES_WITHIN, "{:?}", begun.elapsed());
    // The program's code for a node that does not answer.
    assert_eq!(health_check(&leaving).await?, Some(3));
    for node in &nodes {
        assert_eq!(health_check(node).await?, Some(0));
        node.process.ask_to_end()?;
    }
    for node in &mut nodes {
        assert!(node.process.ended().await?.success(), "{}", node.process.said());
    }
    Ok(())
}
