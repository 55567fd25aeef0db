//! A web service with scheduled work: its own routes beside a node of `punctual` in one program.
//!
//! ```text
//! cargo run --example embedded_axum
//! ```
//!
//! Three instances of the service run here, each a node and a router. A report is made on schedule
//! by one of them, and on request (`POST /reports`) by any of them; `GET /reports` shows what was
//! made. The program sends some requests and ends.

use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use punctual::{FuncContext, FuncResult, Node, TaskBuilder};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// What is waited for has happened by then.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let nodes = start_nodes(folder.path()).await?;
    let mut services = Vec::new();
    for node in &nodes {
        node.ready().await?;
        services.push(serve(node.clone()).await?);
    }
    let daily = TaskBuilder::cron("report", "*/2 * * * * *").parameter("of", "the schedule");
    nodes[0].add_task(daily).await?;

    let made = request(services[1], "POST /reports?of=a-customer").await?;
    say(format_args!("asked for: {made}"));
    let until = Instant::now() + LIMIT;
    loop {
        let reports = request(services[2], "GET /reports").await?;
        let (scheduled, asked) = ("the report of the schedule", "the report of a-customer");
        if reports.contains(scheduled) && reports.contains(asked) {
            say(format_args!("{reports}"));
            break;
        }
        if Instant::now() > until {
            return Err(format!("not all reports were made: {reports}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    for node in &nodes {
        node.stop().await;
    }
    Ok(())
}

/// Three nodes on free ports of this machine. Their own HTTP API is off.
async fn start_nodes(folder: &Path) -> Result<Vec<Node>, Box<dyn Error>> {
    let held: Vec<StdListener> =
        (0..3).map(|_| StdListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut peers = Vec::new();
    for (id, listener) in (1_u16..).zip(&held) {
        peers.push((id, listener.local_addr()?.to_string()));
    }
    drop(held);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let folder = folder.join(id.to_string());
        let node = Node::builder().id(id).peers(peers.clone()).data_dir(folder);
        nodes.push(node.function("report", report).start().await?);
    }
    Ok(nodes)
}

/// The work. Its output is kept with the execution.
async fn report(call: FuncContext) -> FuncResult {
    let parameters = call.parameters();
    let of = parameters.get("of").and_then(Value::as_str).ok_or("a report needs `of`")?;
    call.output().line(format_args!("the report of {of}, by {}", call.node()));
    Ok(())
}

/// Serves an instance of the service.
async fn serve(node: Node) -> Result<SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let router = Router::new().route("/reports", get(list).post(make)).with_state(node);
    // It ends with the program.
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(addr)
}

type Refused = (StatusCode, String);

/// `POST /reports?of=…`: makes a report now.
async fn make(
    State(node): State<Node>,
    Query(query): Query<Map<String, Value>>,
) -> Result<Json<Value>, Refused> {
    let execution = node.trigger("report", query).await.map_err(refused)?;
    Ok(Json(json!({"execution": execution.id})))
}

/// `GET /reports`: what the newest reports say.
async fn list(State(node): State<Node>) -> Result<Json<Value>, Refused> {
    let newest = node.executions("report", 50).await.map_err(refused)?;
    let reports: Vec<String> = newest.into_iter().filter_map(|one| one.output_tail).collect();
    Ok(Json(json!(reports)))
}

fn refused(error: punctual::Error) -> Refused {
    let status = match error.code() {
        "task_not_found" => StatusCode::NOT_FOUND,
        "no_leader" | "not_accepted" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, format!("{}: {error}", error.code()))
}

/// Sends a request without a body, and returns the body of the answer.
async fn request(addr: SocketAddr, what: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(addr).await?;
    let head = format!("{what} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{what}: {answer}").into());
    }
    Ok(body.to_owned())
}

fn say(line: std::fmt::Arguments<'_>) {
    // A reader who goes away does not end the program.
    let _gone = writeln!(std::io::stdout(), "{line}");
}
