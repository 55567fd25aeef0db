//! `explain`: who owns a task, and why.

use crate::cli::choose::TasksArgs;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::table::{Table, fields};
use crate::cli::words;
use crate::client::path;
use crate::dto::{AssignmentView, EligibilityView};

/// Prints the owners of tasks, and the ranking of the nodes.
pub async fn explain(tasks: &TasksArgs, context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let look = async |name: &str, context: &mut CliContext| {
        let reply =
            context.read::<AssignmentView>(&path(["tasks", name, "assignment"]), &[]).await?;
        context.out.one(&reply.body, |_clock| describe(&reply.says))?;
        Ok(Exit::Ok)
    };
    tasks.show_each(context, look).await
}

fn describe(assignment: &AssignmentView) -> String {
    let slot = assignment.slot.map(|slot| slot.to_string());
    let head = fields(&[
        ("task", assignment.task.clone()),
        ("owner", assignment.owner.clone().unwrap_or_else(|| "none".to_owned())),
        ("strategy", assignment.strategy.to_string()),
        ("slot", slot.unwrap_or_default()),
        ("selector", assignment.selector.as_ref().map(words::pairs).unwrap_or_default()),
        ("why", assignment.why.clone()),
    ]);
    let mut table = Table::new("nodes", &["RANK", "NODE", "WEIGHT", "SCORE", "WHY NOT"]);
    for node in &assignment.nodes {
        table.row(row(node));
    }
    format!("{head}\n{}", table.render(true))
}

fn row(node: &EligibilityView) -> [String; 5] {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    [
        number(node.rank),
        node.node.clone(),
        node.weight.to_string(),
        number(node.score),
        node.detail.clone().unwrap_or_default(),
    ]
}
