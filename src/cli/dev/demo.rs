//! The demo tasks: one for each feature.

use serde_json::{Value, json};

use crate::client::Client;

use super::super::exit::Failure;

fn shell(name: &str, schedule: Value, command: &str, description: &str) -> Value {
    json!({
        "name": name,
        "description": description,
        "labels": {"demo": "true"},
        "schedule": schedule,
        "action": {"shell": {"argv": ["sh", "-c", command]}},
    })
}

/// Adds the demo tasks and replaces existing tasks with their names.
pub(super) async fn add(client: &Client) -> Result<(), Failure> {
    let tasks = [
        shell("five", json!({"interval": "5s"}), "echo on time", "every five seconds"),
        shell("tick", json!({"cron": "*/2 * * * * *"}), "echo $PUNCTUAL_TICK", "prints its tick"),
        shell("slow", json!({"interval": "7s"}), "sleep 3; echo done", "takes three seconds"),
        shell("flaky", json!({"interval": "11s"}), "echo no luck >&2; exit 3", "fails each time"),
        shell("once", json!({"delay": "4s"}), "echo only once", "fires once"),
        shell(
            "berlin",
            json!({"cron": "*/1 * * * *", "timezone": "Europe/Berlin"}),
            "date",
            "each minute",
        ),
        shell("report", json!({"daily": "02:30", "timezone": "America/New_York"}), "true", "daily"),
    ];
    let force = [("force", "true".to_owned())];
    for task in tasks {
        client.send(reqwest::Method::POST, "/api/v1/tasks", &force, Some(&task), &[]).await?;
    }
    Ok(())
}
