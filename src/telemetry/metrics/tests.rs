//! Tests of the metrics page, and of the documentation that lists its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::domain::machine::Refusal;
use crate::telemetry::seen::TaskSeen;

fn seen() -> ClusterSeen {
    ClusterSeen {
        nodes: vec![("n1".to_owned(), true), ("n2".to_owned(), false)],
        tasks: 3,
        without_series: 2,
        pending: 1,
        oldest_pending: 1.5,
        series: vec![TaskSeen {
            name: "a\"b".to_owned(),
            created: 1_000.0,
            last_success: Some(1_700_000_000.125),
            last_status: Some("failed"),
            failures: 4,
            next_tick: Some(1_700_000_060.0),
        }],
    }
}

fn lines(page: &str) -> BTreeSet<&str> {
    page.lines().collect()
}

#[test]
fn every_value_of_a_label_is_there_at_zero() {
    let page = Metrics::new("0.1.0").encode(None, MetricsFormat::Text);
    for line in [
        "punctual_build_info{version=\"0.1.0\"} 1",
        "punctual_raft_elections_total 0",
        "punctual_proposals_total{result=\"refused\"} 0",
        "punctual_ticks_total{verdict=\"missed\"} 0",
        "punctual_executions_total{status=\"lost\"} 0",
        "punctual_executions_running{kind=\"shell\"} 0",
        "punctual_action_duration_seconds_count{kind=\"http\"} 0",
        "punctual_settle_refused_total{reason=\"settled\"} 0",
        "punctual_reports_refused_total 0",
        "punctual_http_requests_total{code=\"5xx\"} 0",
        "punctual_tick_lateness_seconds_bucket{le=\"+Inf\"} 0",
        "punctual_clock_skew_seconds 0.0",
    ] {
        assert!(lines(&page).contains(line), "{line}\n{page}");
    }
    for (metric, codes) in [("settle_refused", SETTLE_REFUSALS)] {
        for code in codes {
            let line = format!("punctual_{metric}_total{{reason=\"{code}\"}} 0");
            assert!(lines(&page).contains(&*line), "{line}\n{page}");
        }
    }
    let named = Refusal::Cursor { at: crate::domain::time::Timestamp(0) };
    assert!(SETTLE_REFUSALS.contains(&named.code().as_str()));
    assert!(SETTLE_REFUSALS.contains(&Refusal::Session.code().as_str()));
}

#[test]
fn clones_share_what_they_count() {
    let metrics = Metrics::new("0.1.0");
    let shared = metrics.clone();
    shared.raft_is_leader.set(1);
    shared.ticks.add("fired", 3);
    shared.tick_lateness_seconds.observe(0.003);
    shared.clock_skew_seconds.set(-0.25);
    let page = metrics.encode(None, MetricsFormat::Text);
    for line in [
        "punctual_raft_is_leader 1",
        "punctual_ticks_total{verdict=\"fired\"} 3",
        "punctual_tick_lateness_seconds_count 1",
        "punctual_tick_lateness_seconds_bucket{le=\"0.005\"} 1",
        "punctual_clock_skew_seconds -0.25",
    ] {
        assert!(lines(&page).contains(line), "{line}\n{page}");
    }
}

#[test]
fn the_state_and_the_process_are_on_the_page() {
    let page = Metrics::new("0.1.0").encode(Some(&seen()), MetricsFormat::Text);
    for line in [
        "punctual_node_up{node=\"n1\"} 1",
        "punctual_node_up{node=\"n2\"} 0",
        "punctual_tasks 3",
        "punctual_tasks_without_series 2",
        "punctual_executions_pending 1",
        "punctual_oldest_pending_execution_age_seconds 1.5",
        "punctual_task_created_timestamp_seconds{task=\"a\\\"b\"} 1000.0",
        "punctual_task_last_success_timestamp_seconds{task=\"a\\\"b\"} 1700000000.125",
        "punctual_task_next_tick_timestamp_seconds{task=\"a\\\"b\"} 1700000060.0",
        "punctual_task_failures_in_a_row{task=\"a\\\"b\"} 4",
        "punctual_task_last_run_status{task=\"a\\\"b\",status=\"failed\"} 1",
    ] {
        assert!(lines(&page).contains(line), "{line}\n{page}");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let found = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let value: f64 = found.unwrap_or_else(|| panic!("{name}\n{page}")).parse().unwrap();
        assert!(value > 0.0, "{name} {value}");
    }
}

#[test]
fn openmetrics_is_sent_as_the_library_writes_it() {
    let page = Metrics::new("0.1.0").encode(Some(&seen()), MetricsFormat::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    assert!(page.contains("# TYPE punctual_build info\n"), "{page}");
    assert!(page.contains("# TYPE punctual_ticks counter\n"), "{page}");
}

/// Type, labels and help of each metric in text format 0.0.4.
fn described(page: &str) -> BTreeMap<String, (String, BTreeSet<String>, String)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>, String)> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            found.entry(name.to_owned()).or_default().2 = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            found.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else if let Some((series, labels)) = line.split_once('{') {
            let base = ["_bucket", "_sum", "_count"];
            let base = base.iter().find_map(|end| series.strip_suffix(end)).unwrap_or(series);
            let name = if found.contains_key(series) { series } else { base };
            let labels = labels.split("=\"").filter_map(|part| {
                part.rsplit(['{', ',', ' ']).next().filter(|name| name.chars().all(is_word))
            });
            let labels = labels.filter(|name| !name.is_empty() && *name != "le");
            let entry = found.get_mut(name).unwrap_or_else(|| panic!("{line}"));
            entry.1.extend(labels.map(str::to_owned));
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_lowercase() || c == '_'
}

/// `configs/prometheus/README.md` lists every metric. With `BLESS` set, the file is rewritten.
#[test]
fn the_documentation_lists_every_metric() {
    let page = Metrics::new("0.1.0").encode(Some(&seen()), MetricsFormat::Text);
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, (kind, labels, help)) in described(&page) {
        let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
        table.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/prometheus/README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("| metric |").expect("a table of metrics");
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let right = format!("{before}{table}\n{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    assert!(text == right, "{} lists other metrics; BLESS=1 writes it anew", path.display());
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("punctual_")).collect()
}

/// Each metric in the alerts is exported, and each alert has a test.
#[test]
fn alerts_name_metrics_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/prometheus");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (alerts, tests) = (read("alerts.yaml"), read("alerts_test.yaml"));
    let page = Metrics::new("0.1.0").encode(Some(&seen()), MetricsFormat::Text);
    let known = described(&page);
    for (file, least, text) in [("alerts.yaml", 8, &alerts), ("alerts_test.yaml", 8, &tests)] {
        let asked = metrics_in(text);
        assert!(asked.len() >= least, "{file} names {asked:?}");
        for name in asked {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| name.strip_suffix(end));
            let found = known.contains_key(name) || base.is_some_and(|it| known.contains_key(it));
            assert!(found, "{file}: {name} is no metric");
        }
    }
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let tried = format!("alertname: {name}");
        assert!(tests.matches(&tried).count() > 0, "{name} is not tried");
    }
}

#[test]
fn names_and_texts_follow_the_conventions() {
    let page = Metrics::new("0.1.0").encode(Some(&seen()), MetricsFormat::Text);
    for (name, (kind, _, help)) in described(&page) {
        assert!(name.starts_with("punctual_") || name.starts_with("process_"), "{name}");
        assert!(!name.contains("_total_") && name.matches("_total").count() < 2, "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
        assert!(!help.is_empty() && !help.contains(['\\', '\n', '|']), "{name} {help}");
    }
}
