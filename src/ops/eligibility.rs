//! Which nodes may own a task, why others may not, and what follows from it for who makes a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::assign::{Unfit, unable, unfit};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::State;
use crate::domain::machine::record::NodeRecord;
use crate::domain::schedule::{Rule, Warning};
use crate::domain::spec;
use crate::domain::task::{Action, TaskSpec};
use crate::domain::warning_code::WarningCode;

use super::words;

/// What a node lacks, as the stable word of answers.
pub(crate) const fn code(reason: Unfit) -> &'static str {
    match reason {
        Unfit::Liveness(liveness) => words::liveness(liveness),
        Unfit::Intent(intent) => words::intent(intent),
        Unfit::Weight => "weight_0",
        Unfit::Selector => "selector",
        Unfit::Shell => "shell_off",
        Unfit::User => "unknown_user",
        Unfit::Function => "no_function",
    }
}

/// The same for people.
pub(crate) fn told(reason: Unfit, spec: &TaskSpec) -> String {
    match reason {
        Unfit::Weight => "weight 0".to_owned(),
        Unfit::Selector => "without the labels of its selector".to_owned(),
        Unfit::Shell => "shell actions are off, actions.shell.enabled".to_owned(),
        Unfit::User => {
            let user = match &spec.action {
                Some(Action::Shell(action)) => action.user.as_deref().unwrap_or_default(),
                _ => "",
            };
            format!("could not become user {user} when it started")
        }
        Unfit::Function => match &spec.action {
            Some(Action::Func { id }) => format!("without function {id}"),
            _ => format!("without a function {}", spec.name),
        },
        Unfit::Liveness(_) | Unfit::Intent(_) => code(reason).to_owned(),
    }
}

/// Why a task has no owner: `no node can own the task (draining: n1; weight 0: n2, n3)`.
pub(crate) fn nobody(state: &State, spec: &TaskSpec) -> String {
    let mut reasons: BTreeMap<Unfit, Vec<&str>> = BTreeMap::new();
    for node in state.nodes() {
        if let Some(reason) = unfit(node, spec, state.declared_tasks()) {
            reasons.entry(reason).or_default().push(&node.info.name);
        }
    }
    let reasons = reasons.iter();
    let reasons: Vec<String> = reasons
        .map(|(reason, names)| format!("{}: {}", told(*reason, spec), names.join(", ")))
        .collect();
    format!("no node can own the task ({})", reasons.join("; "))
}

/// What is worth knowing of a definition as the nodes are: that none can own it now.
pub(crate) fn warning(state: &State, spec: &TaskSpec) -> Option<Warning> {
    if spec.action.is_none() && spec.schedule.rule == Rule::Manual {
        let detail = "it has no action: only callers who claim its ticks carry them out; what \
                      is triggered fails";
        return Some(Warning { code: WarningCode::NoHandler, detail: detail.to_owned() });
    }
    if state.nodes().any(|node| unfit(node, spec, state.declared_tasks()).is_none()) {
        return None;
    }
    let detail = format!("{}; its ticks wait until one can", nobody(state, spec));
    let code =
        if spec.action.is_none() { WarningCode::NoHandler } else { WarningCode::NoEligibleNode };
    Some(Warning { code, detail })
}

/// Refuses a definition that nothing could ever carry out: it has no action, and no node has a
/// function for it. One that takes the place of such a definition is not refused.
pub(crate) fn check(
    state: &State,
    spec: &TaskSpec,
    former: Option<&TaskSpec>,
) -> Result<(), spec::BodyProblem> {
    let needs = |spec: &TaskSpec| spec.action.is_none() && spec.schedule.rule != Rule::Manual;
    let able = |node: &Arc<NodeRecord>| unable(node, spec, state.declared_tasks()).is_none();
    if !needs(spec) || former.is_some_and(needs) || state.nodes().any(able) {
        return Ok(());
    }
    let message = format!(
        "is missing, and nothing would carry the task out: give it an action (http, shell or \
         executor), register an executor that declares it, or a function `{}` on a node, or make \
         its schedule manual, for callers who claim its ticks",
        spec.name
    );
    Err(spec::BodyProblem { pointer: "/action".to_owned(), code: ErrorCode::NoHandler, message })
}
