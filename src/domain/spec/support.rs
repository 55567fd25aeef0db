//! What the contract knows and this version cannot do yet. A request for it is refused: to accept
//! a policy and not to follow it would be worse than not to have it. A line goes away with the
//! version that builds its feature.

use super::reader::BrokenRule;
use super::words::{STRATEGIES, word};
use super::{BodyProblem, ReadContext};
use crate::domain::assign;
use crate::domain::error_code::ErrorCode;
use crate::domain::task::{Action, Strategy, TaskSpec};

/// Adds a problem for everything in `spec` that cannot be honoured.
pub(super) fn refuse(spec: &TaskSpec, ctx: ReadContext<'_>, problems: &mut Vec<BodyProblem>) {
    let mut refuse = |pointer: &str, BrokenRule { code, message }| {
        problems.push(BodyProblem { pointer: pointer.to_owned(), code, message });
    };
    if matches!(spec.action, Some(Action::Func { .. })) && !ctx.functions_allowed {
        let message = "needs a program that embeds a node and registers functions";
        refuse("/action/func", BrokenRule::new(ErrorCode::NotSupported, message));
    }
    if let Some(Err(rule)) = spec.assignment.strategy.map(strategy) {
        refuse("/assignment/strategy", rule);
    }
}

/// The words of the strategies that this version has.
pub fn strategies() -> Vec<&'static str> {
    let built = STRATEGIES.iter().filter(|(_, strategy)| assign::choice(*strategy).is_some());
    built.map(|(word, _)| *word).collect()
}

/// A strategy, if this version has it.
pub(super) fn strategy(strategy: Strategy) -> Result<Strategy, BrokenRule> {
    if assign::choice(strategy).is_some() {
        return Ok(strategy);
    }
    let message = format!(
        "cannot be {} in this version; it can be {}",
        word(STRATEGIES, &strategy),
        strategies().join(", ")
    );
    Err(BrokenRule::new(ErrorCode::NotSupported, message))
}
