//! One operation on many tasks, selected by names or labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{MarkDeleted, Named, PauseTask, TriggerTask};
use crate::domain::machine::{Answer, Command, Refusal, Response, Task};
use crate::domain::spec::check_name;
use crate::domain::time::Timestamp;
use crate::dto::{ItemView, ItemsView};
use crate::ops::context::StateView;
use crate::ops::proposals::Proposals;
use crate::ops::{Caller, OpAnswer, OpError};

use super::batch::{ITEMS_MAX, ItemResult, answer};
use super::lifecycle::check_until;
use super::trigger::merged;

/// The operation on each task.
pub(crate) enum Operation {
    Pause { reason: String, until: Option<Timestamp> },
    Resume,
    Cancel,
    Trigger { parameters: Option<Map<String, Value>> },
    Delete { stop: bool, tombstone: bool },
    Cleanup,
}

/// The selected tasks.
#[derive(Clone)]
pub(crate) enum TaskSelection {
    Names(Vec<String>),
    Labels(BTreeMap<String, String>),
}

impl TaskSelection {
    /// Refuses a selection that is too large, or that would select every task by mistake.
    ///
    /// # Errors
    /// `too_many_items`, `empty`.
    pub fn check(&self) -> Result<(), OpError> {
        let of = |pointer, code, rule: String| Err(OpError::field(pointer, code, rule));
        match self {
            Self::Names(names) if names.is_empty() || names.len() > ITEMS_MAX => {
                let rule = format!("must have 1 to {ITEMS_MAX} names, has {}", names.len());
                of("/names", ErrorCode::TooManyItems, rule)
            }
            Self::Labels(labels) if labels.is_empty() => {
                let rule = "must not be empty: it would select every task".to_owned();
                of("/selector", ErrorCode::Empty, rule)
            }
            Self::Names(_) | Self::Labels(_) => Ok(()),
        }
    }
}

/// Applies one operation to many tasks. Errors are reported per task.
///
/// # Errors
/// Those of [`TaskSelection::check`]; `invalid_value`; the error of the cluster if it accepted none
/// of the commands.
pub(crate) async fn bulk(
    caller: &Caller,
    operation: Operation,
    tasks: TaskSelection,
) -> Result<OpAnswer<ItemsView>, OpError> {
    tasks.check()?;
    let before = caller.view().await?;
    let since = repeats(&before, caller)?;
    // The end of a repeated pause may have passed by now.
    if let (Operation::Pause { until, .. }, None) = (&operation, since) {
        check_until(*until, caller.context.clock.now())?;
    }
    caller.take_key().await?;
    let view = caller.view().await?;
    let names = match tasks {
        TaskSelection::Names(names) => names,
        TaskSelection::Labels(labels) => {
            let marked = matches!(operation, Operation::Cleanup);
            let selector = Selector { labels, marked, since };
            let (view, done) = (view.clone(), caller.part(""));
            let names =
                caller.context.scans.run(move || selector.names(&view, done.as_deref())).await?;
            names.into_iter().collect()
        }
    };
    let mut proposals = Proposals::default();
    let prepared: Vec<PreparedTask> = names
        .into_iter()
        .map(|name| one(caller, &view, &operation, name, &mut proposals))
        .collect();
    let mut answers = proposals.submit(&caller.context).await.into_iter();
    let items = prepared.into_iter().map(|one| match one {
        PreparedTask::Refused(bad) => *bad,
        PreparedTask::Answered(name, response) => complete(&name, Some(Ok(response))),
        PreparedTask::Proposed(name) => complete(&name, answers.next()),
    });
    answer(caller, items.collect())
}

/// The counter at the time of the first request, if this request repeats it.
///
/// # Errors
/// `idempotency_key_reused`.
fn repeats(view: &StateView, caller: &Caller) -> Result<Option<u64>, OpError> {
    let Some(key) = caller.key() else { return Ok(None) };
    Ok(view.state.first(key)?.map(|known| known.number))
}

/// What to do for one task.
enum PreparedTask {
    /// Nothing, because of an error.
    Refused(Box<ItemResult>),
    /// Nothing: the request is repeated, and this was the response.
    Answered(String, Response),
    /// It is among the proposals.
    Proposed(String),
}

fn one(
    caller: &Caller,
    view: &StateView,
    operation: &Operation,
    name: String,
    proposals: &mut Proposals,
) -> PreparedTask {
    let part = caller.part(&name);
    let key = part.as_deref().map(|part| caller.under(part));
    if let Some(known) = key.and_then(|key| view.state.first(key).ok().flatten()) {
        return PreparedTask::Answered(name, known.response.clone());
    }
    match command(view, operation, &name) {
        Ok(command) => {
            proposals.add(&command, key);
            PreparedTask::Proposed(name)
        }
        Err(problem) => PreparedTask::Refused(Box::new(ItemResult::bad(shown(&name), problem))),
    }
}

/// The selection of a request without names.
struct Selector {
    /// The labels that a task must have.
    labels: BTreeMap<String, String>,
    /// Whether tasks marked deleted are included.
    marked: bool,
    /// The counter at the time of the first request, if this request repeats it. Then earlier
    /// results are returned again, and tasks created or changed since are not affected.
    since: Option<u64>,
}

impl Selector {
    /// The names, in order. `done` is the key prefix of tasks that were already processed.
    fn names(&self, view: &StateView, done: Option<&str>) -> BTreeSet<String> {
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

fn command(view: &StateView, operation: &Operation, name: &str) -> Result<Command, OpError> {
    let name = name.to_owned();
    let if_match = None;
    Ok(match operation {
        Operation::Pause { reason, until } => {
            Command::Pause(PauseTask { name, reason: reason.clone(), until: *until, if_match })
        }
        Operation::Resume => Command::Resume(Named { name, if_match }),
        Operation::Cancel => Command::Cancel(Named { name, if_match }),
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
    ItemResult::blank(None, name.into())
}

fn complete(name: &str, answer: Option<Result<Response, OpError>>) -> ItemResult {
    let answer = answer.unwrap_or_else(|| Err(OpError::internal("an item was not answered")));
    let mut shown = shown(name);
    match answer.and_then(|response| response.map_err(OpError::from)) {
        Err(error) => return ItemResult::bad(shown, error),
        Ok(Answer::Task { revision, .. }) => shown.revision = Some(revision.0),
        Ok(Answer::Execution { execution, .. }) => shown.execution_id = Some(execution.to_string()),
        Ok(Answer::Resumed { revision, execution, .. }) => {
            (shown.revision, shown.execution_id) = (Some(revision.0), Some(execution.to_string()));
        }
        Ok(Answer::Running(ids)) => {
            shown.running = Some(ids.iter().map(ToString::to_string).collect());
        }
        Ok(_) => {}
    }
    ItemResult::good(shown)
}
