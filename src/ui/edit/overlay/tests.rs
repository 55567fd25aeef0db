//! Laws of the form: what is not changed stays.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A task with all that the form shows, and with what it does not show.
fn full() -> Value {
    json!({
        "name": "a", "description": "two\r\nlines", "labels": {"team": "infra"}, "enabled": true,
        "schedule": {"interval": "1h", "anchor": "2026-01-01T00:00:00.000Z", "timezone": null,
            "dst": {"gap": "shift", "fold": "both"}, "jitter": "5s", "exclude": ["holidays"]},
        "action": {"executor": {"balance": "weighted", "names": ["a", "b"], "weights": {"a": 3}}},
        "parameters": {"a": [1, {"b": null}]}, "payload": " x\n",
        "keep": {"executions": 7, "ticks": 9, "age": "3d"},
        "then": {"success": ["b"], "recovered": ["c"]}, "concurrency": null,
        "retry": {"max_retry": 3, "jitter": "1s"}, "unknown": {"kept": true},
    })
}

fn changed(base: &Value, fields: &[(&str, &str)]) -> Value {
    let sent: Vec<_> = fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let (body, problems) = overlay(base, &FormTexts::sent(base, &sent));
    assert!(problems.is_empty(), "{problems:?}");
    body
}

#[test]
fn a_form_that_is_sent_as_it_was_shown_changes_nothing() {
    let every_field = |base: &Value| -> Vec<(String, String)> {
        let texts = FormTexts::of(base);
        let text = |name: &str| texts.get(name).replace("\r\n", "\n").replace('\n', "\r\n");
        let all = FIELDS.iter().map(|field| field.name).chain([RULE, ACTION]);
        all.map(|name| (name.to_owned(), text(name))).collect()
    };
    for base in [
        full(),
        json!({}),
        json!({"schedule": {"weekly": {"days": ["mon"], "at": "2:00"}}}),
        json!({"cron_format": "* * * * *", "schedule": 3, "action": [1]}),
    ] {
        let (body, problems) = overlay(&base, &FormTexts::sent(&base, &every_field(&base)));
        assert_eq!((body, problems), (base, vec![]));
    }
}

#[test]
fn what_the_form_does_not_show_survives() {
    let body = changed(&full(), &[("description", "new"), ("executors", "b c"), ("timeout", "1m")]);
    let mut wanted = full();
    wanted["description"] = json!("new");
    wanted["action"]["executor"]["names"] = json!(["b", "c"]);
    wanted["timeout"] = json!("1m");
    assert_eq!(body, wanted);
}

#[test]
fn another_rule_replaces_the_one_before_and_keeps_the_rest() {
    let body = changed(&full(), &[("rule", "cron"), ("cron", "30 2 * * *"), ("timezone", "UTC")]);
    let schedule = &body["schedule"];
    let keys: Vec<&str> = schedule.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["cron", "timezone", "dst", "jitter", "exclude"]);
    assert_eq!(schedule["cron"], "30 2 * * *");
    // The anchor belongs to the interval.
    let body = changed(&full(), &[("interval", "2h")]);
    assert_eq!(body["schedule"]["anchor"], "2026-01-01T00:00:00.000Z");
    for (fields, wanted) in [
        (vec![("rule", "manual")], json!({"manual": true})),
        (vec![("rule", "cron")], json!({"cron": ""})),
        (vec![("rule", "weekly"), ("weekly_at", "1:00")], json!({"weekly": {"at": "1:00"}})),
        (
            vec![("rule", "monthly"), ("monthly_days", "1,-1"), ("monthly_at", "1:00")],
            json!({"monthly": {"days": [1, -1], "at": "1:00"}}),
        ),
    ] {
        assert_eq!(changed(&json!({}), &fields)["schedule"], wanted);
    }
}

#[test]
fn another_action_has_its_own_fields_only() {
    let fields = [("act", "shell"), ("argv", "echo 'on time'"), ("url", "http://x.example")];
    let body = changed(&full(), &fields);
    assert_eq!(body["action"], json!({"shell": {"argv": ["echo", "on time"]}}));
    assert_eq!(changed(&body, &[("act", "")])["action"], Value::Null);
}

#[test]
fn an_empty_field_is_one_that_is_left_out() {
    let with = changed(&json!({}), &[("group", "db"), ("group_limit", "2")]);
    assert_eq!(with, json!({"concurrency": {"group": "db", "limit": 2}}));
    assert_eq!(changed(&with, &[("group", ""), ("group_limit", " ")]), json!({}));
    let body = changed(&full(), &[("jitter", ""), ("max_retry", "")]);
    assert_eq!((body["schedule"].get("jitter"), &body["retry"]), (None, &json!({"jitter": "1s"})));
}

#[test]
fn what_cannot_be_read_is_told_and_kept() {
    let sent = [("act", "shell"), ("argv", "echo 'x"), ("parameters", "{"), ("priority", "high")];
    let sent = sent.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let base = json!({});
    let (body, problems) = overlay(&base, &FormTexts::sent(&base, &sent));
    let told: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
    assert_eq!(told, ["/action/shell/argv", "/parameters"]);
    assert_eq!(body["action"]["shell"]["argv"], "echo 'x");
    assert_eq!(body["priority"], "high", "the rules of bodies say what is wrong with it");
}

#[test]
fn problems_are_told_at_their_fields() {
    for (pointer, field) in [
        ("/name", Some("name")),
        ("/schedule/cron", Some("cron")),
        ("/schedule", Some(RULE)),
        ("/schedule/weekly", Some("weekly_days")),
        ("/schedule/exclude/0", Some("exclude")),
        ("/action/shell/argv/0", Some("argv")),
        ("/action/shell", Some("argv")),
        ("/action", Some(ACTION)),
        ("/keep/age", None),
        ("/nothing", None),
        ("", None),
    ] {
        assert_eq!(field_of(pointer), field, "{pointer}");
    }
}

#[test]
fn a_change_is_carried_over_to_what_others_made_meanwhile() {
    let base = json!({"a": 1, "b": {"c": 1, "d": 1}, "labels": {"x": "1", "y/z": "2"}});
    let wanted = json!({"a": 2, "b": {"c": 1, "d": 3}, "labels": {"y/z": "3"}});
    let current =
        json!({"a": 1, "b": {"c": 9, "d": 1}, "labels": {"x": "1", "y/z": "2", "n": "4"}});
    let carried = carry_over(&current, &base, &wanted);
    assert_eq!(carried, json!({"a": 2, "b": {"c": 9, "d": 3}, "labels": {"y/z": "3", "n": "4"}}));
}

proptest! {
    #[test]
    fn any_body_survives_a_form_that_was_not_touched(
        description in "[ -~\r\n]{0,20}",
        payload in "[ -~\r\n\t]{0,20}",
        argv in proptest::collection::vec("[ -~\n]{0,9}", 0..4),
        env in proptest::collection::btree_map("[A-Z]{1,4}", "[ -~\n]{0,9}", 0..3),
        retries in proptest::option::of(0..9_i64),
    ) {
        let base = json!({
            "description": description, "payload": payload, "retry": {"max_retry": retries},
            "action": {"shell": {"argv": argv, "env": env}},
        });
        let texts = FormTexts::of(&base);
        let crlf = |name: &str| texts.get(name).replace("\r\n", "\n").replace('\n', "\r\n");
        let all = FIELDS.iter().map(|field| field.name).chain([RULE, ACTION]);
        let sent: Vec<_> = all.map(|name| (name.to_owned(), crlf(name))).collect();
        prop_assert_eq!(overlay(&base, &FormTexts::sent(&base, &sent)), (base, vec![]));
    }
}
