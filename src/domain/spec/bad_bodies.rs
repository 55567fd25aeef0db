//! A table of bodies with one thing wrong in each, and what is said about it.

use serde_json::{Value, json};

use super::tests::{CTX, NOW};
use super::{ReadContext, read};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::time::{Millis, Timestamp};

/// A good body with `change` merged over it.
fn with(change: Value) -> Value {
    let mut body = json!({"name": "t", "schedule": {"cron": "0 2 * * *"}});
    super::merge(&mut body, &change);
    body
}

/// A good body with this schedule.
fn scheduled(schedule: Value) -> Value {
    json!({"name": "t", "schedule": schedule})
}

fn http(change: Value) -> Value {
    let mut action = json!({"http": {"url": "https://example.com/x"}});
    super::merge(&mut action["http"], &change);
    with(json!({"action": action}))
}

fn shell(change: Value) -> Value {
    let mut action = json!({"shell": {"argv": ["echo", "hi"]}});
    super::merge(&mut action["shell"], &change);
    with(json!({"action": action}))
}

/// A good body of a command with this handed to it.
fn handed(change: Value) -> Value {
    let mut body = shell(json!({}));
    super::merge(&mut body, &change);
    body
}

/// Each body has exactly one problem: this one.
fn expect(table: Vec<(Value, &str, &str)>) {
    for (body, pointer, code) in table {
        match read(&body, CTX).map_err(|problems| problems.into_iter().collect::<Vec<_>>()) {
            Ok(spec) => panic!("accepted {body} as {spec:?}"),
            Err(problems) => {
                let found: Vec<_> =
                    problems.iter().map(|p| (p.pointer.as_str(), p.code.as_str())).collect();
                assert_eq!(found, [(pointer, code)], "{body}\n{problems:?}");
                assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            }
        }
    }
}

#[test]
fn identity() {
    expect(vec![
        (json!([]), "", "wrong_type"),
        (json!("t"), "", "wrong_type"),
        (json!({"schedule": {"manual": true}}), "/name", "missing_field"),
        (json!({"name": "t"}), "/schedule", "missing_field"),
        (json!({"name": null, "schedule": {"manual": true}}), "/name", "wrong_type"),
        (with(json!({"name": ""})), "/name", "invalid_name"),
        (with(json!({"name": ".hidden"})), "/name", "invalid_name"),
        (with(json!({"name": "a/b"})), "/name", "invalid_name"),
        (with(json!({"name": "e\u{301}te"})), "/name", "invalid_name"),
        (with(json!({"name": "n".repeat(201)})), "/name", "invalid_name"),
        (with(json!({"name": 7})), "/name", "wrong_type"),
        (with(json!({"description": "d".repeat(4_097)})), "/description", "too_large"),
        (with(json!({"labels": ["a"]})), "/labels", "wrong_type"),
        (with(json!({"labels": {"a": 1}})), "/labels/a", "wrong_type"),
        (with(json!({"labels": {"a b": "x"}})), "/labels/a b", "invalid_label"),
        (with(json!({"labels": {"a/b": "x\n"}})), "/labels/a~1b", "invalid_label"),
        (with(json!({"enabled": "yes"})), "/enabled", "wrong_type"),
        (with(json!({"enabled": 1})), "/enabled", "wrong_type"),
    ]);
}

#[test]
fn unknown_fields() {
    expect(vec![
        (with(json!({"prioritty": 5})), "/prioritty", "unknown_field"),
        (with(json!({"cron": "* * * * *"})), "/cron", "unknown_field"),
        (with(json!({"catch_up": {"windw": "1h"}})), "/catch_up/windw", "unknown_field"),
        (with(json!({"schedule": {"tz": "UTC"}})), "/schedule/tz", "unknown_field"),
        (with(json!({"schedule": {"dst": {"gop": "skip"}}})), "/schedule/dst/gop", "unknown_field"),
        (http(json!({"uri": "x"})), "/action/http/uri", "unknown_field"),
        (with(json!({"revision": "12"})), "/revision", "unknown_field"),
    ]);
}

#[test]
fn schedules() {
    let at = |millis: i64| Timestamp(NOW.0 + millis).to_string();
    expect(vec![
        (scheduled(json!("0 2 * * *")), "/schedule", "wrong_type"),
        (scheduled(Value::Null), "/schedule", "wrong_type"),
        (scheduled(json!({})), "/schedule", "one_of"),
        (scheduled(json!({"timezone": "UTC"})), "/schedule", "one_of"),
        (scheduled(json!({"cron": "0 2 * * *", "interval": "5s"})), "/schedule", "one_of"),
        (scheduled(json!({"cron": 5})), "/schedule/cron", "wrong_type"),
        (scheduled(json!({"interval": "fast"})), "/schedule/interval", "invalid_duration"),
        (scheduled(json!({"interval": "99ms"})), "/schedule/interval", "out_of_range"),
        (scheduled(json!({"interval": "40000d"})), "/schedule/interval", "out_of_range"),
        (scheduled(json!({"interval": 0})), "/schedule/interval", "out_of_range"),
        (scheduled(json!({"interval": -1})), "/schedule/interval", "wrong_type"),
        (scheduled(json!({"interval": 1.5})), "/schedule/interval", "wrong_type"),
        (
            scheduled(json!({"interval": "5s", "anchor": "noon"})),
            "/schedule/anchor",
            "invalid_time",
        ),
        (scheduled(json!({"daily": "02:00", "anchor": at(0)})), "/schedule/anchor", "conflict"),
    ]);
}

#[test]
fn schedules_at_local_times() {
    expect(vec![
        (scheduled(json!({"daily": "25:00"})), "/schedule/daily", "invalid_time"),
        (scheduled(json!({"daily": 2})), "/schedule/daily", "wrong_type"),
        (scheduled(json!({"daily": []})), "/schedule/daily", "empty"),
        (scheduled(json!({"daily": ["02:00", "2 pm"]})), "/schedule/daily/1", "invalid_time"),
        (scheduled(json!({"weekly": ["mon"]})), "/schedule/weekly", "wrong_type"),
        (scheduled(json!({"weekly": {"days": ["mon"]}})), "/schedule/weekly/at", "missing_field"),
        (scheduled(json!({"weekly": {"at": "09:00"}})), "/schedule/weekly/days", "missing_field"),
        (
            scheduled(json!({"weekly": {"days": [], "at": "09:00"}})),
            "/schedule/weekly/days",
            "empty",
        ),
        (
            scheduled(json!({"weekly": {"days": ["mon", "mo"], "at": "09:00"}})),
            "/schedule/weekly/days/1",
            "invalid_value",
        ),
        (
            scheduled(json!({"monthly": {"days": [0], "at": "09:00"}})),
            "/schedule/monthly/days/0",
            "out_of_range",
        ),
        (
            scheduled(json!({"monthly": {"days": [1, 32], "at": "09:00"}})),
            "/schedule/monthly/days/1",
            "out_of_range",
        ),
        (
            scheduled(json!({"monthly": {"days": 1, "at": "09:00"}})),
            "/schedule/monthly/days",
            "wrong_type",
        ),
    ]);
}

#[test]
fn schedules_of_one_tick_and_what_stands_around_any() {
    let at = |millis: i64| Timestamp(NOW.0 + millis).to_string();
    expect(vec![
        (scheduled(json!({"at": "2026-12-01T09:00:00"})), "/schedule/at", "invalid_time"),
        (scheduled(json!({"at": 1_795_000_000})), "/schedule/at", "wrong_type"),
        (scheduled(json!({"at": at(-3_600_001)})), "/schedule/at", "never_fires"),
        (scheduled(json!({"at": "2926-12-01T09:00:00Z"})), "/schedule", "never_fires"),
        (scheduled(json!({"cron": "0 0 30 2 *"})), "/schedule", "never_fires"),
        (scheduled(json!({"cron": "0 0 0 1 1 * 2020"})), "/schedule", "never_fires"),
        (scheduled(json!({"cron": "@every 50ms"})), "/schedule/cron", "invalid_interval"),
        (scheduled(json!({"cron": ""})), "/schedule/cron", "invalid_cron"),
        (scheduled(json!({"cron": "60 * * * *"})), "/schedule/cron", "invalid_cron"),
        (scheduled(json!({"cron": "* * * *"})), "/schedule/cron", "invalid_cron"),
        (
            with(json!({"schedule": {"timezone": "Mars/X"}})),
            "/schedule/timezone",
            "unknown_timezone",
        ),
        (scheduled(json!({"at": at(10), "not_after": at(9)})), "/schedule", "never_fires"),
        (scheduled(json!({"delay": "0s"})), "/schedule/delay", "out_of_range"),
        (scheduled(json!({"immediate": false})), "/schedule/immediate", "invalid_value"),
        (scheduled(json!({"manual": "yes"})), "/schedule/manual", "wrong_type"),
        (with(json!({"schedule": {"timezone": 1}})), "/schedule/timezone", "wrong_type"),
        (with(json!({"schedule": {"dst": "skip"}})), "/schedule/dst", "wrong_type"),
        (with(json!({"schedule": {"dst": {"gap": "both"}}})), "/schedule/dst/gap", "invalid_value"),
        (with(json!({"schedule": {"jitter": "soon"}})), "/schedule/jitter", "invalid_duration"),
        (with(json!({"schedule": {"not_before": "soon"}})), "/schedule/not_before", "invalid_time"),
        (with(json!({"schedule": {"max_ticks": 0}})), "/schedule/max_ticks", "out_of_range"),
        (with(json!({"schedule": {"exclude": "x"}})), "/schedule/exclude", "wrong_type"),
        (with(json!({"schedule": {"exclude": [1]}})), "/schedule/exclude/0", "wrong_type"),
    ]);
}

#[test]
fn actions() {
    let url = |url: &str| http(json!({"url": url}));
    let header = |name: &str, value: &str| http(json!({"headers": {name: value}}));
    let upper = json!({"x-a": "1", "X-A": "2"});
    expect(vec![
        (with(json!({"action": "curl"})), "/action", "wrong_type"),
        (with(json!({"action": {"http": null}})), "/action", "one_of"),
        (http(json!({"url": null})), "/action/http/url", "missing_field"),
        (url("/relative"), "/action/http/url", "invalid_url"),
        (url("ftp://example.com/"), "/action/http/url", "invalid_url"),
        (url("http:example.com"), "/action/http/url", "invalid_url"),
        (url("http://"), "/action/http/url", "invalid_url"),
        (url("http:///x"), "/action/http/url", "invalid_url"),
        (url("http://user:pw@example.com/"), "/action/http/url", "invalid_url"),
        (url("http://@example.com/"), "/action/http/url", "invalid_url"),
        (url("http://exa mple.com/"), "/action/http/url", "invalid_url"),
        (url("http://example.com\\@evil/"), "/action/http/url", "invalid_url"),
        (url("http://example.com/\n"), "/action/http/url", "invalid_url"),
        (url("http://example.com:99999/"), "/action/http/url", "invalid_url"),
        (http(json!({"method": "GE T"})), "/action/http/method", "invalid_method"),
        (http(json!({"method": ""})), "/action/http/method", "invalid_method"),
        (header("x y", "1"), "/action/http/headers/x y", "invalid_http_header"),
        (header("x-a", "a\r\nb: c"), "/action/http/headers/x-a", "invalid_http_header"),
        (
            header("Idempotency-Key", "1"),
            "/action/http/headers/Idempotency-Key",
            "invalid_http_header",
        ),
        (
            header("punctual-fence", "1"),
            "/action/http/headers/punctual-fence",
            "invalid_http_header",
        ),
        (http(json!({"headers": upper})), "/action/http/headers/x-a", "duplicate_item"),
        (http(json!({"body": {"a": 1}})), "/action/http/body", "wrong_type"),
        (http(json!({"expect_status": "200"})), "/action/http/expect_status", "wrong_type"),
        (http(json!({"expect_status": []})), "/action/http/expect_status", "empty"),
        (http(json!({"expect_status": [200]})), "/action/http/expect_status/0", "wrong_type"),
        (http(json!({"expect_status": ["2xx"]})), "/action/http/expect_status/0", "invalid_status"),
        (
            http(json!({"expect_status": ["299-200"]})),
            "/action/http/expect_status/0",
            "invalid_status",
        ),
        (http(json!({"expect_status": ["+20"]})), "/action/http/expect_status/0", "invalid_status"),
        (http(json!({"expect_status": ["99"]})), "/action/http/expect_status/0", "invalid_status"),
        (http(json!({"body": "b".repeat(66_000)})), "/action", "too_large"),
        (
            http(json!({"connect_timeout": "soon"})),
            "/action/http/connect_timeout",
            "invalid_duration",
        ),
        (http(json!({"connect_timeout": 0})), "/action/http/connect_timeout", "out_of_range"),
    ]);
}

#[test]
fn actions_that_start_something_here() {
    expect(vec![
        (shell(json!({"argv": null})), "/action/shell/argv", "missing_field"),
        (shell(json!({"argv": "echo hi"})), "/action/shell/argv", "wrong_type"),
        (shell(json!({"argv": []})), "/action/shell/argv", "empty"),
        (shell(json!({"argv": [""]})), "/action/shell/argv/0", "empty"),
        (shell(json!({"argv": ["a", "b\0"]})), "/action/shell/argv/1", "invalid_value"),
        (shell(json!({"argv": ["a", 1]})), "/action/shell/argv/1", "wrong_type"),
        (shell(json!({"env": {"1A": "x"}})), "/action/shell/env/1A", "invalid_env"),
        (shell(json!({"env": {"A=B": "x"}})), "/action/shell/env/A=B", "invalid_env"),
        (
            shell(json!({"env": {"PUNCTUAL_FENCE": "x"}})),
            "/action/shell/env/PUNCTUAL_FENCE",
            "invalid_env",
        ),
        (shell(json!({"env": {"A": "x\0"}})), "/action/shell/env/A", "invalid_value"),
        (shell(json!({"cwd": "tmp"})), "/action/shell/cwd", "invalid_value"),
        (shell(json!({"user": "a b"})), "/action/shell/user", "invalid_value"),
        (with(json!({"action": {"func": {}}})), "/action/func/id", "missing_field"),
        (with(json!({"action": {"func": {"id": "*"}}})), "/action/func/id", "invalid_name"),
    ]);
}

#[test]
fn data_and_policies() {
    expect(vec![
        (with(json!({"parameters": []})), "/parameters", "wrong_type"),
        (with(json!({"payload": {}})), "/payload", "wrong_type"),
        (handed(json!({"payload": "a\u{0}b"})), "/payload", "invalid_value"),
        (handed(json!({"parameters": {"a/b": "\u{0}"}})), "/parameters/a~1b", "invalid_value"),
        (with(json!({"payload": "p".repeat(65_535)})), "/payload", "too_large"),
        (with(json!({"parameters": {"a": "p".repeat(65_530)}})), "/payload", "too_large"),
        (with(json!({"execution_mode": "serial"})), "/execution_mode", "invalid_value"),
        (with(json!({"execution_mode": 1})), "/execution_mode", "wrong_type"),
        (with(json!({"max_live": 0})), "/max_live", "out_of_range"),
        (with(json!({"max_live": 10_001})), "/max_live", "out_of_range"),
        (with(json!({"queue_max": -1})), "/queue_max", "out_of_range"),
        (with(json!({"queue_max": 1_i64 << 32})), "/queue_max", "out_of_range"),
        (with(json!({"concurrency": "db"})), "/concurrency", "wrong_type"),
        (with(json!({"concurrency": {"group": "db"}})), "/concurrency/limit", "missing_field"),
        (
            with(json!({"concurrency": {"group": "d b", "limit": 1}})),
            "/concurrency/group",
            "invalid_name",
        ),
        (
            with(json!({"concurrency": {"group": "db", "limit": 0}})),
            "/concurrency/limit",
            "out_of_range",
        ),
        (with(json!({"priority": 10})), "/priority", "out_of_range"),
        (with(json!({"priority": -1})), "/priority", "out_of_range"),
        (with(json!({"priority": "9"})), "/priority", "wrong_type"),
        (with(json!({"priority": 1.0})), "/priority", "wrong_type"),
        (with(json!({"priority": u64::MAX})), "/priority", "out_of_range"),
        (with(json!({"catch_up": "last"})), "/catch_up", "wrong_type"),
        (with(json!({"catch_up": {"policy": "first"}})), "/catch_up/policy", "invalid_value"),
        (with(json!({"catch_up": {"window": "1 hour"}})), "/catch_up/window", "invalid_duration"),
        (with(json!({"catch_up": {"max": 0}})), "/catch_up/max", "out_of_range"),
        (with(json!({"catch_up_on_resume": "no"})), "/catch_up_on_resume", "wrong_type"),
        (with(json!({"delivery": "exactly_once"})), "/delivery", "invalid_value"),
        (with(json!({"timeout": true})), "/timeout", "wrong_type"),
        (with(json!({"timeout": "-5s"})), "/timeout", "invalid_duration"),
        (with(json!({"kill_grace": "99999999999999999999d"})), "/kill_grace", "invalid_duration"),
        (with(json!({"lost_after": "999ms"})), "/lost_after", "out_of_range"),
        (
            with(json!({"assignment": {"strategy": "random"}})),
            "/assignment/strategy",
            "invalid_value",
        ),
        (
            with(json!({"assignment": {"selector": {"zone": 1}}})),
            "/assignment/selector/zone",
            "wrong_type",
        ),
        (with(json!({"keep": {"age": {}}})), "/keep/age", "wrong_type"),
        (with(json!({"then": {"success": "load"}})), "/then/success", "wrong_type"),
        (with(json!({"then": {"failure": ["a b"]}})), "/then/failure/0", "invalid_name"),
        (with(json!({"then": {"lost": ["a", "b", "a"]}})), "/then/lost/2", "conflict"),
        (with(json!({"then": {"failed": ["a"]}})), "/then/failed", "unknown_field"),
        (
            with(
                json!({"then": {"timeout": (0..21).map(|n| format!("t{n}")).collect::<Vec<_>>()}}),
            ),
            "/then/timeout",
            "too_large",
        ),
        (with(json!({"keep": {"ticks": "all"}})), "/keep/ticks", "wrong_type"),
        (with(json!({"after_run": "delete"})), "/after_run", "invalid_value"),
        (with(json!({"one_shot": "true"})), "/one_shot", "wrong_type"),
    ]);
}

#[test]
fn retries() {
    expect(vec![
        (with(json!({"retry": {"max_retry": -1}})), "/retry/max_retry", "out_of_range"),
        (with(json!({"retry": {"max_retry": 1_001}})), "/retry/max_retry", "out_of_range"),
        (with(json!({"retry": {"backoff": "linear"}})), "/retry/backoff", "invalid_value"),
        (with(json!({"retry": 3})), "/retry", "wrong_type"),
        (
            with(json!({"retry": {"delay": "99999999999999999999d"}})),
            "/retry/delay",
            "invalid_duration",
        ),
        (
            with(json!({"retry": {"max_delay": "99999999999999999999d"}})),
            "/retry/max_delay",
            "invalid_duration",
        ),
    ]);
}

#[test]
fn calendars_are_named_once_and_manual_tasks_have_no_last_tick() {
    let many: Vec<String> = (0..11).map(|number| format!("c{number}")).collect();
    expect(vec![
        (with(json!({"schedule": {"exclude": many}})), "/schedule/exclude", "too_large"),
        (
            with(json!({"schedule": {"exclude": ["a", "b", "a"]}})),
            "/schedule/exclude/2",
            "duplicate",
        ),
        (with(json!({"schedule": {"exclude": [".a"]}})), "/schedule/exclude/0", "invalid_name"),
        (
            json!({"name": "t", "schedule": {"manual": true, "max_ticks": 3}}),
            "/schedule/max_ticks",
            "conflict",
        ),
    ]);
}

#[test]
fn what_this_version_cannot_do_is_refused_and_its_defaults_are_not() {
    expect(vec![
        (with(json!({"action": {"func": {"id": "f"}}})), "/action/func", "not_supported"),
        (
            with(json!({"assignment": {"strategy": "custom"}})),
            "/assignment/strategy",
            "not_supported",
        ),
    ]);
    let func = with(json!({"action": {"func": {"id": "f"}}}));
    assert!(read(&func, ReadContext { functions_allowed: true, ..CTX }).is_ok());
    let custom = with(json!({"assignment": {"strategy": "custom"}}));
    assert!(read(&custom, ReadContext { custom_strategy: true, ..CTX }).is_ok());
    assert!(read(&with(json!({"assignment": {"strategy": "range"}})), CTX).is_ok());
    assert!(read(&with(json!({"schedule": {"jitter": "5s"}})), CTX).is_ok());
    assert!(read(&with(json!({"action": {"executor": {}}})), CTX).is_ok());
    assert!(read(&with(json!({"after_run": "cleanup", "one_shot": true})), CTX).is_ok());
}

#[test]
fn all_problems_are_reported_together_with_hints() {
    let body = json!({
        "name": "a b", "schedule": {"cron": "60 2 * * *", "dst": {"gap": "skp"}}, "priority": 11,
        "one_shot": 1, "enabeld": false, "backoff": "fixed",
    });
    let problems = read(&body, CTX).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|p| format!("{} {}", p.pointer, p.message)).collect();
    for want in [
        "/name must be letters, digits and `._-:@+`, but has ` `",
        "/schedule/cron column 1: minute must be 0 to 59, got 60",
        "/schedule/dst/gap must be one of shift, skip, got \"skp\"; did you mean `skip`?",
        "/priority must be a whole number from 0 to 9, got 11",
        "/enabeld unknown field; did you mean `enabled`?",
        "/backoff unknown field; did you mean `retry.backoff`?",
        "/one_shot must be true or false, got 1",
    ] {
        assert!(lines.iter().any(|line| line == want), "{want}\n{lines:#?}");
    }
    assert_eq!(lines.len(), 7, "{lines:#?}");
}

#[test]
fn a_schedule_that_never_fires_is_reported_beside_other_problems() {
    let body =
        json!({"name": "", "schedule": {"interval": "1h", "not_after": "2020-01-01T00:00:00Z"}});
    let problems = read(&body, CTX).unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.pointer.as_str(), p.code.as_str())).collect();
    assert_eq!(found, [("/name", "invalid_name"), ("/schedule", "never_fires")]);
    let zone = with(json!({"schedule": {"timezone": "Mars/Olympus"}}));
    let problems = read(&zone, CTX).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].pointer, "/schedule/timezone");
}

#[test]
fn a_body_of_many_problems_reports_a_hundred() {
    let fields: serde_json::Map<_, _> =
        (0..100_000).map(|index| (format!("field_{index}"), Value::Null)).collect();
    assert_eq!(read(&Value::Object(fields), CTX).unwrap_err().len(), 100);
    let shortest = ReadContext { min_interval: Millis(5_000), ..CTX };
    for schedule in [json!({"interval": "4s"}), json!({"cron": "@every 4s"})] {
        let problems = read(&scheduled(schedule), shortest).unwrap_err();
        assert_eq!(problems[0].code.as_str(), "out_of_range");
    }
}

#[test]
fn a_past_instant_that_is_settled_is_refused() {
    let body = scheduled(json!({"at": NOW.minus(Millis(60_000)).to_string()}));
    assert!(read(&body, CTX).is_ok(), "catch_up covers it");
    let settled = NOW.minus(Millis(30_000));
    let stopped = ReadContext { settled, ..CTX };
    let current = Schedule::of(Rule::Manual);
    let edited = ReadContext { current: Some(&current), ..CTX };
    for ctx in [stopped, edited] {
        let problems = read(&body, ctx).unwrap_err();
        assert_eq!(
            (&*problems[0].pointer, problems[0].code.as_str()),
            ("/schedule/at", "never_fires")
        );
    }
    let settled = NOW.minus(Millis(60_001));
    assert!(read(&body, ReadContext { settled, ..CTX }).is_ok());
}
