//! `import`: what other schedulers have, as tasks.

mod body;
mod crontab;
mod machine;
mod matching;
mod naming;
mod report;
mod send;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use self::body::{ImportSettings, PreparedJob};
use self::crontab::{Crontab, LineNotice};
use self::machine::RunsAs;
use self::matching::{ImportedTask, TaskDifference, Wanted};
use self::naming::{clean, file_part, program};
use super::context::CliContext;
use super::exit::{CommandResult, Failure};
use super::fetch;
use super::local::{Day, machine_zone};
use super::task;
use crate::client::path;
use crate::domain::schedule::zone;

/// A larger file is no crontab.
const FILE_BYTES_MAX: u64 = 4 << 20;
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
    /// The begin of the tasks' names [default: cron-HOST-USER, or cron-HOST-FILE with --system]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Start this task when a run goes wrong whose output cron mails by MAILTO
    #[arg(long, value_name = "TASK", value_parser = task::name)]
    mailto: Option<String>,
    /// Change the tasks of lines that were changed since they were imported
    #[arg(long)]
    update: bool,
    /// Show what a first import would create, and create nothing
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

/// The crontab that a line stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CrontabPlace {
    /// A file of the system.
    File(String),
    /// That of a named user.
    Of(String),
    /// That of whoever imports it.
    Own,
}

/// A line that becomes a task.
struct ImportItem {
    file: String,
    place: CrontabPlace,
    line: usize,
    command: String,
    /// Its task's name if no other line has the same.
    base: String,
    /// Its task's name.
    name: String,
    prepared: PreparedJob,
    /// The fields of the body as a node shows them.
    canonical: Value,
    fit: TaskDifference,
    /// What the cluster made of it; empty: it was not asked.
    result: String,
}

/// What an import found, of all files.
#[derive(Default)]
struct Import {
    items: Vec<ImportItem>,
    /// The begins of the names.
    stems: BTreeSet<String>,
    /// The machine on which the tasks run; none: any.
    host: Option<String>,
    /// Lines that are wrong, with their place.
    problems: Vec<String>,
    /// What has no counterpart, with its place.
    not_carried: Vec<String>,
    /// What became a chain, with its place.
    chained: Vec<String>,
    /// What else is to be said.
    hints: Vec<String>,
}

/// Imports.
pub async fn run(command: ImportCommand, context: &mut CliContext) -> CommandResult {
    let ImportCommand::Crontab(args) = command;
    let setting = args.setting(context).await?;
    let mut import = Import { host: setting.host.clone(), ..Import::default() };
    for path in &args.files {
        let bytes = read(path)?;
        let crontab = crontab::parse(&bytes, args.system);
        import.add(path, crontab, &args, &setting);
    }
    let known = match args.dry_run {
        true => Vec::new(),
        false => import.known(context).await?,
    };
    import.name(&known);
    if args.fingerprint {
        context.out.bytes(import.fingerprint().as_bytes())?;
        return Ok(import.exit());
    }
    if !args.dry_run && !import.items.is_empty() {
        let sent = import.send(&known, args.update, context).await;
        let partly = import.items.iter().any(|item| !item.result.is_empty());
        // Of a long crontab a part may be there already, and that has to be known.
        if sent.is_err() && partly {
            import.print(context, false)?;
        }
        sent?;
        import.look_for_host(context).await?;
    }
    import.print(context, args.dry_run)
}

impl CrontabArgs {
    /// What holds for all lines.
    async fn setting(&self, context: &mut CliContext) -> Result<ImportSettings, Failure> {
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
                let nodes = fetch::all(context, &path(["nodes"]), &[]).await?.says;
                machine::nodes_run_as(&nodes, &this).unwrap_or_else(RunsAs::this)
            }
        };
        let owner = machine::owner().filter(|_| self.user.is_none() && !self.system);
        let (user, mailto) = (self.user.clone(), self.mailto.clone());
        Ok(ImportSettings { zone, host, runs_as, user, owner, mailto, from })
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

impl CrontabArgs {
    /// The begin of the names of a file's tasks.
    fn stem(&self, path: &Path, setting: &ImportSettings) -> String {
        if let Some(prefix) = &self.prefix {
            return prefix.clone();
        }
        let crontab = match (&self.user, self.system) {
            (_, true) => file_part(path),
            (Some(user), false) => user.clone(),
            // The same by pipe and by file.
            (None, false) => {
                setting.owner.as_ref().map_or("crontab".to_owned(), |owner| owner.name.clone())
            }
        };
        match &setting.host {
            Some(host) => format!("cron-{}-{}", clean(host), clean(&crontab)),
            None => format!("cron-{}", clean(&crontab)),
        }
    }

    fn place(&self, path: &Path) -> CrontabPlace {
        match (&self.user, self.system) {
            (_, true) => CrontabPlace::File(match path.to_str() {
                Some("-") | None => "the crontab".to_owned(),
                Some(file) => file.to_owned(),
            }),
            (Some(user), false) => CrontabPlace::Of(user.clone()),
            (None, false) => CrontabPlace::Own,
        }
    }
}

impl Import {
    /// Takes in what was read of a file.
    fn add(&mut self, path: &Path, crontab: Crontab, args: &CrontabArgs, setting: &ImportSettings) {
        let file = path.display().to_string();
        let (stem, place) = (args.stem(path, setting), args.place(path));
        let mut problems: Vec<(usize, usize, String)> =
            crontab.problems.into_iter().map(|p| (p.line, p.column, p.message)).collect();
        let mut remarks = crontab.not_carried;
        if is_system(path) && !args.system {
            let message = "its lines name users, it seems: --system".to_owned();
            remarks.push(LineNotice { line: 1, message });
        }
        self.mail(&file, crontab.mail, setting.mailto.as_deref(), &mut remarks);
        let setting = &setting.of_file(path);
        for job in crontab.jobs {
            let base = format!("{stem}-{}", program(&job.command));
            let made = body::prepare(&job, &base, setting);
            let made = made.and_then(|made| Ok((body::canonical(&made.body, setting.from)?, made)));
            let (canonical, prepared) = match made {
                Ok(made) => made,
                Err(message) => {
                    problems.push((job.line, 1, message));
                    continue;
                }
            };
            if let Some(user) = prepared.user.as_ref().filter(|user| !setting.runs_as.can_be(user))
            {
                let message =
                    format!("user {user}: only a node that runs as root, or as {user}, can be it");
                remarks.push(LineNotice { line: job.line, message });
            }
            self.items.push(ImportItem {
                file: file.clone(),
                place: place.clone(),
                line: job.line,
                command: job.command,
                name: base.clone(),
                base,
                prepared,
                canonical,
                fit: TaskDifference::New,
                result: String::new(),
            });
        }
        self.stems.insert(stem);
        problems.sort();
        remarks.sort_by_key(|remark| remark.line);
        let wrong = |(line, column, message)| format!("{file}:{line}:{column}: {message}");
        self.problems.extend(problems.into_iter().map(wrong));
        let remark = |remark: LineNotice| format!("{file}:{}: {}", remark.line, remark.message);
        self.not_carried.extend(remarks.into_iter().map(remark));
    }

    /// What becomes of assignments that have output mailed.
    fn mail(
        &mut self,
        file: &str,
        assignments: Vec<LineNotice>,
        task: Option<&str>,
        not_carried: &mut Vec<LineNotice>,
    ) {
        for LineNotice { line, message } in assignments {
            match task {
                Some(task) => self.chained.push(format!(
                    "{file}:{line}: {message}: {task} is started when a run fails, times out or is \
                     lost. cron mails the output of every run, also of one that succeeds; the \
                     address is not handed on, {task} must have it"
                )),
                None => {
                    let message = format!(
                        "{message}: nothing is mailed; output is kept with each execution, and \
                         with --mailto TASK that task is started when a run goes wrong"
                    );
                    not_carried.push(LineNotice { line, message });
                }
            }
        }
    }

    /// Gives each line's task its name, after what the cluster has.
    fn name(&mut self, known: &[ImportedTask]) {
        let wanted: Vec<Wanted<'_>> = self
            .items
            .iter()
            .map(|item| Wanted {
                base: &item.base,
                command: &item.command,
                schedule: &item.prepared.schedule,
                fields: &item.canonical,
            })
            .collect();
        let fits = matching::fit(&wanted, known);
        let left = matching::left_over(&fits, known);
        if !left.is_empty() {
            let names = left.join(", ");
            self.hints
                .push(format!("no line has these tasks any more (`punctual delete`): {names}"));
        }
        for (item, (name, fit)) in self.items.iter_mut().zip(fits) {
            body::put(&mut item.prepared.body, "name", name.clone().into());
            item.name = name;
            item.fit = fit;
        }
    }
}
