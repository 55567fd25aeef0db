//! One line per execution, as they end.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::clock::own_time;

use super::super::exit::Outcome;
use super::super::fetch::instant;
use super::super::local::LocalClock;
use super::super::output::Output;
use super::super::words;

/// How often the cluster is asked.
const EVERY: Duration = Duration::from_millis(200);
/// Executions asked for at once.
const PAGE: usize = 200;
/// Ids remembered as printed.
const REMEMBER: usize = 5_000;
/// Characters of output shown.
const OUTPUT_MAX: usize = 60;

/// The number of the leading node in the answer of `/api/v1/cluster`.
pub(super) fn leader_number(cluster: &Value) -> Option<usize> {
    let leader = cluster.get("leader")?;
    let name = leader.as_str().or_else(|| leader.get("name")?.as_str());
    match name {
        Some(name) => name.trim_start_matches('n').parse().ok(),
        None => leader.as_u64().and_then(|id| usize::try_from(id).ok()),
    }
}

/// Prints each execution once it has ended, until interrupted.
pub(super) async fn follow(client: &Client, out: &mut Output) -> Outcome {
    let mut printed = BTreeSet::new();
    let mut order = VecDeque::new();
    let query = [("limit", PAGE.to_string()), ("consistency", "stale".to_owned())];
    loop {
        tokio::time::sleep(EVERY).await;
        // While no node answers there is nothing to print; it goes on when one does.
        let Ok(reply) = client.get("/api/v1/executions", &query).await else { continue };
        let items = reply.body.get("items").and_then(Value::as_array).cloned();
        for execution in items.unwrap_or_default().iter().rev() {
            let Some(id) = execution.get("id").and_then(Value::as_str) else { continue };
            let ended = !matches!(text(execution, "status"), "pending" | "running");
            if ended && printed.insert(id.to_owned()) {
                order.push_back(id.to_owned());
                let clock = out.clock().at(own_time());
                out.one(execution, |_clock| line(execution, &clock))?;
            }
        }
        while order.len() > REMEMBER {
            if let Some(old) = order.pop_front() {
                printed.remove(&old);
            }
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

/// `12:00:05.000 hello  fired on n2  +1 ms  exit 0 in 3 ms  "on time"`
fn line(execution: &Value, clock: &LocalClock) -> String {
    let tick = text(execution, "tick");
    let when = instant(execution, "tick").or_else(|| instant(execution, "due"));
    let time = when.map(|at| clock.exact(at)).unwrap_or_default();
    let how = if tick.is_empty() { "triggered" } else { "fired" };
    let late = execution.get("lateness_ms").and_then(Value::as_i64);
    let late = late.map_or_else(String::new, |late| format!("  {late:+} ms"));
    let lasted = execution.get("duration_ms").and_then(Value::as_i64);
    let lasted = lasted.map_or_else(String::new, |lasted| format!(" in {lasted} ms"));
    let end = match (execution.get("exit_code"), execution.get("http_status")) {
        (Some(Value::Number(code)), _) => format!("exit {code}"),
        (_, Some(Value::Number(status))) => format!("HTTP {status}"),
        _ => match words::result(execution) {
            none if none.is_empty() => text(execution, "status").to_owned(),
            why => format!("{}: {why}", text(execution, "status")),
        },
    };
    let output = text(execution, "output_tail").trim_end().lines().last().unwrap_or("");
    let output: String = output.chars().take(OUTPUT_MAX).collect();
    let output = if output.is_empty() { output } else { format!("  {output:?}") };
    format!(
        "{time} {:<10} {how} on {}{late}  {end}{lasted}{output}",
        text(execution, "task"),
        text(execution, "node")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_line_shows_the_times_that_the_other_commands_show() {
        let clock =
            LocalClock::new("Asia/Tokyo", Timestamp::parse("2026-12-01T12:00:05Z").unwrap());
        let mut execution = json!({
            "task": "hello", "node": "n2", "tick": "2026-12-01T12:00:00.000Z", "status": "failed",
            "lateness_ms": 1, "duration_ms": 3, "exit_code": 5, "output_tail": "a\nno luck\n",
        });
        let shown = "21:00:00.000 hello      fired on n2  +1 ms  exit 5 in 3 ms  \"no luck\"";
        assert_eq!(line(&execution, &clock), shown);
        execution["exit_code"] = Value::Null;
        execution["attempts"] = json!([{"detail": "Connection refused"}]);
        assert!(line(&execution, &clock).contains("  failed: Connection refused in 3 ms"));
    }
}
