//! `/new` and `/tasks/{name}/edit`: a definition as a form or as text, with what it means and what
//! saving it changes.
//!
//! A form is sent in steps: `preview`, `source` and `form` (another view of the same), `save`. Only what
//! was previewed is saved, and only over the revision from which the form was filled: what others
//! changed meanwhile is shown first. The form carries the body that it was filled from; what it does not
//! show stays as it is there (`overlay.rs`).

mod fields;
mod form;
mod overlay;
mod preview;
mod task_form;
mod year;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use std::sync::Arc;

use self::preview::Previewed;
use self::task_form::{Conflict, FormView, TaskForm, fingerprint};
use super::clock::ZoneClock;
use super::parts::{segment, task_path};
use super::shell::{Page, Section};
use super::text::edit as text;
use super::visit::{Form, Visit, done};
use crate::config::files;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::Refusal;
use crate::domain::spec;
use crate::dto::{ChangeView, FieldError};
use crate::ops::caller::IfMatch;
use crate::ops::context::{Context, StateView};
use crate::ops::draft::DraftSchedule;
use crate::ops::tasks::definition;
use crate::ops::{OpAnswer, OpError};

/// What is to be shown beside the form.
#[derive(Default)]
struct Beside {
    refused: Option<OpError>,
    conflict: Option<Conflict>,
    notice: Option<String>,
    blank: bool,
}

/// `GET /new`, with `copy` the name of a task to begin with.
pub(super) async fn new(visit: Visit) -> Response {
    let page = async {
        writable(&visit)?;
        let view = visit.view().await?;
        let mut beside = Beside { blank: true, ..Beside::default() };
        let mut base = json!({});
        if let Some(name) = visit.get("copy") {
            base = spec::write(view.task(name)?.spec().ok_or(Refusal::TaskDeleted)?);
            if let Some(own) = base.pointer_mut("/name") {
                *own = format!("{name}-copy").into();
            }
            beside.blank = false;
            beside.notice = Some(visit.lang.fill(text::COPY_OF, &[name]));
        }
        let mut edited = TaskForm::of(None, None, base);
        if let FormView::Fields(texts) = &mut edited.view
            && beside.blank
        {
            texts.begin();
        }
        page(&visit, &view, edited, beside).await
    };
    let page = page.await;
    visit.answer(page)
}

/// `GET /tasks/{name}/edit`, with `from` the number of a revision to begin with.
pub(super) async fn edit(params: RawPathParams, visit: Visit) -> Response {
    let name = params.iter().next().map_or("", |(_, name)| name).to_owned();
    let page = async {
        writable(&visit)?;
        let view = visit.view().await?;
        let task = Arc::clone(view.task(&name)?);
        let spec = task.spec().filter(|_| task.live.deleted.is_none());
        let mut beside = Beside::default();
        let mut base = spec::write(spec.ok_or(Refusal::TaskDeleted)?);
        if let Some(from) = visit.get("from") {
            let kept = from.parse().ok().and_then(|from| task.revision(Revision(from)));
            let rule = || format!("revision {from} of {name} is not kept");
            base = spec::write(&kept.ok_or_else(|| OpError::parameter("from", rule()))?.spec);
            beside.notice = Some(visit.lang.fill(text::FROM_REVISION, &[from]));
        }
        let edited = TaskForm::of(Some(name.clone()), Some(task.live.revision.0), base);
        page(&visit, &view, edited, beside).await
    };
    let page = page.await;
    visit.answer(page)
}

/// The link to the form for a new task.
pub(super) fn new_task(visit: &Visit) -> Markup {
    html! { @if !visit.read_only { a.button.primary href="/new" { (visit.say(text::NEW_TASK)) } } }
}

/// The links to the form of a task, and to one for a task like it.
pub(super) fn links(visit: &Visit, name: &str) -> Markup {
    html! {
        @if !visit.read_only {
            a.button href={ (task_path(name)) "/edit" } { (visit.say(text::EDIT)) }
            a.button href={ "/new?copy=" (segment(name)) } { (visit.say(text::COPY)) }
        }
    }
}

/// The link to the form of a task with a definition that it had.
pub(super) fn from_revision(visit: &Visit, name: &str, revision: u64) -> Markup {
    html! {
        @if !visit.read_only {
            a.right href={ (task_path(name)) "/edit?from=" (revision) } { (visit.say(text::EDIT_FROM)) }
        }
    }
}

fn writable(visit: &Visit) -> Result<(), OpError> {
    let why = "this page only shows, and changes nothing";
    if visit.read_only { Err(OpError::new(ErrorCode::CrossSite, why)) } else { Ok(()) }
}

/// A form that was sent, and the task that its address names.
pub(super) struct SentEdit {
    form: Form,
    name: Option<String>,
}

impl FromRequest<Arc<Context>> for SentEdit {
    type Rejection = Response;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, context).await;
        let name = params.ok().and_then(|params| Some(params.iter().next()?.1.to_owned()));
        let form = Form::from_request(Request::from_parts(parts, body), context).await?;
        Ok(Self { form, name })
    }
}

/// `POST /new` and `POST /tasks/{name}/edit`.
pub(super) async fn send(SentEdit { form, name }: SentEdit) -> Response {
    match sent(&form, name).await {
        Ok(response) => response,
        Err(problem) => form.visit.refuse(&problem),
    }
}

async fn sent(form: &Form, name: Option<String>) -> Result<Response, OpError> {
    let visit = &form.visit;
    let view = visit.view().await?;
    let mut edited = TaskForm::sent(name, form)?;
    let mut beside = Beside::default();
    let mut status = StatusCode::OK;
    match form.get("step") {
        Some(other @ ("source" | "form")) if other != edited.view.word() => {
            edited.turn(&view, &visit.context);
        }
        Some("save") => {
            let (body, problems) = edited.body();
            let seen = form.get("seen") == Some(&fingerprint(&body, edited.revision));
            if problems.is_empty() && seen {
                match save(form, &edited, &body).await {
                    Ok((to, said)) => return Ok(done(&to, &said)),
                    Err(problem) => {
                        status = status_of(&problem);
                        beside.refused = Some(problem);
                    }
                }
            } else if problems.is_empty() {
                beside.notice = Some(visit.say(text::LOOK_AGAIN).to_owned());
            }
        }
        _ => {}
    }
    // What is shown is compared with what the task is now.
    let view = if beside.refused.is_some() { visit.view().await? } else { view };
    beside.conflict = edited.rebase(&view);
    let page = page(visit, &view, edited, beside).await;
    let mut response = visit.answer(page);
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    Ok(response)
}

fn status_of(problem: &OpError) -> StatusCode {
    StatusCode::from_u16(problem.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Saves, and says where to go and what was done.
async fn save(form: &Form, edited: &TaskForm, body: &Value) -> Result<(String, String), OpError> {
    let mut caller = form.caller();
    let lang = form.visit.lang;
    match &edited.name {
        Some(name) => {
            let bound = edited.revision.map(Revision).into_iter().collect();
            caller.if_match = IfMatch::OneOf(bound);
            let OpAnswer { revision, .. } = definition::put(&caller, name, body).await?;
            let revision = revision.map(|revision| revision.0.to_string()).unwrap_or_default();
            Ok((task_path(name), lang.fill(text::DID_SAVE, &[name, &revision])))
        }
        None => {
            let made = definition::create(&caller, body, false).await?.body;
            let name = made.task.name();
            Ok((task_path(name), lang.fill(text::DID_CREATE, &[name])))
        }
    }
}

/// The page with the form and the preview beside it.
async fn page(
    visit: &Visit,
    view: &StateView,
    edited: TaskForm,
    beside: Beside,
) -> Result<Page, OpError> {
    let (visit_then, view_then) = (visit.clone(), view.clone());
    let scan = move || {
        let shown = previewed(&visit_then, &view_then, &edited, beside);
        (edited, shown)
    };
    let (edited, shown) = visit.context.scans.run(scan).await?;
    let title = match &edited.name {
        Some(name) => visit.lang.fill(text::EDIT_TASK, &[name]),
        None => visit.say(text::NEW_TASK).to_owned(),
    };
    // A form that nobody has filled has no problems yet.
    let told = if shown.blank { &[] } else { shown.problems.as_slice() };
    let body = html! {
        h1 { (title) }
        div.edit {
            (form::form(visit, &edited, view.zone(), told))
            (preview::preview(visit, &edited, &shown))
        }
    };
    Ok(Page { section: Section::Tasks, title, body })
}

/// Tells problems with the lines of a text.
fn with_lines(problems: &mut [FieldError], source: &str) {
    if problems.iter().all(|problem| problem.pointer.is_empty()) {
        return;
    }
    let lines = files::lines_of(source);
    // What is wrong with the text as a whole says where.
    for problem in problems.iter_mut().filter(|problem| !problem.pointer.is_empty()) {
        if let Some(line) = lines.of(0, &problem.pointer) {
            problem.message.insert_str(0, &format!("line {line}: "));
        }
    }
}

/// Computes what the definition means.
fn previewed(visit: &Visit, view: &StateView, edited: &TaskForm, beside: Beside) -> Previewed {
    let (body, unreadable) = edited.body();
    let read = edited.read(view, &visit.context, &body);
    let mut problems: Vec<FieldError> = OpError::from(unreadable).fields();
    // A text that is no definition at all has that one problem.
    let whole = problems.iter().any(|problem| problem.pointer.is_empty());
    let mut refused =
        beside.refused.filter(|problem| problem.code() != ErrorCode::RevisionMismatch);
    let spec = match read {
        Ok(spec) if problems.is_empty() => Some(spec),
        Ok(_) => None,
        Err(problem) => {
            let known: Vec<String> = problems.iter().map(|one| one.pointer.clone()).collect();
            let more = problem.fields();
            if more.is_empty() {
                refused = Some(problem);
            } else if !whole {
                problems.extend(more.into_iter().filter(|one| !known.contains(&one.pointer)));
            }
            None
        }
    };
    // A name that is taken is told at the name.
    let of_name = |problem: &mut OpError| {
        let taken = matches!(problem.code(), ErrorCode::TaskExists | ErrorCode::TaskDeleted);
        taken && edited.name.is_none()
    };
    if let Some(taken) = refused.take_if(of_name) {
        let (code, message) = (taken.code().as_str().into(), taken.detail().to_owned());
        problems.push(FieldError { pointer: "/name".to_owned(), code, message });
    }
    if let FormView::Source(source) = &edited.view {
        with_lines(&mut problems, source);
    }
    let task = edited.task(view);
    let changes = spec.as_ref().and_then(|spec| {
        Some(ChangeView::between(&spec::write(task?.spec()?), &spec::write(spec)))
    });
    let seen = spec.is_some().then(|| fingerprint(&body, edited.revision));
    let draft =
        DraftSchedule::of(view, &visit.context.settings, &body, spec, task.map(|task| &**task));
    let ticks = draft.filter(|_| !beside.blank).map(|draft| {
        let zone = draft.zone(view).to_owned();
        let clock = ZoneClock::new(&zone, view.now, visit.lang);
        let bounds = year::days(&clock);
        let ticks = draft.ticks(view, &bounds, task.map(|task| &**task));
        (ticks, clock, zone, bounds)
    });
    Previewed {
        ticks,
        problems,
        refused: refused.map(|problem| format!("{} {}", problem.detail(), problem.advice())),
        changes,
        conflict: beside.conflict,
        notice: beside.notice,
        seen: seen.filter(|_| !beside.blank),
        blank: beside.blank,
    }
}
