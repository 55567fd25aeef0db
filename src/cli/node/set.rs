//! `node set`: what is set for a node, in place of its settings.

use clap::Args;
use reqwest::Method;

use super::describe_settings;
use crate::cli::choose::Chosen;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::value;
use crate::cli::many::{self, OneRequest};
use crate::cli::objects::NodesArgs;
use crate::cli::task::pair;
use crate::client::path;
use crate::dto::{LabelChanges, NodePatchRequest, NodeView};

/// The part of a field that names a label: `labels.zone`.
const LABELS: &str = "labels";

/// What is set for a node. It outlasts restarts.
#[derive(Debug, Args)]
#[command(mut_arg("node_labels", |labels| labels.long("with-label")))]
pub struct NodeSetArgs {
    #[command(flatten)]
    nodes: NodesArgs,
    /// Its share of the tasks; 0: it owns none
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// How many executions run there at once; 0: no limit
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// Give the node a label, which tasks can ask for with --selector
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Go back to the value in the node's settings file: `weight`, `slots`, `labels.KEY`, or `labels`
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
}

/// Runs the command.
pub async fn run(args: NodeSetArgs, context: &mut CliContext) -> CommandResult {
    let patch = args.patch().map_err(Failure::usage)?;
    let body = value(&patch);
    match args.nodes.choose(context).await? {
        Chosen::One(node) => {
            let path = path(["nodes", &node]);
            let reply = context.send::<NodeView>(Method::PATCH, &path, &[], Some(&body)).await?;
            context.out.one(&reply.body, |_clock| describe_settings(&reply.says))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(nodes) => {
            let items = many::each(&nodes, &OneRequest::patch("nodes", &body), context).await?;
            many::tell(items, "nodes", "changed", |_item| "changed".to_owned(), context)
        }
    }
}

impl NodeSetArgs {
    fn patch(&self) -> Result<NodePatchRequest, String> {
        let labels = self.labels.iter();
        let labels: LabelChanges =
            labels.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let mut patch = NodePatchRequest {
            weight: self.weight.map(Some),
            slots: self.slots.map(Some),
            labels: (!labels.is_empty()).then_some(Some(labels)),
        };
        for field in &self.unset {
            patch = unset(patch, field)?;
        }
        if patch == NodePatchRequest::default() {
            return Err("nothing to change: give --weight, --slots, --label or --unset".to_owned());
        }
        Ok(patch)
    }
}

/// Takes a field back that no other option sets.
fn unset(mut patch: NodePatchRequest, field: &str) -> Result<NodePatchRequest, String> {
    let label = field.strip_prefix(LABELS).and_then(|rest| rest.strip_prefix('.'));
    let twice = match (field, label) {
        ("weight", _) => patch.weight.replace(None).flatten().is_some(),
        ("slots", _) => patch.slots.replace(None).flatten().is_some(),
        (LABELS, _) => patch.labels.replace(None).flatten().is_some(),
        (_, Some(key)) if !key.is_empty() => {
            match patch.labels.get_or_insert_with(|| Some(LabelChanges::new())) {
                // None of them stays set.
                None => false,
                Some(labels) => labels.insert(key.to_owned(), None).flatten().is_some(),
            }
        }
        _ => {
            return Err(format!("--unset {field}: must be weight, slots, labels.KEY or labels"));
        }
    };
    if twice {
        return Err(format!("--unset {field}: another option sets it"));
    }
    Ok(patch)
}
