//! One operation on many tasks, by their names or by their labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::api::context::{View, aside};
use crate::api::error::Problem;
use crate::api::extract::{Bulky, Reply, Write};
use crate::api::fields::{Fields, escape};
use crate::api::proposals::Proposals;
use crate::domain::machine::command::{MarkDeleted, Named, PauseTask, TriggerTask};
use crate::domain::machine::{Answer, Command, Refusal, Response};
use crate::domain::spec::check_name;
use crate::domain::time::Timestamp;

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
    write.params.only(&[])?;
    let (operation, whom) = read(&write)?;
    write.take_key().await?;
    let view = write.view().await?;
    let names = match whom {
        Whom::Names(names) => names,
        Whom::Selector(selector) => {
            let (view, marked) = (view.clone(), matches!(operation, Operation::Cleanup));
            aside(move || selected(&view, &selector, marked)).await?
        }
    };
    let mut proposals = Proposals::default();
    let mut read = Vec::with_capacity(names.len());
    for name in names {
        let command = command(&view, &operation, &name);
        read.push(match command {
            Ok(command) => {
                // By the name, since a selector may find other tasks when it is asked again.
                let key = write.key.as_ref();
                let key = key.map(|key| format!("{key} {:x}", xxh3_64(name.as_bytes())));
                proposals.add(&command, key.as_deref());
                Ok(name)
            }
            Err(problem) => Err(Item::bad(shown(&name), problem)),
        });
    }
    let mut answers = proposals.submit(&write.context).await.into_iter();
    let items = read.into_iter().map(|one| match one {
        Ok(name) => complete(&name, answers.next()),
        Err(bad) => bad,
    });
    answer(&write.context, items.collect())
}

fn read(write: &Write) -> Result<(Operation, Whom), Problem> {
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
            fields.refuse(&format!("/{field}"), "conflict", format!("belongs to {to}"));
        }
    }
    let whom = whom(&fields);
    let (stop, tombstone) = (fields.flag("stop"), fields.flag("tombstone"));
    let parameters = fields.object("parameters").cloned();
    // Reads what is left and tells all problems.
    let (reason, until) = pause_fields(&fields, write.context.clock.now())?;
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
        fields.refuse("", "one_of", "needs exactly one of names and selector");
    }
    if let Some(list) = fields.list("names") {
        if list.is_empty() || list.len() > ITEMS_MAX {
            let message = format!("must have 1 to {ITEMS_MAX} names, has {}", list.len());
            fields.refuse("/names", "too_many_items", message);
        }
        let mut names = Vec::with_capacity(list.len());
        for (at, name) in list.iter().enumerate() {
            match name.as_str() {
                Some(name) => names.push(name.to_owned()),
                None => fields.refuse(&format!("/names/{at}"), "wrong_type", "must be text"),
            }
        }
        return Whom::Names(names);
    }
    let selector = fields.object("selector");
    if selector.is_some_and(Map::is_empty) {
        fields.refuse("/selector", "empty", "must not be empty: it would select every task");
    }
    let mut labels = BTreeMap::new();
    for (key, value) in selector.into_iter().flatten() {
        match value.as_str() {
            Some(value) => drop(labels.insert(key.clone(), value.to_owned())),
            None => {
                let pointer = format!("/selector/{}", escape(key));
                fields.refuse(&pointer, "wrong_type", "must be text");
            }
        }
    }
    Whom::Selector(labels)
}

/// The names of tasks that carry all these labels; those marked deleted where asked for.
fn selected(view: &View, selector: &BTreeMap<String, String>, marked: bool) -> Vec<String> {
    let tasks = view.state.by_name("").filter(|task| marked || task.live.deleted.is_none());
    let fits = tasks.filter(|task| {
        let labels = task.spec().map(|spec| &spec.labels);
        labels.is_some_and(|labels| {
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    });
    fits.map(|task| Arc::clone(&task.live.name).to_string()).collect()
}

fn command(view: &View, operation: &Operation, name: &str) -> Result<Command, Problem> {
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
                check_name(&name).map_err(|rule| Problem::field("/names", "invalid_name", rule))?;
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

fn shown(name: &str) -> Map<String, Value> {
    Map::from_iter([("name".to_owned(), name.into())])
}

fn complete(name: &str, answer: Option<Result<Response, Problem>>) -> Item {
    let answer = answer.unwrap_or_else(|| Err(Problem::internal("an item was not answered")));
    let status = StatusCode::OK.as_u16();
    match answer.and_then(|response| response.map_err(Problem::from)) {
        Err(problem) => Item::bad(shown(name), problem),
        Ok(Answer::Task { revision, .. }) => {
            Item::good(json!({"name": name, "status": status, "revision": revision.0}))
        }
        Ok(Answer::Execution { execution, .. }) => {
            let id = execution.to_string();
            Item::good(json!({"name": name, "status": status, "execution_id": id}))
        }
        Ok(Answer::Running(ids)) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            Item::good(json!({"name": name, "status": status, "running": ids}))
        }
        Ok(_) => Item::good(json!({"name": name, "status": status})),
    }
}
