//! What forms do: each calls one operation, and goes back to the page that it came from with a word
//! about what was done.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::Response;

use std::sync::Arc;

use super::confirm::{self, Question};
use super::parts::{execution_path, task_path};
use super::text::{self, Text};
use super::visit::{Form, done};
use crate::domain::error_code::ErrorCode;
use crate::domain::executor::ExecutorStatus;
use crate::dto::{PauseRequest, TriggerRequest};
use crate::ops::context::Context;
use crate::ops::tasks::bulk::{self, Operation, TaskSelection};
use crate::ops::tasks::lifecycle::{self, Deletion};
use crate::ops::tasks::trigger;
use crate::ops::{OpError, cluster, executions, executors, members, nodes};

/// Executions that one form may be about.
const MANY: usize = 500;

/// A form about one object: what the path names, and what is to be done.
pub(super) struct ActionForm {
    form: Form,
    object: String,
    action: String,
}

impl FromRequest<Arc<Context>> for ActionForm {
    type Rejection = Response;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, context).await;
        let named = |name: &str| {
            let params = params.as_ref().ok()?;
            let found = params.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_owned())
        };
        let object = named("name").or_else(|| named("id")).unwrap_or_default();
        let action = named("action").unwrap_or_default();
        let form = Form::from_request(Request::from_parts(parts, body), context).await?;
        Ok(Self { form, object, action })
    }
}

impl ActionForm {
    /// The answer: back to where the form was, or why it was not done.
    fn answer(&self, home: &str, result: Result<(Text, String), OpError>) -> Response {
        match result {
            Ok((said, about)) => {
                let said = self.form.visit.lang.fill(said, &[&about]);
                done(self.form.back(home), &said)
            }
            Err(problem) => self.form.visit.refuse(&problem),
        }
    }

    /// The question before an action that cannot be taken back; none if it was answered or the action
    /// is another one.
    fn asked(&self, home: &str, about: &str) -> Option<Response> {
        let name = match self.action.as_str() {
            "cancel" => text::CANCEL,
            "delete" => text::DELETE,
            "cleanup" => text::CLEANUP,
            "stop" if about.is_empty() => text::STOP_SCHEDULER,
            "stop" => text::STOP,
            "drain" => text::DRAIN,
            "remove" => text::REMOVE_MEMBER,
            "replace" => text::REPLACE_MEMBER,
            _ => return None,
        };
        let visit = &self.form.visit;
        let button = visit.say(name);
        let title = match about {
            "" => format!("{button}?"),
            about => visit.lang.fill(text::REALLY, &[button, about]),
        };
        confirm::ask(&self.form, &Question { title, button, objects: &[], home })
    }

    fn unknown(&self) -> OpError {
        OpError::new(ErrorCode::RouteNotFound, format!("there is no action {:?}", self.action))
    }
}

/// `POST /tasks/{name}/{action}`.
pub(super) async fn task(action: ActionForm) -> Response {
    let name = action.object.clone();
    if let Some(question) = action.asked(&task_path(&name), &name) {
        return question;
    }
    let result = task_done(&action, &name).await;
    // A task that was removed has no page.
    let home = if action.action == "cleanup" { "/tasks".to_owned() } else { task_path(&name) };
    if action.action == "cleanup" && result.is_ok() {
        return done("/tasks", &action.form.visit.lang.fill(text::DID_CLEANUP, &[&name]));
    }
    action.answer(&home, result)
}

async fn task_done(action: &ActionForm, name: &str) -> Result<(Text, String), OpError> {
    let caller = action.form.caller();
    let about = name.to_owned();
    Ok(match action.action.as_str() {
        "trigger" => {
            let made = trigger::trigger(&caller, name, TriggerRequest::default()).await?;
            (text::DID_TRIGGER, made.body.execution.id().to_owned())
        }
        "pause" => {
            let reason = action.form.get("reason").map(str::to_owned);
            let pause = PauseRequest { reason, until: None };
            lifecycle::pause(&caller, name, pause, false).await?;
            (text::DID_PAUSE, about)
        }
        "resume" => {
            lifecycle::resume(&caller, name).await?;
            (text::DID_RESUME, about)
        }
        "cancel" => {
            lifecycle::cancel(&caller, name, false).await?;
            (text::DID_CANCEL, about)
        }
        "delete" => {
            lifecycle::delete(&caller, name, Deletion::default()).await?;
            (text::DID_DELETE, about)
        }
        "reuse" => {
            lifecycle::reuse(&caller, name).await?;
            (text::DID_REUSE, about)
        }
        "cleanup" => {
            lifecycle::cleanup(&caller, name).await?;
            (text::DID_CLEANUP, about)
        }
        _ => return Err(action.unknown()),
    })
}

/// `POST /executions/{id}/{action}`.
pub(super) async fn execution(action: ActionForm) -> Response {
    let id = action.object.clone();
    if let Some(question) = action.asked(&execution_path(&id), &id) {
        return question;
    }
    let result = execution_done(&action, &id).await;
    action.answer(&execution_path(&id), result)
}

async fn execution_done(action: &ActionForm, id: &str) -> Result<(Text, String), OpError> {
    let caller = action.form.caller();
    Ok(match action.action.as_str() {
        "stop" => {
            executions::stop(&caller, id).await?;
            (text::DID_STOP, id.to_owned())
        }
        "retry" => {
            let made = executions::retry(&caller, id).await?;
            seen(&action.form, id).await;
            (text::DID_RETRY, made.body.execution.id().to_owned())
        }
        "dismiss" => {
            executions::dismiss(&caller, id).await?;
            (text::DID_DISMISS, id.to_owned())
        }
        _ => return Err(action.unknown()),
    })
}

/// `POST /nodes/{id}/{action}`.
pub(super) async fn node(action: ActionForm) -> Response {
    if let Some(question) = action.asked("/nodes", &action.object) {
        return question;
    }
    let result = node_done(&action).await;
    action.answer("/nodes", result)
}

async fn node_done(action: &ActionForm) -> Result<(Text, String), OpError> {
    let (caller, id) = (action.form.caller(), action.object.as_str());
    Ok(match action.action.as_str() {
        "drain" => (text::DID_DRAIN, nodes::drain(&caller, id, true).await?.body.name),
        "undrain" => (text::DID_UNDRAIN, nodes::drain(&caller, id, false).await?.body.name),
        "remove" => {
            members::remove(&caller, id).await?;
            (text::DID_REMOVE_MEMBER, id.to_owned())
        }
        "replace" => {
            members::replace(&caller, id).await?;
            (text::DID_ADD_MEMBER, id.to_owned())
        }
        "lead" => {
            let leader = cluster::transfer_leader(&caller, Some(id)).await?.body.leader;
            (text::DID_TRANSFER, leader.unwrap_or_else(|| id.to_owned()))
        }
        _ => return Err(action.unknown()),
    })
}

/// `POST /nodes`: a node that waits with an empty folder joins.
pub(super) async fn add_member(form: Form) -> Response {
    let address = |name: &str| {
        let given = form.get(name).map(str::to_owned);
        given.ok_or_else(|| OpError::parameter(name, "must be given"))
    };
    let id = form.get("id").and_then(|id| id.parse::<u16>().ok()).filter(|id| *id > 0);
    let id = id.ok_or_else(|| OpError::parameter("id", "must be a number from 1 to 65535"));
    let added = async {
        let (id, peer, http) = (id?, address("peer")?, address("http")?);
        members::add(&form.caller(), id, peer, http).await?;
        Ok::<_, OpError>(form.visit.lang.fill(text::DID_ADD_MEMBER, &[&format!("n{id}")]))
    };
    match added.await {
        Ok(said) => done(form.back("/nodes"), &said),
        Err(problem) => form.visit.refuse(&problem),
    }
}

/// `POST /executors/{id}/{action}`.
pub(super) async fn executor(action: ActionForm) -> Response {
    let result = executor_done(&action).await;
    action.answer("/executors", result)
}

async fn executor_done(action: &ActionForm) -> Result<(Text, String), OpError> {
    let (caller, id) = (action.form.caller(), action.object.as_str());
    let reason = action.form.get("reason").unwrap_or_default();
    let (status, said) = match action.action.as_str() {
        "maintenance" => (ExecutorStatus::Maintenance, text::DID_MAINTENANCE),
        "online" => (ExecutorStatus::Online, text::DID_ONLINE),
        _ => return Err(action.unknown()),
    };
    executors::set_status(&caller, id, status, reason).await?;
    Ok((said, id.to_owned()))
}

/// `POST /scheduler/{action}`.
pub(super) async fn scheduler(action: ActionForm) -> Response {
    if let Some(question) = action.asked("/nodes", "") {
        return question;
    }
    let caller = action.form.caller();
    let result = match action.action.as_str() {
        "start" => Ok((true, text::DID_START)),
        "stop" => Ok((false, text::DID_STOP_SCHEDULER)),
        _ => Err(action.unknown()),
    };
    let result = match result {
        Ok((on, said)) => {
            cluster::set_scheduler(&caller, on).await.map(|_switched| (said, String::new()))
        }
        Err(problem) => Err(problem),
    };
    action.answer("/nodes", result)
}

/// `POST /tasks`: one action on the selected tasks.
pub(super) async fn tasks(form: Form) -> Response {
    let names: Vec<String> = form.all("name").map(str::to_owned).collect();
    let pause = Operation::Pause { reason: String::new(), until: None };
    let delete = Operation::Delete { stop: false, tombstone: false };
    let (operation, name) = match form.get("action") {
        Some("pause") => (pause, text::PAUSE),
        Some("resume") => (Operation::Resume, text::RESUME),
        Some("trigger") => (Operation::Trigger { parameters: None }, text::RUN_NOW),
        Some("cancel") => (Operation::Cancel, text::CANCEL),
        Some("delete") => (delete, text::DELETE),
        other => {
            let why = format!("there is no action {:?}", other.unwrap_or_default());
            return form.visit.refuse(&OpError::new(ErrorCode::RouteNotFound, why));
        }
    };
    let button = form.visit.say(name);
    let title = form.visit.lang.fill(text::REALLY_MANY, &[button, &names.len().to_string()]);
    let question = Question { title, button, objects: &names, home: "/tasks" };
    if let Some(question) = confirm::ask(&form, &question).filter(|_| !names.is_empty()) {
        return question;
    }
    let caller = form.caller();
    match bulk::bulk(&caller, operation, TaskSelection::Names(names)).await {
        Ok(answer) => {
            let items = answer.body;
            let counts = [items.succeeded.to_string(), items.failed.to_string()];
            let mut said = form.visit.lang.fill(text::DID_MANY, &[&counts[0], &counts[1]]);
            if let Some(refused) = items.items.iter().find_map(|item| item.detail.as_ref()) {
                said.push_str(&format!(" ({refused})"));
            }
            done(form.back("/tasks"), &said)
        }
        Err(problem) => form.visit.refuse(&problem),
    }
}

/// Notes that a failure that is repeated waits for no decision any more.
async fn seen(form: &Form, id: &str) {
    let mut caller = form.caller();
    caller.key = None;
    // It may have ended well, or be gone by now.
    let _not_failed = executions::dismiss(&caller, id).await;
}

/// `POST /executions`: retries or dismisses several, one after the other. The form's key makes sure that
/// none is repeated twice.
pub(super) async fn executions(form: Form) -> Response {
    let ids: Vec<&str> = form.get("ids").unwrap_or_default().split(' ').collect();
    let retries = match form.get("action") {
        Some("retry") => true,
        Some("dismiss") => false,
        other => {
            let why = format!("there is no action {:?}", other.unwrap_or_default());
            return form.visit.refuse(&OpError::new(ErrorCode::RouteNotFound, why));
        }
    };
    if ids.len() > MANY {
        let rule = format!("at most {MANY} executions at once");
        return form.visit.refuse(&OpError::parameter("ids", rule));
    }
    let button = form.visit.say(if retries { text::RETRY } else { text::DISMISS });
    let title = form.visit.lang.fill(text::REALLY_EXECUTIONS, &[button, &ids.len().to_string()]);
    let objects: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let question = Question { title, button, objects: &objects, home: "/failed" };
    if let Some(question) = confirm::ask(&form, &question) {
        return question;
    }
    let (mut good, mut refused) = (0_usize, Vec::new());
    for id in ids {
        let mut caller = form.caller();
        caller.key = caller.key.map(|key| format!("{key} {id}"));
        let result = if retries {
            executions::retry(&caller, id).await
        } else {
            executions::dismiss(&caller, id).await
        };
        match result {
            Ok(_) if retries => {
                good += 1;
                seen(&form, id).await;
            }
            Ok(_) => good += 1,
            // The others would fail likewise.
            Err(problem) if problem.code().status() >= 500 => return form.visit.refuse(&problem),
            Err(problem) => refused.push(problem.detail().to_owned()),
        }
    }
    let counts = [good.to_string(), refused.len().to_string()];
    let mut said = form.visit.lang.fill(text::DID_MANY, &[&counts[0], &counts[1]]);
    if let Some(first) = refused.first() {
        said.push_str(&format!(" ({first})"));
    }
    done(form.back("/failed"), &said)
}
