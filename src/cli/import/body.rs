//! From a job of a crontab to a task.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::crontab::{CrontabJob, PATH, SHELL};
use super::machine::{CrontabOwner, RunsAs, spool_user};
use crate::domain::schedule::{Plan, Rule, Warning, warnings};
use crate::domain::spec::{self, ReadContext};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

/// Longest description taken from a comment.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// What holds for all jobs of an import.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    /// The zone of jobs that name none.
    pub zone: String,
    /// The machine whose nodes may run them; none: any.
    pub host: Option<String>,
    /// Whom the nodes run as that will run them.
    pub runs_as: RunsAs,
    /// Whose jobs they are, as the command line says.
    pub user: Option<String>,
    /// Who imports them: whose jobs they are if nothing else says so. None for the crontabs of the
    /// system.
    pub owner: Option<CrontabOwner>,
    /// The task that a job whose output cron mails starts when it goes wrong.
    pub mailto: Option<String>,
    /// The moment after which ticks are shown.
    pub from: Timestamp,
}

/// A job made ready.
#[derive(Clone, Debug)]
pub struct PreparedJob {
    /// The task's canonical body, without what is default.
    pub body: Value,
    /// The schedule as text, such as `0 3 * * *`.
    pub schedule: String,
    /// The zone of the schedule.
    pub zone: String,
    /// The user that the crontab or the command line names.
    pub named: Option<String>,
    /// The user that the job runs as under cron: the named one, else who imports it.
    pub user: Option<String>,
    /// The next three ticks.
    pub next: Vec<Timestamp>,
    /// What the schedule says that is often not meant.
    pub warnings: Vec<Warning>,
}

impl ImportSettings {
    /// The setting for one file, which may be a user's by its place.
    #[must_use]
    pub fn of_file(&self, path: &Path) -> Self {
        let user = self.user.clone();
        let user = user.or_else(|| spool_user(path).filter(|_| self.owner.is_some()));
        Self { user, ..self.clone() }
    }
}

/// Makes a task of this name from a job.
///
/// # Errors
/// What a node would say against the task.
pub fn prepare(
    job: &CrontabJob,
    name: &str,
    setting: &ImportSettings,
) -> Result<PreparedJob, String> {
    let zone = job.zone.clone().unwrap_or_else(|| setting.zone.clone());
    let named = job.user.clone().or_else(|| setting.user.clone());
    let owner = setting.owner.as_ref();
    let user = named.clone().or_else(|| owner.map(|owner| owner.name.clone()));
    let (key, schedule) = match &job.rule {
        Rule::Cron(text) => ("cron", text.clone()),
        Rule::Interval { every, .. } => ("interval", every.to_string()),
        _ => return Err("is no schedule of a crontab".to_owned()),
    };
    let mut timing = Map::new();
    timing.insert(key.to_owned(), json!(schedule));
    timing.insert("timezone".to_owned(), json!(zone));
    let mut body = json!({
        "name": name,
        "schedule": timing,
        "action": {"shell": shell(job, user.as_deref(), setting)},
        "catch_up": {"policy": "last"},
    });
    if let Some(comment) = &job.comment {
        let text: String = comment.chars().take(DESCRIPTION_CHARS_MAX).collect();
        put(&mut body, "description", json!(text));
    }
    if let Some(task) = setting.mailto.as_ref().filter(|_| job.mailed()) {
        put(&mut body, "then", json!({"failure": [task], "timeout": [task], "lost": [task]}));
    }
    if let Some(host) = &setting.host {
        put(&mut body, "assignment", json!({"selector": {"host": host}}));
    }
    let spec = check(&body, setting.from)?;
    let next = next(&spec, setting.from);
    let warnings = warnings(&spec.schedule);
    Ok(PreparedJob { body, schedule, zone, named, user, next, warnings })
}

/// Sets a field of an object.
pub(super) fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(key.to_owned(), value);
    }
}

/// The action: the file's shell with the file's environment, in the folder where cron starts.
fn shell(job: &CrontabJob, user: Option<&str>, setting: &ImportSettings) -> Value {
    let file = |name: &str| job.env.get(name).map(String::as_str);
    let shell = file("SHELL").filter(|shell| !shell.is_empty()).unwrap_or(SHELL);
    let user = user.filter(|user| setting.runs_as.can_be(user));
    // Of its user the node itself knows home and name; else the job gets at least those of who
    // imports it.
    let owner = setting.owner.as_ref().filter(|_| user.is_none());
    let mut env = Map::new();
    let mut set = |name: &str, value: &str| env.insert(name.to_owned(), json!(verbatim(value)));
    if let Some(owner) = owner {
        set("HOME", &owner.home);
        set("LOGNAME", &owner.name);
    }
    set("PATH", PATH);
    for (name, value) in &job.env {
        set(name, value);
    }
    set("SHELL", shell);
    let home = file("HOME").or_else(|| owner.map(|owner| owner.home.as_str()));
    let mut out = json!({
        "argv": [verbatim(shell), "-c", verbatim(&job.command)],
        "env": env,
        "cwd": home.filter(|home| home.starts_with('/')),
        "stdin": job.stdin,
    });
    if let Some(user) = user {
        put(&mut out, "user", json!(user));
    }
    out
}

/// The text so that a node takes `${env:…}` and `${file:…}` in it for what a shell takes them for.
fn verbatim(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        out.push_str(before);
        let ours = reference.starts_with("${env:") || reference.starts_with("${file:");
        out.push_str(if ours && reference.contains('}') { "$${" } else { "${" });
        rest = reference.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The fields of a body as a node shows them.
///
/// # Errors
/// What a node would say against the task.
pub fn canonical(body: &Value, now: Timestamp) -> Result<Value, String> {
    let mut shown = spec::write(&check(body, now)?);
    if let (Value::Object(shown), Some(own)) = (&mut shown, body.as_object()) {
        shown.retain(|key, _| own.contains_key(key));
    }
    Ok(shown)
}

/// What a node would make of the body.
fn check(body: &Value, now: Timestamp) -> Result<TaskSpec, String> {
    let context = ReadContext {
        default_zone: "UTC",
        now,
        min_interval: Millis(100),
        functions_allowed: false,
        custom_strategy: false,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    spec::read(body, context).map_err(|problems| {
        let one = |problem: spec::BodyProblem| {
            let place = problem.pointer.trim_start_matches('/').replace('/', ".");
            format!("{place} {}", problem.message)
        };
        problems.into_iter().map(one).collect::<Vec<_>>().join("; ")
    })
}

fn next(spec: &TaskSpec, from: Timestamp) -> Vec<Timestamp> {
    let Ok(plan) = Plan::compile(&spec.schedule, &spec.name, "UTC", from) else {
        return Vec::new();
    };
    std::iter::successors(plan.next_after(from), |tick| plan.next_after(*tick)).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::verbatim;

    #[test]
    fn what_looks_like_a_reference_of_ours_stays_as_it_is() {
        for (text, expected) in [
            ("echo ${HOME} $${x}", "echo ${HOME} $${x}"),
            ("echo ${file:0:3}", "echo $${file:0:3}"),
            ("${env:+x} $${env:x}", "$${env:+x} $$${env:x}"),
            ("${env:", "${env:"),
        ] {
            assert_eq!(verbatim(text), expected);
        }
    }
}
