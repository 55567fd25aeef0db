//! Tasks and calendars from files: a task, a list of tasks, or an object with both under `tasks` and
//! `calendars`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::run::Planned;
use crate::cli::files;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::schedule::{Plan, Rule};
use crate::domain::spec::{self, Problem, ReadContext};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

/// Folders within folders.
const DEPTH_MAX: usize = 16;

type Calendars = BTreeMap<String, Arc<Calendar>>;

/// Reads all files; `zone` is that of tasks that name none, `from` when all are made.
pub(super) fn load(paths: &[PathBuf], zone: &str, from: Timestamp) -> Result<Vec<Planned>, String> {
    let mut found = Vec::new();
    for path in paths {
        list(path, DEPTH_MAX, &mut found)?;
    }
    let mut tasks: Vec<(String, Value)> = Vec::new();
    let mut calendars = Calendars::new();
    for file in &found {
        sort(file, files::read(file)?, &mut tasks, &mut calendars)?;
    }
    let mut planned: Vec<Planned> = Vec::with_capacity(tasks.len());
    for (place, body) in &tasks {
        let task = plan(body, &calendars, zone, from).map_err(|why| format!("{place}: {why}"))?;
        if planned.iter().any(|known| known.name == task.name) {
            return Err(format!("{place}: there is another task {}", task.name));
        }
        planned.push(task);
    }
    if planned.is_empty() {
        return Err("the files have no task".to_owned());
    }
    Ok(planned)
}

/// The files of a folder and its folders, by name; or the one file.
fn list(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Err(format!("{}: folders lie too deep", path.display()));
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut inside: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    inside.sort();
    for path in inside {
        if path.is_dir() || files::is_one(&path) {
            list(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn sort(
    file: &Path,
    value: Value,
    tasks: &mut Vec<(String, Value)>,
    calendars: &mut Calendars,
) -> Result<(), String> {
    let file = file.display();
    match value {
        Value::Array(items) => {
            let placed = items.into_iter().enumerate();
            tasks.extend(placed.map(|(index, item)| (format!("{file}, task {}", index + 1), item)));
        }
        Value::Object(mut fields)
            if fields.contains_key("tasks") || fields.contains_key("calendars") =>
        {
            if let Some(Value::Array(items)) = fields.shift_remove("tasks") {
                let placed = items.into_iter().enumerate();
                tasks.extend(placed.map(|(at, item)| (format!("{file}, task {}", at + 1), item)));
            }
            if let Some(Value::Array(items)) = fields.shift_remove("calendars") {
                for (index, item) in items.iter().enumerate() {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
                    let read = spec::read_calendar(name, item).map_err(|problems| {
                        format!("{file}, calendar {}: {}", index + 1, told(&problems))
                    })?;
                    calendars.insert(name.to_owned(), Arc::new(read));
                }
            }
            if let Some((key, _)) = fields.iter().next() {
                return Err(format!(
                    "{file}: {key} is unknown, or no list, beside tasks and calendars"
                ));
            }
        }
        other => tasks.push((file.to_string(), other)),
    }
    Ok(())
}

fn plan(
    body: &Value,
    calendars: &Calendars,
    zone: &str,
    from: Timestamp,
) -> Result<Planned, String> {
    let context = ReadContext {
        default_zone: zone,
        now: from,
        min_interval: Millis(100),
        functions_allowed: true,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    let spec = spec::read(body, context).map_err(|problems| told(&problems))?;
    let TaskSpec { name, schedule, .. } = &spec;
    let mut excluded = Vec::new();
    for calendar in &schedule.exclude {
        let known = calendars.get(calendar);
        excluded.extend(Some(Arc::clone(known.ok_or_else(|| {
            format!("/schedule/exclude: the files have no calendar {calendar}")
        })?)));
    }
    let plan = Plan::excluding(schedule, name, zone, from, excluded);
    let plan = plan.map_err(|error| error.to_string())?;
    // The one tick of `immediate` is the moment itself.
    let begin = if schedule.rule == Rule::Immediate { from.minus(Millis(1)) } else { from };
    let max_ticks = schedule.max_ticks.unwrap_or(u64::MAX);
    Ok(Planned { name: name.clone(), plan, begin, max_ticks })
}

fn told(problems: &[Problem]) -> String {
    let one = |problem: &Problem| format!("{} {}", problem.pointer, problem.message);
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
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
        write("a.yaml", "name: a\nschedule: {cron: '0 * * * *', exclude: [nights]}\n");
        write("b/b.json", r#"[{"name": "b", "schedule": {"interval": "1h"}}]"#);
        write("c.toml", "[[calendars]]\nname = 'nights'\nrules = [{ times = ['22:00/06:00'] }]\n");
        write("notes.txt", "not a task");
        let from = Timestamp::parse("2026-03-02T00:00:00Z").unwrap();
        let all = load(&[folder.path().to_owned()], "UTC", from).unwrap();
        let names: Vec<&str> = all.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(all[0].plan.excluded(from).is_some() && all[1].plan.excluded(from).is_none());

        for (text, wanted) in [
            ("name: b\nschedule: {interval: 1h}\n", "another task b"),
            ("name: d\nschedule: {cron: '61 * * * *'}\n", "/schedule/cron column 1: minute"),
            ("name: d\nschedule: {cron: '1 * * * *', exclude: [x]}\n", "no calendar x"),
            ("task: []\ntasks: []\n", "task is unknown"),
            ("calendars: [{name: x, rules: [{}]}]\n", "calendar 1: /rules/0"),
        ] {
            write("d.yml", text);
            let error = load(&[folder.path().to_owned()], "UTC", from).err().unwrap();
            assert!(error.contains(wanted) && error.contains("d.yml"), "{error}");
        }
        assert!(load(&[PathBuf::from("/does/not/exist")], "UTC", from).is_err());
    }
}
