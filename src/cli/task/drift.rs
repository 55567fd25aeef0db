//! `task drift`: what came of the files of tasks.

use clap::Args;

use super::super::context::CliContext;
use super::super::exit::{CommandResult, Exit};
use super::super::table::{Table, fields};
use crate::client::path;
use crate::dto::{DriftItem, DriftView, NodeFilesView};
use crate::telemetry::line::one_line;

/// Options of `task drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Exit with 1 if the cluster differs from the files, nodes have different files, or the files
    /// have problems
    #[arg(long)]
    exit_code: bool,
}

/// Shows it.
pub async fn run(args: &DriftArgs, context: &mut CliContext) -> CommandResult {
    let reply = context.read::<DriftView>(&path(["drift"]), &[]).await?;
    context.out.one(&reply.body, |_clock| describe(&reply.says))?;
    let in_step = reply.says.items.is_empty() && in_step(&reply.says);
    Ok(if args.exit_code && !in_step { Exit::No } else { Exit::Ok })
}

/// Whether all nodes have the same files, without problems.
fn in_step(drift: &DriftView) -> bool {
    drift.problems.is_empty()
        && drift.nodes.iter().all(|node| node.in_force && node.complete && node.problems == 0)
}

fn describe(drift: &DriftView) -> String {
    let DriftView { node, paths, problems, nodes, items, .. } = drift;
    let mut out = match paths.is_empty() {
        true => format!("{node} reads no files: tasks.path is not set\n"),
        false => of_node(drift),
    };
    if !problems.is_empty() {
        out.push_str("\nproblems: nothing of the files is changed in the cluster\n");
        problems.iter().for_each(|one| out.push_str(&format!("  {}\n", one_line(one))));
    }
    if !nodes.is_empty() {
        let mut table = Table::new("nodes", &["NODE", "DEFINITIONS", "STATE"]);
        for node in nodes {
            let hash = node.hash.as_deref().unwrap_or("none");
            table.row([node.node.clone(), hash.to_owned(), state(node)]);
        }
        out.push_str(&format!("\n{}", table.render(true)));
    }
    if let Some(hash) = &drift.hash_in_force
        && !nodes.iter().any(|node| node.in_force)
    {
        out.push_str(&format!("\n{}", nobody_has(hash)));
    }
    if !items.is_empty() {
        let mut table = Table::new("differences", &["KIND", "NAME", "STATE", "REASON", "FILE"]);
        for item in items {
            let place = item.place.clone().unwrap_or_default();
            let standing = item.standing.to_string();
            table.row([item.kind.to_string(), item.name.clone(), standing, reason(item), place]);
        }
        out.push_str(&format!("\n{}", table.render(true)));
    }
    out
}

/// What to do when no node has the definitions in force.
fn nobody_has(hash: &str) -> String {
    format!(
        "no node has the definitions in force ({hash}): they stay as they are.\n\
         To put the files of a node in force, change a definition in them, such as the \
         description of a task, and save.\n"
    )
}

fn of_node(drift: &DriftView) -> String {
    let defined = format!("{} tasks, {} calendars", drift.tasks, drift.calendars);
    let read = drift.read_at.map_or("not yet".to_owned(), |at| at.0.to_string());
    let mut rows = vec![
        ("node", drift.node.clone()),
        ("files", drift.paths.join(", ")),
        ("read", read),
        (
            "definitions",
            match &drift.hash {
                Some(hash) => format!("{hash} ({defined})"),
                None => "none".to_owned(),
            },
        ),
    ];
    if let Some(applied) = &drift.applied {
        let (added, changed) = (applied.added, applied.changed);
        let (removed, refused) = (applied.removed, applied.refused);
        let counts = format!(
            "added {added}, changed {changed}, removed {removed}, refused {refused} ({})",
            applied.at.0
        );
        rows.push(("applied", counts));
    }
    fields(&rows)
}

fn state(node: &NodeFilesView) -> String {
    let state = match (node.in_force, node.complete) {
        (true, true) => "in force",
        (true, false) => "in force, not all of it proposed yet",
        (false, _) => "different: changes nothing until a definition in its files changes",
    };
    match node.problems {
        0 => state.to_owned(),
        problems => format!("{state}; {problems} problems, shown by task drift of that node"),
    }
}

fn reason(item: &DriftItem) -> String {
    if let Some(refused) = &item.refused {
        return refused.clone();
    }
    let reason = match &*item.standing {
        "missing" => "removed since, or not proposed yet",
        "outdated" => "the cluster has it as other files said",
        "drifted" => {
            "changed by somebody else; `punctual revert NAME --to REVISION` lets the files change it again"
        }
        "foreign" => "not made by files, so they leave it alone",
        "deleted" => "marked deleted, and stays so (punctual reuse brings it back)",
        "gone" => "the files have it no more",
        _ => "",
    };
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_with_other_files_and_names_that_differ_are_shown() {
        let node = |name: &str, in_force| NodeFilesView {
            node: name.to_owned(),
            hash: Some("00ff".to_owned()),
            in_force,
            complete: in_force,
            problems: 0,
        };
        let item = DriftItem {
            kind: "task".into(),
            name: "backup".to_owned(),
            standing: "drifted".into(),
            place: Some("tasks.yaml:3".to_owned()),
            refused: None,
        };
        let mut drift = DriftView {
            node: "n1".to_owned(),
            paths: vec!["tasks.yaml".to_owned()],
            read_at: None,
            problems: Vec::new(),
            hash: Some("00ff".to_owned()),
            in_force: true,
            hash_in_force: Some("00ff".to_owned()),
            tasks: 1,
            calendars: 0,
            applied: None,
            nodes: vec![node("n1", true), node("n2", false)],
            items: vec![item],
        };
        let told = describe(&drift);
        for text in ["00ff (1 tasks, 0 calendars)", "n2", "different", "backup", "tasks.yaml:3"] {
            assert!(told.contains(text), "{text} in:\n{told}");
        }
        assert!(!in_step(&drift));
        drift.nodes.pop();
        assert!(in_step(&drift));
        assert!(!told.contains("no node has"), "{told}");

        // Those that had them have left the cluster.
        drift.nodes = vec![node("n2", false)];
        let told = describe(&drift);
        for text in ["no node has the definitions in force (00ff)", "change a definition"] {
            assert!(told.contains(text), "{text} in:\n{told}");
        }
    }
}
