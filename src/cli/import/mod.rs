//! `import`: what other schedulers have, as tasks.

mod body;
mod crontab;
mod machine;
mod naming;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::body::{Prepared, Setting};
use self::crontab::{Crontab, Remark};
use self::machine::RunsAs;
use self::naming::{Names, file_part};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::fetch;
use super::local::{Day, LocalClock, machine_zone};
use super::table::Table;
use crate::client::path;
use crate::domain::schedule::{Warning, zone};

/// A larger file is no crontab.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Tasks sent in one request.
const BATCH: usize = 500;

/// What to import from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Make a task of each line of a crontab
    Crontab(CrontabArgs),
}

/// Options of `import crontab`.
#[derive(Debug, Args)]
pub struct CrontabArgs {
    /// The crontab; - reads standard input
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,
    /// Lines have a user between times and command, as in /etc/crontab and /etc/cron.d
    #[arg(long)]
    system: bool,
    /// The zone of the times [default: this machine's; CRON_TZ in the file goes first]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Let any node run the tasks, not only those on this machine
    #[arg(long, conflicts_with = "host")]
    anywhere: bool,
    /// Show what would be created, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// Whose crontab it is, if its lines do not say
    #[arg(long, conflicts_with = "system")]
    user: Option<String>,
    /// The machine on which the tasks run [default: this one]
    #[arg(long)]
    host: Option<String>,
    /// Show the ticks after this instant instead of after now.
    #[arg(long, hide = true, value_name = "TIME")]
    from: Option<String>,
    /// Show line, name, schedule, user, zone, hash of the command and ticks, and nothing else.
    #[arg(long, hide = true, requires = "dry_run")]
    fingerprint: bool,
}

/// A line that becomes a task.
struct Item {
    file: String,
    line: usize,
    command: String,
    prepared: Prepared,
    /// What the cluster made of it; empty: it was not asked.
    result: String,
}

/// What an import found, of all files.
#[derive(Default)]
struct Import {
    items: Vec<Item>,
    /// Lines that are wrong, with their place.
    problems: Vec<String>,
    /// What has no counterpart, with its place.
    not_carried: Vec<String>,
}

/// Imports.
pub async fn run(command: ImportCommand, context: &mut Context) -> Outcome {
    let ImportCommand::Crontab(args) = command;
    let setting = args.setting(context).await?;
    let mut import = Import::default();
    let mut names = Names::default();
    for path in &args.files {
        let bytes = read(path)?;
        let crontab = crontab::parse(&bytes, args.system);
        import.add(path, crontab, &args, &setting, &mut names);
    }
    if args.fingerprint {
        context.out.bytes(import.fingerprint().as_bytes())?;
        return Ok(import.exit());
    }
    if !args.dry_run {
        let created = import.create(context).await;
        let partly = import.items.iter().any(|item| !item.result.is_empty());
        // Of a long crontab a part may be there already, and that has to be known.
        if created.is_err() && partly {
            import.print(context, false)?;
        }
        created?;
    }
    import.print(context, args.dry_run)
}

impl CrontabArgs {
    /// What holds for all lines.
    async fn setting(&self, context: &mut Context) -> Result<Setting, Failure> {
        let zone = match &self.tz {
            Some(tz) => zone::canonical(tz).map_err(|e| Failure::usage(e.message))?,
            None => machine_zone().unwrap_or_else(|| {
                context.out.say("this machine's zone cannot be told, UTC is taken; --tz says it");
                "UTC".to_owned()
            }),
        };
        let from = match &self.from {
            Some(text) => context.out.clock().read(text, Day::Today).map_err(Failure::usage)?,
            None => context.out.clock().now(),
        };
        let this = machine::hostname();
        let host = match (&self.host, self.anywhere) {
            (_, true) => None,
            (Some(host), _) => Some(host.clone()),
            (None, _) => Some(this.clone()),
        };
        let here = host.as_deref() == Some(this.as_str());
        let runs_as = match (self.dry_run, here) {
            (_, false) => RunsAs::Unknown,
            (true, _) => RunsAs::this(),
            (false, _) => {
                let (_, nodes) = fetch::all(context.client()?, &path(["nodes"]), &[]).await?;
                machine::nodes_run_as(&nodes, &this).unwrap_or_else(RunsAs::this)
            }
        };
        let owner = machine::owner().filter(|_| self.user.is_none() && !self.system);
        Ok(Setting { zone, host, runs_as, user: self.user.clone(), owner, from })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    let shown = path.display();
    match read {
        Ok(count) if count as u64 > FILE_BYTES_MAX => {
            Err(Failure::usage(format!("{shown}: larger than 4 MiB, which is no crontab")))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::usage(format!("{shown}: {error}"))),
    }
}

/// Whether a path is one of cron's own system crontabs, whose lines name users.
fn is_system(path: &Path) -> bool {
    path == Path::new("/etc/crontab") || path.starts_with("/etc/cron.d")
}

impl Import {
    /// Takes in what was read of a file.
    fn add(
        &mut self,
        path: &Path,
        crontab: Crontab,
        args: &CrontabArgs,
        setting: &Setting,
        names: &mut Names,
    ) {
        let file = path.display().to_string();
        let part = match &args.user {
            Some(user) if path == Path::new("-") => user.clone(),
            _ => file_part(path),
        };
        let mut problems: Vec<(usize, usize, String)> =
            crontab.problems.into_iter().map(|p| (p.line, p.column, p.message)).collect();
        let mut remarks = crontab.not_carried;
        if is_system(path) && !args.system {
            let message = "its lines name users, it seems: --system".to_owned();
            remarks.push(Remark { line: 1, message });
        }
        let setting = &setting.of_file(path);
        for job in crontab.jobs {
            let name = names.give(&part, &job.command);
            let prepared = match body::prepare(&job, &name, setting) {
                Ok(prepared) => prepared,
                Err(message) => {
                    problems.push((job.line, 1, message));
                    continue;
                }
            };
            if let Some(user) = prepared.user.as_ref().filter(|user| !setting.runs_as.can_be(user))
            {
                let message =
                    format!("user {user}: only a node that runs as root, or as {user}, can be it");
                remarks.push(Remark { line: job.line, message });
            }
            let (file, result) = (file.clone(), String::new());
            let (line, command) = (job.line, job.command);
            self.items.push(Item { file, line, command, prepared, result });
        }
        problems.sort();
        remarks.sort_by_key(|remark| remark.line);
        let wrong = |(line, column, message)| format!("{file}:{line}:{column}: {message}");
        self.problems.extend(problems.into_iter().map(wrong));
        let remark = |remark: Remark| format!("{file}:{}: {}", remark.line, remark.message);
        self.not_carried.extend(remarks.into_iter().map(remark));
    }

    /// Asks the cluster to create the tasks.
    async fn create(&mut self, context: &mut Context) -> Result<(), Failure> {
        for items in self.items.chunks_mut(BATCH) {
            let bodies: Vec<&Value> = items.iter().map(|item| &item.prepared.body).collect();
            let body = json!({ "items": bodies });
            let reply = context.client()?.post(&path(["tasks", "batch"]), &body).await?;
            let results = fetch::items(&reply.body);
            for (item, result) in items.iter_mut().zip(results) {
                let text = |key: &str| result.get(key).and_then(Value::as_str);
                let created = result.get("status").and_then(Value::as_u64).unwrap_or(201) < 400;
                item.result = match (created, text("code")) {
                    (true, _) => "created".to_owned(),
                    (false, Some(code)) => code.to_owned(),
                    (false, None) => "refused".to_owned(),
                };
                let said = matches!(item.result.as_str(), "task_exists" | "task_deleted");
                if let Some(detail) = text("detail").filter(|_| !created && !said) {
                    let place = format!("{}:{}", item.file, item.line);
                    context.out.say(&format!("{place}: {}: {detail}", item.name()));
                }
            }
        }
        Ok(())
    }

    /// One line for each task, for tests: nothing of the command but its hash.
    fn fingerprint(&self) -> String {
        self.items.iter().map(Item::fingerprint).collect()
    }

    fn print(&self, context: &mut Context, dry_run: bool) -> Outcome {
        let values: Vec<Value> = self.items.iter().map(Item::value).collect();
        let whole = json!({
            "items": values, "problems": self.problems, "not_carried": self.not_carried,
        });
        context.out.many(&whole, &values, |clock| self.table(clock, dry_run))?;
        if !self.not_carried.is_empty() {
            context.out.say("not carried over:");
        }
        for item in &self.items {
            for Warning { detail, .. } in &item.prepared.warnings {
                context.out.say(&format!("warning: {}:{}: {detail}", item.file, item.line));
            }
        }
        for line in
            self.not_carried.iter().map(|line| format!("  {line}")).chain(self.summary(dry_run))
        {
            context.out.say(&line);
        }
        Ok(self.exit())
    }

    fn summary(&self, dry_run: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.problems.is_empty() {
            lines.push("not read:".to_owned());
            lines.extend(self.problems.iter().map(|line| format!("  {line}")));
        }
        let all = self.items.len();
        let created = self.items.iter().filter(|item| item.result == "created").count();
        lines.push(match dry_run {
            true => format!("{all} tasks would be created; nothing was"),
            false => format!("{created} of {all} tasks created"),
        });
        lines
    }

    fn table(&self, clock: &LocalClock, dry_run: bool) -> Table {
        let mut table = Table::new(match dry_run {
            true => &["LINE", "NAME", "SCHEDULE", "ZONE", "USER", "NEXT", "COMMAND"],
            false => &["LINE", "NAME", "RESULT", "SCHEDULE", "ZONE", "NEXT"],
        });
        for item in &self.items {
            let prepared = &item.prepared;
            let (line, name) = (item.line.to_string(), item.name().to_owned());
            let ticks = prepared.next.iter().take(if dry_run { 3 } else { 1 });
            let next = ticks.map(|tick| clock.short(*tick)).collect::<Vec<_>>().join(", ");
            let (schedule, zone) = (prepared.schedule.clone(), prepared.zone.clone());
            let user = prepared.user.clone().unwrap_or_default();
            if dry_run {
                table.row([line, name, schedule, zone, user, next, item.command.clone()]);
            } else {
                table.row([line, name, item.result.clone(), schedule, zone, next]);
            }
        }
        table
    }

    fn exit(&self) -> Exit {
        let result =
            |wanted: &[&str]| self.items.iter().any(|item| wanted.contains(&item.result.as_str()));
        let other = self.items.iter().any(|item| {
            !["", "created", "task_exists", "task_deleted", "not_accepted", "outcome_unknown"]
                .contains(&item.result.as_str())
        });
        if !self.problems.is_empty() || other {
            Exit::Usage
        } else if result(&["outcome_unknown"]) {
            Exit::Unknown
        } else if result(&["not_accepted"]) {
            Exit::NotAccepted
        } else if result(&["task_exists", "task_deleted"]) {
            Exit::Conflict
        } else {
            Exit::Ok
        }
    }
}

impl Item {
    fn name(&self) -> &str {
        self.prepared.body.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    fn value(&self) -> Value {
        let prepared = &self.prepared;
        let next: Vec<String> = prepared.next.iter().map(ToString::to_string).collect();
        json!({
            "file": self.file,
            "line": self.line,
            "name": self.name(),
            "schedule": prepared.schedule,
            "timezone": prepared.zone,
            "user": prepared.user,
            "command": self.command,
            "next": next,
            "warnings": prepared.warnings.iter().map(|one| {
                json!({"code": one.code, "detail": one.detail})
            }).collect::<Vec<_>>(),
            "result": if self.result.is_empty() { None } else { Some(&self.result) },
            "task": prepared.body,
        })
    }

    fn fingerprint(&self) -> String {
        let prepared = &self.prepared;
        let hash: String = Sha256::digest(self.command.as_bytes())
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let next: Vec<String> = prepared.next.iter().map(ToString::to_string).collect();
        let user = prepared.named.as_deref().unwrap_or("-");
        format!(
            "{}\t{}\t{}\t{user}\t{}\t{hash}\t{}\n",
            self.line,
            self.name(),
            prepared.schedule,
            prepared.zone,
            next.join(" ")
        )
    }
}
