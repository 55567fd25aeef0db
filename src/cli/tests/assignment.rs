//! `explain` and `what-if`.

use serde_json::{Value, json};

use super::ran;
use crate::cli::exit::Exit;

#[tokio::test]
async fn the_owner_of_a_task_is_explained_with_the_ranking() {
    let node = |node: &str, rank: Value, score: Value, reason: Value| {
        json!({"node": node, "rank": rank, "eligible": rank != Value::Null, "weight": 1,
            "score": score, "reason": reason, "detail": reason})
    };
    let told = json!({"task": "hello", "owner": "n2", "strategy": "hash_slot", "slot": 77,
        "selector": {"zone": "a"}, "why": "n2 drew the lowest number",
        "nodes": [node("n2", json!(1), json!(5), Value::Null), node("n1", json!(2), json!(80), Value::Null),
            node("n3", Value::Null, Value::Null, json!("down"))]});
    let answers = [("GET /tasks/hello/assignment", 200, told.clone())];
    let shown = ran(&["explain", "hello"], &answers).await;
    assert_eq!(
        shown.data,
        "task       hello\nowner      n2\nstrategy   hash_slot\nslot       77\nselector   zone=a\n\
         why        n2 drew the lowest number\n\n\
         RANK   NODE   WEIGHT   SCORE   WHY NOT\n\
         1      n2     1        5\n\
         2      n1     1        80\n\
         \x20      n3     1                down\n",
        "{}",
        shown.talk
    );
    let json = ran(&["task", "explain", "hello", "-o", "json"], &answers).await;
    assert_eq!(serde_json::from_str::<Value>(&json.data).unwrap(), told);
}

fn what_if(without_owner: u64, next: Value) -> Value {
    json!({"tasks": 9, "moved": 4, "fewest": 3, "without_owner": without_owner, "without_owner_now": 0,
        "strategy": "consistent",
        "nodes": [
            {"node": "n1", "weight_now": 1, "weight": 1, "tasks_now": 5, "tasks": 9, "fair_now": 5, "fair": 9},
            {"node": "n2", "weight_now": 1, "weight": null, "tasks_now": 4, "tasks": 0, "fair_now": 5, "fair": 0},
        ],
        "moves": [{"from": "n2", "to": "n1", "tasks": 4}],
        "items": [{"task": "a", "from": "n2", "to": "n1"}], "next_cursor": next})
}

#[tokio::test]
async fn what_would_move_is_asked_for_and_shown() {
    let line = [
        "what-if",
        "--leave",
        "n2",
        "--join",
        "n4:2:zone=a",
        "--weight",
        "n1=3",
        "--drain",
        "n3",
        "--strategy",
        "consistent",
        "-n",
        "1",
    ];
    let question = "GET /cluster/what-if?leave=n2&join=n4%3A2%3Azone%3Da&drain=n3&weight=n1%3D3\
                    &strategy=consistent&limit=1";
    let shown = ran(&line, &[(question, 200, what_if(0, json!("62")))]).await;
    assert_eq!(
        shown.data,
        "4 of 9 tasks would move; the fewest for these shares are 3; 0 would have no owner, 0 have \
         none now; strategy consistent\n\n\
         NODE   WEIGHT   TASKS   FAIR   NOW: WEIGHT   TASKS   FAIR   CHANGE\n\
         n1     1        9       9      1             5       5      +4\n\
         n2     -        0       0      1             4       5      -4\n\n\
         FROM   TO   TASKS\nn2     n1   4\n\n\
         TASK   FROM   TO\na      n2     n1\n",
        "{}",
        shown.talk
    );
    assert!(shown.talk.contains("3 more tasks would move; -n COUNT shows more"), "{}", shown.talk);
    assert_eq!(shown.exit, Exit::Ok);
    let answers = [("GET /cluster/what-if?leave=n1&limit=10", 200, what_if(1, Value::Null))];
    let orphaned = ran(&["what-if", "--leave", "n1"], &answers).await;
    assert_eq!(orphaned.exit, Exit::No, "a task would lose its owner: {}", orphaned.talk);
}
