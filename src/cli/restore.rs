//! A new cluster from a backup, or from what is left of one that lost its majority. Both work on the
//! data folder of a node that does not run.

use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::backup;
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::{owner, words};
use crate::clock::own_time;
use crate::config::{Config, Sources};
use crate::consensus::restore::{self, FirstNode, NewCluster, RestoreError};
use crate::storage::DataFolder;

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The file that `punctual cluster backup` wrote
    file: PathBuf,
    #[command(flatten)]
    node: OfflineNode,
}

/// Options of `cluster recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    #[command(flatten)]
    node: OfflineNode,
    /// Confirm that so many members lost their data for good that those left are no majority, and that
    /// the others that are left are stopped: what only they had is given up
    #[arg(long)]
    others_are_lost: bool,
}

/// A node that does not run.
#[derive(Debug, Args)]
struct OfflineNode {
    /// The settings file of the node that begins the new cluster
    #[arg(long, value_name = "FILE", env = "PUNCTUAL_CONFIG")]
    config: Option<PathBuf>,
}

impl OfflineNode {
    fn load(&self) -> Result<Config, Failure> {
        let sources = Sources::of_process(self.config.clone(), Vec::new());
        Config::load(&sources).map_err(|errors| Failure::usage(errors.to_string()))
    }

    /// The option that names the settings, as it was typed.
    fn option(&self) -> String {
        let config = self.config.as_ref();
        config.map_or_else(String::new, |config| {
            format!(" --config {}", words::quoted(&config.display().to_string()))
        })
    }
}

/// Restores a backup.
pub fn restore(args: &RestoreArgs, context: &mut CliContext) -> CommandResult {
    let config = args.node.load()?;
    let folder = open(&config)?;
    let done = restore::restore(&folder, &args.file, &first(&config)).map_err(failure)?;
    let from = backup::value(&done.from, &args.file);
    tell(("restored", from), &done, &args.node, &config, context)
}

/// Begins a new cluster with the data of this node.
pub fn recover(args: &RecoverArgs, context: &mut CliContext) -> CommandResult {
    let config = args.node.load()?;
    let first = first(&config);
    owner::expect(&config.node.data_dir)?;
    if !DataFolder::is_used(&config.node.data_dir) {
        return Err(failure(restore::no_data(&config.node.data_dir)));
    }
    if !args.others_are_lost {
        let end = log_end(&config, &first)?;
        return Err(Failure { exit: Exit::No, message: warning(&args.node, &config, &end) });
    }
    let folder = open(&config)?;
    let done = restore::recover(&folder, &first).map_err(failure)?;
    let from = backup::value(&done.from, &config.node.data_dir);
    tell(("recovered", from), &done, &args.node, &config, context)
}

/// A sentence about where the log of this node ends, which tells whether it is the one to recover.
fn log_end(config: &Config, first: &FirstNode) -> Result<String, Failure> {
    let others =
        "if another survivor's log ends later (first by term, then by index), recover that one";
    let own = config.node.name();
    let folder = match DataFolder::open(&config.node.data_dir, config.log.file.as_deref()) {
        Ok(folder) => folder,
        Err(error) if error.source.kind() == io::ErrorKind::ResourceBusy => {
            return Ok(format!(
                "{own} runs: `punctual cluster status --stale` shows where its log ends, and so does \
                 this command once {own} is stopped; {others}"
            ));
        }
        Err(error) => return Err(failure(error.into())),
    };
    if folder.recovery().exists() {
        return Ok(format!("a recovery of {own} was begun, and goes on with what it read then"));
    }
    let end = restore::log_end(&folder, first).map_err(failure)?;
    let (term, index) = end.map_or((0, 0), |end| (end.term, end.index));
    Ok(format!("this node's log ends at term {term}, index {index}: {others}"))
}

/// What somebody has to know before the data of one node becomes that of a cluster.
fn warning(node: &OfflineNode, config: &Config, end: &str) -> String {
    let (own, option) = (config.node.name(), node.option());
    format!(
        "nothing was done: this makes {own} the only member of a new cluster, with the data that it \
         has\n  What only the other members had is given up, and none of them may run again with its \
         data.\n  Do it only if so many members lost their data for good that those left are no majority. If \
         they can be started, start them instead.\n  {end}\n  1. stop {own}, and all other nodes that still \
         run\n  2. type: punctual cluster recover{option} --others-are-lost"
    )
}

fn open(config: &Config) -> Result<DataFolder, Failure> {
    owner::expect(&config.node.data_dir)?;
    let log_file = config.log.file.as_deref();
    DataFolder::open(&config.node.data_dir, log_file).map_err(|error| failure(error.into()))
}

fn first(config: &Config) -> FirstNode {
    let member = config.this_member();
    FirstNode {
        cluster_name: config.cluster.name.clone(),
        cluster_id: rand::random::<u128>().max(1),
        member: config.node.id,
        peer: member.map(|member| member.peer.clone()).unwrap_or_default(),
        http: member.and_then(|member| member.http.clone()).unwrap_or_default(),
        now: own_time(),
        log_file: config.log.file.clone(),
    }
}

fn failure(error: RestoreError) -> Failure {
    let message = match &error {
        RestoreError::Storage(disk) => format!("{error}\n  {}", disk.advice()),
        _ => error.to_string(),
    };
    Failure { exit: Exit::No, message }
}

/// Says what was made, and what to type next.
fn tell(
    (verb, from): (&str, Value),
    done: &NewCluster,
    node: &OfflineNode,
    config: &Config,
    context: &mut CliContext,
) -> CommandResult {
    let next = next_steps(node, config);
    let folder = config.node.data_dir.display().to_string();
    let former = done.former.as_ref().map(|former| former.display().to_string());
    let value = json!({
        verb: from,
        "data_dir": folder,
        "node": config.node.name(),
        "join": done.node.join(),
        "cluster_id": format!("{:032x}", done.cluster_id),
        "former": former,
        "next": next,
    });
    context.out.one(&value, |clock| {
        let (header, name) = (&done.from.header, config.node.name());
        let mut lines = vec![format!(
            "{verb}: {name} is the only member of a new cluster {}, id {:032x}, with the data of {} \
             ({} tasks and deleted marks, {} executions)",
            header.cluster_name,
            done.cluster_id,
            clock.with_age(header.taken),
            header.tasks,
            header.executions
        )];
        if let Some(former) = &former {
            lines.push(format!("its former data is in {former}; remove it when all is well"));
        }
        lines.push("next:".to_owned());
        lines.extend(next.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}")));
        lines.join("\n")
    })?;
    Ok(Exit::Ok)
}

/// The commands that follow, each with what it does.
fn next_steps(node: &OfflineNode, config: &Config) -> Vec<String> {
    let mut steps = vec![format!("start this node: punctual serve{}", node.option())];
    let others = config.cluster.members.iter().filter(|member| member.id != config.node.id);
    for member in others {
        let (id, peer) = (member.id, &member.peer);
        let http = member.http.as_ref().map(|http| format!(" --http {http}")).unwrap_or_default();
        steps.push(format!(
            "start n{id} with an empty data folder, then: punctual cluster members add {id} --peer \
             {peer}{http}"
        ));
    }
    steps
}
