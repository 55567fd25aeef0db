//! Output, while it is printed and afterwards, from any node.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use cluster_tests::{
    Api, ClusterOptions, LIMIT, OpenStream, ProcessCluster, ProcessExit, TestResult, field,
    node_program, run, shell, text, until, with,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// Adds a manual task of one node, and triggers it.
async fn triggered(api: &Api, node: &str, script: &str, more: Value) -> TestResult<String> {
    let task = json!({"name": "load", "schedule": {"manual": true},
        "assignment": {"selector": {"node": node}}, "action": shell(script)});
    api.add(&with(task, more)).await?;
    api.trigger("load", &json!({})).await
}

fn output_of(id: &str) -> String {
    format!("/api/v1/executions/{id}/output")
}

async fn logs(api: &Api, line: &[&str]) -> TestResult<ProcessExit> {
    run(&[&["--server", api.base(), "logs"], line].concat()).await
}

/// Prints 500 lines in each of three parts, and waits for a file behind each.
fn in_parts(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "for part in 1 2 3; do seq ${{part}}000 ${{part}}499; until [ -e {folder}/$part ]; do sleep \
         0.05; done; done"
    )
}

/// What the first so many parts print.
fn parts(count: u32) -> String {
    let numbers = (1..=count).flat_map(|part| part * 1_000..part * 1_000 + 500);
    numbers.map(|number| format!("{number}\n")).collect()
}

/// Reads until so much came; gives the id to go on from.
async fn read_all(stream: &mut OpenStream, into: &mut String, length: usize) -> TestResult<String> {
    let mut last = String::new();
    while into.len() < length {
        let event = stream.next_of("output").await?;
        into.push_str(text(&event.data, "text"));
        last = event.id;
    }
    Ok(last)
}

#[tokio::test]
async fn a_stream_goes_on_at_another_node_without_gap_or_repeat() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let id = triggered(&cluster.api(3), "n1", &in_parts(folder.path()), json!({})).await?;
    let path = format!("{}?follow=true", output_of(&id));
    let servers = format!("{},{}", cluster.api(2).base(), cluster.api(3).base());
    let mut terminal = tokio::process::Command::new(node_program()?)
        .args(["--server", &servers, "logs", "-f", &id])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdout = terminal.stdout.take().ok_or("no output")?;

    // Neither node runs it.
    let mut stream = cluster.api(2).follow(&path, None).await?;
    let begins = stream.next_of("attempt").await?;
    assert_eq!(begins.data, json!({"attempt": 1, "node": "n1"}));
    let mut read = String::new();
    let last = read_all(&mut stream, &mut read, parts(1).len()).await?;
    assert_eq!((read.as_str(), last), (parts(1).as_str(), format!("1-{}", parts(1).len())));
    let mut typed = vec![0; parts(1).len()];
    timeout(LIMIT, stdout.read_exact(&mut typed)).await??;

    cluster.kill9(2)?;
    assert!(!matches!(stream.next().await, Ok(Some(_))), "its node is gone");
    fs::write(folder.path().join("1"), "")?;
    let from = format!("1-{}", read.len());
    let mut stream = cluster.api(3).follow(&path, Some(&from)).await?;
    read_all(&mut stream, &mut read, parts(2).len()).await?;
    // Another one by the query, from the middle of a line.
    let middle = format!("{path}&attempt=1&from=7");
    let mut late = cluster.api(3).follow(&middle, None).await?;
    let mut rest = String::new();
    read_all(&mut late, &mut rest, parts(2).len() - 7).await?;
    assert_eq!(rest, parts(2)[7..]);
    fs::write(folder.path().join("2"), "")?;
    read_all(&mut stream, &mut read, parts(3).len()).await?;
    fs::write(folder.path().join("3"), "")?;
    let end = stream.next_of("end").await?;
    let wanted = json!({"attempt": 1, "next": read.len(), "status": "success"});
    assert_eq!((read, end.data), (parts(3), wanted));
    assert_eq!(stream.next().await?, None, "nothing comes behind the end");

    timeout(LIMIT, stdout.read_to_end(&mut typed)).await??;
    assert_eq!(String::from_utf8(typed)?, parts(3));
    assert!(timeout(LIMIT, terminal.wait()).await??.success());
    // The whole output, and its last lines, from a node that did not run it.
    let whole = logs(&cluster.api(3), &[&id]).await?;
    assert_eq!(whole.stdout, parts(3), "{whole:?}");
    let last = logs(&cluster.api(3), &[&id, "--tail", "2"]).await?;
    assert_eq!(last.stdout, "3498\n3499\n");
    cluster.finish().await
}

#[tokio::test]
async fn all_attempts_are_read_and_followed() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script = "echo attempt $PUNCTUAL_ATTEMPT; seq 1000; [ $PUNCTUAL_ATTEMPT = 2 ]";
    let retry = json!({"retry": {"max_retry": 1, "delay": "1s"}});
    let id = triggered(&cluster.api(1), "n1", script, retry).await?;
    // From before its beginning, on a node that does not run it.
    let mut stream =
        cluster.api(2).follow(&format!("{}?follow=true", output_of(&id)), None).await?;
    let mut seen = Vec::new();
    let mut read = [String::new(), String::new()];
    while let Some(event) = stream.next().await? {
        let attempt = field(&event.data, "attempt").as_u64().ok_or("no attempt")?;
        if event.name == "output" {
            read[usize::try_from(attempt)? - 1].push_str(text(&event.data, "text"));
        } else {
            seen.push((event.name, attempt));
        }
    }
    let seen: Vec<(&str, u64)> = seen.iter().map(|(name, attempt)| (&**name, *attempt)).collect();
    assert_eq!(seen, [("attempt", 1), ("attempt", 2), ("end", 2)]);
    for (attempt, read) in (1..).zip(&read) {
        let number = attempt.to_string();
        let shown = logs(&cluster.api(3), &[&id, "--attempt", &number]).await?;
        assert_eq!(&shown.stdout, read, "{shown:?}");
        assert!(read.starts_with(&format!("attempt {attempt}\n1\n")) && read.ends_with("1000\n"));
    }
    let shown = run(&["--server", cluster.api(3).base(), "execution", "show", &id]).await?;
    assert!(shown.stdout.contains(" to ") && shown.stdout.contains("failed"), "{shown:?}");
    cluster.finish().await
}

#[tokio::test]
async fn streams_are_bounded_and_free_their_place() -> TestResult<()> {
    let mut cluster = ProcessCluster::prepare(1, ClusterOptions::default()).await?;
    cluster.rewrite(1, |text| text.replace("[http]\n", "[http]\nstreams = 2\n"))?;
    cluster.start_all()?;
    cluster.all_ready().await?;
    let api = cluster.api(1);
    let id = triggered(&api, "n1", "echo begun; sleep 600", json!({})).await?;
    let path = format!("{}?follow=true", output_of(&id));
    let mut first = api.follow(&path, None).await?;
    first.next_of("output").await?;
    let second = api.follow(&path, None).await?;
    let refused = api.send(Method::GET, &path, None, None).await?;
    assert_eq!((refused.status, text(&refused.body, "code")), (503, "too_many_streams"));
    assert_eq!(api.metric("punctual_http_streams").await?, 2.0);
    drop(first);
    let third = until("a place", async || api.follow(&path, None).await).await?;
    drop((second, third));
    until("all places to be free", async || match api.metric("punctual_http_streams").await? {
        0.0 => Ok(()),
        open => Err(format!("{open} are open").into()),
    })
    .await?;
    api.post(&format!("/api/v1/executions/{id}/stop"), &json!({})).await?;
    cluster.finish().await
}

#[tokio::test]
async fn output_that_is_gone_says_so() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let lost = json!({"lost_after": "1s"});
    let id = triggered(&cluster.api(2), "n1", "seq 1000; sleep 600", lost).await?;
    let printed: String = (1..=1_000).map(|number| format!("{number}\n")).collect();
    let path = output_of(&id);
    let mut stream = cluster.api(2).follow(&format!("{path}?follow=true"), None).await?;
    let mut read = String::new();
    read_all(&mut stream, &mut read, printed.len()).await?;
    // The keeper writes what waits within a second.
    let file = cluster.data(1).join("output").join(format!("{id}.1.log"));
    until("the output to be on disk", async || match fs::read_to_string(&file)? {
        kept if kept == printed => Ok(()),
        kept => Err(format!("{} bytes", kept.len()).into()),
    })
    .await?;
    cluster.kill9(1)?;
    let gone = loop {
        let gone = stream.next_of("gone").await?.data;
        if field(&gone, "last") == &json!(true) {
            break gone;
        }
    };
    assert_eq!(
        (text(&gone, "code"), field(&gone, "from")),
        ("node_unreachable", &json!(read.len()))
    );
    assert_eq!(text(&stream.next_of("end").await?.data, "status"), "lost");
    let away = cluster.api(3).send(Method::GET, &path, None, None).await?;
    assert_eq!((away.status, text(&away.body, "code")), (504, "node_unreachable"));
    let shown = logs(&cluster.api(3), &["load"]).await?;
    assert!(shown.stdout.contains("does not answer"), "{shown:?}");

    // It comes back with what it kept, until that is gone too.
    cluster.start_node(1)?;
    cluster.all_ready().await?;
    let back = until("the output", async || cluster.api(3).get(&path).await).await?;
    assert_eq!(back, Value::String(printed));
    fs::remove_file(&file)?;
    let gone = cluster.api(3).send(Method::GET, &path, None, None).await?;
    assert_eq!((gone.status, text(&gone.body, "code")), (410, "output_gone"));
    let shown = logs(&cluster.api(2), &[&id]).await?;
    assert!(shown.code == Some(5) && shown.stderr.contains("output_gone"), "{shown:?}");
    cluster.finish().await
}
