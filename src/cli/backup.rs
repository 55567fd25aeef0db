//! Backups: taking one from a cluster, and looking into a file.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::local::LocalClock;
use super::table::fields;
use crate::client::path;
use crate::consensus::backup::{self, LoadedBackup};
use crate::dto::Rfc3339;
use crate::storage::descriptors::DescriptorReserve;
use crate::storage::{AtomicFile, StorageError};

/// Options of `cluster backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to write
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Commands about backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Check that a backup is whole, and show what it holds; needs no cluster
    Inspect {
        /// The file that `punctual cluster backup` wrote
        file: PathBuf,
    },
}

/// Runs a command about backups.
pub fn run(command: BackupCommand, context: &mut CliContext) -> CommandResult {
    let BackupCommand::Inspect { file } = command;
    let loaded = read(&file)?;
    context.out.one(&value(&loaded, &file), |clock| shown(&loaded, &file, clock))?;
    Ok(Exit::Ok)
}

/// Writes a backup of the cluster to a file. The file exists when it is whole, or not at all.
pub async fn take(args: &BackupArgs, context: &mut CliContext) -> CommandResult {
    let file = &args.file;
    if file.exists() && !args.force {
        let message = format!(
            "{} exists, and is left as it is\n  Choose another file, or replace it with --force.",
            file.display()
        );
        return Err(Failure { exit: Exit::Conflict, message });
    }
    let mut out = AtomicFile::create(&DescriptorReserve::default(), file).map_err(disk)?;
    let query = context.freshness();
    let mut download = context.client()?.download(&path(["cluster", "backup"]), &query).await?;
    while let Some(piece) = download.piece().await? {
        out.write_all(&piece).map_err(|error| disk(StorageError::new("write", file, error)))?;
    }
    // What breaks off on the way has no end.
    let loaded = read(out.temporary()).map_err(|failure| {
        let message = format!(
            "no backup was written: {}\n  Repeat the command, or name another node with --server.",
            failure.message
        );
        Failure { exit: Exit::NotAccepted, message }
    })?;
    out.commit().map_err(disk)?;
    context.out.one(&value(&loaded, file), |clock| shown(&loaded, file, clock))?;
    Ok(Exit::Ok)
}

/// Reads a backup, and checks all of it.
///
/// # Errors
/// It cannot be read, was cut or was changed: the file and the reason.
pub fn read(file: &Path) -> Result<LoadedBackup, Failure> {
    let no = |why: &dyn std::fmt::Display| {
        let message = format!("{}: {why}", file.display());
        Failure { exit: Exit::No, message }
    };
    let opened = File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure { exit: Exit::Conflict, message: format!("{}: {error}", file.display()) }
        }
        _ => no(&error),
    })?;
    backup::read(BufReader::new(opened)).map_err(|error| no(&error))
}

fn disk(error: StorageError) -> Failure {
    Failure { exit: Exit::No, message: format!("{error}\n  {}", error.advice()) }
}

/// How many tasks and how many deleted marks a backup has.
fn tasks(loaded: &LoadedBackup) -> (usize, usize) {
    let deleted = loaded.state.tasks().filter(|task| task.live.deleted.is_some()).count();
    (loaded.state.task_count() - deleted, deleted)
}

/// What a backup holds, for programs.
pub fn value(loaded: &LoadedBackup, file: &Path) -> Value {
    let (header, (tasks, deleted)) = (&loaded.header, tasks(loaded));
    json!({
        "file": file.display().to_string(),
        "bytes": loaded.bytes,
        "writer": header.writer,
        "cluster": header.cluster_name,
        "cluster_id": format!("{:032x}", header.cluster_id),
        "taken": Rfc3339(header.taken),
        "applied_index": header.applied,
        "counter": header.counter,
        "tasks": tasks,
        "deleted_tasks": deleted,
        "executions": header.executions,
        "calendars": header.calendars,
        "digest": format!("{:032x}", header.digest),
    })
}

/// The same, for people.
pub fn shown(loaded: &LoadedBackup, file: &Path, clock: &LocalClock) -> String {
    let (header, (tasks, deleted)) = (&loaded.header, tasks(loaded));
    fields(&[
        ("backup", file.display().to_string()),
        ("bytes", loaded.bytes.to_string()),
        ("written by", header.writer.clone()),
        ("cluster", header.cluster_name.clone()),
        ("id", format!("{:032x}", header.cluster_id)),
        ("state of", clock.with_age(header.taken)),
        ("log index", header.applied.to_string()),
        ("tasks", format!("{tasks}, and {deleted} deleted marks")),
        ("executions", header.executions.to_string()),
        ("calendars", header.calendars.to_string()),
        ("digest", format!("{:032x}, as computed", header.digest)),
    ])
}
