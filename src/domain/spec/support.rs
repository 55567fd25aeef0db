//! What the contract knows and this version cannot do yet. A request for it is refused: to accept
//! a policy and not to follow it would be worse than not to have it. A line goes away with the
//! version that builds its feature.

use super::reader::BrokenRule;
use super::{BodyProblem, ReadContext};
use crate::domain::error_code::ErrorCode;
use crate::domain::task::{Action, Strategy, TaskSpec};

/// Adds a problem for everything in `spec` that cannot be honoured.
pub(super) fn refuse(spec: &TaskSpec, ctx: ReadContext<'_>, problems: &mut Vec<BodyProblem>) {
    let strategy = spec.assignment.strategy.unwrap_or_default();
    let func = matches!(spec.action, Some(Action::Func { .. })) && !ctx.functions_allowed;
    let wanted = [
        (func, "/action/func", "needs a program that embeds a node and registers functions"),
        (
            strategy != Strategy::Consistent,
            "/assignment/strategy",
            "can only be null or consistent in this version",
        ),
    ];
    for (_, pointer, message) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
        let BrokenRule { code, message } = BrokenRule::new(ErrorCode::NotSupported, message);
        problems.push(BodyProblem { pointer: pointer.to_owned(), code, message });
    }
}
