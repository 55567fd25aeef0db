//! The requests that the documents of other schedulers show, as they are typed, against a fresh
//! `punctual dev --port 8080`.
//!
//! The table has each `curl` line and each bare request of those documents, with its placeholders
//! filled and its URL quoted where a shell would take it apart. Documents 000 and 001 show no
//! requests: of 000 the body of a task is sent.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cluster_tests::{Dev, LIMIT, TestResult, skipped, until};
use serde_json::Value;
use tokio::time::timeout;

/// The port of the node that the documents ask.
const PORT: u16 = 8080;
/// Where the table of the last run is.
const TABLE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/curl-lines.txt");
/// What is added to `curl`: no talk, no proxy, and the status behind the answer.
const CURL: &str = "curl -sS --noproxy '*' -w '\\n%{http_code}' ";

/// One request of a document.
struct CurlLine {
    document: &'static str,
    line: &'static str,
    wanted: LineAnswer,
}

/// A status, and the places in the body where there is a value: any, or the text behind the `=`.
type LineAnswer = (u16, &'static [&'static str]);

const fn row(document: &'static str, line: &'static str, wanted: LineAnswer) -> CurlLine {
    CurlLine { document, line, wanted }
}

const LINES: &[CurlLine] = &[
    row(
        "000",
        r#"curl -X POST http://localhost:8080/api/v1/tasks -H "Content-Type: application/json" -d '{
            "name": "dynamic-task", "cron_format": "*/10 * * * * *", "payload": "hello",
            "action": {"shell": {"argv": ["true"]}}}'"#,
        (201, &["/id", "/schedule/cron", "/payload"]),
    ),
    row(
        "002",
        "curl http://localhost:8080/health",
        (200, &["/status", "/instance_id", "/timestamp", "/mode"]),
    ),
    row(
        "003",
        r#"curl -X POST http://localhost:8080/api/v1/tasks -H "Content-Type: application/json" -d '{
            "name": "hello_job", "type": "duration", "schedule": "30s", "enabled": true,
            "action": {"shell": {"argv": ["true"]}}}'"#,
        (201, &["/id", "/schedule/interval"]),
    ),
    row(
        "004",
        r#"curl -X POST http://localhost:8080/api/v1/executors/register \
          -H "Content-Type: application/json" \
          -d '{
            "name": "data-processor",
            "instance_id": "executor-001",
            "base_url": "http://localhost:9090",
            "health_check_url": "http://localhost:9090/health",
            "tasks": [
              {
                "task_name": "daily_report",
                "cron": "0 0 2 * * *",
                "execution_mode": "sequential",
                "load_balance_strategy": "round_robin",
                "timeout": 300
              }
            ]
          }'"#,
        (201, &["/id", "/name", "/base_url", "/status", "/tasks/0/name", "/tasks/0/result"]),
    ),
    row(
        "004",
        r#"curl -X POST http://localhost:8080/api/v1/tasks \
          -H "Content-Type: application/json" \
          -d '{
            "name": "hourly_sync",
            "cron_expression": "0 0 * * * *",
            "execution_mode": "parallel",
            "load_balance_strategy": "least_loaded",
            "max_retry": 3,
            "timeout_seconds": 600,
            "parameters": {
              "source": "database_a",
              "target": "database_b"
            }
          }'"#,
        (
            201,
            &[
                "/id",
                "/schedule/cron",
                "/timeout",
                "/retry/max_retry",
                "/parameters/source",
                "/action/executor/balance",
            ],
        ),
    ),
    // Of no document: with an action of its own it succeeds without an executor.
    row(
        "own",
        r#"curl -X PUT http://localhost:8080/api/v1/tasks/hourly_sync \
          -H "Content-Type: application/json" \
          -d '{
            "cron_expression": "0 0 * * * *",
            "parameters": {
              "source": "database_a",
              "target": "database_b"
            },
            "action": {"shell": {"argv": ["true"]}}
          }'"#,
        (200, &["/id", "/schedule/cron", "/parameters/source"]),
    ),
    row(
        "004",
        r#"curl -X POST http://localhost:8080/api/v1/tasks/hourly_sync/trigger \
          -H "Content-Type: application/json" \
          -d '{
            "parameters": {
              "force": true
            }
          }'"#,
        (201, &["/id", "/status", "/parameters/force", "/parameters/source"]),
    ),
    row(
        "004",
        "curl 'http://localhost:8080/api/v1/executions?task_id=hourly_sync&status=success&limit=10'",
        (200, &["/items/0/id", "/items/0/task_id", "/items/0/start_time"]),
    ),
    row(
        "004",
        r#"curl -X PUT http://localhost:8080/api/v1/executors/executor-001/status \
          -H "Content-Type: application/json" \
          -d '{
            "status": "maintenance",
            "reason": "系统升级"
          }'"#,
        (200, &["/message=status updated"]),
    ),
    row(
        "004",
        "curl http://localhost:8080/api/v1/scheduler/status",
        (
            200,
            &[
                "/started",
                "/leader_id",
                "/time",
                "/instances/0/id",
                "/instances/0/instance_id",
                "/instances/0/host",
                "/instances/0/port",
                "/instances/0/is_leader",
                "/instances/0/state",
            ],
        ),
    ),
    row(
        "004",
        "curl http://localhost:8080/api/v1/executors",
        (
            200,
            &[
                "/items/0/id=executor-001",
                "/items/0/name=data-processor",
                "/items/0/status=maintenance",
                "/items/0/reason=系统升级",
            ],
        ),
    ),
    row(
        "003",
        "curl http://localhost:8080/api/v1/scheduler/jobs",
        (
            200,
            &[
                "/code",
                "/message",
                "/data/3/id=hourly_sync",
                "/data/3/name=hourly_sync",
                "/data/3/next_run",
                "/data/3/last_run",
            ],
        ),
    ),
    row(
        "003",
        "curl -X POST http://localhost:8080/api/v1/scheduler/stop",
        (200, &["/code", "/message", "/data"]),
    ),
    row(
        "003",
        "curl -X POST http://localhost:8080/api/v1/scheduler/start",
        (200, &["/code", "/message", "/data"]),
    ),
    row(
        "002",
        "curl http://localhost:8080/api/cron/status",
        (
            200,
            &[
                "/instance_id",
                "/status",
                "/start_time",
                "/active_tasks",
                "/instance_count",
                "/uptime",
            ],
        ),
    ),
    row(
        "002",
        "curl http://localhost:8080/api/cron/instances",
        (
            200,
            &[
                "/count",
                "/instances/0/instance_id",
                "/instances/0/hostname",
                "/instances/0/pid",
                "/instances/0/start_time",
                "/instances/0/last_heartbeat",
                "/instances/0/status",
                "/instances/0/version",
                "/instances/0/tasks/0",
            ],
        ),
    ),
    row(
        "002",
        "curl http://localhost:8080/api/cron/tasks",
        (
            200,
            &[
                "/count",
                "/tasks/0/name",
                "/tasks/0/description",
                "/tasks/0/schedule",
                "/tasks/0/instances/0",
            ],
        ),
    ),
    row(
        "002",
        "curl http://localhost:8080/api/cron/tasks/hourly_sync/stats",
        (
            200,
            &[
                "/task_name",
                "/stats/success_count",
                "/stats/failure_count",
                "/stats/last_run_at",
                "/stats/next_run_at",
            ],
        ),
    ),
    row(
        "002",
        "curl http://localhost:8080/api/cron/tasks/hourly_sync/history",
        (
            200,
            &[
                "/task_name",
                "/count",
                "/history/0/task_name",
                "/history/0/instance_id",
                "/history/0/status",
                "/history/0/started_at",
                "/history/0/completed_at",
                "/history/0/duration",
                "/history/0/retry_count",
            ],
        ),
    ),
];

/// Types a line; the status and the body of its answer.
async fn types(dev: &Dev, line: &str) -> TestResult<(u16, Value)> {
    let mut typed = line.replacen("curl ", CURL, 1);
    if dev.port != PORT {
        typed = typed.replace(&format!(":{PORT}/"), &format!(":{}/", dev.port));
    }
    let output = timeout(LIMIT, dev.shell(&typed).output()).await??;
    if !output.status.success() {
        return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let answer = String::from_utf8(output.stdout)?;
    let (body, status) = answer.rsplit_once('\n').ok_or("no status")?;
    Ok((status.parse()?, serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))?))
}

/// Whether an answer is as its row says.
fn check(row: &CurlLine, status: u16, body: &Value) -> TestResult<()> {
    let has = |wanted: &str| match wanted.split_once('=') {
        Some((pointer, text)) => body.pointer(pointer).and_then(Value::as_str) == Some(text),
        None => body.pointer(wanted).is_some_and(|value| !value.is_null()),
    };
    let (wanted, places) = row.wanted;
    let missing = match wanted == status {
        true => places.iter().find(|place| !has(place)).copied(),
        false => Some("the status"),
    };
    let said = || format!("{}: {}\n{status} {body}", row.document, row.line);
    missing.map_or(Ok(()), |missing| Err(format!("no {missing}: {}", said()).into()))
}

/// A line of the table: the document, the status, the line with its white space as one blank each.
fn shown(row: &CurlLine, status: u16) -> String {
    let line: Vec<&str> = row.line.split_whitespace().filter(|word| *word != "\\").collect();
    format!("{} {status} {}", row.document, line.join(" "))
}

#[test]
fn an_answer_that_is_not_as_documented_is_noticed() {
    let row = row("", "", (200, &["/a", "/b=as told"]));
    let answer = serde_json::json!({"a": 1, "b": "as told"});
    assert!(check(&row, 200, &answer).is_ok());
    assert!(check(&row, 201, &answer).is_err());
    for wrong in [r#"{"a": null, "b": "as told"}"#, r#"{"a": 1, "b": "else"}"#, r#"{"a": 1}"#] {
        let wrong: Value = serde_json::from_str(wrong).unwrap();
        assert!(check(&row, 200, &wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_requests_of_other_schedulers_work_as_typed() -> TestResult<()> {
    if !Path::new("/usr/bin/curl").exists() {
        return skipped("curl is not installed");
    }
    let dev = match Dev::start_apart().await? {
        Some(dev) => dev,
        None => {
            let dev = Dev::start(1).await?;
            let port = dev.port;
            skipped(&format!("there is no network apart: port {port} in the place of {PORT}"))?;
            dev
        }
    };
    let mut table = String::new();
    for row in LINES {
        let typed = async || {
            let (status, body) = types(&dev, row.line).await?;
            check(row, status, &body).map(|()| status)
        };
        // What only reads is repeated: an execution takes a while to end.
        let writes = row.line.contains(" -X ");
        let status = if writes { typed().await? } else { until(row.line, typed).await? };
        writeln!(table, "{}", shown(row, status))?;
    }
    print!("{table}");
    fs::write(TABLE, table)?;
    dev.stop().await
}
