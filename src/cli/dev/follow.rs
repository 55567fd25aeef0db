//! Prints one line per execution when it ends.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::client::Client;
use crate::clock::own_time;
use crate::dto::{ClusterView, ExecutionView, ListView};

use super::super::exit::CommandResult;
use super::super::fetch;
use super::super::local::LocalClock;
use super::super::output::Output;
use super::super::words;

/// Polling interval.
const EVERY: Duration = Duration::from_millis(200);
/// Number of executions per request.
const PAGE: usize = 200;
/// Number of printed ids that are remembered.
const REMEMBER: usize = 5_000;
/// Maximum number of output characters shown.
const OUTPUT_MAX: usize = 60;

/// The number of the leader.
pub(super) fn leader_number(cluster: &ClusterView) -> Option<usize> {
    cluster.leader.as_ref()?.trim_start_matches('n').parse().ok()
}

/// Prints each execution when it has ended, until interrupted.
pub(super) async fn follow(client: &Client, out: &mut Output) -> CommandResult {
    let mut printed = BTreeSet::new();
    let mut order = VecDeque::new();
    let query = [("limit", PAGE.to_string()), ("consistency", "stale".to_owned())];
    loop {
        tokio::time::sleep(EVERY).await;
        // There is nothing to print while no node responds.
        let Ok(reply) = client.get("/api/v1/executions", &query).await else { continue };
        let Ok(list) = serde_json::from_value::<ListView<ExecutionView>>(reply.body) else {
            continue;
        };
        for execution in list.items.iter().rev() {
            if words::ended(execution) && printed.insert(execution.id.clone()) {
                order.push_back(execution.id.clone());
                let clock = out.clock().at(own_time());
                let shown = fetch::value(execution);
                out.one(&shown, |_clock| line(execution, &clock))?;
            }
        }
        while order.len() > REMEMBER {
            if let Some(old) = order.pop_front() {
                printed.remove(&old);
            }
        }
    }
}

/// `12:00:05.000 hello  fired on n2  +1 ms  exit 0 in 3 ms  "on time"`
fn line(execution: &ExecutionView, clock: &LocalClock) -> String {
    let backfilled = &*execution.trigger == "backfill";
    let tick = execution.tick.filter(|_| !backfilled);
    let time = clock.exact(tick.unwrap_or(execution.due).0);
    let how = match tick {
        Some(_) => "fired",
        None if backfilled => "backfilled",
        None => "triggered",
    };
    let late = execution.lateness_ms.map_or_else(String::new, |late| format!("  {late:+} ms"));
    let lasted =
        execution.duration_ms.map_or_else(String::new, |lasted| format!(" in {lasted} ms"));
    let end = match (execution.exit_code, execution.http_status) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(status)) => format!("HTTP {status}"),
        _ => match words::result(execution) {
            none if none.is_empty() => execution.status.to_string(),
            why => format!("{}: {why}", execution.status),
        },
    };
    let output = execution.output_tail.as_deref().unwrap_or_default();
    let output = output.trim_end().lines().last().unwrap_or_default();
    let output: String = output.chars().take(OUTPUT_MAX).collect();
    let output = if output.is_empty() { output } else { format!("  {output:?}") };
    let node = execution.node.as_deref().unwrap_or_default();
    format!("{time} {:<10} {how} on {node}{late}  {end}{lasted}{output}", execution.task)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_line_shows_the_times_that_the_other_commands_show() {
        let clock =
            LocalClock::new("Asia/Tokyo", Timestamp::parse("2026-12-01T12:00:05Z").unwrap());
        let mut execution = crate::cli::tests::execution("42", "failed", "a\nno luck\n");
        execution["exit_code"] = json!(5);
        let view = |execution: &Value| serde_json::from_value(execution.clone()).unwrap();
        let shown = "21:00:00.000 hello      fired on n2  +1 ms  exit 5 in 3 ms  \"no luck\"";
        assert_eq!(line(&view(&execution), &clock), shown);
        execution["exit_code"] = Value::Null;
        execution["attempts"][0]["detail"] = json!("Connection refused");
        let shown = line(&view(&execution), &clock);
        assert!(shown.contains("  failed: Connection refused in 3 ms"), "{shown}");
    }
}
