//! A definition that is being edited: as fields or as text, with the body that it was filled from and the
//! revision that it is about.

use std::sync::Arc;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::overlay::{FormTexts, carry_over, overlay};
use crate::config::files;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::Task;
use crate::domain::spec::{self, BodyProblem};
use crate::domain::task::TaskSpec;
use crate::dto::ChangeView;
use crate::ops::OpError;
use crate::ops::context::{Context, StateView};
use crate::ops::tasks::definition;
use crate::ui::parts::task_path;
use crate::ui::visit::Form;

/// How the definition is shown.
pub(super) enum FormView {
    Fields(FormTexts),
    Source(String),
}

impl FormView {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fields(_) => "form",
            Self::Source(_) => "source",
        }
    }
}

/// A definition that is being edited.
pub(super) struct TaskForm {
    /// The task. None: a new one.
    pub name: Option<String>,
    /// The revision that is to be changed.
    pub revision: Option<u64>,
    /// The body that the form was filled from.
    pub base: Value,
    pub view: FormView,
}

/// What others changed since the form was opened.
pub(super) struct Conflict {
    /// The present revision.
    pub revision: u64,
    /// What they changed. None: that is not known any more.
    pub changes: Option<Vec<ChangeView>>,
}

impl TaskForm {
    pub fn path(&self) -> String {
        self.name.as_ref().map_or("/new".to_owned(), |name| format!("{}/edit", task_path(name)))
    }

    /// Where the form comes from.
    pub fn home(&self) -> String {
        self.name.as_ref().map_or("/tasks".to_owned(), |name| task_path(name))
    }

    /// A form that shows a body.
    pub fn of(name: Option<String>, revision: Option<u64>, base: Value) -> Self {
        let view = FormView::Fields(FormTexts::of(&base));
        Self { name, revision, base, view }
    }

    /// The form as it was sent.
    pub fn sent(name: Option<String>, form: &Form) -> Result<Self, OpError> {
        let base = form.get("base").and_then(|text| spec::parse_json(text).ok());
        let base = base.filter(Value::is_object).or_else(|| name.is_none().then(|| json!({})));
        // Without it what the form does not show would be lost.
        let rule = "must be the definition from which the form was filled";
        let base = base.ok_or_else(|| OpError::parameter("base", rule))?;
        let revision = form.get("revision").and_then(|text| text.parse().ok());
        let source = form.all("source").next().filter(|_| form.get("view") == Some("source"));
        let view = match source {
            Some(source) => FormView::Source(source.replace("\r\n", "\n")),
            None => FormView::Fields(FormTexts::sent(&base, &form.fields)),
        };
        Ok(Self { name, revision, base, view })
    }

    /// The body that the form means, and what cannot be read in it.
    pub fn body(&self) -> (Value, Vec<BodyProblem>) {
        match &self.view {
            FormView::Fields(texts) => overlay(&self.base, texts),
            FormView::Source(source) => match files::read_text(source) {
                Ok(body) => (body, Vec::new()),
                Err(message) => {
                    let (pointer, code) = (String::new(), ErrorCode::InvalidValue);
                    (Value::Null, vec![BodyProblem { pointer, code, message }])
                }
            },
        }
    }

    /// Shows the same in the other view. A text that cannot be read stays a text.
    pub fn turn(&mut self, view: &StateView, context: &Context) {
        let (body, problems) = self.body();
        match &self.view {
            FormView::Fields(_) => self.view = FormView::Source(files::write_text(&body)),
            FormView::Source(_) if problems.is_empty() && body.is_object() => {
                // The form has the canonical fields only. A text may have others too.
                let canonical = self.read(view, context, &body).ok().map(|spec| spec::write(&spec));
                self.show(canonical.unwrap_or(body));
            }
            FormView::Source(_) => {}
        }
    }

    /// Fills the form.
    fn show(&mut self, body: Value) {
        self.view = FormView::Fields(FormTexts::of(&body));
        self.base = body;
    }

    pub fn read(
        &self,
        view: &StateView,
        context: &Context,
        body: &Value,
    ) -> Result<TaskSpec, OpError> {
        match &self.name {
            Some(name) => definition::read_changed(view, &context.settings, name, body),
            None => definition::read_new(view, &context.settings, body),
        }
    }

    pub fn task<'a>(&self, view: &'a StateView) -> Option<&'a Arc<Task>> {
        view.state.named(self.name.as_deref()?)
    }

    /// What others changed since the form was filled. What was typed is carried over to their revision.
    pub fn rebase(&mut self, view: &StateView) -> Option<Conflict> {
        let task = Arc::clone(self.task(view)?);
        let opened = self.revision?;
        let revision = task.live.revision.0;
        if revision == opened {
            return None;
        }
        let current = spec::write(task.spec()?);
        let base = written(&task, Revision(opened));
        let (body, problems) = self.body();
        // A text that cannot be read stays as it is, and with it the revision that it is about.
        if !problems.is_empty() || !body.is_object() {
            return None;
        }
        let carried = carry_over(&current, base.as_ref().unwrap_or(&self.base), &body);
        match self.view {
            FormView::Fields(_) => self.show(carried),
            FormView::Source(_) => self.view = FormView::Source(files::write_text(&carried)),
        }
        self.revision = Some(revision);
        let changes = base.map(|base| ChangeView::between(&base, &current));
        Some(Conflict { revision, changes })
    }
}

/// The body that a task had at a revision, if it is kept. Not every revision has one of its own.
fn written(task: &Task, revision: Revision) -> Option<Value> {
    let kept = task.definitions.iter().rev().find(|kept| kept.revision <= revision)?;
    Some(spec::write(&kept.spec))
}

/// What identifies a body and the revision over which it is saved.
pub(super) fn fingerprint(body: &Value, revision: Option<u64>) -> String {
    format!("{:032x}", xxh3_128(format!("{revision:?} {body}").as_bytes()))
}
