//! The registration of an executor, and of the tasks that it declares.
//!
//! A declared task is proposed by the principal `executor:<id>`. This makes it a task of executors:
//! its `origin` is `executor` as long as nobody else defines it.

use std::collections::BTreeSet;

use super::{DeclaredTask, head};
use crate::domain::error_code::ErrorCode;
use crate::domain::executor::ExecutorInfo;
use crate::domain::machine::command::{Put, PutExecutor, PutMode};
use crate::domain::machine::{Answer, Command, Refusal, Response, State, Task};
use crate::domain::spec::{self, ReadContext};
use crate::domain::task::TaskSpec;
use crate::dto::{DeclaredTaskView, ExecutorRegistered};
use crate::ops::context::StateView;
use crate::ops::proposals::Proposals;
use crate::ops::tasks::definition::settled;
use crate::ops::{Caller, OpAnswer, OpError};

/// What the principals of declared tasks begin with.
const PRINCIPAL: &str = "executor:";

/// Where the definition of a task comes from.
pub(crate) fn origin(state: &State, task: &Task) -> &'static str {
    if state.source(task).is_some() {
        return "static";
    }
    let newest = task.definitions.iter().last();
    if newest.is_some_and(|kept| kept.by.starts_with(PRINCIPAL)) { "executor" } else { "api" }
}

/// What an executor tells when it registers.
pub(crate) struct Registration {
    /// What it is.
    pub info: ExecutorInfo,
    /// The field that has its URL.
    pub url_field: &'static str,
    /// The tasks that it declares.
    pub tasks: Vec<DeclaredTask>,
}

/// Registers an executor or renews its registration, makes or changes the tasks that it declares,
/// and tells whether it is new.
///
/// # Errors
/// What is wrong with a declared task, with its place; `executor_online`; `invalid_url`;
/// `limit_reached`. Then nothing is changed.
pub(crate) async fn register(
    caller: &Caller,
    registration: Registration,
) -> Result<(OpAnswer<ExecutorRegistered>, bool), OpError> {
    let info = &registration.info;
    let urls = [
        (registration.url_field, Some(&info.base_url)),
        ("health_check_url", info.health_check_url.as_ref()),
    ];
    for (field, url) in urls {
        let Some(url) = url else { continue };
        if let Some(why) = caller.context.exec.refuses_host(url).await {
            return Err(OpError::field(format!("/{field}"), ErrorCode::InvalidUrl, why));
        }
    }
    let view = caller.view().await?;
    // All of them are read before anything is proposed: a mistake in one leaves nothing behind.
    let mut plans = Vec::with_capacity(registration.tasks.len());
    let mut names = BTreeSet::new();
    for (at, declared) in registration.tasks.iter().enumerate() {
        if !names.insert(declared.name.as_str()) {
            let message = format!("declares the task {} twice", declared.name);
            let pointer = format!("/tasks/{at}");
            return Err(OpError::field(pointer, ErrorCode::DuplicateItem, message));
        }
        let plan = DeclarationPlan::of(caller, &view, declared);
        plans.push(plan.map_err(|problem| problem.below(&format!("/tasks/{at}")))?);
    }
    caller.take_key().await?;
    let id = info.id.clone();
    let put = Command::PutExecutor(Box::new(PutExecutor { info: info.clone() }));
    let part = caller.part("executor");
    let key = part.as_deref().map(|part| caller.under(part));
    let answer = caller.context.submit(&put, key).await??;
    let created = matches!(answer, Answer::Executor { created: true, .. });
    let tasks = declare(caller, &id, &registration.tasks, plans).await;
    let view = caller.context.here()?;
    let Some(executor) = view.state.executor(&id) else {
        // It was removed since.
        return Err(Refusal::ExecutorNotFound.into());
    };
    let (head, revision) = (head(&view.state, executor), Some(executor.revision));
    let body = ExecutorRegistered { head, tasks };
    Ok((OpAnswer { view, body, revision }, created))
}

/// What is to be done about a declared task.
enum DeclarationPlan {
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// A put, which comes to this.
    Put(Box<Put>, &'static str),
}

impl DeclarationPlan {
    fn of(caller: &Caller, view: &StateView, declared: &DeclaredTask) -> Result<Self, OpError> {
        let former = view.state.named(&declared.name);
        let spec = read(caller, view, declared, former.map(|task| &**task))?;
        let Some(task) = former else {
            return Ok(Self::Put(Box::new(Put { mode: PutMode::Add, spec }), "created"));
        };
        if task.live.deleted.is_some() {
            return Ok(Self::Nothing("deleted"));
        }
        if origin(&view.state, task) != "executor" {
            return Ok(Self::Nothing("kept"));
        }
        if task.spec() == Some(&spec) {
            return Ok(Self::Nothing("unchanged"));
        }
        // Who changes it meanwhile has it.
        let mode = PutMode::Update { if_match: Some(task.live.revision) };
        Ok(Self::Put(Box::new(Put { mode, spec }), "updated"))
    }
}

fn read(
    caller: &Caller,
    view: &StateView,
    declared: &DeclaredTask,
    former: Option<&Task>,
) -> Result<TaskSpec, OpError> {
    let current = former.and_then(Task::spec).map(|spec| &spec.schedule);
    let settled = settled(view, &declared.body);
    let reading = ReadContext { current, settled, ..view.reading(&caller.context.settings) };
    spec::read(&declared.body, reading).map_err(|mut problems| {
        problems.iter_mut().for_each(|problem| declared.point(problem));
        problems.into()
    })
}

/// Carries the plans out; what is refused for one stops no other.
async fn declare(
    caller: &Caller,
    id: &str,
    declared: &[DeclaredTask],
    plans: Vec<DeclarationPlan>,
) -> Vec<DeclaredTaskView> {
    let principal = format!("{PRINCIPAL}{id}");
    let mut proposals = Proposals::by(&principal);
    for (declared, plan) in declared.iter().zip(&plans) {
        if let DeclarationPlan::Put(put, _) = plan {
            let part = caller.part(&declared.name);
            let key = part.as_deref().map(|part| caller.under(part));
            proposals.add(&Command::Put(put.clone()), key);
        }
    }
    let mut answers = proposals.submit(&caller.context).await.into_iter();
    let now = caller.context.here().ok();
    let shown = declared.iter().zip(plans).map(|(declared, plan)| match plan {
        DeclarationPlan::Nothing(result) => shown(&declared.name, result),
        DeclarationPlan::Put(put, result) => {
            // Others were faster, perhaps with the same.
            let there = now.as_ref().and_then(|view| view.state.named(&declared.name)?.spec());
            let instead = if there == Some(&put.spec) { "unchanged" } else { "kept" };
            told(&declared.name, [result, instead], answers.next())
        }
    });
    shown.collect()
}

fn shown(name: &str, result: &'static str) -> DeclaredTaskView {
    DeclaredTaskView {
        name: name.to_owned(),
        result: result.into(),
        code: None,
        detail: None,
        errors: Vec::new(),
    }
}

/// What became of a put: the first result, or the second if the task was changed meanwhile.
fn told(
    name: &str,
    [result, instead]: [&'static str; 2],
    answer: Option<Result<Response, OpError>>,
) -> DeclaredTaskView {
    let answer = answer.unwrap_or_else(|| Err(OpError::internal("a task was not answered")));
    match answer {
        Ok(Ok(_)) => shown(name, result),
        Ok(Err(Refusal::TaskDeleted)) => shown(name, "deleted"),
        Ok(Err(Refusal::TaskExists | Refusal::RevisionMismatch { .. })) => shown(name, instead),
        Ok(Err(refusal)) => refused(name, &refusal.into()),
        Err(problem) => refused(name, &problem),
    }
}

fn refused(name: &str, problem: &OpError) -> DeclaredTaskView {
    DeclaredTaskView {
        code: Some(problem.code().as_str().into()),
        detail: Some(problem.detail().to_owned()),
        errors: problem.fields(),
        ..shown(name, "refused")
    }
}
