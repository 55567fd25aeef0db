//! What is set for a node, and how tasks are given to nodes.

use serde_json::{Value, json};

use super::{node, ran};
use crate::cli::exit::Exit;

/// A node with what was set for it.
fn changed(overrides: Value) -> Value {
    let mut node = node("n1");
    for field in ["weight", "slots"] {
        if let Some(set) = overrides.get(field).filter(|set| !set.is_null()) {
            node[field] = set.clone();
        }
    }
    for (key, value) in overrides["labels"].as_object().unwrap() {
        node["labels"][key] = value.clone();
    }
    node["overrides"] = overrides;
    node["automatic_labels"] = json!({"host": "h", "node": "n1"});
    node
}

#[tokio::test]
async fn what_is_set_for_a_node_is_sent_and_told() {
    let set = json!({"weight": 4, "slots": null, "labels": {"gpu": "1"}});
    let asked = r#"PATCH /nodes/n1 {"weight":4,"labels":{"gpu":"1"}}"#;
    let answers = [("PATCH /nodes/n1", 200, changed(set.clone()))];
    let done = ran(&["node", "set", "n1", "--weight", "4", "--label", "gpu=1"], &answers).await;
    assert_eq!(done.asked, [asked]);
    let labels = "gpu=1 (set), zone=a, host=h, node=n1";
    assert_eq!(done.data, format!("n1: weight 4 (set), slots 0, labels {labels}\n"));
    let shown = ran(&["node", "show", "n1"], &[("GET /nodes/n1", 200, changed(set))]).await;
    assert!(shown.data.contains("weight    4 (set)\n"), "{}", shown.data);
    assert!(shown.data.contains(&format!("labels    {labels}\n")), "{}", shown.data);
}

#[tokio::test]
async fn what_was_set_for_a_node_is_taken_back() {
    let own = changed(json!({"weight": null, "slots": null, "labels": {}}));
    let cases: [(&[&str], &str); 5] = [
        (&["--unset", "weight"], r#"{"weight":null}"#),
        (&["--unset", "slots", "--weight", "2"], r#"{"weight":2,"slots":null}"#),
        (&["--unset", "labels.a.b"], r#"{"labels":{"a.b":null}}"#),
        (&["--label", "c=", "--unset", "labels.a"], r#"{"labels":{"a":null,"c":""}}"#),
        (&["--unset", "labels", "--unset", "labels.a"], r#"{"labels":null}"#),
    ];
    for (options, body) in cases {
        let line = [&["node", "set", "n1"], options].concat();
        let done = ran(&line, &[("PATCH /nodes/n1", 200, own.clone())]).await;
        assert_eq!(done.asked, [format!("PATCH /nodes/n1 {body}")]);
        assert_eq!(done.data, "n1: weight 1, slots 0, labels zone=a, host=h, node=n1\n");
    }
}

#[tokio::test]
async fn a_change_of_a_node_that_says_nothing_or_contradicts_itself_is_not_sent() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "nothing to change: give --weight, --slots, --label or --unset"),
        (&["--unset", "wieght"], "--unset wieght: must be weight, slots, labels.KEY or labels"),
        (&["--unset", "labels."], "--unset labels.: must be weight, slots, labels.KEY or labels"),
        (&["--weight", "1", "--unset", "weight"], "--unset weight: another option sets it"),
        (&["--label", "a=1", "--unset", "labels.a"], "--unset labels.a: another option sets it"),
    ];
    for (options, why) in cases {
        let done = ran(&[&["node", "set", "n1"], options].concat(), &[]).await;
        assert_eq!((done.exit, done.asked.len()), (Exit::Usage, 0));
        assert!(done.talk.contains(why), "{}", done.talk);
    }
}

#[tokio::test]
async fn several_nodes_are_changed() {
    let of = |name: &str| {
        let mut node = node(name);
        node["overrides"] = json!({"weight": 2, "slots": null, "labels": {}});
        node
    };
    let answers = [("PATCH /nodes/n1", 200, of("n1")), ("PATCH /nodes/n2", 200, of("n2"))];
    let mut done = ran(&["node", "set", "n1", "n2", "--weight", "2"], &answers).await;
    done.asked.sort();
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    assert_eq!(done.asked, [r#"PATCH /nodes/n1 {"weight":2}"#, r#"PATCH /nodes/n2 {"weight":2}"#]);
    assert_eq!(done.data, "n1: changed\nn2: changed\n");
    let list = json!({"items": [of("n1"), of("n2")], "next_cursor": null});
    let answers = [("GET /nodes?limit=1000", 200, list), ("PATCH /nodes/n2", 200, of("n2"))];
    let line = ["node", "set", "--with-label", "node=n2", "--label", "gpu=1"];
    let done = ran(&line, &answers).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    assert_eq!(done.asked[1..], [r#"PATCH /nodes/n2 {"labels":{"gpu":"1"}}"#]);
}

#[tokio::test]
async fn the_strategy_is_shown_and_changed() {
    let status = json!({"started": true, "strategy": "consistent", "instances": [],
        "leader_id": "1", "time": "2026-12-01T12:00:02.000Z"});
    let shown = ran(&["scheduler", "strategy"], &[("GET /scheduler/status", 200, status)]).await;
    assert_eq!(shown.data, "strategy: consistent, for all tasks that name none\n");
    let changed = json!({"strategy": "hash_slot"});
    let answers = [("PUT /scheduler/strategy", 200, changed)];
    let done = ran(&["scheduler", "strategy", "hash-slot"], &answers).await;
    assert_eq!(done.asked, [r#"PUT /scheduler/strategy {"strategy":"hash-slot"}"#]);
    assert_eq!(done.data, "strategy: hash_slot, for all tasks that name none\n");
}
