//! Carries out what was decided. Calendars come before the tasks that exclude them, and go after.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;

use super::super::batch;
use super::super::context::CliContext;
use super::super::exit::{Exit, Failure};
use super::super::fetch::typed;
use super::super::many;
use super::super::task::set::unchanged;
use super::{ApplyItem, ApplyResult, ObjectKind};
use crate::client::{Client, ClientError, if_match, path};
use crate::dto::{ItemView, TaskChanged, WarningView};

/// Requests at once.
const AT_ONCE: usize = 8;

/// What is changed after what.
const ORDER: [(ObjectKind, ApplyResult); 6] = [
    (ObjectKind::Calendar, ApplyResult::Created),
    (ObjectKind::Calendar, ApplyResult::Changed),
    (ObjectKind::Task, ApplyResult::Created),
    (ObjectKind::Task, ApplyResult::Changed),
    (ObjectKind::Task, ApplyResult::Removed),
    (ObjectKind::Calendar, ApplyResult::Removed),
];

/// Sends all changes. What is not done is refused; once the cluster does not answer, so is the rest.
/// Nothing is removed if anything before was refused: a task may have been renamed.
///
/// # Errors
/// No client can be made.
pub(super) async fn carry_out(
    items: &mut [ApplyItem],
    context: &mut CliContext,
) -> Result<(), Failure> {
    let changes = |item: &&ApplyItem| ORDER.iter().any(|(kind, result)| item.is(*kind, *result));
    let changes = items.iter().filter(changes).count();
    let (mut done, mut answers) = (0, true);
    for (kind, result) in ORDER {
        let incomplete = items.iter().any(|item| item.result == ApplyResult::Refused);
        let mut all: Vec<&mut ApplyItem> =
            items.iter_mut().filter(|item| item.is(kind, result)).collect();
        let mut due = all.as_mut_slice();
        if result == ApplyResult::Removed && incomplete {
            for item in std::mem::take(&mut due) {
                let why = "not removed, because something else was refused".to_owned();
                let why = many::unsent(&item.name, Exit::NotAccepted, why);
                item.refuse(why);
            }
        }
        while !due.is_empty() && answers {
            let created = (kind, result) == (ObjectKind::Task, ApplyResult::Created);
            let most = if created { batch::fitting(&bodies(due)) } else { AT_ONCE };
            let most = most.min(due.len());
            let (now, later) = std::mem::take(&mut due).split_at_mut(most);
            context.out.progress(done, changes, "changes");
            done += now.len();
            answers = match created {
                true => create(now, context).await,
                false => each(now, context.client()?).await,
            };
            due = later;
        }
        for item in due {
            let why = "not sent, because the cluster did not answer before".to_owned();
            let why = many::unsent(&item.name, Exit::NotAccepted, why);
            item.refuse(why);
        }
    }
    Ok(())
}

fn bodies<'i>(items: &'i [&mut ApplyItem]) -> Vec<&'i Value> {
    items.iter().map(|item| &item.body).collect()
}

/// Creates tasks. False: the cluster did not answer.
async fn create(items: &mut [&mut ApplyItem], context: &CliContext) -> bool {
    let results = match batch::create(&bodies(items), context).await {
        Ok(results) => results,
        Err(failure) => {
            for item in items {
                item.refuse(failed(&item.name, &failure));
            }
            return false;
        }
    };
    for (item, result) in items.iter_mut().zip(results) {
        if result.status < 400 {
            item.warnings = result.warnings;
        } else {
            item.refuse(result);
        }
    }
    true
}

/// Changes or removes objects. False: the cluster did not answer all of these.
async fn each(items: &mut [&mut ApplyItem], client: &Client) -> bool {
    let sent = join_all(items.iter().map(|item| one(item, client))).await;
    let mut answers = true;
    for (item, sent) in items.iter_mut().zip(sent) {
        match sent {
            Ok(warnings) => item.warnings = warnings,
            Err(error) => {
                answers &= matches!(error, ClientError::Refused(_));
                item.refuse(unchanged(&item.name, error));
            }
        }
    }
    answers
}

/// Sends one change, bound to the revision that was compared.
async fn one(item: &ApplyItem, client: &Client) -> Result<Vec<WarningView>, ClientError> {
    let collection = match item.kind {
        ObjectKind::Task => "tasks",
        ObjectKind::Calendar => "calendars",
    };
    let path = path([collection, &item.name]);
    let (method, body) = match item.result {
        ApplyResult::Removed => (Method::DELETE, None),
        _ => (Method::PUT, Some(&item.body)),
    };
    let bound = if_match(item.revision);
    // There is no revision of what is not there yet.
    let headers = if item.result == ApplyResult::Created { &[][..] } else { &bound[..] };
    let reply = client.send(method, &path, &[], body, headers).await?;
    if item.kind == ObjectKind::Calendar || item.result == ApplyResult::Removed {
        return Ok(Vec::new());
    }
    let says = typed::<TaskChanged>(&reply.body, Exit::Unknown)
        .map_err(|failure| ClientError::Unknown(failure.message))?;
    Ok(says.task.kept().map(|task| task.warnings.clone()).unwrap_or_default())
}

/// What is told of a task whose request failed as a whole.
fn failed(name: &str, failure: &Failure) -> ItemView {
    let status = match failure.exit {
        Exit::Unknown => 504,
        Exit::NotAllowed => 403,
        Exit::Conflict => 409,
        Exit::NotAccepted => 503,
        Exit::Ok | Exit::No | Exit::Usage => 422,
    };
    let detail = Some(failure.message.clone());
    ItemView { name: name.into(), status, detail, ..ItemView::default() }
}
