//! Flat bodies beside the canonical ones that they mean, and what is refused.

use serde_json::json;

use super::*;
use crate::domain::spec::tests::CTX;
use crate::domain::spec::{patch, read};

/// A definition or the codes of what is wrong with it.
fn outcome(body: &Value) -> Result<Value, Vec<&'static str>> {
    let read = read(body, CTX).map(|spec| crate::domain::spec::write(&spec));
    read.map_err(|problems| problems.iter().map(|problem| problem.code.as_str()).collect())
}

fn named(fields: Value) -> Value {
    let mut body = json!({"name": "t"});
    crate::domain::spec::merge(&mut body, &fields);
    body
}

fn cron() -> Value {
    json!({"cron": "*/10 * * * * *"})
}

#[test]
fn a_flat_schedule_means_what_the_canonical_one_does() {
    for (flat, canonical) in [
        (json!({"cron_format": "*/10 * * * * *"}), json!({"schedule": cron()})),
        (json!({"cron_expression": "*/10 * * * * *"}), json!({"schedule": cron()})),
        (
            json!({"cron_format": "*/10 * * * * *", "cron_expression": "*/10 * * * * *"}),
            json!({"schedule": cron()}),
        ),
        (
            json!({"cron_format": "0 2 * * *", "schedule": {"timezone": "Europe/Berlin"}}),
            json!({"schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}}),
        ),
        (
            json!({"cron_format": "*/10 * * * * *", "schedule": cron(), "type": "cron"}),
            json!({"schedule": cron()}),
        ),
        (json!({"type": "duration", "schedule": "30s"}), json!({"schedule": {"interval": "30s"}})),
        (json!({"type": "duration", "schedule": 30}), json!({"schedule": {"interval": "30s"}})),
        (
            json!({"type": "duration", "schedule": {"every": "30s"}}),
            json!({"schedule": {"interval": "30s"}}),
        ),
        (
            json!({"type": "cron", "schedule": "0 */6 * * *"}),
            json!({"schedule": {"cron": "0 */6 * * *"}}),
        ),
        (json!({"type": "daily", "schedule": "02:00"}), json!({"schedule": {"daily": "02:00"}})),
        (
            json!({"type": "daily", "schedule": ["02:00", "14:00"]}),
            json!({"schedule": {"daily": ["02:00", "14:00"]}}),
        ),
        (
            json!({"type": "daily", "schedule": "02:00, 14:00"}),
            json!({"schedule": {"daily": ["02:00", "14:00"]}}),
        ),
    ] {
        assert_eq!(outcome(&named(flat.clone())), outcome(&named(canonical)), "{flat}");
        assert!(outcome(&named(flat.clone())).is_ok(), "{flat}");
    }
}

/// What a version does with the canonical field, it does with the flat one.
#[test]
fn a_flat_policy_means_what_the_canonical_one_does() {
    for (flat, canonical) in [
        (json!({"executed_and_mark_deleted": true}), json!({"after_run": "mark_deleted"})),
        (json!({"executed_and_cleanup": true}), json!({"after_run": "cleanup"})),
        (
            json!({"executed_and_mark_deleted": false, "executed_and_cleanup": true}),
            json!({"after_run": "cleanup"}),
        ),
        (
            json!({"executed_and_cleanup": true, "after_run": "cleanup"}),
            json!({"after_run": "cleanup"}),
        ),
        (json!({"executed_and_cleanup": false, "executed_and_mark_deleted": null}), json!({})),
        (json!({"max_retry": 3}), json!({"retry": {"max_retry": 3}})),
        (
            json!({"max_retry": 0, "retry": {"max_retry": 0, "delay": "2s"}}),
            json!({"retry": {"delay": "2s"}}),
        ),
        (json!({"timeout_seconds": 600}), json!({"timeout": "10m"})),
        (json!({"timeout_seconds": 600, "timeout": "10m"}), json!({"timeout": 600})),
        (
            json!({"load_balance_strategy": "sticky"}),
            json!({"action": {"executor": {"balance": "sticky"}}}),
        ),
        (
            json!({"load_balance_strategy": "least-loaded",
                "action": {"executor": {"balance": "least_loaded"}}}),
            json!({"action": {"executor": {"balance": "least-loaded"}}}),
        ),
        (
            json!({"load_balance_strategy": "random", "action": {"executor": {"names": ["a"]}}}),
            json!({"action": {"executor": {"balance": "random", "names": ["a"]}}}),
        ),
    ] {
        let with = |mut fields: Value| {
            fields["schedule"] = cron();
            named(fields)
        };
        assert_eq!(outcome(&with(flat.clone())), outcome(&with(canonical)), "{flat}");
    }
}

#[test]
fn problems_are_told_where_they_were_written() {
    let manual = json!({"manual": true});
    for (fields, pointer, code) in [
        (json!({"cron_format": "60 * * * *"}), "/cron_format", "invalid_cron"),
        (json!({"cron_expression": 5}), "/cron_expression", "wrong_type"),
        (json!({"cron_expression": "0 0 30 2 *"}), "/cron_expression", "never_fires"),
        (json!({"cron_expression": null}), "/schedule", "missing_field"),
        (json!({"type": "duration", "schedule": "fast"}), "/schedule", "invalid_duration"),
        (json!({"type": "daily", "schedule": ["02:00", "x"]}), "/schedule/1", "invalid_time"),
        (json!({"type": "weekly", "schedule": "mon"}), "/type", "invalid_value"),
        (json!({"type": "cron"}), "/schedule", "missing_field"),
        (json!({"schedule": "30s"}), "/schedule", "wrong_type"),
        (json!({"schedule": manual, "max_retry": -1}), "/max_retry", "out_of_range"),
        (json!({"schedule": manual, "timeout_seconds": "5s"}), "/timeout_seconds", "wrong_type"),
        (json!({"schedule": manual, "timeout_seconds": -5}), "/timeout_seconds", "out_of_range"),
        (
            json!({"schedule": manual, "timeout_seconds": 1_u64 << 40}),
            "/timeout_seconds",
            "out_of_range",
        ),
        (
            json!({"schedule": manual, "executed_and_cleanup": "yes"}),
            "/executed_and_cleanup",
            "wrong_type",
        ),
        (
            json!({"schedule": manual, "load_balance_strategy": "quickest"}),
            "/load_balance_strategy",
            "invalid_value",
        ),
    ] {
        let problems = read(&named(fields.clone()), CTX).unwrap_err();
        let first = (problems[0].pointer.as_str(), problems[0].code.as_str());
        assert_eq!(first, (pointer, code), "{fields}\n{problems:?}");
    }
}

#[test]
fn a_flat_field_that_says_otherwise_is_refused() {
    for (fields, pointer, message) in [
        (
            json!({"schedule": {"cron": "0 2 * * *"}, "cron_expression": "0 3 * * *"}),
            "/cron_expression",
            "says \"0 3 * * *\", but `schedule.cron` says \"0 2 * * *\"",
        ),
        (
            json!({"cron_format": "0 2 * * *", "cron_expression": "0 3 * * *"}),
            "/cron_expression",
            "says \"0 3 * * *\", but `cron_format` says \"0 2 * * *\"",
        ),
        (
            json!({"schedule": {"interval": "5s"}, "cron_format": "0 3 * * *"}),
            "/cron_format",
            "is a cron expression, but the schedule has interval",
        ),
        (
            json!({"schedule": {"cron": "0 2 * * *"}, "type": "duration"}),
            "/type",
            "says duration, but the schedule has cron",
        ),
        (
            json!({"type": "daily", "cron_format": "0 2 * * *"}),
            "/type",
            "says daily, but the schedule has cron",
        ),
        (
            json!({"type": "duration", "schedule": "5s", "cron_format": "0 2 * * *"}),
            "/cron_format",
            "is a cron expression, but the schedule has interval",
        ),
        (
            json!({"schedule": {"manual": true}, "timeout": "5m", "timeout_seconds": 600}),
            "/timeout_seconds",
            "says 600, but `timeout` says \"5m\"",
        ),
        (
            json!({"schedule": {"manual": true}, "retry": 3, "max_retry": 3}),
            "/max_retry",
            "does not go with `retry` that is 3",
        ),
        (
            json!({"schedule": {"manual": true}, "retry": {"max_retry": 1}, "max_retry": 3}),
            "/max_retry",
            "says 3, but `retry.max_retry` says 1",
        ),
        (
            json!({"schedule": {"manual": true}, "executed_and_mark_deleted": true,
                "executed_and_cleanup": true}),
            "/executed_and_cleanup",
            "says \"cleanup\", but `executed_and_mark_deleted` says \"mark_deleted\"",
        ),
        (
            json!({"schedule": {"manual": true}, "after_run": "cleanup",
                "executed_and_cleanup": false}),
            "/executed_and_cleanup",
            "is false, but `after_run` says \"cleanup\"",
        ),
        (
            json!({"schedule": {"manual": true}, "load_balance_strategy": "random",
                "action": {"http": {"url": "http://example.com/"}}}),
            "/load_balance_strategy",
            "chooses among executors, but the action is http",
        ),
    ] {
        let problems = read(&named(fields.clone()), CTX).unwrap_err();
        let first = (problems[0].pointer.as_str(), problems[0].message.as_str());
        assert_eq!(first, (pointer, message), "{fields}");
        assert_eq!(problems[0].code.as_str(), "conflict");
    }
}

#[test]
fn a_misspelt_flat_field_is_suggested_and_a_patch_is_canonical() {
    let body = json!({"name": "t", "schedule": {"manual": true}, "cron_expresion": "x"});
    let problems = read(&body, CTX).unwrap_err();
    assert_eq!(problems[0].message, "unknown field; did you mean `cron_expression`?");
    let spec = read(&json!({"name": "t", "schedule": {"manual": true}}), CTX).unwrap();
    for (flat, canonical) in FLAT {
        let problems = patch(&spec, &json!({flat: 1}), CTX).unwrap_err();
        let said = (problems[0].code.as_str(), problems[0].message.as_str());
        let wanted = format!("unknown field; did you mean `{canonical}`?");
        assert_eq!(said, ("unknown_field", wanted.as_str()), "{flat}");
    }
}
