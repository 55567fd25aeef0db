//! Task and calendar definitions from files.
//!
//! A document of a file is one definition, a list of them, or an object with lists under `tasks` and
//! `calendars`. An object with `rules` is a calendar. The output of a node is also accepted: one
//! object (`punctual show NAME -o yaml`) or a list (`punctual ls -o yaml`). So is the configuration
//! of a program whose tasks are under `scheduler.jobs`; the rest of it is passed over.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::{self, DefinitionFile, FileLines};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::{self, BodyProblem};

/// Maximum depth of nested folders.
const DEPTH_MAX: usize = 16;

/// Definitions from files, in their order. No two of a kind have the same name.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Bodies of tasks, without what answers add to them.
    pub tasks: Vec<Defined<Value>>,
    /// Calendars.
    pub calendars: Vec<Defined<Arc<Calendar>>>,
    files: Vec<LocatedFile>,
}

/// A definition and its location.
#[derive(Debug)]
pub struct Defined<T> {
    /// Its name; empty: it says none, or it is no text.
    pub name: String,
    /// What it is.
    pub body: T,
    place: DefinedPlace,
}

/// Where a definition is.
#[derive(Clone, Debug)]
struct DefinedPlace {
    file: usize,
    document: usize,
    pointer: String,
}

#[derive(Debug)]
struct LocatedFile {
    file: DefinitionFile,
    lines: OnceLock<FileLines>,
}

/// The name of a definition, which is looked at before its rules are.
#[derive(Default, Deserialize)]
struct DefinedName {
    name: String,
}

/// What a list of definitions contains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DefinedKind {
    Calendar,
    Task,
}

/// The section of another program's configuration.
#[derive(Deserialize)]
struct SchedulerSection {
    enabled: Option<bool>,
    jobs: Vec<Value>,
}

impl Definitions {
    /// Reads files and folders. Folders are read recursively.
    ///
    /// # Errors
    /// All problems, each a sentence with the file, the location and the violated rule.
    pub fn load(paths: &[PathBuf]) -> Result<Self, Vec<String>> {
        let (all, problems) = Self::look(paths);
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    /// Reads files and folders as far as that goes, and tells the problems.
    #[must_use]
    pub fn look(paths: &[PathBuf]) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for path in paths {
            list(path, DEPTH_MAX, &mut seen, &mut found, &mut problems);
        }
        let mut all = Self::default();
        for path in &found {
            match DefinitionFile::read(path) {
                Ok(file) => all.add(file, &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        all.refuse_twins(&mut problems);
        (all, problems)
    }

    /// The number of files that were read.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The calendar of this name.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn calendar(&self, name: &str) -> Option<&Arc<Calendar>> {
        self.calendars.iter().find(|one| one.name == name).map(|one| &one.body)
    }

    /// Where a definition is: `tasks.yaml:12`.
    #[must_use]
    pub fn place<T>(&self, of: &Defined<T>) -> String {
        self.location(&of.place, "")
    }

    /// Broken rules of a definition: `tasks.yaml:12: backup: schedule.cron: …`.
    #[must_use]
    pub fn told<T>(&self, of: &Defined<T>, problems: &[BodyProblem]) -> Vec<String> {
        self.sentences(&of.place, &of.name, problems)
    }

    fn sentences(&self, at: &DefinedPlace, name: &str, problems: &[BodyProblem]) -> Vec<String> {
        let one = |problem: &BodyProblem| {
            let place = self.location(at, &problem.pointer);
            let field = problem.pointer.trim_start_matches('/').replace('/', ".");
            let parts = [place.as_str(), name, &field, &problem.message];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
        };
        problems.iter().map(one).collect()
    }

    fn location(&self, at: &DefinedPlace, below: &str) -> String {
        let Some(LocatedFile { file, lines }) = self.files.get(at.file) else {
            return String::new();
        };
        let pointer = format!("{}{below}", at.pointer);
        let lines = lines.get_or_init(|| file.lines());
        match (lines.of(at.document, &pointer), at.pointer.as_str()) {
            (Some(line), _) => format!("{}:{line}", file.name),
            (None, "") => file.name.clone(),
            (None, pointer) => format!("{}, at {pointer}", file.name),
        }
    }

    /// Sorts the content of a file.
    fn add(&mut self, mut file: DefinitionFile, problems: &mut Vec<String>) {
        let documents = std::mem::take(&mut file.documents);
        let number = self.files.len();
        self.files.push(LocatedFile { file, lines: OnceLock::new() });
        for (document, value) in documents.into_iter().enumerate() {
            let at = DefinedPlace { file: number, document, pointer: String::new() };
            self.sort(at, value, problems);
        }
    }

    fn sort(&mut self, at: DefinedPlace, value: Value, problems: &mut Vec<String>) {
        let mut refuse = |all: &Self, below: &str, message: String| {
            problems.push(format!("{}: {message}", all.location(&at, below)));
        };
        let mut fields = match value {
            Value::Array(items) => return self.items(&at, "", items, None, problems),
            Value::Object(fields) => fields,
            other => return self.one(at, other, None, problems),
        };
        if ["tasks", "calendars"].iter().any(|key| fields.contains_key(*key)) {
            for (key, kind) in [("calendars", DefinedKind::Calendar), ("tasks", DefinedKind::Task)]
            {
                match fields.shift_remove(key) {
                    Some(Value::Array(items)) => {
                        self.items(&at, &format!("/{key}"), items, Some(kind), problems);
                    }
                    Some(Value::Null) | None => {}
                    Some(_) => {
                        let at = self.location(&at, &format!("/{key}"));
                        problems.push(format!("{at}: {key} must be a list"));
                    }
                }
            }
            for key in fields.keys() {
                let at = self.location(&at, &format!("/{key}"));
                problems.push(format!("{at}: {key} is unknown beside tasks and calendars"));
            }
        } else if fields.get("items").is_some_and(Value::is_array) {
            // A list in the form of a node's response.
            let Some(Value::Array(items)) = fields.shift_remove("items") else { return };
            self.items(&at, "/items", items, None, problems);
        } else if is_section(&fields) {
            let section = fields.shift_remove("scheduler").unwrap_or_default();
            match SchedulerSection::deserialize(section) {
                Ok(SchedulerSection { enabled: Some(false), .. }) => refuse(
                    self,
                    "/scheduler/enabled",
                    "scheduler.enabled is false, so none of these jobs would run: disable each of \
                     them, or leave the field out"
                        .to_owned(),
                ),
                Ok(SchedulerSection { jobs, .. }) => {
                    self.items(&at, "/scheduler/jobs", jobs, Some(DefinedKind::Task), problems);
                }
                Err(error) => refuse(self, "/scheduler", format!("scheduler: {error}")),
            }
        } else {
            self.one(at, Value::Object(fields), None, problems);
        }
    }

    fn items(
        &mut self,
        at: &DefinedPlace,
        below: &str,
        items: Vec<Value>,
        kind: Option<DefinedKind>,
        problems: &mut Vec<String>,
    ) {
        for (index, item) in items.into_iter().enumerate() {
            let pointer = format!("{}{below}/{index}", at.pointer);
            self.one(DefinedPlace { pointer, ..at.clone() }, item, kind, problems);
        }
    }

    /// Adds one definition. Without a kind, it is a calendar if it has rules.
    fn one(
        &mut self,
        place: DefinedPlace,
        body: Value,
        kind: Option<DefinedKind>,
        problems: &mut Vec<String>,
    ) {
        let DefinedName { name } = DefinedName::deserialize(&body).unwrap_or_default();
        let calendar = match kind {
            Some(kind) => kind == DefinedKind::Calendar,
            None => body.get("rules").is_some(),
        };
        if !calendar {
            let body = spec::definition(&body);
            self.tasks.push(Defined { name, body, place });
            return;
        }
        match spec::read_calendar(&name, &spec::calendar_definition(&body)) {
            Ok(calendar) => {
                self.calendars.push(Defined { name, body: Arc::new(calendar), place });
            }
            Err(broken) => problems.extend(self.sentences(&place, &name, &broken)),
        }
    }

    /// Tells names that are defined twice.
    fn refuse_twins(&self, problems: &mut Vec<String>) {
        let tasks = self.tasks.iter().map(|one| ("task", &one.name, &one.place));
        let calendars = self.calendars.iter().map(|one| ("calendar", &one.name, &one.place));
        let mut first = BTreeMap::new();
        for (kind, name, place) in tasks.chain(calendars).filter(|(_, name, _)| !name.is_empty()) {
            match first.entry((kind, name)) {
                Entry::Vacant(free) => drop(free.insert(place)),
                Entry::Occupied(taken) => {
                    let (here, there) =
                        (self.location(place, "/name"), self.location(taken.get(), "/name"));
                    problems.push(format!("{here}: {kind} {name} is also defined at {there}"));
                }
            }
        }
    }
}

/// Whether an object is a configuration with jobs.
fn is_section(fields: &Map<String, Value>) -> bool {
    fields.get("scheduler").and_then(Value::as_object).is_some_and(|own| own.contains_key("jobs"))
}

/// The files of a folder and its subfolders, sorted by name, or the single file. What several links
/// name is read once.
fn list(
    path: &Path,
    depth: usize,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
    problems: &mut Vec<String>,
) {
    if path.canonicalize().is_ok_and(|real| !seen.insert(real)) {
        return;
    }
    if !path.is_dir() {
        found.push(path.to_owned());
        return;
    }
    if depth == 0 {
        problems.push(format!("{}: folders lie too deep", path.display()));
        return;
    }
    let entries = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut inside: Vec<PathBuf> = match entries {
        Ok(inside) => inside,
        Err(error) => return problems.push(format!("{}: {error}", path.display())),
    };
    inside.sort();
    for path in inside {
        // Files with a leading dot are editor files or parts of atomically updated volumes.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && (path.is_dir() || files::is_one(&path)) {
            list(&path, depth - 1, seen, found, problems);
        }
    }
}

#[cfg(test)]
mod tests;
