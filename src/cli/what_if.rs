//! `what-if`: which tasks would have another owner if nodes or the strategy changed.

use clap::Args;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::fetch;
use super::table::Table;
use crate::client::path;
use crate::dto::{MovedTaskView, ShareView, WhatIfView};

/// Options of `what-if`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1: tasks that have an owner would have none.")]
pub struct WhatIfArgs {
    /// Suppose that this node is gone (this and the next three may be repeated)
    #[arg(long, value_name = "NODE")]
    leave: Vec<String>,
    /// Suppose a new node, or that one that owns nothing takes tasks, such as n4:2:zone=a
    #[arg(long, value_name = "NODE[:WEIGHT][:KEY=VALUE]")]
    join: Vec<String>,
    /// Suppose that this node is drained
    #[arg(long, value_name = "NODE")]
    drain: Vec<String>,
    /// Suppose another weight of a node, such as n3=4
    #[arg(long, value_name = "NODE=WEIGHT")]
    weight: Vec<String>,
    /// Suppose another strategy of the cluster
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// Number of moving tasks that are listed
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
}

/// Asks what would move, and prints it.
pub async fn run(args: &WhatIfArgs, context: &mut CliContext) -> CommandResult {
    let mut query = Vec::new();
    for (key, values) in [
        ("leave", &args.leave),
        ("join", &args.join),
        ("drain", &args.drain),
        ("weight", &args.weight),
    ] {
        query.extend(values.iter().map(|value| (key, value.clone())));
    }
    query.extend(args.strategy.iter().map(|strategy| ("strategy", strategy.clone())));
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let path = path(["cluster", "what-if"]);
    let list = fetch::up_to::<MovedTaskView>(context, &path, &query, most).await?;
    let says = fetch::typed::<WhatIfView>(&list.whole, Exit::NotAccepted)?;
    context.out.one(&list.whole, |_clock| describe(&says))?;
    if list.more {
        let left = says.moved.saturating_sub(u64::from(args.n));
        context.out.say(&format!("{left} more tasks would move; -n COUNT shows more"));
    }
    let orphaned = says.without_owner > says.without_owner_now;
    Ok(if orphaned { Exit::No } else { Exit::Ok })
}

fn describe(what: &WhatIfView) -> String {
    let mut text = format!(
        "{} of {} tasks would move; the fewest for these shares are {}; {} would have no owner, {} \
         have none now; strategy {}\n\n",
        what.moved,
        what.tasks,
        what.fewest,
        what.without_owner,
        what.without_owner_now,
        what.strategy
    );
    let columns = ["NODE", "WEIGHT", "TASKS", "FAIR", "NOW: WEIGHT", "TASKS", "FAIR", "CHANGE"];
    let mut shares = Table::new("nodes", &columns);
    for share in &what.nodes {
        shares.row(share_row(share));
    }
    text.push_str(&shares.render(true));
    if what.moved == 0 {
        return text;
    }
    let node = |name: &Option<String>| name.clone().unwrap_or_else(|| "nobody".to_owned());
    let mut moves = Table::new("moves", &["FROM", "TO", "TASKS"]);
    for one in &what.moves {
        moves.row([node(&one.from), node(&one.to), one.tasks.to_string()]);
    }
    let mut moved = Table::new("tasks", &["TASK", "FROM", "TO"]);
    for one in &what.list.items {
        moved.row([one.task.clone(), node(&one.from), node(&one.to)]);
    }
    format!("{text}\n{}\n{}", moves.render(true), moved.render(true))
}

fn share_row(share: &ShareView) -> [String; 8] {
    let weight = |weight: Option<u32>| weight.map_or("-".to_owned(), |weight| weight.to_string());
    let sign = if share.tasks < share.tasks_now { "-" } else { "+" };
    [
        share.node.clone(),
        weight(share.weight),
        share.tasks.to_string(),
        share.fair.to_string(),
        weight(share.weight_now),
        share.tasks_now.to_string(),
        share.fair_now.to_string(),
        format!("{sign}{}", share.tasks.abs_diff(share.tasks_now)),
    ]
}
