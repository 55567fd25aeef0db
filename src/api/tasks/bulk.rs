//! One operation on many tasks, by their names or by their labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::api::extract::{Bulky, Reply, Write};
use crate::api::fields::{Fields, escape};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{MarkDeleted, Named, PauseTask, TriggerTask};
use crate::domain::machine::{Answer, Command, Refusal, Response, Task};
use crate::domain::spec::check_name;
use crate::domain::time::Timestamp;
use crate::dto::ItemView;
use crate::ops::OpError;
use crate::ops::context::{View, aside};
use crate::ops::proposals::Proposals;

use super::batch::{ITEMS_MAX, Item, answer};
use super::lifecycle::{merged, pause_fields};

const OPERATIONS: [&str; 5] = ["pause", "resume", "trigger", "delete", "cleanup"];
const FIELDS: [&str; 8] =
    ["op", "names", "selector", "reason", "until", "parameters", "stop", "tombstone"];

/// What is done to each.
enum Operation {
    Pause { reason: String, until: Option<Timestamp> },
    Resume,
    Trigger { parameters: Option<Map<String, Value>> },
    Delete { stop: bool, tombstone: bool },
    Cleanup,
}

/// To whom.
enum Whom {
    Names(Vec<String>),
    Selector(BTreeMap<String, String>),
}

/// `POST /tasks/bulk`: one operation on many tasks; what is refused for one stops no other.
pub(in crate::api) async fn bulk(Bulky(write): Bulky) -> Reply {
    let before = write.view().await?;
    let since = repeats(&before, &write)?;
    let (operation, whom) = read(&write, since.is_some())?;
    write.take_key().await?;
    let view = write.view().await?;
    let names = match whom {
        Whom::Names(names) => names,
        Whom::Selector(labels) => {
            let marked = matches!(operation, Operation::Cleanup);
            let selector = Selector { labels, marked, since };
            let (view, done) = (view.clone(), write.part(""));
            let names = aside(move || selector.names(&view, done.as_deref())).await?;
            names.into_iter().collect()
        }
    };
    let mut proposals = Proposals::default();
    let read: Vec<Read> = names
        .into_iter()
        .map(|name| one(&write, &view, &operation, name, &mut proposals))
        .collect();
    let mut answers = proposals.submit(&write.context).await.into_iter();
    let items = read.into_iter().map(|one| match one {
        Read::Refused(bad) => *bad,
        Read::Answered(name, response) => complete(&name, Some(Ok(response))),
        Read::Proposed(name) => complete(&name, answers.next()),
    });
    answer(&write.context, items.collect())
}

/// The counter when the request was first taken up, if this one repeats it.
///
/// # Errors
/// `idempotency_key_reused`.
fn repeats(view: &View, write: &Write) -> Result<Option<u64>, OpError> {
    let Some(key) = write.key() else { return Ok(None) };
    Ok(view.state.first(key)?.map(|known| known.number))
}

/// What is to be done about one task.
enum Read {
    /// Nothing: it cannot be.
    Refused(Box<Item>),
    /// Nothing: the request is repeated, and this was the answer.
    Answered(String, Response),
    /// It is among the proposals.
    Proposed(String),
}

fn one(
    write: &Write,
    view: &View,
    operation: &Operation,
    name: String,
    proposals: &mut Proposals,
) -> Read {
    let part = write.part(&name);
    let key = part.as_deref().map(|part| write.under(part));
    if let Some(known) = key.and_then(|key| view.state.first(key).ok().flatten()) {
        return Read::Answered(name, known.response.clone());
    }
    match command(view, operation, &name) {
        Ok(command) => {
            proposals.add(&command, key);
            Read::Proposed(name)
        }
        Err(problem) => Read::Refused(Box::new(Item::bad(shown(&name), problem))),
    }
}

fn read(write: &Write, repeated: bool) -> Result<(Operation, Whom), OpError> {
    let fields = Fields::of(Some(write.body()?), &FIELDS)?;
    let op = fields.need("op").word("op", &OPERATIONS);
    let belongs: &[(&str, &str)] = &[
        ("reason", "pause"),
        ("until", "pause"),
        ("parameters", "trigger"),
        ("stop", "delete"),
        ("tombstone", "delete"),
    ];
    for (field, to) in belongs {
        if fields.has(field) && op.is_some_and(|op| op != *to) {
            fields.refuse(&format!("/{field}"), ErrorCode::Conflict, format!("belongs to {to}"));
        }
    }
    let whom = whom(&fields);
    let (stop, tombstone) = (fields.flag("stop"), fields.flag("tombstone"));
    let parameters = fields.object("parameters").cloned();
    // A pause that is repeated may be over by now.
    let now = if repeated { Timestamp(i64::MIN) } else { write.context.clock.now() };
    // Reads what is left and tells all problems.
    let (reason, until) = pause_fields(&fields, now)?;
    let operation = match op {
        Some("pause") => Operation::Pause { reason, until },
        Some("resume") => Operation::Resume,
        Some("trigger") => Operation::Trigger { parameters },
        Some("delete") => Operation::Delete { stop, tombstone },
        _ => Operation::Cleanup,
    };
    Ok((operation, whom))
}

fn whom(fields: &Fields<'_>) -> Whom {
    if fields.has("names") == fields.has("selector") {
        fields.refuse("", ErrorCode::OneOf, "needs exactly one of names and selector");
    }
    if let Some(list) = fields.list("names") {
        if list.is_empty() || list.len() > ITEMS_MAX {
            let message = format!("must have 1 to {ITEMS_MAX} names, has {}", list.len());
            fields.refuse("/names", ErrorCode::TooManyItems, message);
        }
        let mut names = Vec::with_capacity(list.len());
        for (at, name) in list.iter().enumerate() {
            match name.as_str() {
                Some(name) => names.push(name.to_owned()),
                None => {
                    fields.refuse(&format!("/names/{at}"), ErrorCode::WrongType, "must be text")
                }
            }
        }
        return Whom::Names(names);
    }
    let selector = fields.object("selector");
    if selector.is_some_and(Map::is_empty) {
        fields.refuse(
            "/selector",
            ErrorCode::Empty,
            "must not be empty: it would select every task",
        );
    }
    let mut labels = BTreeMap::new();
    for (key, value) in selector.into_iter().flatten() {
        match value.as_str() {
            Some(value) => drop(labels.insert(key.clone(), value.to_owned())),
            None => {
                let pointer = format!("/selector/{}", escape(key));
                fields.refuse(&pointer, ErrorCode::WrongType, "must be text");
            }
        }
    }
    Whom::Selector(labels)
}

/// Which tasks a request without names is about.
struct Selector {
    /// They carry all of these.
    labels: BTreeMap<String, String>,
    /// Also those marked deleted.
    marked: bool,
    /// The counter when the request was first taken up, if it is repeated: then what was done is
    /// told again, and what was made or changed since is not touched.
    since: Option<u64>,
}

impl Selector {
    /// The names, in order; `done` is what keys of tasks that were done begin with.
    fn names(&self, view: &View, done: Option<&str>) -> BTreeSet<String> {
        let tasks = view.state.by_name("").filter(|task| {
            (self.marked || task.live.deleted.is_none())
                && self.since.is_none_or(|since| task.live.revision.0 < since)
                && self.fits(task)
        });
        let mut names: BTreeSet<String> = tasks.map(|task| task.live.name.to_string()).collect();
        if let Some(done) = done.filter(|_| self.since.is_some()) {
            names.extend(view.state.keys_under(done).map(|(name, _)| name.to_owned()));
        }
        names
    }

    fn fits(&self, task: &Task) -> bool {
        let labels = task.spec().map(|spec| &spec.labels);
        labels.is_some_and(|labels| self.labels.iter().all(|(k, v)| labels.get(k) == Some(v)))
    }
}

fn command(view: &View, operation: &Operation, name: &str) -> Result<Command, OpError> {
    let name = name.to_owned();
    let if_match = None;
    Ok(match operation {
        Operation::Pause { reason, until } => {
            Command::Pause(PauseTask { name, reason: reason.clone(), until: *until, if_match })
        }
        Operation::Resume => Command::Resume(Named { name, if_match }),
        Operation::Cleanup => Command::Cleanup(Named { name, if_match }),
        Operation::Delete { stop, tombstone } => {
            if *tombstone {
                check_name(&name)
                    .map_err(|rule| OpError::field("/names", ErrorCode::InvalidName, rule))?;
            }
            let (stop, tombstone) = (*stop, *tombstone);
            Command::MarkDeleted(MarkDeleted { name, stop, tombstone, if_match })
        }
        Operation::Trigger { parameters } => {
            let task = view.state.named(&name).ok_or(Refusal::TaskNotFound);
            let parameters = match parameters {
                None => None,
                Some(over) => Some(merged(task?, over)?),
            };
            Command::TriggerTask(TriggerTask { name, parameters })
        }
    })
}

fn shown(name: &str) -> ItemView {
    Item::blank(None, name.into())
}

fn complete(name: &str, answer: Option<Result<Response, OpError>>) -> Item {
    let answer = answer.unwrap_or_else(|| Err(OpError::internal("an item was not answered")));
    let mut shown = shown(name);
    match answer.and_then(|response| response.map_err(OpError::from)) {
        Err(error) => return Item::bad(shown, error),
        Ok(Answer::Task { revision, .. }) => shown.revision = Some(revision.0),
        Ok(Answer::Execution { execution, .. }) => shown.execution_id = Some(execution.to_string()),
        Ok(Answer::Running(ids)) => {
            shown.running = Some(ids.iter().map(ToString::to_string).collect());
        }
        Ok(_) => {}
    }
    Item::good(shown)
}
