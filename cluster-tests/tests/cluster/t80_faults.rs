//! What other schedulers got wrong, each fault with the tests that show its absence here. Faults of
//! others that no other test covers have theirs in this file.

use std::path::{Path, PathBuf};

use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, TestResult, field, items, noted, shell, text, until,
};
use reqwest::Method;
use serde_json::json;

/// A fault: its number, what goes wrong, and the tests (file, function) or stories (file alone) that
/// would notice it.
struct SeedFault {
    number: &'static str,
    fault: &'static str,
    shown_by: &'static [(&'static str, &'static str)],
}

const HERE: &str = "cluster-tests/tests/cluster/t80_faults.rs";
const MACHINE: &str = "src/domain/machine/tests";
const STORIES: &str = "src/domain/machine/testscripts";

const FAULTS: [SeedFault; 17] = [
    SeedFault {
        number: "B1",
        fault: "the lock of a task is free again as soon as its work has begun, and every node runs \
                every tick",
        shown_by: &[
            (HERE, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
            (
                "cluster-tests/tests/cluster/t20_kill.rs",
                "no_tick_is_started_twice_or_forgotten_while_nodes_are_killed",
            ),
        ],
    },
    SeedFault {
        number: "B2",
        fault: "whether a task runs is looked up in the memory of one node",
        shown_by: &[
            (HERE, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
            ("{STORIES}/02-two-owners.txt", ""),
        ],
    },
    SeedFault {
        number: "B3",
        fault: "a node does not come up again where a single run or a task without parameters is kept",
        shown_by: &[(HERE, "single_runs_and_tasks_without_parameters_survive_a_kill")],
    },
    SeedFault {
        number: "B4",
        fault: "a single run is gone when its node dies in the middle, and ticks of the time without \
                a node are never made up for",
        shown_by: &[
            (HERE, "single_runs_and_tasks_without_parameters_survive_a_kill"),
            (
                "cluster-tests/tests/cluster/t23_attempts.rs",
                "what_is_delivered_at_least_once_survives_its_node",
            ),
            ("{STORIES}/21-late.txt", ""),
        ],
    },
    SeedFault {
        number: "B6",
        fault: "each resume and each retry by hand puts the task into the queue once more",
        shown_by: &[(HERE, "resumes_and_retries_that_are_repeated_fire_no_tick_twice")],
    },
    SeedFault {
        number: "C1",
        fault: "clocks that differ by more than the work lasts make two nodes run one tick",
        shown_by: &[
            (HERE, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
            ("src/clock/agreement.rs", "a_wrong_clock_works_on"),
            ("src/clock/agreement.rs", "one_wrong_clock_never_puts_time_ahead"),
            (
                "chaos/src/sim/scenarios.rs",
                "an_owner_whose_time_is_ahead_of_the_leader_s_settles_all_the_same",
            ),
        ],
    },
    SeedFault {
        number: "C2",
        fault: "the process that loses its lock crashes",
        shown_by: &[
            (HERE, "work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on"),
            (
                "cluster-tests/tests/cluster/t40_cut_off.rs",
                "a_leader_that_is_cut_off_is_replaced_and_follows_when_healed",
            ),
        ],
    },
    SeedFault {
        number: "C3",
        fault: "work goes on whose lock is lost, beside that of the next holder",
        shown_by: &[
            (HERE, "work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on"),
            ("src/engine/testscripts/20-leader-silent.txt", ""),
        ],
    },
    SeedFault {
        number: "C4",
        fault: "the history has one record, statistics lose counts, the next run and the uptime are \
                made up",
        shown_by: &[
            ("src/api/tests/compat.rs", "the_cron_routes_tell_nodes_and_tasks"),
            ("src/api/tests/compat.rs", "the_history_has_executions_and_skipped_ticks"),
            ("src/api/tests/history.rs", "every_settled_tick_is_told_once"),
            ("src/api/tests/history.rs", "statistics_are_those_of_the_incarnation"),
        ],
    },
    SeedFault {
        number: "E1",
        fault: "two nodes believe that they lead, and every task fires twice",
        shown_by: &[
            (
                "cluster-tests/tests/cluster/t40_cut_off.rs",
                "a_leader_that_is_cut_off_is_replaced_and_follows_when_healed",
            ),
            ("{STORIES}/02-two-owners.txt", ""),
            ("{MACHINE}/laws.rs", "all_laws_hold_after_every_command"),
        ],
    },
    SeedFault {
        number: "E2",
        fault: "what is made, changed and deleted takes effect at the next election only",
        shown_by: &[(HERE, "what_is_made_changed_and_deleted_on_any_node_holds_at_once")],
    },
    SeedFault {
        number: "E3",
        fault: "`sequential` skips, without a record",
        shown_by: &[
            ("{STORIES}/52-overlap-sequential.txt", ""),
            ("{MACHINE}/overlap.rs", "every_cell_of_the_overlap_table_is_as_the_contract_says"),
            (
                "cluster-tests/tests/cluster/t22_lines.rs",
                "ticks_of_a_sequential_task_wait_in_order_while_its_owner_is_killed",
            ),
        ],
    },
    SeedFault {
        number: "E4",
        fault: "queue and timeouts are in the memory of the leader: after its crash executions wait \
                and run for ever, and so does what stands behind them",
        shown_by: &[
            (
                "cluster-tests/tests/cluster/t22_lines.rs",
                "ticks_of_a_sequential_task_wait_in_order_while_its_owner_is_killed",
            ),
            (
                "chaos/src/sim/scenarios.rs",
                "what_waits_behind_an_execution_goes_on_when_its_node_is_lost",
            ),
            ("src/engine/testscripts/19-lost-attempts.txt", ""),
        ],
    },
    SeedFault {
        number: "E5",
        fault: "only what could not be given away is retried; work that reports a failure never is",
        shown_by: &[
            ("src/api/tests/attempts.rs", "what_fails_is_attempted_again_until_it_succeeds"),
            ("{STORIES}/34-retries.txt", ""),
            (
                "cluster-tests/tests/cluster/t26_executor_faults.rs",
                "five_executors_under_kills_keep_the_promises",
            ),
        ],
    },
    SeedFault {
        number: "E6",
        fault: "every executor is told to call back at one port of its own host",
        shown_by: &[
            ("src/api/tests/executing.rs", "the_callback_goes_to_where_the_settings_say"),
            ("src/api/tests/executing.rs", "an_execution_ends_by_its_callback"),
            (
                "cluster-tests/tests/cluster/t26_executor_faults.rs",
                "five_executors_under_kills_keep_the_promises",
            ),
        ],
    },
    SeedFault {
        number: "E7",
        fault: "a report that comes late overwrites how an execution ended; no attempt has a token",
        shown_by: &[
            ("src/api/tests/executing.rs", "an_old_attempt_ends_nothing"),
            ("src/api/tests/running.rs", "a_tick_has_one_claimer"),
            ("src/engine/testscripts/26-late-report.txt", ""),
            ("{STORIES}/10-node-restart.txt", ""),
        ],
    },
    SeedFault {
        number: "E8",
        fault: "a timeout changes a record, and the work goes on",
        shown_by: &[
            ("src/api/tests/executing.rs", "a_stop_reaches_the_executor_and_a_timeout_too"),
            ("src/exec/tests/shell.rs", "a_timeout_is_term_for_the_whole_group"),
            ("src/exec/tests/shell.rs", "who_ignores_term_is_killed_after_the_grace"),
        ],
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Why a test is none, or is not there.
fn missing(file: &str, name: &str) -> Option<String> {
    let file = file.replace("{STORIES}", STORIES).replace("{MACHINE}", MACHINE);
    let Ok(source) = std::fs::read_to_string(root().join(&file)) else {
        return Some(format!("{file} is not there"));
    };
    missing_in(&source, name).map(|why| format!("{file} {why}"))
}

/// Why a source has no such test, or, without a name, is no story.
fn missing_in(source: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        let plays = source.contains("\n----\n");
        return (!plays).then(|| "is no story".to_owned());
    }
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let head = [format!("fn {name}("), format!("async fn {name}(")];
    let found = lines.iter().position(|line| head.iter().any(|head| line.starts_with(head)));
    let Some(at) = found else { return Some(format!("has no {name}")) };
    let attributes = |line: &&&str| line.starts_with('#');
    let before: Vec<&&str> = lines[..at].iter().rev().take_while(attributes).collect();
    let marked = |mark: &str| before.iter().any(|line| line.starts_with(mark));
    match marked("#[test]") || marked("#[tokio::test") {
        true if marked("#[ignore") => Some(format!("has {name}, which nobody runs")),
        true => None,
        false => Some(format!("has {name}, which is no test")),
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    for (file, name) in [
        (HERE, "a_test_that_is_nowhere"),
        ("cluster-tests/tests/cluster/t00_nothing.rs", "each_fault_of_others_has_a_test"),
        ("{STORIES}/00-nothing.txt", ""),
        ("README.md", ""),
    ] {
        assert!(missing(file, name).is_some(), "{file} {name}");
    }
    let test = "#[tokio::test(start_paused = true)]\nasync fn one() {}";
    assert_eq!(missing_in(test, "one"), None);
    for (source, name) in [
        (test, "on"),
        ("fn helper() {}\n#[test]\nfn one() {}", "helper"),
        ("#[test]\nfn one() {}\nfn helper() {}", "helper"),
        ("#[test]\n#[ignore = \"slow\"]\nfn one() {}", "one"),
        ("#[test]\n// fn one() {}\nfn other() {}", "one"),
    ] {
        assert!(missing_in(source, name).is_some(), "{name} in {source}");
    }
}

#[test]
fn each_fault_of_others_has_a_test() {
    let mut wrong = Vec::new();
    for SeedFault { number, fault, shown_by } in &FAULTS {
        assert!(!shown_by.is_empty() && !fault.is_empty(), "{number}");
        let missing = shown_by.iter().filter_map(|(file, name)| missing(file, name));
        wrong.extend(missing.map(|what| format!("{number}: {what}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(FAULTS.is_sorted_by(|one, next| one.number < next.number), "each once, in order");
}

async fn note(notes: &Path, wanted: impl Fn(&[Vec<String>]) -> bool) -> TestResult<()> {
    until("the notes of the actions", async || {
        let found = noted(notes);
        if wanted(&found) { Ok(()) } else { Err(format!("{found:?}").into()) }
    })
    .await
}

/// Stops the scheduler, and waits until nothing runs or waits any more.
async fn quiet(api: &Api) -> TestResult<()> {
    api.post("/api/v1/scheduler/stop", &json!({})).await?;
    api.all_ended().await
}

/// How often a task's ticks fired, as a node has it.
async fn fired(api: &Api, name: &str) -> TestResult<u64> {
    let task = api.get(&format!("/api/v1/tasks/{name}")).await?;
    Ok(field(field(&task, "totals"), "fired").as_u64().ok_or("a number")?)
}

#[tokio::test]
async fn a_tick_whose_work_is_short_starts_once_in_the_whole_cluster() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script = format!("echo $PUNCTUAL_TASK $PUNCTUAL_TICK >> {}", notes.display());
    let names: Vec<String> = (0..6).map(|number| format!("short-{number}")).collect();
    for (node, name) in (1..=3).cycle().zip(&names) {
        let task = json!({"name": name, "schedule": {"interval": "250ms"},
            "action": shell(&script)});
        cluster.api(node).post("/api/v1/tasks", &task).await?;
    }
    note(&notes, |found| found.len() >= 60).await?;
    let api = cluster.api(2);
    quiet(&api).await?;
    let mut found = noted(&notes);
    let mut told = 0;
    for name in &names {
        told += fired(&api, name).await?;
    }
    assert_eq!(u64::try_from(found.len())?, told, "as many starts as fired ticks");
    found.sort();
    found.dedup();
    assert_eq!(u64::try_from(found.len())?, told, "none twice");
    cluster.finish().await
}

#[tokio::test]
async fn single_runs_and_tasks_without_parameters_survive_a_kill() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    // The first run is in the middle of its work when its node dies; the next one ends.
    let path = notes.display();
    let script = format!("echo run >> {path}; [ $(wc -l < {path}) -gt 1 ] || exec sleep 600");
    for task in [
        json!({"name": "later", "schedule": {"delay": "2h"}, "action": shell("true")}),
        json!({"name": "bare", "schedule": {"manual": true}, "action": shell("true")}),
        json!({"name": "once", "schedule": {"immediate": true}, "action": shell(&script)}),
        json!({"name": "beat", "schedule": {"interval": "500ms"}, "action": shell("true")}),
    ] {
        api.post("/api/v1/tasks", &task).await?;
    }
    note(&notes, |found| found.len() == 1).await?;
    let before = api.get("/api/v1/tasks/later").await?;
    cluster.kill9(1)?;
    cluster.start_node(1)?;
    cluster.all_ready().await?;

    let after = api.get("/api/v1/tasks/later").await?;
    assert_eq!(text(&after, "next_tick"), text(&before, "next_tick"), "{after}");
    let run = api.trigger("bare", &json!({})).await?;
    api.execution(&run, "success").await?;
    let lost = until("the run to be lost", async || {
        let list = api.get("/api/v1/executions?task_id=once&status=lost").await?;
        items(&list).first().cloned().ok_or_else(|| "not yet".into())
    })
    .await?;
    let once = api.get("/api/v1/tasks/once").await?;
    assert_eq!((text(&once, "state"), noted(&notes).len()), ("failed", 1), "{once}");
    let retry = format!("/api/v1/executions/{}/retry", text(&lost, "id"));
    let again = api.post(&retry, &json!({})).await?;
    api.execution(text(&again, "id"), "success").await?;
    assert_eq!(noted(&notes).len(), 2);
    // Each tick of the time without a node has its verdict.
    let ticks = until("ticks to be settled", async || {
        let ticks = api.all("/api/v1/tasks/beat/ticks?empty=true").await?;
        if ticks.is_empty() { Err("none is".into()) } else { Ok(ticks) }
    })
    .await?;
    let wrong = ticks.iter().filter(|tick| text(tick, "verdict").is_empty()).count();
    assert_eq!(wrong, 0, "{ticks:?}");
    cluster.finish().await
}

#[tokio::test]
async fn resumes_and_retries_that_are_repeated_fire_no_tick_twice() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let script = format!("echo $PUNCTUAL_TICK >> {}", notes.display());
    for task in [
        json!({"name": "beat", "schedule": {"interval": "250ms"}, "action": shell(&script)}),
        json!({"name": "bad", "schedule": {"manual": true}, "action": shell("exit 3")}),
    ] {
        api.post("/api/v1/tasks", &task).await?;
    }
    let run = api.trigger("bad", &json!({})).await?;
    api.execution(&run, "failed").await?;
    let retry = format!("/api/v1/executions/{run}/retry");
    for _ in 0..4 {
        for verb in ["pause", "resume", "resume"] {
            let answer = api
                .send(Method::POST, &format!("/api/v1/tasks/beat/{verb}"), None, Some(&json!({})))
                .await?;
            assert!(answer.status < 500, "{answer:?}");
        }
        let again = api.post(&retry, &json!({})).await?;
        api.execution(text(&again, "id"), "failed").await?;
    }
    let seen = noted(&notes).len();
    note(&notes, |found| found.len() >= seen + 8).await?;
    quiet(&api).await?;
    let mut found = noted(&notes);
    assert_eq!(u64::try_from(found.len())?, fired(&api, "beat").await?);
    let all = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), all, "none twice");
    let runs = api.all("/api/v1/executions?task_id=bad").await?;
    assert_eq!(runs.len(), 5, "the first one and a retry each: {runs:?}");
    cluster.finish().await
}

#[tokio::test]
async fn work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let script = format!("echo $$ $PUNCTUAL_NODE >> {}; exec sleep 600", notes.display());
    let task = json!({"name": "long", "schedule": {"manual": true}, "lost_after": "1s",
        "action": shell(&script)});
    let first = cluster.api(1);
    first.post("/api/v1/tasks", &task).await?;
    let run = first.trigger("long", &json!({})).await?;
    note(&notes, |found| found.len() == 1 && found[0].len() == 2).await?;
    let [line] = &noted(&notes)[..] else { return Err("one start".into()) };
    let (process, node) = (line[0].clone(), line[1].trim_start_matches('n').parse::<u8>()?);
    cluster.cut_off(node)?;
    until("its work to be killed", async || match Path::new("/proc").join(&process).exists() {
        true => Err(format!("{process} is there").into()),
        false => Ok(()),
    })
    .await?;
    let other = cluster.api(if node == 1 { 2 } else { 1 });
    other.execution(&run, "lost").await?;
    cluster.heal()?;
    // The process itself goes on, and takes its part again.
    cluster.all_ready().await?;
    cluster.api(node).execution(&run, "lost").await?;
    cluster.finish().await
}

#[tokio::test]
async fn what_is_made_changed_and_deleted_on_any_node_holds_at_once() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script =
        format!("echo $PUNCTUAL_TASK $PUNCTUAL_TICK $PUNCTUAL_PAYLOAD >> {}", notes.display());
    let task = |name: &str| {
        json!({"name": name, "schedule": {"interval": "250ms"}, "payload": "first",
            "action": shell(&script)})
    };
    cluster.api(1).post("/api/v1/tasks", &task("other")).await?;
    cluster.api(2).post("/api/v1/tasks", &task("made")).await?;
    let has = |found: &[Vec<String>], task: &str, payload: &str| {
        found.iter().any(|line| line[0] == task && line.last().is_some_and(|one| one == payload))
    };
    note(&notes, |found| has(found, "made", "first")).await?;
    let change = json!({"payload": "second"});
    let changed =
        cluster.api(3).send(Method::PATCH, "/api/v1/tasks/made", None, Some(&change)).await?;
    assert!(changed.good(), "{changed:?}");
    note(&notes, |found| has(found, "made", "second")).await?;
    let deleted =
        cluster.api(1).send(Method::DELETE, "/api/v1/tasks/made?wait=true", None, None).await?;
    assert!(deleted.good(), "{deleted:?}");
    let status = cluster.api(1).get("/api/v1/scheduler/status").await?;
    let end = text(&status, "time").to_owned();
    // Ticks as they are written sort as times.
    let after = |found: &[Vec<String>], task: &str| {
        found.iter().filter(|line| line[0] == task && line[1] > end).count()
    };
    note(&notes, |found| after(found, "other") >= 8).await?;
    assert_eq!(after(&noted(&notes), "made"), 0, "{:?}", noted(&notes));
    cluster.finish().await
}
