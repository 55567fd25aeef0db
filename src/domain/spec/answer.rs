//! Answers as input: what a node answers about a task or a calendar can be sent back and stand in
//! files, without the fields that only answers have.

use serde_json::Value;

/// What an answer shows of a task beyond its canonical body.
const TO_TASKS: [&str; 18] = [
    "id",
    "revision",
    "incarnation",
    "origin",
    "source",
    "state",
    "paused",
    "owner",
    "cursor",
    "next_tick",
    "last_execution",
    "last_ended",
    "live",
    "waits_for_executor",
    "totals",
    "created_at",
    "updated_at",
    "warnings",
];
/// What an answer shows of a calendar beyond its body.
const TO_CALENDARS: [&str; 7] =
    ["id", "revision", "created_at", "updated_at", "origin", "task_count", "tasks"];

/// The body of a task without what answers add to it.
#[must_use]
pub fn definition(body: &Value) -> Value {
    // Only an answer carries these two; elsewhere an added field is a mistake to be told.
    without(body, &["incarnation", "revision"], &TO_TASKS)
}

/// The body of a calendar without what answers add to it.
#[must_use]
pub fn calendar_definition(body: &Value) -> Value {
    without(body, &["revision"], &TO_CALENDARS)
}

fn without(body: &Value, signs: &[&str], added: &[&str]) -> Value {
    let mut body = body.clone();
    if let Value::Object(fields) = &mut body
        && signs.iter().all(|sign| fields.contains_key(*sign))
    {
        added.iter().for_each(|field| drop(fields.shift_remove(*field)));
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_answers_lose_fields() {
        let answer = json!({"name": "a", "incarnation": 1, "revision": 2, "owner": "n1", "x": 1});
        assert_eq!(definition(&answer), json!({"name": "a", "x": 1}));
        let own = json!({"name": "a", "owner": "n1"});
        assert_eq!(definition(&own), own, "it is a mistake to be told");
        let calendar = json!({"name": "c", "rules": [], "revision": 2, "task_count": 0});
        assert_eq!(calendar_definition(&calendar), json!({"name": "c", "rules": []}));
        assert_eq!(definition(&json!([1])), json!([1]));
    }
}
