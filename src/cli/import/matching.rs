//! Matches tasks with the lines of a crontab, so that importing it again changes nothing.
//!
//! A line has no name. The name of its task consists of host, crontab and program (the *base*),
//! plus a hash of the command if several lines have the same base, so that names do not depend on
//! the order of lines. A line that was imported before is matched with its task by the definition,
//! whatever the task's name.

use std::collections::BTreeSet;

use ring::digest::{SHA256, digest};
use serde_json::Value;

/// Length of a hash in a name, in characters.
const HASH_CHARS: usize = 4;

/// A line that needs a task.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The task name, if no other line has the same base.
    pub base: &'a str,
    /// The shell command.
    pub command: &'a str,
    /// The schedule.
    pub schedule: &'a str,
    /// Required fields of the task's canonical body.
    pub fields: &'a Value,
}

/// How the cluster's task compares with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskDifference {
    /// There is no task.
    New,
    /// The definition is the same.
    Unchanged,
    /// The definition differs.
    Differs,
}

/// An existing task.
#[derive(Clone, Debug)]
pub struct ImportedTask {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// Its definition as received. A newer node may send fields that this version does not know.
    pub body: Value,
}

/// The task name of each line, and how the existing task with that name compares. `known` are the
/// existing tasks.
#[must_use]
pub fn fit(wanted: &[Wanted<'_>], known: &[ImportedTask]) -> Vec<(String, TaskDifference)> {
    let mut found: Vec<Option<(String, TaskDifference)>> = vec![None; wanted.len()];
    let mut left: Vec<&ImportedTask> = known.iter().collect();
    let same = |line: &Wanted<'_>, task: &ImportedTask| holds(task, line.fields, |_| true);
    claim(wanted, &mut found, &mut left, TaskDifference::Unchanged, same);
    let same_action =
        |line: &Wanted<'_>, task: &ImportedTask| holds(task, line.fields, |key| key == "action");
    claim(wanted, &mut found, &mut left, TaskDifference::Differs, same_action);
    // If one line and one task of a base are left, the command was changed.
    for at in 0..wanted.len() {
        let Some(line) = wanted.get(at) else { continue };
        let open =
            |(one, found): (&Wanted<'_>, &Option<_>)| one.base == line.base && found.is_none();
        let alone = wanted.iter().zip(&found).filter(|pair| open(*pair)).count() == 1;
        let mut tasks = left.iter().filter(|task| is_called(task, line.base));
        if let (Some(task), None, true) = (tasks.next(), tasks.next(), alone)
            && let Some(slot) = found.get_mut(at).filter(|slot| slot.is_none())
        {
            *slot = Some((task.name.clone(), TaskDifference::Differs));
        }
    }
    let mut taken: BTreeSet<String> = known.iter().map(|task| task.name.clone()).collect();
    let fits = wanted.iter().zip(found).map(|(line, found)| {
        found.unwrap_or_else(|| {
            let name = new_name(line, wanted, &taken);
            taken.insert(name.clone());
            (name, TaskDifference::New)
        })
    });
    fits.collect()
}

/// The names of tasks without a line.
#[must_use]
pub fn left_over<'v>(fits: &[(String, TaskDifference)], known: &'v [ImportedTask]) -> Vec<&'v str> {
    let names: BTreeSet<&str> = fits.iter().map(|(name, _)| name.as_str()).collect();
    known.iter().map(|task| task.name.as_str()).filter(|name| !names.contains(name)).collect()
}

/// Assigns to each open line of a base an unassigned task of that base that fits.
fn claim(
    wanted: &[Wanted<'_>],
    found: &mut [Option<(String, TaskDifference)>],
    left: &mut Vec<&ImportedTask>,
    fit: TaskDifference,
    fits: impl Fn(&Wanted<'_>, &ImportedTask) -> bool,
) {
    for (line, slot) in wanted.iter().zip(found.iter_mut()).filter(|(_, slot)| slot.is_none()) {
        let at = left.iter().position(|task| is_called(task, line.base) && fits(line, task));
        if let Some(at) = at {
            *slot = Some((left.remove(at).name.clone(), fit.clone()));
        }
    }
}

/// Whether a task's name could have been generated for this base.
fn is_called(task: &ImportedTask, base: &str) -> bool {
    let Some(rest) = task.name.strip_prefix(base) else { return false };
    let hash = rest.strip_prefix('-').map(|rest| rest.split('-').next().unwrap_or_default());
    let is_hash =
        |hash: &str| hash.len() == HASH_CHARS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    rest.is_empty() || hash.is_some_and(is_hash)
}

/// Whether a task's definition has these fields, limited to the fields for which `counts` is true.
fn holds(task: &ImportedTask, fields: &Value, counts: impl Fn(&str) -> bool) -> bool {
    let fields = fields.as_object().into_iter().flatten();
    let mut fields = fields.filter(|(key, _)| *key != "name" && counts(key));
    fields.all(|(key, value)| task.body.get(key) == Some(value))
}

/// An unused name for a line, as short as possible but distinct from the other lines.
fn new_name(line: &Wanted<'_>, all: &[Wanted<'_>], taken: &BTreeSet<String>) -> String {
    let alike = |same: &dyn Fn(&Wanted<'_>) -> bool| {
        all.iter().filter(|other| other.base == line.base && same(other)).count()
    };
    let plain = (alike(&|_| true) == 1).then(|| line.base.to_owned());
    let by_command = (alike(&|other| other.command == line.command) == 1)
        .then(|| format!("{}-{}", line.base, hash(line.command)));
    let by_line = format!("{}-{}", line.base, hash(&format!("{} {}", line.schedule, line.command)));
    let mut names = plain.into_iter().chain(by_command).chain([by_line.clone()]);
    let free = names.find(|name| !taken.contains(name));
    // Identical lines are distinguished by a number.
    let numbered = || {
        let mut numbered = (2..).map(|number: u64| format!("{by_line}-{number}"));
        numbered.find(|name| !taken.contains(name))
    };
    free.or_else(numbered).unwrap_or(by_line)
}

fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(HASH_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct WantedLine {
        base: &'static str,
        command: &'static str,
        schedule: &'static str,
        fields: Value,
    }

    fn line(base: &'static str, command: &'static str, schedule: &'static str) -> WantedLine {
        let fields = json!({"schedule": schedule, "action": command});
        WantedLine { base, command, schedule, fields }
    }

    fn fits(lines: &[WantedLine], known: &[ImportedTask]) -> Vec<(String, TaskDifference)> {
        let wanted: Vec<Wanted<'_>> = lines
            .iter()
            .map(|line| Wanted {
                base: line.base,
                command: line.command,
                schedule: line.schedule,
                fields: &line.fields,
            })
            .collect();
        fit(&wanted, known)
    }

    /// The tasks in the cluster after an import.
    fn imported(lines: &[WantedLine]) -> Vec<ImportedTask> {
        let one = |(line, (name, fit)): (&WantedLine, (String, TaskDifference))| {
            assert_eq!(fit, TaskDifference::New);
            ImportedTask { name, revision: 1, body: line.fields.clone() }
        };
        lines.iter().zip(fits(lines, &[])).map(one).collect()
    }

    fn lines() -> Vec<WantedLine> {
        vec![
            line("b", "parts hourly", "1"),
            line("b", "parts daily", "2"),
            line("b", "parts daily", "3"),
            line("b", "parts daily", "3"),
            line("c", "alone", "4"),
        ]
    }

    #[test]
    fn no_name_depends_on_the_order_of_the_lines() {
        let names = |lines: &[WantedLine]| -> BTreeSet<(String, &str, &str)> {
            let fits = fits(lines, &[]);
            fits.into_iter().zip(lines).map(|((n, _), l)| (n, l.command, l.schedule)).collect()
        };
        let mut turned = lines();
        turned.swap(0, 1);
        turned.rotate_left(2);
        let given = names(&lines());
        assert_eq!(given.len(), 5, "each has its own: {given:?}");
        assert_eq!(given.iter().filter(|(name, ..)| name == "c").count(), 1, "{given:?}");
        assert_eq!(given, names(&turned));
    }

    #[test]
    fn a_second_import_finds_every_line_whatever_stands_between() {
        let known = imported(&lines());
        let mut again = lines();
        again.insert(0, line("b", "parts weekly", "9"));
        let fits = fits(&again, &known);
        assert_eq!(fits[0].1, TaskDifference::New);
        let names: Vec<&str> = known.iter().map(|task| task.name.as_str()).collect();
        for (at, (name, fit)) in fits[1..].iter().enumerate() {
            assert_eq!((name.as_str(), fit), (names[at], &TaskDifference::Unchanged));
        }
        assert_eq!(left_over(&fits, &known), Vec::<&str>::new());
    }

    #[test]
    fn a_line_that_was_alone_keeps_its_name_when_it_is_no_longer() {
        let known = imported(&[line("b", "parts hourly", "1")]);
        let fits = fits(&[line("b", "parts daily", "2"), line("b", "parts hourly", "1")], &known);
        assert_eq!((fits[1].0.as_str(), &fits[1].1), ("b", &TaskDifference::Unchanged));
        assert_eq!(fits[0].1, TaskDifference::New);
    }

    #[test]
    fn a_changed_line_is_told_from_a_new_one() {
        let known = imported(&lines());
        let mut changed = lines();
        changed[0] = line("b", "parts hourly", "7");
        changed[4] = line("c", "alone --now", "4");
        let fits = fits(&changed, &known);
        assert_eq!(
            (fits[0].0.as_str(), &fits[0].1),
            (known[0].name.as_str(), &TaskDifference::Differs),
            "schedule"
        );
        assert_eq!((fits[4].0.as_str(), &fits[4].1), ("c", &TaskDifference::Differs), "command");
        let fewer = fits[1..].to_vec();
        assert_eq!(left_over(&fewer, &known), [known[0].name.as_str()]);
    }

    #[test]
    fn tasks_of_other_programs_are_left_alone() {
        let known = ["b-long", "bb"].map(|name| ImportedTask {
            name: name.to_owned(),
            revision: 1,
            body: json!({"action": "x"}),
        });
        assert_eq!(fits(&[line("b", "x", "1")], &known), [("b".to_owned(), TaskDifference::New)]);
    }
}
