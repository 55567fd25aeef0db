//! What other schedulers got wrong, each fault with the tests that show its absence here.

use std::path::{Path, PathBuf};

/// A fault: its number, what goes wrong, and the tests (file, function) or stories (file alone) that
/// would notice it.
struct SeedFault {
    number: &'static str,
    fault: &'static str,
    shown_by: &'static [(&'static str, &'static str)],
}

const NODES: &str = "cluster-tests/tests/cluster/t81_node_faults.rs";
const EXECUTIONS: &str = "cluster-tests/tests/cluster/t82_execution_faults.rs";
const MACHINE: &str = "src/domain/machine/tests";
const STORIES: &str = "src/domain/machine/testscripts";

const FAULTS: [SeedFault; 24] = [
    SeedFault {
        number: "A1",
        fault: "a tick is locked under the local time of the node that fires it, cut to a second, so \
                that a late node, or one in another zone, fires it again",
        shown_by: &[
            (NODES, "nodes_whose_local_zones_differ_start_each_tick_once"),
            ("{STORIES}/02-two-owners.txt", ""),
            ("{STORIES}/21-late.txt", ""),
        ],
    },
    SeedFault {
        number: "A2",
        fault: "the lock of a tick is gone after five seconds, so that a node whose clock is behind \
                fires it again",
        shown_by: &[
            (NODES, "a_node_that_was_stopped_for_long_loses_its_tasks_and_gets_them_again"),
            ("src/clock/agreement.rs", "a_wrong_clock_works_on"),
            ("{STORIES}/02-two-owners.txt", ""),
        ],
    },
    SeedFault {
        number: "A5",
        fault: "a node that crashed is kept as working for ever, and its tasks never fire again",
        shown_by: &[
            (NODES, "nodes_whose_local_zones_differ_start_each_tick_once"),
            (
                "cluster-tests/tests/cluster/t20_kill.rs",
                "no_tick_is_started_twice_or_forgotten_while_nodes_are_killed",
            ),
        ],
    },
    SeedFault {
        number: "A6",
        fault: "a node that was stopped for longer than its lease never takes part again",
        shown_by: &[(
            NODES,
            "a_node_that_was_stopped_for_long_loses_its_tasks_and_gets_them_again",
        )],
    },
    SeedFault {
        number: "A7",
        fault: "what one node is told about a task that it does not know crashes it",
        shown_by: &[
            (EXECUTIONS, "what_is_made_changed_and_deleted_on_any_node_holds_at_once"),
            ("{MACHINE}/lifecycle.rs", "every_cell_of_the_lifecycle_table_is_as_the_contract_says"),
            ("{MACHINE}/laws.rs", "all_laws_hold_after_every_command"),
        ],
    },
    SeedFault {
        number: "A8",
        fault: "without weights a division by zero ends the process, and a change of weights is not \
                noticed",
        shown_by: &[
            ("{STORIES}/24-weights.txt", ""),
            ("src/domain/assign/tests.rs", "shares_follow_weights"),
            (
                "cluster-tests/tests/cluster/t15_drained.rs",
                "what_an_operator_set_for_a_node_outlasts_its_restart",
            ),
        ],
    },
    SeedFault {
        number: "A12",
        fault: "taking the deleted mark from one task takes it from all",
        shown_by: &[
            ("{MACHINE}/lifecycle.rs", "a_mark_that_is_taken_away_leaves_the_others"),
            ("{STORIES}/07-deleted.txt", ""),
        ],
    },
    SeedFault {
        number: "B1",
        fault: "the lock of a task is free again as soon as its work has begun, and every node runs \
                every tick",
        shown_by: &[
            (EXECUTIONS, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
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
            (EXECUTIONS, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
            ("{STORIES}/02-two-owners.txt", ""),
        ],
    },
    SeedFault {
        number: "B3",
        fault: "a node does not come up again where a single run or a task without parameters is kept",
        shown_by: &[(EXECUTIONS, "single_runs_and_tasks_without_parameters_survive_a_kill")],
    },
    SeedFault {
        number: "B4",
        fault: "a single run is gone when its node dies in the middle, and ticks of the time without \
                a node are never made up for",
        shown_by: &[
            (EXECUTIONS, "single_runs_and_tasks_without_parameters_survive_a_kill"),
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
        shown_by: &[(EXECUTIONS, "resumes_and_retries_that_are_repeated_fire_no_tick_twice")],
    },
    SeedFault {
        number: "C1",
        fault: "clocks that differ by more than the work lasts make two nodes run one tick",
        shown_by: &[
            (EXECUTIONS, "a_tick_whose_work_is_short_starts_once_in_the_whole_cluster"),
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
            (EXECUTIONS, "work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on"),
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
            (EXECUTIONS, "work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on"),
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
        shown_by: &[(EXECUTIONS, "what_is_made_changed_and_deleted_on_any_node_holds_at_once")],
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
        (EXECUTIONS, "a_test_that_is_nowhere"),
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

/// A fault's place in the table: by its letter, then by its number.
fn place(number: &str) -> (&str, Option<u32>) {
    let (letter, rest) = number.split_at(1);
    (letter, rest.parse().ok())
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
    assert!(
        FAULTS.is_sorted_by(|one, next| place(one.number) < place(next.number)),
        "each once, in order"
    );
}
