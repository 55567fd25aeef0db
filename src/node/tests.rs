//! Tests of the interface of embedding programs, with nodes that run in this process.

mod selected;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Error, Node, NodeBuilder, TaskBuilder, WatchOptions};
use crate::domain::assign::custom::{AssignmentStrategy, NodeToAssign, TaskToAssign};
use crate::domain::ids::ExecutionId;
use crate::domain::task::Strategy;
use crate::dto::ExecutionView;
use crate::exec::{FailedAttempt, FuncContext};

/// Upper bound of all waits in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Addresses that were free a moment ago.
fn addresses(count: usize) -> Vec<SocketAddr> {
    let bound: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    bound.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

fn alone(folder: &Path) -> NodeBuilder {
    Node::builder().data_dir(folder).peer_listen(addresses(1)[0])
}

async fn ready(builder: NodeBuilder) -> Node {
    let node = builder.start().await.unwrap();
    timeout(PATIENCE, node.ready()).await.expect("the node is ready in time").unwrap();
    node
}

async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_late| panic!("not in time: {what}"))
}

/// The newest execution of a task, once it has ended.
async fn ended(node: &Node, task: &str) -> ExecutionView {
    until(&format!("an execution of {task} ends"), async || {
        let newest = node.executions(task, 1).await.unwrap().into_iter().next()?;
        newest.end_time.is_some().then_some(newest)
    })
    .await
}

fn parameters(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn settings_in_code_are_checked_as_those_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Node::builder().data_dir(folder.path());
    for (builder, named) in [
        (builder().id(0), "NodeBuilder::id: [node] id: must be a whole number from 1 to 65535"),
        (builder().timezone("Mars/Base"), "NodeBuilder::timezone: [cluster] timezone"),
        (builder().peers([(1, "nowhere")]), "NodeBuilder::peers: [cluster] member: peer"),
        (builder().label("node", "a"), "NodeBuilder::label: [node] labels"),
        (builder().http(([0, 0, 0, 0], 0).into()), "NodeBuilder::http: [http] listen"),
        (builder().shell(true), "NodeBuilder::shell: [actions.shell] enabled: needs the program"),
        (builder().from_toml("[node]\nwait = 1\n"), "settings:2: [node] wait: unknown key"),
    ] {
        let error = builder.start().await.map(|_node| ()).unwrap_err();
        assert_eq!(error.code(), "invalid_settings", "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let config =
        crate::config::Config::from_toml("", crate::config::CodeSettings::default()).unwrap();
    let both = Node::builder().config(config).weight(2).start().await.map(|_node| ());
    assert_eq!(
        both.unwrap_err().to_string(),
        "[node] weight: is among the settings of NodeBuilder::config"
    );
    let wrong = builder().function("a b", async |_call| Ok(()));
    let error = wrong.start().await.map(|_node| ()).unwrap_err();
    assert_eq!((error.code(), &*error.fields()[0].pointer), ("invalid_name", "/functions"));
    assert!(!folder.path().join("log").exists(), "nothing was begun");
}

#[tokio::test]
async fn tasks_live_as_the_contract_says() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    assert_eq!((node.node_id(), node.http()), ("n1", None));
    let task = || TaskBuilder::cron("load", "* * * * * *").parameter("table", "orders");
    let added = node
        .add_func(task(), |call: FuncContext| async move {
            let table = call.parameters()["table"].clone();
            call.output().line(format_args!("{} {} {table}", call.task(), call.attempt()));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((&*added.id, added.owner.as_deref()), ("load", Some("n1")));
    let first = ended(&node, "load").await;
    assert_eq!(
        (&*first.status, first.output_tail.as_deref()),
        ("success", Some("load 1 \"orders\"\n"))
    );

    let code = |error: Error| error.code();
    assert_eq!(node.add_task(task()).await.map_err(code).unwrap_err(), "task_exists");
    let triggered = node.trigger("load", parameters(json!({"table": "bills"}))).await.unwrap();
    let triggered: ExecutionId = triggered.id.parse().unwrap();
    until("the triggered execution succeeds", async || {
        let now = node.execution(triggered).await.unwrap();
        (now.output_tail? == "load 1 \"bills\"\n" && &*now.status == "success").then_some(())
    })
    .await;

    assert_eq!(&*node.pause("load", "for now", None).await.unwrap().state, "paused");
    assert_eq!(&*node.resume("load").await.unwrap().state, "active");
    assert_eq!(&*node.cancel("load").await.unwrap().state, "cancelled");
    assert_eq!(&*node.resume("load").await.unwrap().state, "active");
    node.mark_deleted("load").await.unwrap();
    node.mark_deleted("never-there").await.unwrap();
    assert_eq!(node.all_tasks().await.unwrap(), Vec::<String>::new());
    for name in ["load", "never-there"] {
        let again = TaskBuilder::manual(name);
        assert_eq!(node.add_task(again).await.map_err(code).unwrap_err(), "task_deleted");
    }
    assert_eq!(&*node.reuse("load").await.unwrap().state, "active");
    let forced = node.force_add_one_shot(TaskBuilder::now("never-there").function("load")).await;
    assert_eq!(&*forced.unwrap().id, "never-there");
    until("the one shot completes its task", async || {
        (&*node.task("never-there").await.unwrap().state == "failed").then_some(())
    })
    .await;
    let changed = node.update_task(task().description("changed")).await.unwrap();
    assert_eq!(changed.definition.body().unwrap().description, "changed");
    node.cleanup("never-there").await.unwrap();
    assert_eq!(node.all_tasks().await.unwrap(), ["load"]);
    assert_eq!(
        node.task("never-there").await.map(|_| ()).map_err(code).unwrap_err(),
        "task_not_found"
    );
    assert_eq!(node.cleanup_all("other").await.map_err(code).unwrap_err(), "wrong_cluster_name");
    assert_eq!(node.cleanup_all("punctual").await.unwrap(), 0);
    node.stop().await;
}

#[tokio::test]
async fn an_error_in_a_definition_names_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    let wrong = TaskBuilder::cron("load", "* * *").priority(12);
    let error = node.add_task(wrong).await.map(|_| ()).unwrap_err();
    let mut pointers: Vec<String> = error.fields().into_iter().map(|field| field.pointer).collect();
    pointers.sort();
    assert_eq!(pointers, ["/priority", "/schedule/cron"], "{error}");
    assert!(error.advice().is_some());
    let unknown = node.watch(WatchOptions::default().kind("task.gone")).await;
    assert_eq!(unknown.map(|_| ()).unwrap_err().code(), "invalid_parameter");
    node.stop().await;
}

#[tokio::test]
async fn a_function_that_comes_later_makes_its_node_eligible() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    let task = TaskBuilder::every("late", Duration::from_millis(200)).function("later");
    let added = node.add_task(task).await.unwrap();
    assert_eq!(added.owner, None, "no node has its function");
    let later = node.clone();
    let register = async move { later.register("later", |_call| async { Ok(()) }).await };
    tokio::spawn(register).await.unwrap().unwrap();
    assert_eq!(node.task("late").await.unwrap().owner.as_deref(), Some("n1"));
    assert_eq!(&*ended(&node, "late").await.status, "success");
    let names = node.nodes().await.unwrap()[0].functions.clone();
    assert_eq!(names, ["later"]);
    let error = node.register(".hidden", |_call| async { Ok(()) }).await.unwrap_err();
    assert_eq!(error.code(), "invalid_name");
    node.stop().await;
}

#[tokio::test]
async fn failures_and_panics_are_told_to_the_hook() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, mut told) = mpsc::unbounded_channel::<FailedAttempt>();
    let builder = alone(folder.path())
        .function("fails", |_call| async { Err("no luck".into()) })
        .function("panics", |call: FuncContext| async move { panic!("row {}", call.attempt()) })
        .function("slow", |call: FuncContext| async move {
            call.cancelled().await;
            Ok(())
        })
        .on_error(move |failed| {
            tell.send(failed.clone()).unwrap();
            assert_ne!(failed.task, "panics", "a hook that panics changes nothing");
        });
    let node = ready(builder).await;
    for (name, timed_out, reason, status) in [
        ("fails", false, "no luck", "failed"),
        ("panics", false, "the function panicked: row 1", "failed"),
        ("slow", true, "the function ended on request", "timeout"),
    ] {
        node.add_task(TaskBuilder::now(name).timeout(Duration::from_millis(300))).await.unwrap();
        let failed = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        assert_eq!((&*failed.task, failed.attempt, failed.timed_out), (name, 1, timed_out));
        assert_eq!(failed.reason, reason);
        assert_eq!(&*ended(&node, name).await.status, status);
    }
    node.stop().await;
}

#[tokio::test]
async fn the_pool_of_executions_is_resized_while_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let (running, end) = (Arc::new(Mutex::new(0_usize)), tokio::sync::watch::Sender::new(false));
    let (inside, ending) = (Arc::clone(&running), end.clone());
    let builder = alone(folder.path()).max_running(1).function("work", move |_call| {
        let (inside, mut ending) = (Arc::clone(&inside), ending.subscribe());
        async move {
            *inside.lock() += 1;
            let _gone = ending.wait_for(|end| *end).await;
            *inside.lock() -= 1;
            Ok(())
        }
    });
    let node = ready(builder).await;
    node.add_task(TaskBuilder::manual("work")).await.unwrap();
    for _ in 0..3 {
        node.trigger("work", Map::new()).await.unwrap();
    }
    let runs = |count: usize| {
        let running = Arc::clone(&running);
        async move || (*running.lock() == count).then_some(())
    };
    until("one runs", runs(1)).await;
    assert_eq!(node.running_on_me().await.unwrap(), ["work"]);
    let states = node.executions("work", 3).await.unwrap();
    let waiting = states.iter().filter(|one| &*one.status == "pending").count();
    assert_eq!(waiting, 2, "the others wait for a place");
    node.set_max_running(Some(3)).await.unwrap();
    until("all run", runs(3)).await;
    end.send_replace(true);
    until("none runs", runs(0)).await;
    until("none is told", async || node.running_on_me().await.unwrap().is_empty().then_some(()))
        .await;

    // An ended one is done again, and one that lives is not.
    let ended: ExecutionId = states[0].id.parse().unwrap();
    until("it is told to have ended", async || {
        let told = node.execution(ended).await.unwrap();
        (&*told.status == "success").then_some(())
    })
    .await;
    end.send_replace(false);
    let again = node.retry_execution(ended).await.unwrap();
    assert_eq!(again.retry_of.as_deref(), Some(&*states[0].id));
    let again: ExecutionId = again.id.parse().unwrap();
    until("it runs", runs(1)).await;
    assert_eq!(node.retry_execution(again).await.unwrap_err().code(), "execution_live");
    end.send_replace(true);
    node.stop().await;
}

#[tokio::test]
async fn a_watch_resumes_behind_what_it_has_shown() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    let options = || WatchOptions::default().kind("task.put").kind("task.deleted");
    let mut watch = node.watch(options()).await.unwrap();
    for name in ["a", "b", "c"] {
        node.add_task(TaskBuilder::manual(name)).await.unwrap();
    }
    let shown = async |watch: &mut super::Watch| {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
        format!("{} {}", &*event.kind, event.object.task.unwrap_or_default())
    };
    assert_eq!(shown(&mut watch).await, "task.put a");
    let place = watch.place();
    drop(watch);
    let mut watch = node.watch(options().after(place)).await.unwrap();
    assert_eq!(shown(&mut watch).await, "task.put b");
    assert_eq!(shown(&mut watch).await, "task.put c");
    let mut last = node.watch(options().task("b").last(1)).await.unwrap();
    assert_eq!(shown(&mut last).await, "task.put b");
    node.mark_deleted("b").await.unwrap();
    assert_eq!(shown(&mut last).await, "task.deleted b");
    assert_eq!(shown(&mut watch).await, "task.deleted b");
    node.stop().await;
}

#[tokio::test]
async fn one_of_several_callers_may_run_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    let node = ready(alone(folder.path())).await;
    node.add_task(TaskBuilder::manual("invoices")).await.unwrap();
    let tick = SystemTime::now();
    let (one, other) = tokio::join!(node.can_run("invoices", tick), node.can_run("invoices", tick));
    let granted: Vec<_> = [one.unwrap(), other.unwrap()].into_iter().flatten().collect();
    assert_eq!(granted.len(), 1);
    node.finish(&granted[0], Err("no paper".into())).await.unwrap();
    let execution = node.execution(granted[0].execution).await.unwrap();
    assert_eq!(&*execution.status, "failed");
    assert_eq!(execution.attempts[0].detail.as_deref(), Some("no paper"));
    let again = node.finish(&granted[0], Ok(())).await.unwrap_err();
    assert_eq!(again.code(), "execution_ended");
    node.stop().await;
}

/// Gives all tasks to the last node, but fails when it is asked for the first time.
#[derive(Default)]
struct ToTheLast {
    asked: AtomicUsize,
}

impl AssignmentStrategy for ToTheLast {
    fn assign(&self, tasks: &[TaskToAssign<'_>], nodes: &[NodeToAssign<'_>]) -> Vec<Option<usize>> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(before > 0, "for this test");
        vec![nodes.len().checked_sub(1); tasks.len()]
    }
}

#[tokio::test]
async fn a_program_gives_tasks_to_nodes_by_its_own_strategy() {
    let folder = tempfile::tempdir().unwrap();
    let listen = addresses(3);
    let peers: Vec<(u16, String)> =
        (1..=3).zip(&listen).map(|(id, addr)| (id, addr.to_string())).collect();
    let asked = Arc::new(ToTheLast::default());
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let builder = Node::builder().id(id).peers(peers.clone());
        let builder = builder.data_dir(folder.path().join(id.to_string()));
        let builder = builder.function("*", |_call: FuncContext| async { Ok(()) });
        nodes.push(builder.strategy(Arc::clone(&asked)).start().await.unwrap());
    }
    for node in &nodes {
        timeout(PATIENCE, node.ready()).await.unwrap().unwrap();
    }
    nodes[0].set_strategy(Strategy::Custom).await.unwrap();
    let add = async |name: &str| {
        let task = TaskBuilder::every(name, Duration::from_secs(600));
        nodes[0].add_task(task).await.unwrap();
    };
    for number in 0..8 {
        add(&format!("task-{number}")).await;
    }
    until("the strategy is asked, and fails", async || {
        (asked.asked.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    // It is asked again when there is another task.
    add("task-8").await;
    until("all tasks have the last node", async || {
        for number in 0..9 {
            let task = nodes[0].task(&format!("task-{number}")).await.ok()?;
            task.owner.filter(|owner| owner == "n3")?;
        }
        Some(())
    })
    .await;
    for node in &nodes {
        node.stop().await;
    }

    // A program without one does not take it.
    let other = tempfile::tempdir().unwrap();
    let plain = ready(alone(other.path())).await;
    assert_eq!(plain.set_strategy(Strategy::Custom).await.unwrap_err().code(), "not_supported");
    plain.stop().await;
}

#[tokio::test]
async fn three_nodes_in_one_program_hand_over_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let listen = addresses(4);
    let peers: Vec<(u16, String)> =
        (1..=3).map(|id| (id, listen[usize::from(id)].to_string())).collect();
    let builder = |id: u16| {
        let builder = Node::builder()
            .id(id)
            .peers(peers.clone())
            .data_dir(folder.path().join(id.to_string()))
            .function("work", |call: FuncContext| async move {
                call.output().line(call.node());
                Ok(())
            });
        if id == 1 { builder.http(listen[0]) } else { builder }
    };
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(builder(id).start().await.unwrap());
    }
    for node in &nodes {
        timeout(PATIENCE, node.ready()).await.unwrap().unwrap();
    }
    nodes[1].add_task(TaskBuilder::every("work", Duration::from_millis(500))).await.unwrap();
    let owner = nodes[2].task("work").await.unwrap().owner.unwrap();
    let at = nodes.iter().position(|node| node.node_id() == owner).unwrap();
    let gone = nodes.remove(at);
    let number: u16 = owner.trim_start_matches('n').parse().unwrap();
    gone.stop().await;
    gone.stop().await;
    assert_eq!(gone.failure().await.code(), "node_stopped");
    assert_eq!(gone.task("work").await.map(|_| ()).unwrap_err().code(), "node_stopped");
    until("another node executes it", async || {
        let newest = nodes[0].executions("work", 1).await.ok()?.into_iter().next()?;
        (newest.node.is_some_and(|node| node != owner) && &*newest.status == "success")
            .then_some(())
    })
    .await;
    // Its folder and its addresses are free, so it can be there again.
    nodes.push(ready(builder(number)).await);
    until("all work", async || {
        let told = nodes[0].nodes().await.ok()?;
        told.iter().all(|node| &*node.state == "working").then_some(())
    })
    .await;
    for node in &nodes {
        node.stop().await;
    }
    for addr in &listen {
        TcpListener::bind(addr).unwrap();
    }
}
