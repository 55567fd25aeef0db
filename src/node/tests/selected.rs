//! Operations on many tasks, and the strategy of a new cluster.

use super::*;
use crate::domain::task::ExecutionMode;
use crate::domain::time::Timestamp;
use crate::dto::ItemsView;

/// The names and codes of the items of an answer; a dash: it was done.
fn items(answer: &ItemsView) -> Vec<(String, String)> {
    let items = answer.items.iter();
    items
        .map(|item| {
            let code = item.code.as_ref().map_or("-".to_owned(), |code| code.to_string());
            (item.name.as_str().unwrap_or_default().to_owned(), code)
        })
        .collect()
}

#[tokio::test]
async fn an_operation_on_tasks_with_labels_is_that_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    for (name, team) in [("a", "billing"), ("b", "billing"), ("c", "search"), ("d", "billing")] {
        let task = TaskBuilder::manual(name).label("team", team).label("name", name);
        let task = task.function("f").mode(ExecutionMode::Skip);
        node.add_task(task).await.unwrap();
    }
    let state = async |name: &str| node.task(name).await.unwrap().state.to_string();
    let billing = node.select_tasks([("team", "billing")]);
    let done = |names: &[&str]| -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), "-".to_owned())).collect()
    };

    let paused = billing.pause("for now", None).await.unwrap();
    assert_eq!((items(&paused), paused.succeeded), (done(&["a", "b", "d"]), 3));
    assert_eq!([state("a").await, state("c").await], ["paused", "active"]);
    let one = node.select_tasks([("team", "billing"), ("name", "a")]);
    assert_eq!(items(&one.resume().await.unwrap()), done(&["a"]));
    assert_eq!([state("a").await, state("b").await], ["active", "paused"]);
    assert_eq!(items(&billing.cancel().await.unwrap()), done(&["a", "b", "d"]));
    assert_eq!(state("d").await, "cancelled");
    assert_eq!(billing.resume().await.unwrap().succeeded, 3);

    // Nothing carries them out, so the first executions wait.
    let first = one.trigger(parameters(json!({"day": 1}))).await.unwrap();
    let execution: ExecutionId = first.items[0].execution_id.clone().unwrap().parse().unwrap();
    assert_eq!(node.execution(execution).await.unwrap().parameters["day"], json!(1));
    let second = billing.trigger(Map::new()).await.unwrap();
    assert_eq!((second.succeeded, second.failed), (2, 1));
    assert_eq!(items(&second)[0], ("a".to_owned(), "overlap".to_owned()), "and the others go on");

    // By name, in the order of the request; a name without a task is marked too.
    let named = node.named_tasks(["d", "never-there"]);
    assert_eq!(items(&named.mark_deleted().await.unwrap()), done(&["d", "never-there"]));
    assert_eq!(items(&billing.mark_deleted().await.unwrap()), done(&["a", "b"]));
    assert_eq!(node.all_tasks().await.unwrap(), ["c"]);
    assert_eq!(billing.pause("", None).await.unwrap().items, [], "no task has them");
    assert_eq!(items(&billing.cleanup().await.unwrap()), done(&["a", "b", "d"]));
    let unknown = node.named_tasks(["a", "c"]).pause("", None).await.unwrap();
    assert_eq!(items(&unknown)[0].1, "task_not_found");
    assert_eq!(state("c").await, "paused");

    let code = |error: Error| error.code();
    let all = node.select_tasks::<String, String>([]);
    assert_eq!(all.cleanup().await.map_err(code).unwrap_err(), "empty");
    let none = node.named_tasks(Vec::<String>::new());
    assert_eq!(none.resume().await.map_err(code).unwrap_err(), "too_many_items");
    let past = billing.pause("", Some(Timestamp(0))).await;
    assert_eq!(past.map_err(code).unwrap_err(), "invalid_value");
    node.stop().await;
}

#[tokio::test]
async fn a_new_cluster_begins_with_the_strategy_of_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let strategy = async |node: &Node| {
        let view = node.view().await.unwrap();
        view.state.cluster().strategy
    };
    let node = ready(alone(folder.path()).initial_strategy(Strategy::Range)).await;
    assert_eq!(strategy(&node).await, Strategy::Range);
    node.set_strategy(Strategy::Weighted).await.unwrap();
    node.stop().await;
    // A cluster that began before keeps its own.
    let node = ready(alone(folder.path()).initial_strategy(Strategy::Range)).await;
    assert_eq!(strategy(&node).await, Strategy::Weighted);
    node.stop().await;

    let other = tempfile::tempdir().unwrap();
    let custom = || alone(other.path()).initial_strategy(Strategy::Custom);
    let refused = custom().start().await.map(|_node| ()).unwrap_err();
    assert_eq!(refused.code(), "invalid_settings");
    assert!(refused.to_string().contains("NodeBuilder::initial_strategy"), "{refused}");
    let text = alone(other.path()).from_toml("[scheduler]\nstrategy = \"ranges\"\n");
    let refused = text.start().await.map(|_node| ()).unwrap_err();
    assert!(refused.to_string().contains("settings:2: [scheduler] strategy"), "{refused}");
    let node = ready(custom().strategy(ToTheLast::default())).await;
    assert_eq!(strategy(&node).await, Strategy::Custom);
    node.stop().await;
}
