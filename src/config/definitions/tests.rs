//! Tests of the reading of definitions from files and folders.

use std::path::PathBuf;

use serde_json::json;

use super::Definitions;
use crate::domain::error_code::ErrorCode;
use crate::domain::spec::BodyProblem;

struct DefinitionFolder(tempfile::TempDir);

impl DefinitionFolder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn load(&self) -> Result<Definitions, Vec<String>> {
        Definitions::load(&[self.path()])
    }

    /// The problems, without the path of the folder.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        self.load().unwrap_err().iter().map(|problem| problem.replace(&folder, "")).collect()
    }
}

#[test]
fn every_form_of_a_file_is_read() {
    let folder = DefinitionFolder::new(&[
        ("a.yaml", "name: a\n---\n- name: b\n- {name: days, rules: []}\n---\n"),
        ("b.json", r#"{"tasks": [{"name": "c"}], "calendars": [{"name": "nights", "rules": []}]}"#),
        ("c/d.toml", "name = 'd'\n"),
        (
            "e.yml",
            "items:\n- {name: e, incarnation: 1, revision: 2, owner: n1}\nnext_cursor: null\n",
        ),
        ("f.yaml", "tasks:\n"),
        ("g.yaml", "# nothing\n"),
        ("..data/a.yaml", "name: a\n"),
        ("notes.txt", "not a task"),
    ]);
    let all = folder.load().unwrap();
    let names: Vec<&str> = all.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert!(all.calendar("days").is_some() && all.calendar("nights").is_some());
    assert_eq!(all.tasks[4].body, json!({"name": "e"}), "without what answers add");
    assert_eq!(all.file_count(), 6);
}

/// The configuration of the scheduler that seed documents describe.
#[test]
fn the_jobs_of_another_schedulers_configuration_are_tasks() {
    let yaml = "\
log:
  level: debug
scheduler:
  enabled: true  # whether it runs
  jobs:
    - name: \"hello_job\"
      type: \"duration\"
      schedule: \"30s\"
      enabled: true
    - name: \"cleanup_job\"
      type: \"daily\"
      schedule: \"02:00\"
      enabled: false
";
    let all = DefinitionFolder::new(&[("config.dev.yaml", yaml)]).load().unwrap();
    let bodies: Vec<_> = all.tasks.iter().map(|task| &task.body).collect();
    assert_eq!(
        bodies,
        [
            &json!({"name": "hello_job", "type": "duration", "schedule": "30s", "enabled": true}),
            &json!({"name": "cleanup_job", "type": "daily", "schedule": "02:00", "enabled": false}),
        ]
    );
    let broken = BodyProblem {
        pointer: "/schedule".to_owned(),
        code: ErrorCode::InvalidValue,
        message: "must be a duration".to_owned(),
    };
    let told = all.told(&all.tasks[1], &[broken]);
    assert!(
        told[0].ends_with("config.dev.yaml:12: cleanup_job: schedule: must be a duration"),
        "{told:?}"
    );
    for (text, problem) in [
        ("scheduler: {jobs: {a: 1}}\n", "a.yaml:1: scheduler: invalid type: map"),
        ("scheduler:\n  enabled: no\n  jobs: []\n", "a.yaml:1: scheduler: invalid type: string"),
        ("scheduler:\n  enabled: false\n  jobs: []\n", "a.yaml:2: scheduler.enabled is false"),
    ] {
        let problems = DefinitionFolder::new(&[("a.yaml", text)]).problems();
        assert!(problems[0].starts_with(problem), "{problems:?}");
    }
}

/// One look tells what is wrong with all files.
#[test]
fn all_problems_of_all_files_are_told() {
    let folder = DefinitionFolder::new(&[
        ("a.yaml", "name: x\nschedule:\n  cron: */5 * * * *\n"),
        ("b.yaml", "- name: b\n- name: c\n---\nname: b\n"),
        ("c.toml", "[[calendars]]\nname = 'days'\nrules = [{}]\n"),
        ("d.json", "{\"tasks\": {},\n\"task\": []}"),
        ("e.yaml", "calendars:\n- {name: c, rules: []}\n- {name: c, rules: []}\n"),
    ]);
    assert_eq!(
        folder.problems(),
        [
            "a.yaml: line 3, column 9: while parsing node, found unknown anchor; text that begins \
             with * must be in quotes: \"*/5 * * * *\", at /schedule/cron",
            "c.toml:3: days: rules.0: needs dates, yearly, weekdays or times: without any it would \
             be all of time",
            "d.json:1: tasks must be a list",
            "d.json:2: task is unknown beside tasks and calendars",
            "b.yaml:4: task b is also defined at b.yaml:1",
            "e.yaml:3: calendar c is also defined at e.yaml:2",
        ]
    );
    let missing = Definitions::load(&["/does/not/exist.yaml".into(), "/nor/this.yaml".into()]);
    assert_eq!(missing.unwrap_err().len(), 2);
}

/// What a list is called decides what its items are.
#[test]
fn a_list_tells_the_kind_of_its_items() {
    let folder = DefinitionFolder::new(&[
        ("a.yaml", "calendars:\n- name: days\n  yearly: ['12-24']\n"),
        ("b.yaml", "tasks:\n- name: t\n  rules: []\n"),
    ]);
    let (all, problems) = Definitions::look(&[folder.path()]);
    assert_eq!((all.tasks.len(), all.tasks[0].name.as_str()), (1, "t"));
    let about = |field: &str| problems.iter().any(|problem| problem.contains(field));
    assert!(about("days: rules: ") && about("days: yearly: "), "{problems:?}");
}

/// A link to a folder above, and a second name of a file, add nothing.
#[cfg(unix)]
#[test]
fn a_file_is_read_once() {
    let folder = DefinitionFolder::new(&[("a.yaml", "name: x\nschedule: {cron: '0 * * * *'}\n")]);
    let path = folder.path();
    std::os::unix::fs::symlink(&path, path.join("loop")).unwrap();
    std::os::unix::fs::symlink(path.join("a.yaml"), path.join("b.yaml")).unwrap();
    let again = [path.clone(), path.join("a.yaml")];
    let all = Definitions::load(&again).unwrap();
    assert_eq!((all.tasks.len(), all.file_count()), (1, 1));
}
