//! Common mistakes and events of a first day: wrong addresses, crontabs of several machines, a task
//! that is replaced while it runs, a node that is cut off, nodes that end.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use cluster_tests::{
    ClusterOptions, Dev, LIMIT, ProcessCluster, ProcessExit, TestResult, items, node_program,
    piped, run, text, until,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// A node that knows that it is cut off answers a command within this: it waits 0.3 s for a leader.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

async fn types(server: &str, line: &[&str]) -> TestResult<ProcessExit> {
    run(&[&["--server", server], line].concat()).await
}

async fn good(server: &str, line: &[&str]) -> TestResult<ProcessExit> {
    let ended = types(server, line).await?;
    assert_eq!(ended.code, Some(0), "{line:?}: {ended:?}");
    Ok(ended)
}

fn signal(pid: u32, signal: Signal) -> TestResult<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    Ok(kill_process(pid, signal)?)
}

#[tokio::test]
async fn another_web_server_is_never_taken_for_a_node() -> TestResult<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let other = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _asked = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            let _gone = stream.write_all(answer).await;
        }
    });
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let [_, peer] = cluster.listens(1);
    for (server, said) in [
        (other, "is no punctual API: it answers with status 200"),
        (format!("http://{peer}"), "is no punctual API: what it sends is no HTTP"),
    ] {
        for line in [
            &["add", "x1", "--every", "5s", "--", "true"][..],
            &["run", "x1"],
            &["pause", "x1"],
            &["ls"],
            &["cluster", "status"],
        ] {
            let ended = types(&server, line).await?;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{line:?}: {ended:?}");
            assert!(ended.stderr.contains(said), "{line:?}: {ended:?}");
        }
    }
    cluster.finish().await
}

#[tokio::test]
async fn crontabs_of_two_machines_stand_side_by_side_and_are_known_again() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let server = cluster.api(1).base().to_owned();
    let file = cluster.folder().join("tab");
    let path = file.to_str().ok_or("an odd path")?.to_owned();
    let import = async |host: &str, more: &[&str]| {
        let line = ["import", "crontab", &path, "--tz", "UTC", "--host", host];
        types(&server, &[&line, more].concat()).await
    };
    fs::write(&file, "0 1 * * * run-parts a\n0 2 * * * run-parts b\n0 3 * * * backup --full\n")?;
    for host in ["web1", "web2"] {
        let first = import(host, &[]).await?;
        assert_eq!(first.code, Some(0), "{first:?}");
        assert!(first.stderr.contains("3 of 3 tasks created"), "{first:?}");
        assert!(first.stderr.contains(&format!("no node is on host {host}")), "{first:?}");
        let last = first.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("`crontab -e` on"), "{first:?}");
    }
    // By pipe it is the same crontab, whichever came first.
    let pipe = async |host: &str| {
        let line = ["--server", &server, "import", "crontab", "-", "--tz", "UTC", "--host", host];
        piped(&line, &fs::read(&file)?).await
    };
    let first = pipe("web3").await?;
    assert!(first.stderr.contains("3 of 3 tasks created"), "{first:?}");
    for again in [import("web1", &[]).await?, pipe("web1").await?, import("web3", &[]).await?] {
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(again.stderr.contains("0 of 3 tasks created, 3 unchanged"), "{again:?}");
    }
    // A line above, a changed schedule, a changed command.
    fs::write(
        &file,
        "0 9 * * * run-parts c\n0 1 * * * run-parts a\n0 4 * * * run-parts b\n\
         0 3 * * * backup --fast\n",
    )?;
    let changed = import("web1", &[]).await?;
    assert_eq!(changed.code, Some(5), "{changed:?}");
    let counts = "1 of 4 tasks created, 1 unchanged, 2 differs (--update";
    assert!(changed.stderr.contains(counts), "{changed:?}");
    let updated = import("web1", &["--update"]).await?;
    assert_eq!(updated.code, Some(0), "{updated:?}");
    let counts = "0 of 4 tasks created, 2 unchanged, 2 updated";
    assert!(updated.stderr.contains(counts), "{updated:?}");
    let tasks = cluster.api(1).get("/api/v1/tasks?name=cron-web1-*").await?;
    assert_eq!(items(&tasks).len(), 4, "{tasks}");
    let nothing = run(&["import", "crontab", "/dev/null", "--dry-run"]).await?;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    cluster.finish().await
}

#[tokio::test]
async fn all_that_is_kept_of_an_output_is_shown() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let server = cluster.api(1).base().to_owned();
    good(&server, &["add", "count", "--manual", "--", "seq", "1000"]).await?;
    let wanted: String = (1..=1_000).map(|number| format!("{number}\n")).collect();
    let ran = good(&server, &["run", "count", "--wait"]).await?;
    assert!(ran.stdout.ends_with(&format!("exit 0\n{wanted}")), "{ran:?}");
    let logs = good(&server, &["logs", "count"]).await?;
    let (head, output) = logs.stdout.split_once('\n').ok_or("no heading")?;
    assert!(head.contains(" success ") && output == wanted, "{logs:?}");
    follows(&server, &wanted).await?;
    good(&server, &["add", "wrong", "--manual", "--", "sh", "-c", "exit 5"]).await?;
    let ran = types(&server, &["run", "wrong", "--wait"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let logs = good(&server, &["logs", "wrong"]).await?;
    assert!(logs.first_line().contains("failed") && logs.first_line().ends_with("exit 5"));
    cluster.finish().await
}

/// `logs TASK -f` shows what has ended, and then each execution as it prints, once.
async fn follows(server: &str, output: &str) -> TestResult<()> {
    let mut follower = tokio::process::Command::new(node_program()?)
        .args(["--server", server, "logs", "count", "-f"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().ok_or("no output")?).lines();
    for shown in 1..=3 {
        let mut text = String::new();
        let head = timeout(LIMIT, lines.next_line()).await??.ok_or("it ended")?;
        let wanted = if shown == 1 { " n1 success " } else { " on n1]" };
        assert!(head.contains(wanted), "execution {shown}: {head}");
        while text.len() < output.len() {
            text += &timeout(LIMIT, lines.next_line()).await??.ok_or("it ended")?;
            text.push('\n');
        }
        assert_eq!(text, output, "execution {shown}");
        if shown > 1 {
            let end = timeout(LIMIT, lines.next_line()).await??.ok_or("it ended")?;
            assert!(end.contains(" success "), "execution {shown}: {end}");
        }
        if shown < 3 {
            good(server, &["run", "count", "--wait"]).await?;
        }
    }
    follower.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_replacement_says_what_it_stopped_and_an_answer_is_a_definition() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let server = cluster.api(1).base().to_owned();
    let add = ["add", "job", "--every", "1h", "--label", "team=db", "--", "sleep", "600"];
    good(&server, &add).await?;
    good(&server, &["run", "job"]).await?;
    let api = cluster.api(1);
    let path = "/api/v1/tasks/job/executions";
    let id = until("a running execution", async || {
        let executions = api.get(path).await?;
        let running = items(&executions).iter().find(|one| text(one, "status") == "running");
        running.map(|one| text(one, "id").to_owned()).ok_or_else(|| executions.to_string().into())
    })
    .await?;
    good(&server, &["pause", "job", "--reason", "careful"]).await?;
    let replace = ["add", "job", "--every", "2h", "--force", "--", "sleep", "601"];
    let replaced = good(&server, &replace).await?;
    assert!(replaced.first_line().starts_with("job: replaced, every 2h"), "{replaced:?}");
    for said in [&format!("execution {id} on n1 was stopped"), "careful", "labels"] {
        assert!(replaced.stderr.contains(said), "{said}: {replaced:?}");
    }

    let shown = good(&server, &["-o", "yaml", "show", "job"]).await?;
    let file = cluster.folder().join("job.yaml");
    fs::write(&file, &shown.stdout)?;
    let file = file.to_str().ok_or("an odd path")?;
    let dates = ["--from", "2026-12-01", "--to", "2026-12-02"];
    let simulated = run(&[&["simulate", "-f", file], &dates[..]].concat()).await?;
    assert_eq!(simulated.code, Some(0), "{simulated:?}");
    assert!(simulated.stdout.contains("job"), "{simulated:?}");
    good(&server, &["delete", "job", "--stop"]).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_node_that_is_cut_off_shows_what_it_knows() -> TestResult<()> {
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let cluster = ProcessCluster::start(3, options).await?;
    let server = cluster.api(3).base().to_owned();
    good(&server, &["add", "job", "--every", "1h", "--", "true"]).await?;
    good(&server, &["show", "job"]).await?;
    cluster.cut_off(3)?;
    // The first one may wait for a leader as usual, 1.8 s at most.
    good(&server, &["ls"]).await?;
    until("the node to know it", async || match cluster.api(3).ready().await {
        Ok(()) => Err("it says that it is ready".into()),
        Err(_) => Ok(()),
    })
    .await?;
    for (line, shown) in [
        (&["cluster", "status"][..], "n2"),
        (&["node", "list"], "n2"),
        (&["ls"], "job"),
        (&["why", "job"], "schedule"),
    ] {
        let asked = Instant::now();
        let ended = good(&server, line).await?;
        assert!(asked.elapsed() <= TOLD_WITHIN, "{line:?} took {:?}", asked.elapsed());
        assert!(ended.stdout.contains(shown), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains("stale: n3 has no contact"), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(&format!("n1 {}", cluster.api(1).base())), "{ended:?}");
    }
    let stale = good(&server, &["show", "job", "--stale", "-o", "json"]).await?;
    assert!(stale.stdout.contains("\"job\""), "{stale:?}");
    // Programs are not given old data unasked.
    let ended = types(&server, &["ls", "-o", "json"]).await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    cluster.heal()?;
    cluster.finish().await
}

#[tokio::test]
async fn a_node_that_is_asked_twice_to_end_ends_at_once() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let server = cluster.api(1).base().to_owned();
    good(&server, &["add", "job", "--manual", "--", "sleep", "600"]).await?;
    good(&server, &["run", "job"]).await?;
    until("the execution to run", async || {
        let running = good(&server, &["execution", "list", "--status", "running"]).await?;
        let there = running.stdout.contains("so far");
        if there { Ok(()) } else { Err(format!("{running:?}").into()) }
    })
    .await?;
    // It waits for the execution to end.
    let pid = cluster.pid(1).ok_or("it does not run")?;
    signal(pid, Signal::INT)?;
    let api = cluster.api(1);
    until("the node to begin to leave", async || {
        let nodes = api.get("/api/v1/nodes").await?;
        let leaves = items(&nodes).iter().any(|node| text(node, "intent") == "leaving");
        if leaves { Ok(()) } else { Err(nodes.to_string().into()) }
    })
    .await?;
    signal(pid, Signal::INT)?;
    let ended = cluster.ended(1).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("by a second signal"), "{ended:?}");
    cluster.finish().await
}

/// Types a command on a terminal and gives it this answer; what the terminal shows.
async fn on_terminal(server: &str, line: &str, answer: &str) -> TestResult<(Option<i32>, String)> {
    let program = node_program()?;
    let command = format!("{} --server {server} {line}", program.display());
    // `script` (bsdutils) is a terminal for its command.
    let mut terminal = tokio::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = terminal.stdin.take().ok_or("no input")?;
    input.write_all(answer.as_bytes()).await?;
    let output = terminal.wait_with_output().await?;
    drop(input);
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[tokio::test]
async fn a_replacement_that_stops_something_is_asked_about_on_a_terminal() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let server = cluster.api(1).base().to_owned();
    good(&server, &["add", "job", "--manual", "--", "sleep", "600"]).await?;
    good(&server, &["run", "job"]).await?;
    until("the execution to run", async || {
        let running = good(&server, &["execution", "list", "--status", "running"]).await?;
        if running.stdout.contains("so far") { Ok(()) } else { Err("not yet".into()) }
    })
    .await?;
    let replace = "add job --force --manual -- true";
    let (code, shown) = on_terminal(&server, replace, "no\n").await?;
    assert!(shown.contains("replacing job stops 1 execution; type yes:"), "{shown}");
    assert!(shown.contains("nothing was replaced"), "{shown}");
    assert_eq!(code, Some(1), "{shown}");
    let running = good(&server, &["execution", "list", "--status", "running"]).await?;
    assert!(running.stdout.contains("so far"), "{running:?}");
    let (code, shown) = on_terminal(&server, replace, "yes\n").await?;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("was stopped"), "{shown}");
    // A pause alone is reason enough to ask.
    good(&server, &["pause", "job", "--reason", "careful"]).await?;
    let (code, shown) = on_terminal(&server, replace, "no\n").await?;
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("replacing job ends its pause; type yes:"), "{shown}");
    let listed = good(&server, &["ls"]).await?;
    assert!(listed.stdout.contains("paused: careful"), "{listed:?}");
    // Of a task that neither runs nor is paused nothing is lost, and nothing is asked.
    good(&server, &["resume", "job"]).await?;
    let (code, shown) = on_terminal(&server, replace, "").await?;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("type yes"), "{shown}");
    cluster.finish().await
}

async fn gone(processes: &[String]) -> TestResult<()> {
    until("the nodes to end", async || {
        let left = processes.iter().filter(|pid| runs(pid)).collect::<Vec<_>>();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}").into()) }
    })
    .await
}

#[tokio::test]
async fn frozen_nodes_of_a_dev_cluster_end_with_it() -> TestResult<()> {
    let mut dev = Dev::start(2).await?;
    let children = dev.children()?;
    let data = dev.folder.path().to_str().ok_or("an odd path")?;
    let paused =
        run(&["dev", "--port", &dev.port.to_string(), "--data", data, "pause", "n2"]).await?;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    dev.signal(Signal::KILL)?;
    dev.process.wait().await?;
    gone(&children).await
}

#[tokio::test]
async fn a_dev_cluster_that_is_asked_twice_to_end_ends_at_once() -> TestResult<()> {
    let mut dev = Dev::start(2).await?;
    let children = dev.children()?;
    let stderr = dev.process.stderr.take().ok_or("no output")?;
    let mut lines = BufReader::new(stderr).lines();
    good(&dev.server(), &["add", "job", "--manual", "--", "sleep", "600"]).await?;
    good(&dev.server(), &["run", "job"]).await?;
    until("the execution to run", async || {
        let running = good(&dev.server(), &["execution", "list", "--status", "running"]).await?;
        if running.stdout.contains("so far") { Ok(()) } else { Err("not yet".into()) }
    })
    .await?;
    // Its nodes wait for the execution to end.
    dev.signal(Signal::INT)?;
    while let Some(line) = lines.next_line().await? {
        if line.contains("once more ends it at once") {
            break;
        }
    }
    assert!(children.iter().any(|pid| runs(pid)), "it did not wait");
    dev.signal(Signal::INT)?;
    let ended = dev.process.wait().await?;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    gone(&children).await
}

/// Whether there is such a process that has not ended.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| state != 'Z')
}
