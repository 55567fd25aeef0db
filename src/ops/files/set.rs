//! The definitions of a node's files, and a hash of them that is the same wherever the files are.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::NodeFiles;
use crate::config::{Defined, Definitions};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::Task;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::{self, BodyProblem, ReadContext, write_calendar};
use crate::domain::task::TaskSpec;
use crate::ops::context::{ApiSettings, StateView};
use crate::ops::eligibility;
use crate::ops::tasks::definition::settled;

/// What the files of a node define.
#[derive(Debug)]
pub(crate) struct FileSet {
    definitions: Definitions,
    /// Hashes of the tasks, in the order of the definitions.
    tasks: Vec<u128>,
    /// Hashes of the calendars.
    calendars: Vec<u128>,
    /// Of all of them.
    pub hash: u128,
}

impl FileSet {
    /// Reads the files. This may take long, so it runs beside the requests.
    ///
    /// # Errors
    /// All problems, each a sentence with the file, the location and the violated rule.
    pub fn read(files: &NodeFiles) -> Result<Self, Vec<String>> {
        let calendars: Vec<PathBuf> = files.calendars.iter().cloned().collect();
        let only = Definitions::load(&calendars)?;
        if let Some(task) = only.tasks.first() {
            let place = only.place(task);
            return Err(vec![format!("{place}: is no calendar: it has no rules")]);
        }
        let definitions = Definitions::load(&files.paths())?;
        let tasks: Vec<u128> = definitions.tasks.iter().map(|one| of_body(&one.body)).collect();
        let calendars = definitions.calendars.iter().map(|one| of_calendar(&one.body));
        let calendars: Vec<u128> = calendars.collect();
        let named = definitions.tasks.iter().map(|one| ('t', one.name.as_str())).zip(&tasks);
        let others = definitions.calendars.iter().map(|one| ('c', one.name.as_str()));
        let mut all: Vec<_> = named.chain(others.zip(&calendars)).collect();
        all.sort_unstable();
        let text = all.iter().map(|((kind, name), hash)| format!("{kind}{name} {hash:032x}\n"));
        // 0 stands for none.
        let hash = xxh3_128(text.collect::<String>().as_bytes()).max(1);
        Ok(Self { definitions, tasks, calendars, hash })
    }

    /// The tasks, each with the hash of what the files say of it.
    pub fn tasks(&self) -> impl Iterator<Item = (&Defined<Value>, u128)> {
        self.definitions.tasks.iter().zip(self.tasks.iter().copied())
    }

    /// The calendars, each with the hash of what the files say of it.
    pub fn calendars(&self) -> impl Iterator<Item = (&Defined<Arc<Calendar>>, u128)> {
        self.definitions.calendars.iter().zip(self.calendars.iter().copied())
    }

    /// Where a definition is.
    pub fn place<T>(&self, of: &Defined<T>) -> String {
        self.definitions.place(of)
    }

    /// The rules that the definitions break in this cluster, but those that depend on when they are
    /// read: each a sentence.
    pub fn problems(&self, view: &StateView, settings: &ApiSettings) -> Vec<String> {
        let mut problems = Vec::new();
        for (task, _) in self.tasks() {
            let broken = match read(task, view, settings) {
                Ok(spec) => self.unknown_calendars(&spec, view),
                Err(broken) => broken,
            };
            let lasting: Vec<BodyProblem> =
                broken.into_iter().filter(|one| one.code != ErrorCode::NeverFires).collect();
            problems.extend(self.definitions.told(task, &lasting));
        }
        problems
    }

    fn unknown_calendars(&self, spec: &TaskSpec, view: &StateView) -> Vec<BodyProblem> {
        let known = |name: &str| {
            view.state.calendar(name).is_some()
                || self.definitions.calendars.iter().any(|one| one.name == name)
        };
        let names = spec.schedule.exclude.iter().enumerate();
        let unknown = names.filter(|(_, name)| !known(name));
        let told = unknown.map(|(at, name)| BodyProblem {
            pointer: format!("/schedule/exclude/{at}"),
            code: ErrorCode::CalendarNotFound,
            message: format!(
                "names the calendar {name}, which neither the files nor the cluster have"
            ),
        });
        told.collect()
    }

    /// The definition of a task, or why the cluster cannot have it as it is now.
    pub fn definition(
        &self,
        task: &Defined<Value>,
        view: &StateView,
        settings: &ApiSettings,
    ) -> Result<TaskSpec, String> {
        let former = view.state.named(&task.name).and_then(|task| task.spec());
        let read = read(task, view, settings).and_then(|spec| {
            eligibility::check(&view.state, &spec, former).map_err(|problem| vec![problem])?;
            Ok(spec)
        });
        read.map_err(|broken| self.definitions.told(task, &broken).join("; "))
    }
}

fn read(
    task: &Defined<Value>,
    view: &StateView,
    settings: &ApiSettings,
) -> Result<TaskSpec, Vec<BodyProblem>> {
    let former: Option<&Task> = view.state.named(&task.name).map(|task| &**task);
    let current = former.and_then(Task::spec).map(|spec| &spec.schedule);
    let settled = settled(view, &task.body);
    // Calendars may stand in the same files: they are looked up in both.
    let reading = ReadContext { current, settled, calendars: None, ..view.reading(settings) };
    spec::read(&task.body, reading)
}

fn of_calendar(calendar: &Calendar) -> u128 {
    xxh3_128(write_calendar(calendar).to_string().as_bytes())
}

/// Equal for bodies that differ in the order of their fields only; never 0.
fn of_body(body: &Value) -> u128 {
    xxh3_128(sorted(body).to_string().as_bytes()).max(1)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            let fields = names.into_iter().map(|name| (name.clone(), sorted(&fields[name])));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<FileSet, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tasks.json");
        std::fs::write(&file, text).unwrap();
        FileSet::read(&NodeFiles { tasks: Some(file), ..NodeFiles::default() })
    }

    #[test]
    fn a_set_is_told_by_what_it_says_and_not_by_how_it_is_written() {
        let one = r#"[{"name": "a", "schedule": {"cron": "0 2 * * *"}}, {"name": "b", "cron": "0 3 * * *"}]"#;
        let other = r#"{"tasks": [{"cron": "0 3 * * *", "name": "b"},
                                  {"schedule": {"cron": "0 2 * * *"}, "name": "a"}]}"#;
        assert_eq!(set(one).unwrap().hash, set(other).unwrap().hash);
        let changed = one.replace("0 3", "0 4");
        assert_ne!(set(one).unwrap().hash, set(&changed).unwrap().hash);
        let none = set("[]").unwrap();
        assert_eq!((none.tasks().count(), none.hash != 0), (0, true));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let twice = r#"[{"name": "a", "cron": "0 2 * * *"}, {"name": "a", "cron": "0 3 * * *"}]"#;
        let problems = set(twice).unwrap_err();
        assert!(problems[0].contains("also defined"), "{problems:?}");
    }
}
