//! Which nodes may own a task, why others may not, and what follows from it for who makes a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::assign::{Unfit, unable, unfit};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::State;
use crate::domain::machine::record::{Intent, Liveness, NodeRecord};
use crate::domain::schedule::{Rule, Warning};
use crate::domain::spec;
use crate::domain::task::{Action, TaskSpec};
use crate::domain::warning_code::WarningCode;

use super::told::{Told, told};
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
pub(crate) fn lacks(reason: Unfit, spec: &TaskSpec) -> Told {
    match reason {
        Unfit::Weight => told!("weight 0", "权重为 0"),
        Unfit::Selector => told!("without the labels of its selector", "缺少选择器要求的标签"),
        Unfit::Shell => told!(
            "shell actions are off, actions.shell.enabled",
            "未启用命令执行（actions.shell.enabled）"
        ),
        Unfit::User => {
            let user = match &spec.action {
                Some(Action::Shell(action)) => action.user.as_deref().unwrap_or_default(),
                _ => "",
            };
            told!("could not become user {user} when it started", "启动时无法切换为用户 {user}")
        }
        Unfit::Function => match &spec.action {
            Some(Action::Func { id }) => told!("without function {id}", "没有函数 {id}"),
            _ => {
                let name = &spec.name;
                told!("without a function {name}", "没有名为 {name} 的函数")
            }
        },
        Unfit::Liveness(liveness) => {
            let en = words::liveness(liveness).to_owned();
            let zh = match liveness {
                Liveness::Starting => "启动中",
                Liveness::Working => "正常",
                Liveness::Down => "宕机",
            };
            Told { en, zh: zh.to_owned() }
        }
        Unfit::Intent(intent) => {
            let en = words::intent(intent).to_owned();
            let zh = match intent {
                Intent::None => "无",
                Intent::Draining => "排空中",
                Intent::Leaving => "离开中",
                Intent::Removing => "移除中",
            };
            Told { en, zh: zh.to_owned() }
        }
    }
}

/// Why a task has no owner: `no node can own the task (draining: n1; weight 0: n2, n3)`.
pub(crate) fn nobody(state: &State, spec: &TaskSpec) -> Told {
    let mut reasons: BTreeMap<Unfit, Vec<&str>> = BTreeMap::new();
    for node in state.nodes() {
        if let Some(reason) = unfit(node, spec, state.declared_tasks()) {
            reasons.entry(reason).or_default().push(&node.info.name);
        }
    }
    let reasons = reasons.iter().map(|(reason, names)| {
        let (reason, en, zh) = (lacks(*reason, spec), names.join(", "), names.join("、"));
        let names = Told { en, zh };
        told!("{reason}: {names}", "{reason}：{names}", reason, names)
    });
    let reasons: Vec<Told> = reasons.collect();
    let reasons = Told::list(&reasons, "; ", "；");
    told!("no node can own the task ({reasons})", "没有节点可以承接该任务（{reasons}）", reasons)
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
    let detail = format!("{}; its ticks wait until one can", nobody(state, spec).en);
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
