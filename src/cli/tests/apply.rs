//! Tests of `apply` and `export`: with prepared answers, and with a real node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use url::Url;

use super::{CapturedOutput, NOW, Ran, answered, hello, ran};
use crate::cli::exit::Exit;
use crate::cli::local::LocalClock;
use crate::cli::output::Output;
use crate::cli::{CliArgs, CliContext, conclude, dispatch};
use crate::clock::own_time;
use crate::config::yaml;
use crate::config::{Config, Flag, Sources, files};
use crate::domain::spec;
use crate::node::Node;

/// A file in a folder of its own.
struct ApplyFile(tempfile::TempDir);

impl ApplyFile {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.path().join("a.yaml"), text).unwrap();
    }

    fn path(&self) -> String {
        self.0.path().join("a.yaml").display().to_string()
    }

    /// Definitions as a file.
    fn of(all: &[Value]) -> Self {
        Self::new(&yaml::write(&json!(all)))
    }
}

fn cluster() -> Value {
    json!({
        "name": "punctual", "id": "1", "timezone": "UTC", "leader": "n1", "term": 1,
        "members": [], "applied_index": 1, "committed_index": 1, "digest": "", "scheduler": "started",
        "floor": "2026-12-01T11:00:00.000Z", "tasks": 1, "level": 1, "version": "1", "node": "n1",
    })
}

/// The answers that every `apply` asks for, and these.
fn with<'a>(more: &[(&'a str, u16, Value)]) -> Vec<(&'a str, u16, Value)> {
    let calendar = json!({
        "name": "days", "description": "", "timezone": null, "rules": [], "id": "days",
        "revision": 3, "created_at": NOW, "updated_at": NOW, "origin": "api", "task_count": 0,
    });
    let mut answers = vec![
        ("GET /cluster", 200, cluster()),
        ("GET /calendars?limit=1000", 200, json!({"items": [calendar], "next_cursor": null})),
    ];
    answers.extend(more.iter().cloned());
    answers
}

fn none() -> (u16, Value) {
    (404, json!({"code": "task_not_found", "detail": "no"}))
}

fn writes(ran: &Ran) -> Vec<&str> {
    ran.asked.iter().map(String::as_str).filter(|asked| !asked.starts_with("GET ")).collect()
}

#[tokio::test]
async fn a_changed_definition_is_shown_and_sent_with_its_revision() {
    let mut changed = spec::definition(&hello());
    changed["schedule"]["interval"] = json!("10s");
    let file = ApplyFile::of(&[changed]);
    let next = |at: &str| json!({"at": at, "local": "", "note": null, "excluded": null});
    let next = json!({"items": [next("2026-12-01T12:00:05Z")], "next_cursor": null});
    let answers = with(&[
        ("GET /tasks/hello", 200, hello()),
        ("GET /tasks/hello/next?n=3", 200, next),
        ("PUT /tasks/hello", 200, hello()),
    ]);
    let told = "  schedule.interval: 5s → 10s\n  next ticks until now: 12:00:05\n  next ticks from \
                now:  12:00:12, 12:00:22, 12:00:32\n";
    let dry = ran(&["apply", "-f", &file.path(), "--dry-run", "--exit-code"], &answers).await;
    assert_eq!(dry.data, format!("hello: changed (dry run)\n{told}"), "{}", dry.talk);
    assert_eq!(
        (dry.exit, dry.talk.as_str()),
        (Exit::No, "1 changed (dry run: nothing was changed)\n")
    );
    assert!(writes(&dry).is_empty(), "{:?}", dry.asked);
    let done = ran(&["apply", "-f", &file.path()], &answers).await;
    assert_eq!(done.data, format!("hello: changed\n{told}"));
    assert_eq!((done.exit, done.talk.as_str()), (Exit::Ok, "1 changed\n"));
    let sent = writes(&done);
    assert!(sent.len() == 1 && sent[0].starts_with("PUT /tasks/hello if \"7\" {"), "{sent:?}");

    let same = ApplyFile::of(&[spec::definition(&hello())]);
    let same = ran(&["apply", "-f", &same.path(), "--exit-code"], &answers).await;
    assert_eq!((same.exit, same.data.as_str()), (Exit::Ok, "hello: unchanged\n"), "{}", same.talk);
    assert!(writes(&same).is_empty());
}

#[tokio::test]
async fn a_change_in_between_and_a_deleted_mark_are_refused() {
    let mut changed = spec::definition(&hello());
    changed["timeout"] = json!("1m");
    let file = ApplyFile::of(&[changed]);
    let moved = json!({"code": "revision_mismatch", "detail": "it has revision 9"});
    let answers = with(&[("GET /tasks/hello", 200, hello()), ("PUT /tasks/hello", 412, moved)]);
    let done = ran(&["apply", "-f", &file.path()], &answers).await;
    assert_eq!(done.exit, Exit::Conflict);
    assert_eq!(
        done.data,
        "hello: refused: it changed meanwhile, and was left as it is now (revision_mismatch)\n"
    );
    let mut deleted = hello();
    deleted["state"] = json!("deleted");
    let answers = with(&[("GET /tasks/hello", 200, deleted)]);
    let done = ran(&["apply", "-f", &file.path()], &answers).await;
    assert_eq!(done.exit, Exit::Conflict);
    assert!(
        done.data.starts_with("hello: refused: ") && done.data.contains("punctual reuse hello")
    );
    assert!(writes(&done).is_empty(), "{:?}", done.asked);
}

#[tokio::test]
async fn nothing_is_sent_while_anything_is_wrong() {
    let text = "- name: ok\n  schedule: {interval: 5s}\n- name: bad\n  schedule:\n    cron: '61 * * * \
                *'\n  owner: me\n- name: cal\n  schedule: {interval: 1s, exclude: [nights]}\n";
    let (file, (status, body)) = (ApplyFile::new(text), none());
    let answers = with(&[
        ("GET /tasks/ok", status, body.clone()),
        ("GET /tasks/bad", status, body.clone()),
        ("GET /tasks/cal", status, body),
    ]);
    let done = ran(&["apply", "-f", &file.path()], &answers).await;
    assert_eq!(done.exit, Exit::Usage);
    let path = file.path();
    for said in [
        "error: 3 problems\n".to_owned(),
        format!("  {path}:5: bad: schedule.cron: column 1: minute"),
        format!("  {path}:6: bad: owner: unknown field"),
        format!("  {path}:8: cal: schedule.exclude.0: neither the files nor the cluster have a "),
        "\nnothing was changed\n".to_owned(),
    ] {
        assert!(done.talk.contains(&said), "{said}: {}", done.talk);
    }
    assert!(writes(&done).is_empty());
    // Without a cluster, what is wrong with the files is told all the same.
    let done = ran(&["apply", "-f", &file.path()], &[]).await;
    assert!(done.talk.contains("error: 2 problems\n"), "{}", done.talk);
    for (text, advice) in [
        ("name: a\nschedule:\n  cron: */5 * * * *\n", "line 3, column 9: "),
        ("name: a\nschedule:\n  cron: @daily\n", "must be in quotes: \"@daily\""),
    ] {
        file.write(text);
        let done = ran(&["apply", "-f", &path], &with(&[])).await;
        assert!(done.exit == Exit::Usage && done.talk.contains(advice), "{}", done.talk);
    }
}

#[tokio::test]
async fn prune_deletes_what_the_files_no_longer_have() {
    let other = |name: &str, revision: u64| {
        let mut task = hello();
        (task["name"], task["id"], task["revision"]) = (json!(name), json!(name), json!(revision));
        task
    };
    let owned = json!({"items": [other("old", 8), hello()], "next_cursor": null});
    let answers = with(&[
        ("GET /tasks/hello", 200, hello()),
        ("GET /tasks?label=env%3Dprod&limit=1000", 200, owned),
        ("DELETE /tasks/old", 200, other("old", 9)),
    ]);
    let file = ApplyFile::of(&[spec::definition(&hello())]);
    let path = file.path();
    let line = ["apply", "-f", &path, "--prune", "--label", "env=prod"];
    let refused = ran(&line, &answers).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.talk.contains("add --yes") && writes(&refused).is_empty(), "{}", refused.talk);
    let no = answered(&line, &answers, "no\n").await;
    assert_eq!((no.exit, writes(&no).len()), (Exit::No, 0));
    let done = answered(&line, &answers, "yes\n").await;
    assert_eq!(done.data, "hello: unchanged\nold: removed\n", "{}", done.talk);
    assert_eq!(writes(&done), ["DELETE /tasks/old if \"8\""]);
    let asked = done.talk.starts_with("remove 1 (old), which the files do not have? type yes: ");
    assert!(asked, "{}", done.talk);

    file.write("name: hello\nschedule: {interval: 5s}\n");
    let unlabelled = ran(&line, &answers).await;
    assert_eq!(unlabelled.exit, Exit::Usage);
    assert!(unlabelled.talk.contains("hello: labels.env: must be prod"), "{}", unlabelled.talk);
    file.write("calendars: []\n");
    let empty = ran(&line, &answers).await;
    assert!(empty.talk.contains("--prune would delete every task"), "{}", empty.talk);
    assert_eq!(ran(&["apply", "-f", &path, "--prune"], &answers).await.exit, Exit::Usage);
}

/// A node, and command lines about it.
struct ApplyRig {
    server: Url,
    _stop: oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

impl ApplyRig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flag = |(key, value): (&str, String)| Flag {
            name: format!("--{key}"),
            key: key.to_owned(),
            value,
        };
        let flags = [
            ("node.data_dir", folder.path().join("data").display().to_string()),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("peer.listen", "127.0.0.1:0".to_owned()),
        ];
        let sources = Sources {
            flags: flags.into_iter().map(flag).collect(),
            environment: BTreeMap::new(),
            file: None::<PathBuf>,
            read_file: &crate::config::read_file,
        };
        let node = Node::builder().loaded(Config::load(&sources).unwrap()).start().await.unwrap();
        let server = Url::parse(&format!("http://{}", node.http().unwrap())).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(node.run(async move {
            let _dropped = stopped.await;
        }));
        Self { server, _stop: stop, _folder: folder }
    }

    async fn ran(&self, line: &[&str]) -> (Exit, String, String) {
        let arguments = CliArgs::try_parse_from(["punctual"].iter().chain(line)).unwrap();
        let (data, talk) = (CapturedOutput::default(), CapturedOutput::default());
        let clock = LocalClock::new("UTC", own_time());
        let (out, err) = (Box::new(data.clone()), Box::new(talk.clone()));
        let out = Output::to(arguments.global.output, clock, out, err);
        let mut context = CliContext::with(out, vec![self.server.clone()], false);
        let outcome = dispatch(arguments.command, &mut context).await;
        let exit = conclude(outcome, &mut context);
        (exit, data.text(), talk.text())
    }
}

const DEFINITIONS: &str = "\
calendars:
  - name: nights
    rules: [{times: ['22:00/06:00']}]
tasks:
  - name: a
    labels: {app: x}
    schedule: {cron: '0 0 1 1 *', exclude: [nights]}
    action: {shell: {argv: [echo, \"a\\u0085\\u2028b\", 'it''s: #1', '']}}
    parameters: {n: 18446744073709551615, f: 0.5, deep: [{x: null}, []], 'on': yes}
    payload: \"two\\nlines\\t\\x7f\"
  - name: b
    labels: {app: x}
    schedule: {interval: 1h, anchor: '2026-01-01T00:00:00Z'}
    action: {http: {url: 'http://127.0.0.1:1/', headers: {X-A: '@daily'}}}
    then: {failure: [a]}
---
name: c
type: daily
schedule: 02:00
enabled: false
action: {shell: {argv: ['true']}}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_applies_to_an_empty_cluster_and_exports_the_same() {
    let rig = ApplyRig::start().await;
    let file = ApplyFile::new(DEFINITIONS);
    let (exit, data, talk) = rig.ran(&["apply", "-f", &file.path(), "--exit-code"]).await;
    assert_eq!(exit, Exit::No, "{talk}{data}");
    assert!(data.starts_with("calendar nights: created\na: created, 0 0 1 1 *\n"), "{data}");
    assert!(talk.ends_with("4 created\n"), "{talk}");
    let (_, first, _) = rig.ran(&["export", "--calendars"]).await;
    let exported = ApplyFile::new(&first);
    let (exit, data, talk) = rig.ran(&["apply", "-f", &exported.path(), "--exit-code"]).await;
    assert_eq!((exit, talk.as_str()), (Exit::Ok, "4 unchanged\n"), "{data}");

    let empty = ApplyRig::start().await;
    let (exit, data, talk) = empty.ran(&["apply", "-f", &exported.path()]).await;
    assert_eq!(exit, Exit::Ok, "{talk}{data}");
    assert_eq!(empty.ran(&["export", "--calendars"]).await.1, first);
    let (_, json, _) = rig.ran(&["export", "--calendars", "-o", "json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        files::read(exported.0.path().join("a.yaml").as_path()).unwrap()
    );

    // A selection, and what it excludes.
    let (_, one, talk) = rig.ran(&["export", "a"]).await;
    assert!(one.starts_with("tasks:\n  - name: a\n") && !one.contains("name: b"), "{one}");
    assert!(talk.contains("(nights); --calendars adds them"), "{talk}");
    assert_eq!(rig.ran(&["export", "nothing-*"]).await.0, Exit::Conflict);

    // Without its exclusion the calendar goes as well; a task that is not in the file is deleted.
    let fewer = "name: a\nlabels: {app: x}\nschedule: {cron: '0 0 1 1 *'}\naction: {shell: {argv: \
                 ['true']}}\n";
    let path = file.path();
    let line = ["apply", "-f", &path, "--prune", "--label", "app=x", "--yes"];
    // One that the files have stays, whether or not a task excludes it.
    file.write(&format!("{fewer}---\nname: nights\nrules: [{{times: ['22:00/05:00']}}]\n"));
    let (exit, data, talk) = rig.ran(&[&line[..], &["--dry-run"]].concat()).await;
    assert_eq!(exit, Exit::Ok, "{talk}{data}");
    assert!(
        data.contains("calendar nights: changed") && !data.contains("nights: removed"),
        "{data}"
    );
    file.write(fewer);
    let (exit, data, talk) = rig.ran(&line).await;
    assert_eq!(exit, Exit::Ok, "{talk}{data}");
    assert!(data.contains("\nb: removed\ncalendar nights: removed\n"), "{data}");
    let (exit, data, _) = rig.ran(&["apply", "-f", &exported.path()]).await;
    assert_eq!(exit, Exit::Conflict);
    assert!(data.contains("b: refused: ") && data.contains("punctual reuse b"), "{data}");

    // Nothing is removed if what takes its place is refused.
    file.write(&fewer.replace("name: a", "name: b"));
    let (exit, data, _) = rig.ran(&line).await;
    assert_eq!(exit, Exit::Conflict);
    assert!(data.contains("a: refused: not removed, because something else"), "{data}");
    assert_eq!(rig.ran(&["export", "a"]).await.0, Exit::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_created_in_few_requests() {
    const COUNT: usize = 1_200;
    let rig = ApplyRig::start().await;
    let one = |n: usize| {
        format!(
            "- name: t{n:05}\n  schedule: {{cron: '0 0 1 1 *'}}\n  action: {{http: {{url: 'http://127.0.0.1:1/'}}}}\n"
        )
    };
    let file = ApplyFile::new(&(0..COUNT).map(one).collect::<String>());
    let within = Duration::from_secs(120);
    let path = file.path();
    let line = ["apply", "-f", &path];
    let created = tokio::time::timeout(within, rig.ran(&line)).await.expect("in time");
    assert_eq!(created.0, Exit::Ok, "{}", created.2);
    assert!(created.2.ends_with("1200 created\n"), "{}", created.2);
    assert_eq!(rig.ran(&line).await.2, "1200 unchanged\n");
}

/// Texts that are easily written wrong.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "",
            "~",
            "null",
            "yes",
            "012",
            "1e3",
            "- a",
            "a: b",
            "#",
            "'",
            "\u{85}",
            "\u{2028}x",
            "\u{feff}",
            "\u{7f}",
            "---",
            "...",
            "<<"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever a definition contains, the file that is written says the same, and written again it
    /// has the same bytes.
    #[test]
    fn what_is_written_as_yaml_is_read_as_it_was(parameters in any_json(), payload in text()) {
        let body = json!({"tasks": [{"name": "a", "parameters": {"p": parameters}, "payload": payload}]});
        let written = yaml::write(&body);
        let file = ApplyFile::new(&written);
        let read = files::read(&file.0.path().join("a.yaml"));
        prop_assert_eq!(read.as_ref(), Ok(&body), "{}", written);
        prop_assert_eq!(yaml::write(&read.unwrap()), written);
    }
}
