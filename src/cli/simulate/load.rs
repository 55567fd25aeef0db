//! Loads the tasks for a simulation from files.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::run::Planned;
use crate::config::Definitions;
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::{Plan, Rule};
use crate::domain::spec::{self, BodyProblem, ReadContext};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

/// Loads all files. `zone` is the default time zone, `from` is the creation time of all tasks.
pub(super) fn load(paths: &[PathBuf], zone: &str, from: Timestamp) -> Result<Vec<Planned>, String> {
    let (defined, mut problems) = Definitions::look(paths);
    let mut planned: Vec<Planned> = Vec::with_capacity(defined.tasks.len());
    for task in &defined.tasks {
        match plan(&task.body, &defined, zone, from) {
            Ok(plan) => planned.push(plan),
            Err(broken) => problems.extend(defined.told(task, &broken)),
        }
    }
    match (problems.as_slice(), planned.is_empty()) {
        ([], true) => Err("the files have no task".to_owned()),
        ([], false) => Ok(planned),
        _ => Err(problems.join("\n")),
    }
}

fn plan(
    body: &Value,
    defined: &Definitions,
    zone: &str,
    from: Timestamp,
) -> Result<Planned, Vec<BodyProblem>> {
    let context = ReadContext {
        default_zone: zone,
        now: from,
        min_interval: Millis(100),
        functions_allowed: true,
        custom_strategy: true,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    let spec = spec::read(body, context)?;
    let TaskSpec { name, schedule, .. } = &spec;
    let known = |calendar: &String| {
        let found = defined.calendar(calendar).map(Arc::clone);
        found.ok_or_else(|| {
            let message = format!("the files have no calendar {calendar}");
            vec![broken("/schedule/exclude", ErrorCode::UnknownCalendar, message)]
        })
    };
    let excluded: Vec<_> = schedule.exclude.iter().map(known).collect::<Result<_, _>>()?;
    let plan = Plan::excluding(schedule, name, zone, from, excluded);
    let plan = plan.map_err(|error| vec![broken("/schedule", error.code, error.to_string())])?;
    // The only tick of `immediate` is the start itself. An `at` that has passed is caught up.
    let begin = match schedule.rule {
        Rule::Immediate => from.minus(Millis(1)),
        Rule::At(at) => from.min(at.minus(Millis(1))),
        _ => from,
    };
    let max_ticks = if spec.one_shot { 1 } else { schedule.max_ticks.unwrap_or(u64::MAX) };
    Ok(Planned { name: name.clone(), plan, begin, max_ticks })
}

fn broken(pointer: &str, code: ErrorCode, message: String) -> BodyProblem {
    BodyProblem { pointer: pointer.to_owned(), code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_tasks_and_calendars_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a.yaml", "name: a\nschedule: {cron: '0 * * * *', exclude: [nights, days]}\n");
        write("b/b.json", r#"[{"name": "b", "schedule": {"interval": "1h"}}]"#);
        write("b/c.toml", "name = 'nights'\nrules = [{ times = ['22:00/06:00'] }]\n");
        write("d.yaml", "calendars: [{name: days, rules: []}]\n");
        write("notes.txt", "not a task");
        write(
            "f.yaml",
            "items:\n- {name: f, schedule: {interval: 1h}, incarnation: 1, revision: 2, owner: n1}\n\
             next_cursor: null\n",
        );
        write("..data/a.yaml", "name: a\nschedule: {cron: '0 * * * *'}\n");
        let from = Timestamp::parse("2026-03-02T00:00:00Z").unwrap();
        let all = load(&[folder.path().to_owned()], "UTC", from).unwrap();
        let names: Vec<&str> = all.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "f"]);
        assert!(all[0].plan.excluded(from).is_some() && all[1].plan.excluded(from).is_none());

        for (text, wanted) in [
            ("name: b\nschedule: {interval: 1h}\n", "task b is also defined at"),
            (
                "name: d\nschedule: {cron: '61 * * * *'}\n",
                "e.yml:2: d: schedule.cron: column 1: minute",
            ),
            ("name: d\nowner: n1\nschedule: {interval: 1h}\n", "e.yml:2: d: owner: unknown field"),
            (
                "name: d\nschedule: {cron: '1 * * * *', exclude: [x]}\n",
                "e.yml:2: d: schedule.exclude: the files have no calendar x",
            ),
            ("task: []\ntasks: []\n", "task is unknown"),
            ("tasks: {}\n", "tasks must be a list"),
            ("name: days\nrules: []\n", "calendar days is also defined at"),
            ("calendars: [{name: x, rules: [{}]}]\n", "e.yml:1: x: rules.0: needs"),
        ] {
            write("e.yml", text);
            let error = load(&[folder.path().to_owned()], "UTC", from).err().unwrap();
            assert!(error.contains(wanted) && error.contains("e.yml"), "{error}");
        }
        assert!(load(&[PathBuf::from("/does/not/exist")], "UTC", from).is_err());
    }
}
