//! The environment of actions on a node, and their side effects.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use cluster_tests::{Api, ClusterOptions, ProcessCluster, TestResult, field, text, until};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Triggers a task and returns its execution when it has ended.
async fn run_once(api: &Api, name: &str) -> TestResult<Value> {
    let id = api.trigger(name, &json!({})).await?;
    ended(api, &id).await
}

async fn ended(api: &Api, id: &str) -> TestResult<Value> {
    api.execution_when(id, |one| !["pending", "running"].contains(&text(one, "status"))).await
}

async fn add(api: &Api, name: &str, action: Value) -> TestResult<()> {
    let task = json!({"name": name, "schedule": {"manual": true}, "action": action});
    api.add(&task).await
}

#[tokio::test]
async fn a_relative_file_lies_in_the_work_folder_and_the_node_starts_again() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    add(&api, "relative", json!({"shell": {"argv": ["sh", "-c", "date > last.txt; pwd"]}})).await?;
    let execution = run_once(&api, "relative").await?;
    assert_eq!(text(&execution, "status"), "success", "{execution}");
    let file = cluster.data(1).join("work/last.txt");
    assert!(file.exists(), "{execution}");
    assert!(text(&execution, "output_tail").trim_end().ends_with("/n1/work"), "{execution}");

    // A normal stop, then a crash.
    assert!(cluster.stop(1).await?.success());
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    cluster.kill9(1)?;
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    assert_eq!(text(&run_once(&api, "relative").await?, "status"), "success");
    assert!(file.exists());
    cluster.finish().await
}

#[tokio::test]
async fn a_command_is_told_its_node_and_each_parameter() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let script = "echo $PUNCTUAL_NODE $PUNCTUAL_PARAMETER_TABLE $PUNCTUAL_PARAMETER_BATCH_SIZE";
    let task = json!({
        "name": "load", "schedule": {"manual": true},
        "parameters": {"table": "orders", "batch-size": 1},
        "action": {"shell": {"argv": ["sh", "-uc", script]}},
    });
    api.post("/api/v1/tasks", &task).await?;
    let execution = run_once(&api, "load").await?;
    assert_eq!(text(&execution, "output_tail"), "n1 orders 1\n", "{execution}");
    // The parameters of a trigger replace those of the task.
    let other = json!({"parameters": {"batch-size": 500}});
    let made = api.post("/api/v1/tasks/load/trigger", &other).await?;
    let execution = ended(&api, text(&made, "id")).await?;
    assert_eq!(text(&execution, "output_tail"), "n1 orders 500\n", "{execution}");
    cluster.finish().await
}

fn fifo(path: &Path) -> TestResult<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// The threads of a process.
fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_reference_yields_what_the_settings_name_and_never_hangs() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets)?;
    std::fs::write(secrets.join("key"), "s3cret\n")?;
    fifo(&secrets.join("fifo"))?;
    let settings = format!("[actions.refs]\nfiles = [\"{}/\"]\n", secrets.display());
    let mut cluster =
        ProcessCluster::start(1, ClusterOptions { settings, ..ClusterOptions::default() }).await?;
    let api = cluster.api(1);
    let pid = cluster.pid(1).ok_or("no process")?;
    let echo = |path: &str| json!({"shell": {"argv": ["echo", format!("${{file:{path}}}")]}});
    let own = cluster.data(1).join("identity");
    for (name, path, status, said) in [
        ("key", secrets.join("key"), "success", "s3cret"),
        ("fifo", secrets.join("fifo"), "failed", "is no regular file"),
        ("identity", own, "failed", "actions.refs.files"),
        ("environ", "/proc/self/environ".into(), "failed", "actions.refs.files"),
    ] {
        add(&api, name, echo(path.to_str().ok_or("the path is not UTF-8")?)).await?;
        let execution = run_once(&api, name).await?;
        assert_eq!(text(&execution, "status"), status, "{execution}");
        assert!(execution.to_string().contains(said), "{execution}");
    }
    // Many executions leave no thread and no log entry behind.
    let mut ids = Vec::new();
    for _ in 0..100 {
        let made = api.post("/api/v1/tasks/fifo/trigger", &json!({})).await?;
        ids.push(text(&made, "id").to_owned());
    }
    for id in ids {
        let execution = ended(&api, &id).await?;
        assert_eq!(text(&execution, "status"), "failed", "{execution}");
        assert_eq!(field(&execution, "attempt"), 1, "{execution}");
    }
    assert!(threads(pid) < 64, "{} threads", threads(pid));
    assert!(api.get("/api/v1/tasks").await?.to_string().contains("fifo"));
    cluster.finish().await
}

/// A listener whose queue is full, so that the first packet of the next connection is lost.
fn full() -> TestResult<(TcpListener, Vec<TcpStream>)> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listen(&socket, 0)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    let wait = Duration::from_millis(100);
    let fillers = std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok());
    Ok((listener, fillers.collect()))
}

/// Checks in the system's list that a connection to this IPv4 address is being opened.
fn is_connecting_to(address: SocketAddr) -> TestResult<()> {
    const SYN_SENT: &str = "02";
    let port = format!(":{:04X}", address.port());
    let list = std::fs::read_to_string("/proc/net/tcp")?;
    let found = list.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let remote = fields.next().is_some_and(|remote| remote.ends_with(&port));
        remote && fields.next() == Some(SYN_SENT)
    });
    if found { Ok(()) } else { Err("nobody connects".into()) }
}

/// Reads a request and answers with 204. None: there was no request.
async fn answer(mut stream: tokio::net::TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok()?;
    String::from_utf8(head).ok()
}

#[tokio::test]
async fn a_lost_packet_fails_no_execution() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let api = cluster.api(2);
    let (listener, fillers) = full()?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    add(&api, "hook", json!({"http": {"url": url, "body": ""}})).await?;
    let made = api.post("/api/v1/tasks/hook/trigger", &json!({})).await?;
    let id = text(&made, "id").to_owned();
    until("the first packet to be sent", async || is_connecting_to(listener.local_addr()?)).await?;
    // Its first packet finds the queue full. When the system resends it, there is room.
    drop(fillers);
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut asked = None;
    while asked.is_none() {
        let (stream, _from) = listener.accept().await?;
        asked = answer(stream).await;
    }
    let head = asked.ok_or("there was no request")?;
    let execution = ended(&api, &id).await?;
    assert_eq!(text(&execution, "status"), "success", "{execution}");
    assert_eq!(field(&execution, "http_status"), 204, "{execution}");
    // The request contains its fence, and it is still the first attempt.
    let fence = format!("punctual-fence: {}\r\n", field(&execution, "fence"));
    assert!(head.contains(&fence), "{fence} is not in {head}");
    assert!(head.contains("punctual-attempt: 1\r\n"), "{head}");
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    cluster.finish().await
}
