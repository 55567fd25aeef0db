//! What goes in comes out again, defaults are those of the contract, patches merge.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::words::{
    AFTER_RUNS, BACKOFFS, BALANCES, CATCH_UP_POLICIES, DELIVERIES, EXECUTION_MODES, FOLDS, GAPS,
    STRATEGIES,
};
use super::{BodyProblem, ReadContext, body, patch, read, write};
use crate::domain::schedule::{Dst, LocalTime, Rule, Schedule, parse_cron};
use crate::domain::task::{
    Action, Assignment, CatchUp, Chains, Concurrency, ExecutorAction, HttpAction, Keep,
    MAX_LIVE_MAX, Retry, ShellAction, TaskSpec,
};
use crate::domain::time::{Millis, Timestamp};

/// 2026-11-20T12:00:00Z, a Friday.
pub(super) const NOW: Timestamp = Timestamp(1_795_176_000_000);

pub(super) const CTX: ReadContext<'_> = ReadContext {
    default_zone: "UTC",
    now: NOW,
    min_interval: Millis(100),
    functions_allowed: false,
    custom_strategy: false,
    current: None,
    settled: Timestamp(0),
    calendars: None,
};

fn canonical() -> Value {
    json!({
        "name": "nightly-report", "description": "", "labels": {}, "enabled": true,
        "schedule": {"cron": "0 2 * * *", "timezone": null,
                     "dst": {"gap": "shift", "fold": "first"}, "jitter": null, "not_before": null,
                     "not_after": null,
                     "max_ticks": null,
                     "exclude": []},
        "action": null,
        "parameters": {}, "payload": "",
        "execution_mode": "parallel", "max_live": 1000, "queue_max": 100, "concurrency": null,
        "priority": 5,
        "catch_up": {"policy": "last", "window": "1h", "max": 100}, "catch_up_on_resume": false,
        "delivery": "at_most_once", "timeout": "0s", "kill_grace": "5s", "lost_after": "10s",
        "retry": {"max_retry": 0, "delay": "1s", "backoff": "exponential", "max_delay": "30s",
                  "jitter": "0s"},
        "assignment": {"strategy": null, "selector": {}},
        "keep": {"executions": 100, "ticks": 1000, "age": "30d"},
        "then": {"success": [], "failure": [], "lost": [], "timeout": [], "recovered": []},
        "after_run": "keep", "one_shot": false
    })
}

fn one(problems: Result<TaskSpec, Vec<BodyProblem>>) -> (String, &'static str) {
    match problems.unwrap_err().as_slice() {
        [one] => (one.pointer.clone(), one.code.as_str()),
        many => panic!("{many:?}"),
    }
}

#[test]
fn name_and_schedule_read_to_all_defaults_and_write_exactly_those() {
    let body = json!({"name": "nightly-report", "schedule": {"cron": "0 2 * * *"}});
    let spec = read(&body, CTX).unwrap();
    let (rule, _) = parse_cron("0 2 * * *").unwrap();
    assert_eq!(spec, TaskSpec::new("nightly-report", Schedule::of(rule), None));
    assert_eq!(write(&spec).to_string(), canonical().to_string());
    assert_eq!(read(&canonical(), CTX).unwrap(), spec);
}

#[test]
fn schedules_have_one_canonical_form() {
    let at = "2026-12-01T01:00:00.000Z";
    for (given, canonical) in [
        (json!({"interval": 90}), json!({"interval": "1m30s", "anchor": null})),
        (
            json!({"interval": "30s", "anchor": "2026-12-01T09:00:00+08:00"}),
            json!({"interval": "30s", "anchor": at}),
        ),
        (json!({"daily": "02:00"}), json!({"daily": "02:00"})),
        (json!({"daily": ["14:30:05", "02:00", "02:00"]}), json!({"daily": ["02:00", "14:30:05"]})),
        (
            json!({"weekly": {"days": ["fri", "mon", "fri"], "at": "09:00"}}),
            json!({"weekly": {"days": ["mon", "fri"], "at": "09:00"}}),
        ),
        (
            json!({"monthly": {"days": [1, -1], "at": "09:00"}}),
            json!({"monthly": {"days": [-1, 1], "at": "09:00"}}),
        ),
        (json!({"at": "2026-12-01T09:00:00+08:00"}), json!({"at": at})),
        (json!({"delay": "10m"}), json!({"delay": "10m"})),
        (json!({"immediate": true}), json!({"immediate": true})),
        (json!({"manual": true, "cron": null}), json!({"manual": true})),
    ] {
        let spec = read(&json!({"name": "t", "schedule": given}), CTX).unwrap();
        let written = write(&spec);
        for (key, value) in canonical.as_object().unwrap() {
            assert_eq!(&written["schedule"][key], value, "{given}");
        }
        assert_eq!(read(&written, CTX).unwrap(), spec);
    }
}

/// The options of the command line have dashes where bodies have underscores; both read both.
#[test]
fn words_may_have_dashes_and_are_written_with_underscores() {
    for (pointer, dashes, word) in [
        ("/action/executor/balance", "least-loaded", "least_loaded"),
        ("/action/executor/balance", "weighted-round-robin", "weighted_round_robin"),
        ("/delivery", "at-least-once", "at_least_once"),
        ("/after_run", "mark-deleted", "mark_deleted"),
        ("/delivery", "at_least_once", "at_least_once"),
    ] {
        let mut body = json!({"name": "t", "schedule": {"interval": "5s"}, "delivery": "at_most_once",
            "after_run": "keep", "action": {"executor": {"balance": "random"}}});
        *body.pointer_mut(pointer).unwrap() = json!(dashes);
        let written = write(&read(&body, CTX).unwrap());
        assert_eq!(written.pointer(pointer), Some(&json!(word)), "{dashes}");
    }
    let body = json!({"name": "t", "schedule": {"interval": "5s"}, "delivery": "at-once"});
    assert!(read(&body, CTX).is_err());
}

#[test]
fn a_zone_in_the_expression_moves_to_its_field() {
    let read = |schedule: Value| read(&json!({"name": "t", "schedule": schedule}), CTX);
    let spec = read(json!({"cron": "CRON_TZ=Europe/Berlin 0 2 * * *"})).unwrap();
    assert_eq!(spec.schedule.timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(write(&spec)["schedule"]["cron"], json!("0 2 * * *"));
    let same = json!({"cron": "CRON_TZ=Europe/Berlin 0 2 * * *", "timezone": "Europe/Berlin"});
    assert_eq!(read(same).unwrap(), spec);
    let other = json!({"cron": "CRON_TZ=Europe/Berlin 0 2 * * *", "timezone": "UTC"});
    assert_eq!(one(read(other)), ("/schedule/timezone".to_owned(), "conflict"));
}

#[test]
fn a_past_instant_is_accepted_as_far_as_catch_up_goes() {
    let read = |at: Timestamp, catch_up: Value, ctx: ReadContext<'_>| {
        let body = json!({"name": "t", "schedule": {"at": at.to_string()}, "catch_up": catch_up});
        read(&body, ctx)
    };
    let hour_ago = NOW.minus(Millis::from_secs(3_600));
    let older = hour_ago.minus(Millis(1));
    assert!(read(hour_ago, json!({}), CTX).is_ok());
    assert!(read(NOW, json!({}), CTX).is_ok());
    assert!(read(NOW.plus(Millis(1)), json!({"policy": "none"}), CTX).is_ok());
    let refused = ("/schedule/at".to_owned(), "never_fires");
    assert_eq!(one(read(older, json!({}), CTX)), refused);
    assert_eq!(one(read(hour_ago, json!({"policy": "none"}), CTX)), refused);
    assert!(read(older, json!({"window": "2h"}), CTX).is_ok());
    // How long ago, in a unit that people read.
    for (ago, said) in [
        (Millis::from_secs(7_200), "is past (2h ago), and catch_up does not cover that"),
        (Millis(331 * 86_400_000 + 447), "is past (331 d ago), and catch_up does not cover that"),
    ] {
        let problems = read(NOW.minus(ago), json!({}), CTX).unwrap_err();
        assert_eq!(problems[0].message, said);
    }
    // The schedule that a finished task already has is no reason to refuse an edit.
    let current = Schedule::of(Rule::At(older));
    assert!(read(older, json!({}), ReadContext { current: Some(&current), ..CTX }).is_ok());
}

#[test]
fn a_patch_merges_and_keeps_the_name() {
    let body = json!({
        "name": "t", "schedule": {"cron": "0 2 * * *"}, "parameters": {"a": 1, "b": {"c": 2}},
        "action": {"http": {"url": "http://example.com/a", "headers": {"x-a": "1"}}},
    });
    let spec = read(&body, CTX).unwrap();
    assert_eq!(patch(&spec, &json!({}), CTX).unwrap(), spec);

    let change = json!({
        "parameters": {"a": null, "b": {"d": 3}}, "timeout": "9s", "catch_up": {"window": "2h"},
        "action": {"http": {"headers": {"x-b": "2"}}},
    });
    let patched = patch(&spec, &change, CTX).unwrap();
    assert_eq!(patched.parameters, r#"{"b":{"c":2,"d":3}}"#);
    assert_eq!((patched.timeout, patched.catch_up.max), (Millis(9_000), 100));
    assert_eq!(patched.catch_up.window, Millis::from_secs(7_200));
    let Some(Action::Http(http)) = &patched.action else { panic!("{patched:?}") };
    assert_eq!(http.headers.len(), 2);
    assert_eq!(patch(&patched, &json!({"timeout": null}), CTX).unwrap().timeout, Millis(0));

    let shell = json!({"action": {"http": null, "shell": {"argv": ["true"]}}});
    assert!(matches!(patch(&spec, &shell, CTX).unwrap().action, Some(Action::Shell(_))));
    let both = json!({"schedule": {"interval": "5s"}});
    assert_eq!(one(patch(&spec, &both, CTX)), ("/schedule".to_owned(), "one_of"));
    let swapped = json!({"schedule": {"interval": "5s", "cron": null}});
    let swapped = patch(&spec, &swapped, CTX).unwrap();
    assert_eq!(swapped.schedule.rule, Rule::Interval { every: Millis::from_secs(5), anchor: None });
    let every = json!({"name": "t", "schedule": {"every": "5s"}});
    assert_eq!(read(&every, CTX).unwrap().schedule, swapped.schedule, "as the command line says");
    let renamed = json!({"name": "u"});
    assert_eq!(one(patch(&spec, &renamed, CTX)), ("/name".to_owned(), "name_changed"));
    let problems = patch(&spec, &json!({"name": "u", "priority": 10}), CTX).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(one(patch(&spec, &json!([]), CTX)), (String::new(), "wrong_type"));
    assert_eq!(
        one(patch(&spec, &json!({"name": null}), CTX)),
        ("/name".to_owned(), "missing_field")
    );
}

fn spec() -> impl Strategy<Value = TaskSpec> {
    let names = (name(), text(), labels(), any::<bool>(), schedule(), option::of(action()));
    let data = (json_object(), text(), 0_u8..=9, catch_up(), any::<bool>());
    let bounds = (duration(), duration(), 1_000_u64..1 << 40);
    let wide = (
        meaning(EXECUTION_MODES),
        (any::<u32>(), 1..=MAX_LIVE_MAX),
        option::of((name(), 1..u32::MAX)),
        meaning(DELIVERIES),
        retry(),
        assignment(),
        keep(),
        meaning(AFTER_RUNS),
        (any::<bool>(), chains()),
    );
    (names, data, bounds, wide).prop_map(|(names, data, bounds, wide)| TaskSpec {
        description: names.1,
        labels: names.2,
        enabled: names.3,
        parameters: data.0,
        payload: data.1,
        priority: data.2,
        catch_up: data.3,
        catch_up_on_resume: data.4,
        timeout: bounds.0,
        kill_grace: bounds.1,
        lost_after: Millis(bounds.2),
        execution_mode: wide.0,
        queue_max: wide.1.0,
        max_live: wide.1.1,
        concurrency: wide.2.map(|(group, limit)| Concurrency { group, limit }),
        delivery: wide.3,
        retry: wide.4,
        assignment: wide.5,
        keep: wide.6,
        after_run: wide.7,
        one_shot: wide.8.0,
        then: wide.8.1,
        ..TaskSpec::new(names.0, names.4, names.5)
    })
}

fn chains() -> impl Strategy<Value = Chains> {
    let names = || vec(name(), 0..2);
    (names(), names(), names(), names(), names()).prop_map(
        |(success, failure, lost, timeout, recovered)| Chains {
            success,
            failure,
            lost,
            timeout,
            recovered,
        },
    )
}

fn meaning<T: Copy + std::fmt::Debug + 'static>(
    words: &'static [(&'static str, T)],
) -> impl Strategy<Value = T> {
    select(words).prop_map(|(_, meaning)| meaning)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_:@+-][a-zA-Z0-9._:@+-]{0,20}|报表[0-9]{1,3}|отчёт"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{0,40}", "[ -~\n\t]{0,40}"]
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z][a-z0-9./-]{0,8}[a-z0-9]", "[ -~]{0,20}", 0..4)
}

fn duration() -> impl Strategy<Value = Millis> {
    prop_oneof![0_u64..100_000, 0_u64..1 << 40].prop_map(Millis)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (NOW.0 + 1..NOW.0 + (1 << 40)).prop_map(Timestamp)
}

fn local_time() -> impl Strategy<Value = LocalTime> {
    (0_u32..86_400).prop_map(LocalTime)
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let crons = &["0 2 * * *", "*/5 * * * * *", "@hourly", "0 9 * * MON-FRI", "H H * * *"][..];
    let rule = prop_oneof![
        select(crons).prop_map(|text| parse_cron(text).unwrap().0),
        (100_u64..1 << 40, option::of(instant()))
            .prop_map(|(every, anchor)| Rule::Interval { every: Millis(every), anchor }),
        vec(local_time(), 1..4).prop_map(|times| Rule::Daily(sorted(times))),
        (vec(0_u8..=6, 1..5), local_time())
            .prop_map(|(days, at)| Rule::Weekly { days: sorted(days), at }),
        (vec(prop_oneof![1_i8..=31, -31_i8..=-1], 1..5), local_time())
            .prop_map(|(days, at)| Rule::Monthly { days: sorted(days), at }),
        instant().prop_map(Rule::At),
        (1_u64..1 << 40).prop_map(|delay| Rule::Delay(Millis(delay))),
        Just(Rule::Immediate),
        Just(Rule::Manual),
    ];
    let zone = option::of(select(["UTC", "Europe/Berlin", "Asia/Shanghai"].as_slice()));
    let dst = (meaning(GAPS), meaning(FOLDS)).prop_map(|(gap, fold)| Dst { gap, fold });
    let jitter = option::of((1_u64..1 << 40).prop_map(Millis));
    let ticks = (option::of(1_u64..1 << 60), vec(name(), 0..2));
    (rule, zone, dst, jitter, ticks).prop_map(|(rule, zone, dst, jitter, ticks)| {
        // A manual schedule has no ticks of its own that these could be about.
        let (max_ticks, exclude) =
            if rule == Rule::Manual { (None, Vec::new()) } else { (ticks.0, ticks.1) };
        Schedule {
            timezone: zone.map(str::to_owned),
            dst,
            jitter,
            max_ticks,
            exclude,
            ..Schedule::of(rule)
        }
    })
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

fn action() -> impl Strategy<Value = Action> {
    let status = (100_u16..=599, 0_u16..=99).prop_map(|(low, more)| (low, (low + more).min(599)));
    let headers = btree_map("x-[a-z0-9]{1,8}", "[ -~]{0,20}", 0..3);
    let http =
        ("https?://[a-z]{1,8}(:[1-9][0-9]{1,3})?/[a-z?=&]{0,8}", select(&["GET", "PUT"][..]));
    let env = btree_map("[A-OQ-Z_][A-Z0-9_]{0,8}", "[ -~]{0,20}", 0..3);
    let weights = btree_map(name(), any::<u32>(), 0..3);
    prop_oneof![
        (http, headers, option::of(text()), vec(status, 1..4)).prop_map(
            |((url, method), headers, body, expect_status)| {
                let connect_timeout = Millis(u64::from(expect_status[0].0));
                let method = method.to_owned();
                Action::Http(HttpAction {
                    url,
                    method,
                    headers,
                    body,
                    expect_status,
                    connect_timeout,
                })
            }
        ),
        ("[a-z/]{1,12}", vec(text(), 0..3), env, option::of("/[a-z/]{0,8}"), text()).prop_map(
            |(program, arguments, env, cwd, stdin)| {
                let argv = std::iter::once(program).chain(arguments).collect();
                Action::Shell(ShellAction { argv, env, cwd, stdin, user: Some("nobody".into()) })
            }
        ),
        (meaning(BALANCES), vec(name(), 0..3), weights).prop_map(|(balance, names, weights)| {
            let balance = balance.to_owned();
            Action::Executor(ExecutorAction { balance, names: sorted(names), weights })
        }),
        name().prop_map(|id| Action::Func { id }),
    ]
}

fn json_object() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z~/]{0,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    btree_map("[a-z]{1,4}", tree, 0..4).prop_map(|map| json!(map).to_string())
}

fn catch_up() -> impl Strategy<Value = CatchUp> {
    (meaning(CATCH_UP_POLICIES), duration(), 1_u32..=10_000)
        .prop_map(|(policy, window, max)| CatchUp { policy, window, max })
}

fn retry() -> impl Strategy<Value = Retry> {
    (0_u32..=1_000, duration(), meaning(BACKOFFS), duration(), duration()).prop_map(
        |(max_retry, delay, backoff, max_delay, jitter)| Retry {
            max_retry,
            delay,
            backoff,
            max_delay,
            jitter,
        },
    )
}

fn assignment() -> impl Strategy<Value = Assignment> {
    (option::of(meaning(STRATEGIES)), labels())
        .prop_map(|(strategy, selector)| Assignment { strategy, selector })
}

fn keep() -> impl Strategy<Value = Keep> {
    (any::<u32>(), any::<u32>(), duration()).prop_map(|(executions, ticks, age)| Keep {
        executions,
        ticks,
        age,
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(spec in spec()) {
        let mut problems = Vec::new();
        let written = write(&spec);
        prop_assert_eq!(body::read(&written, CTX, &mut problems), spec.clone());
        prop_assert_eq!(problems, vec![]);
        // Through text too, as between two programs.
        let text = written.to_string();
        let parsed = super::parse_json(&text).unwrap();
        prop_assert_eq!(write(&body::read(&parsed, CTX, &mut Vec::new())).to_string(), text);
    }

    #[test]
    fn no_json_makes_reading_panic(fields in json_object(), inner in json_object()) {
        let fields: Value = serde_json::from_str(&fields).unwrap();
        let inner: Value = serde_json::from_str(&inner).unwrap();
        let mut body = canonical();
        for (key, value) in fields.as_object().unwrap() {
            body[key] = value.clone();
        }
        for (index, value) in inner.as_object().unwrap().values().enumerate() {
            let keys: Vec<_> = canonical().as_object().unwrap().keys().cloned().collect();
            let key = &keys[(text_hash(&inner) + index) % keys.len()];
            body[key] = value.clone();
        }
        if let Ok(spec) = read(&body, CTX) {
            prop_assert_eq!(read(&write(&spec), CTX), Ok(spec));
        }
    }
}

fn text_hash(value: &Value) -> usize {
    value.to_string().bytes().map(usize::from).sum()
}
