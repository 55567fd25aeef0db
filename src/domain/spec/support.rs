//! What the contract knows and this version cannot do yet. A request for it is refused: to accept
//! a policy and not to follow it would be worse than not to have it. A line goes away with the
//! version that builds its feature.

use super::reader::BrokenRule;
use super::{BodyProblem, ReadContext};
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
    if spec.assignment.strategy == Some(Strategy::Custom) && !ctx.custom_strategy {
        refuse("/assignment/strategy", BrokenRule::new(ErrorCode::NotSupported, NO_STRATEGY));
    }
}

/// Why a node does not take the strategy of an embedding program.
pub const NO_STRATEGY: &str = "cannot be custom: the program of this node has no strategy of its own; \
                               one that embeds a node can give it one";
