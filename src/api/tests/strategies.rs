//! How tasks are given to nodes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, config, function, ok, yearly};
use crate::domain::assign::custom::{AssignmentStrategy, NodeToAssign, TaskToAssign};
use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strategy_of_the_cluster_and_of_a_task_is_set_and_told() {
    let rig = ApiRig::start().await;
    rig.make("plain", yearly(), "ok").await;
    let put = async |strategy: Value| {
        rig.call(Method::PUT, "/scheduler/strategy", json!({"strategy": strategy}), &[]).await
    };
    let told = async || rig.get("/scheduler/status").await.expect(200).body["strategy"].clone();
    let assigned =
        async |task: &str| rig.get(&format!("/tasks/{task}/assignment")).await.expect(200).body;
    assert_eq!(told().await, "consistent");
    assert_eq!(assigned("plain").await["strategy"], "consistent");
    for (strategy, why) in [
        ("hash-sharding", "n1 has the place, among the 1 eligible node"),
        ("weighted", "falls into the share of n1"),
        ("round_robin", "that the task's number 0 names modulo their number"),
        ("range", "n1"),
        ("hash_slot", "n1 drew the lowest number of the 1 eligible node for slot "),
    ] {
        let changed = put(json!(strategy)).await.expect(200).body;
        let word = strategy.replace('-', "_");
        assert_eq!(changed, json!({"strategy": word}));
        assert_eq!(told().await, *word);
        let assigned = assigned("plain").await;
        assert_eq!((&assigned["strategy"], &assigned["owner"]), (&json!(word), &json!("n1")));
        assert!(assigned["why"].as_str().unwrap().contains(why), "{assigned}");
        let first = &assigned["nodes"][0];
        assert_eq!(
            (&first["node"], &first["rank"], &first["weight"]),
            (&json!("n1"), &json!(1), &json!(1))
        );
        assert_eq!(first["score"].is_u64(), word == "hash_slot", "{first}");
        assert_eq!(assigned["slot"].is_u64(), word == "hash_slot", "{assigned}");
    }
    // A task's own strategy stands above that of the cluster.
    let own = json!({"name": "own", "schedule": yearly(), "action": ok(),
        "assignment": {"strategy": "weighted"}});
    rig.post("/tasks", own).await.expect(201);
    assert_eq!(assigned("own").await["strategy"], "weighted");
    for (task, strategy) in [("own", "weighted"), ("plain", "hash_slot")] {
        let why = rig.get(&format!("/tasks/{task}/why")).await.expect(200).body;
        assert_eq!((&why["strategy"], &why["owner"]), (&json!(strategy), &json!("n1")));
    }
    // What is refused changes nothing.
    for (strategy, code, message) in [
        (json!("custom"), "not_supported", "the program of this node has no strategy of its own"),
        (json!("hash_slots"), "invalid_value", "did you mean `hash_slot`?"),
        (json!(7), "wrong_type", "must be one of consistent"),
        (Value::Null, "missing_field", "is needed"),
    ] {
        let refused = put(strategy.clone()).await.refused(422, code).body;
        assert_eq!(refused["errors"][0]["pointer"], "/strategy", "{refused}");
        let said = refused["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(told().await, "hash_slot");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_move_is_told_and_nothing_changes() {
    let rig = ApiRig::start().await;
    for number in 0..40 {
        rig.make(&format!("t{number}"), yearly(), "ok").await;
    }
    let asked = async |query: &str| rig.get(&format!("/cluster/what-if{query}")).await;
    let told = async |query: &str| asked(query).await.expect(200).body;
    let now = told("").await;
    assert_eq!(
        (&now["tasks"], &now["moved"], &now["without_owner"]),
        (&json!(40), &json!(0), &json!(0))
    );
    let n1 = json!({"node": "n1", "weight_now": 1, "weight": 1, "tasks_now": 40, "tasks": 40,
        "fair_now": 40, "fair": 40});
    assert_eq!((&now["nodes"], &now["items"]), (&json!([n1]), &json!([])));

    // What a new node would get is what it gets: with two of weight 1 and one of weight 2.
    let three = told("?join=n2&join=n3:2:zone=a&limit=1000").await;
    let (nodes, moves) = (three["nodes"].as_array().unwrap(), three["moves"].as_array().unwrap());
    let sum =
        |of: &[Value], key: &str| of.iter().map(|one| one[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum(nodes, "tasks"), sum(nodes, "fair"), sum(nodes, "tasks_now")), (40, 40, 40));
    assert_eq!(nodes[2]["fair"], 20);
    assert_eq!(
        (nodes[2]["weight_now"].clone(), nodes[2]["weight"].clone()),
        (Value::Null, json!(2))
    );
    let moved = three["moved"].as_u64().unwrap();
    assert!(moved > 10, "{three}");
    assert_eq!(
        (sum(moves, "tasks"), &three["fewest"]),
        (moved, &json!(moved)),
        "no more than has to"
    );
    assert!(moves.iter().all(|one| one["from"] == "n1" && one["to"] != "n1"), "{three}");
    let items = three["items"].as_array().unwrap();
    assert_eq!((items.len() as u64, &three["next_cursor"]), (moved, &Value::Null));
    let first = told("?join=n2&join=n3:2:zone=a&limit=3").await;
    assert_eq!(first["items"].as_array().unwrap()[..], items[..3]);
    let next = first["next_cursor"].as_str().unwrap();
    let second = told(&format!("?join=n2&join=n3:2:zone=a&limit=3&cursor={next}")).await;
    assert_eq!((&second["items"][0], &second["moved"]), (&items[3], &first["moved"]));

    // In turn, each of three nodes gets a third.
    // The parts of the names that the leader would propose.
    let parts = told("?join=n2&join=n3&strategy=range").await;
    let shares: Vec<&Value> =
        parts["nodes"].as_array().unwrap().iter().map(|n| &n["tasks"]).collect();
    assert_eq!(shares, [13, 13, 14], "{parts}");
    let turns = told("?join=n2&join=n3&strategy=round_robin").await;
    let counts: Vec<&Value> =
        turns["nodes"].as_array().unwrap().iter().map(|one| &one["tasks"]).collect();
    assert_eq!(
        (counts, &turns["strategy"]),
        (vec![&json!(14), &json!(13), &json!(13)], &json!("round_robin"))
    );
    for query in ["?drain=n1", "?leave=n1"] {
        let none = told(query).await;
        assert_eq!((&none["without_owner"], &none["without_owner_now"]), (&json!(40), &json!(0)));
        assert_eq!(none["moves"], json!([{"from": "n1", "to": null, "tasks": 40}]));
    }
    let lighter = told("?join=n2&weight=n2%3D0").await;
    assert_eq!(lighter["moved"], 0, "{lighter}");

    refuse_what_cannot_be_supposed(&rig).await;
    assert_eq!(rig.get("/nodes").await.expect(200).body["items"].as_array().unwrap().len(), 1);
    assert_eq!(told("").await["nodes"], now["nodes"], "nothing changed");
    rig.stop().await;
}

async fn refuse_what_cannot_be_supposed(rig: &ApiRig) {
    let asked = async |query: &str| rig.get(&format!("/cluster/what-if{query}")).await;
    for (query, parameter, message) in [
        ("?leave=n9", "?leave", "`n9` is none of the nodes n1"),
        ("?leave=n1&drain=n1", "?drain", "`n1` is none of the nodes"),
        ("?join=web", "?join", "neither a node nor the name of a new one"),
        ("?join=n2:1:2", "?join", "has two weights"),
        ("?join=n2:x", "?join", "`x` is no weight"),
        ("?join=n2:host=a", "?join", "the label host is the node's own"),
        ("?weight=n1", "?weight", "must be NODE=WEIGHT"),
        ("?strategy=ranges", "?strategy", "did you mean `range`?"),
    ] {
        let refused = asked(query).await.refused(422, "invalid_parameter").body;
        let error = &refused["errors"][0];
        assert_eq!(error["pointer"], parameter, "{refused}");
        assert!(error["message"].as_str().unwrap().contains(message), "{refused}");
    }
    let own = asked("?strategy=custom").await.refused(422, "not_supported");
    assert!(
        own.text.contains("the program of this node has no strategy of its own"),
        "{}",
        own.text
    );
    asked("?weight=n1%3D0").await.refused(422, "all_weights_0");
    asked("?without=n1").await.refused(422, "unknown_parameter");
}

/// The last node has all tasks whose names end in 0, the first one all others.
struct LastForZeros;

impl AssignmentStrategy for LastForZeros {
    fn assign(&self, tasks: &[TaskToAssign<'_>], nodes: &[NodeToAssign<'_>]) -> Vec<Option<usize>> {
        let place = |name: &str| if name.ends_with('0') { nodes.len() - 1 } else { 0 };
        tasks.iter().map(|task| Some(place(task.name))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_strategy_of_the_program_would_move_is_asked_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Node::builder().loaded(config(&folder, &[])).func("ok", function("ok"));
    let rig = ApiRig::built(builder.strategy(LastForZeros), folder).await;
    for number in 0..40 {
        rig.make(&format!("t{number}"), yearly(), "ok").await;
    }
    let own = json!({"name": "own0", "schedule": yearly(), "action": ok(),
        "assignment": {"strategy": "weighted"}});
    rig.post("/tasks", own).await.expect(201);
    let three = rig.get("/cluster/what-if?join=n2&join=n3&strategy=custom").await.expect(200).body;
    let tasks: Vec<&Value> =
        three["nodes"].as_array().unwrap().iter().map(|node| &node["tasks"]).collect();
    let own = tasks.iter().filter_map(|tasks| tasks.as_u64()).sum::<u64>();
    assert_eq!((own, tasks[2].as_u64().unwrap() / 4), (41, 1), "{three}");
    assert!(tasks[0].as_u64().unwrap() >= 36, "{three}");
    rig.stop().await;
}
