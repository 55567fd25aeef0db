//! What an import says of its lines.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{CrontabPlace, Import, ImportItem};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::local::LocalClock;
use crate::cli::table::Table;

/// Results that leave a task in the cluster as the line wants it.
const THERE: [&str; 3] = ["created", "updated", "unchanged"];

impl Import {
    /// One line for each task, for tests: nothing of the command but its hash.
    pub(super) fn fingerprint(&self) -> String {
        self.items.iter().map(ImportItem::fingerprint).collect()
    }

    pub(super) fn print(&self, context: &mut CliContext, dry_run: bool) -> CommandResult {
        let values: Vec<Value> = self.items.iter().map(ImportItem::value).collect();
        let whole = json!({
            "items": values, "problems": self.problems, "not_carried": self.not_carried,
            "chained": self.chained,
        });
        context.out.many(&whole, &values, |clock| self.table(clock, dry_run))?;
        let list = |heading: &str, lines: &[String]| -> Vec<String> {
            let heading = (!lines.is_empty()).then(|| heading.to_owned());
            heading.into_iter().chain(lines.iter().map(|line| format!("  {line}"))).collect()
        };
        let mut said = list("not carried over:", &self.not_carried);
        said.extend(list("carried over as chains:", &self.chained));
        said.extend(list("not read:", &self.problems));
        for item in &self.items {
            let warnings = item.prepared.warnings.iter();
            let place = format!("warning: {}:{}", item.file, item.line);
            said.extend(warnings.map(|warning| format!("{place}: {}", warning.detail)));
        }
        said.push(self.summary(dry_run));
        said.extend(self.hints.iter().cloned());
        if !dry_run {
            said.extend(self.out_of_cron());
        }
        for line in said {
            context.out.say(&line);
        }
        Ok(self.exit())
    }

    fn count(&self, result: &str) -> usize {
        self.items.iter().filter(|item| item.result == result).count()
    }

    fn summary(&self, dry_run: bool) -> String {
        let all = self.items.len();
        if all == 0 {
            return "nothing to import: there is no job in it".to_owned();
        }
        if dry_run {
            return format!("{all} tasks would be created; nothing was");
        }
        let mut line = format!("{} of {all} tasks created", self.count("created"));
        for (result, hint) in
            [("unchanged", ""), ("updated", ""), ("differs", " (--update changes the task)")]
        {
            match self.count(result) {
                0 => {}
                count => line.push_str(&format!(", {count} {result}{hint}")),
            }
        }
        line
    }

    /// How to take the lines out of cron, which goes on with them.
    fn out_of_cron(&self) -> Option<String> {
        let there = |item: &&ImportItem| THERE.contains(&item.result.as_str());
        let mut places: Vec<&CrontabPlace> =
            self.items.iter().filter(there).map(|item| &item.place).collect();
        places.dedup();
        let host = self.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let ways: Vec<String> = places
            .iter()
            .map(|place| match place {
                CrontabPlace::Of(user) => format!("`crontab -e -u {user}`{host}"),
                CrontabPlace::File(file) => format!("an edit of {file}{host}"),
                CrontabPlace::Own => format!("`crontab -e`{host}"),
            })
            .collect();
        let ways = ways.join(", ");
        (!ways.is_empty())
            .then(|| format!("cron still runs these lines as well; take them out with {ways}"))
    }

    fn table(&self, clock: &LocalClock, dry_run: bool) -> Table {
        let mut table = Table::new(
            "lines",
            match dry_run {
                true => &["LINE", "NAME", "SCHEDULE", "ZONE", "USER", "NEXT", "COMMAND"],
                false => &["LINE", "NAME", "RESULT", "SCHEDULE", "ZONE", "NEXT"],
            },
        );
        for item in &self.items {
            let prepared = &item.prepared;
            let (line, name) = (item.line.to_string(), item.name.clone());
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

    pub(super) fn exit(&self) -> Exit {
        let result =
            |wanted: &[&str]| self.items.iter().any(|item| wanted.contains(&item.result.as_str()));
        let conflicts = ["differs", "task_exists", "task_deleted", "revision_mismatch"];
        let other = self.items.iter().any(|item| {
            let result = item.result.as_str();
            !THERE.contains(&result)
                && !conflicts.contains(&result)
                && !["", "not_accepted", "outcome_unknown"].contains(&result)
        });
        if !self.problems.is_empty() || other {
            Exit::Usage
        } else if result(&["outcome_unknown"]) {
            Exit::Unknown
        } else if result(&["not_accepted"]) {
            Exit::NotAccepted
        } else if result(&conflicts) {
            Exit::Conflict
        } else if self.items.is_empty() {
            Exit::No
        } else {
            Exit::Ok
        }
    }
}

impl ImportItem {
    fn value(&self) -> Value {
        let prepared = &self.prepared;
        let next: Vec<String> = prepared.next.iter().map(ToString::to_string).collect();
        json!({
            "file": self.file,
            "line": self.line,
            "name": self.name,
            "schedule": prepared.schedule,
            "timezone": prepared.zone,
            "user": prepared.user,
            "command": self.command,
            "next": next,
            "warnings": prepared.warnings.iter().map(|one| {
                json!({"code": one.code.name(), "detail": one.detail})
            }).collect::<Vec<_>>(),
            "result": if self.result.is_empty() { None } else { Some(&self.result) },
            "task": prepared.body,
        })
    }

    fn fingerprint(&self) -> String {
        let prepared = &self.prepared;
        let hash: String = digest(&SHA256, self.command.as_bytes())
            .as_ref()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let next: Vec<String> = prepared.next.iter().map(ToString::to_string).collect();
        let user = prepared.named.as_deref().unwrap_or("-");
        format!(
            "{}\t{}\t{}\t{user}\t{}\t{hash}\t{}\n",
            self.line,
            self.name,
            prepared.schedule,
            prepared.zone,
            next.join(" ")
        )
    }
}
