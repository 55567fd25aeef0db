//! The part of an import that communicates with the cluster.

use reqwest::Method;
use serde_json::Value;

use super::matching::{ImportedTask, TaskDifference};
use super::{Import, ImportItem};
use crate::cli::batch;
use crate::cli::context::CliContext;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{self, typed};
use crate::cli::words;
use crate::client::{ClientError, if_match, path};
use crate::domain::spec;
use crate::dto::{ItemView, NodeView, TaskChanged, TaskView};

impl Import {
    /// The existing tasks of these crontabs.
    pub(super) async fn known(
        &self,
        context: &mut CliContext,
    ) -> Result<Vec<ImportedTask>, Failure> {
        let mut known = Vec::new();
        for stem in &self.stems {
            let query = [("name", format!("{stem}-*"))];
            let list = fetch::all::<TaskView>(context, &path(["tasks"]), &query).await?;
            known.extend(list.items.iter().zip(list.says).map(|(item, task)| ImportedTask {
                name: task.id,
                revision: task.revision,
                body: spec::definition(item),
            }));
        }
        Ok(known)
    }

    /// Creates new tasks, and updates those that differ if `update` is set.
    pub(super) async fn send(
        &mut self,
        known: &[ImportedTask],
        update: bool,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let lines = self.items.len();
        for (done, item) in self.items.iter_mut().enumerate() {
            item.result = match item.fit {
                TaskDifference::Unchanged => "unchanged".to_owned(),
                TaskDifference::Differs if update => {
                    context.out.progress(done, lines, "lines");
                    item.update(known, context).await?
                }
                TaskDifference::Differs => "differs".to_owned(),
                TaskDifference::New => continue,
            };
        }
        let mut new: Vec<&mut ImportItem> =
            self.items.iter_mut().filter(|item| item.fit == TaskDifference::New).collect();
        let (mut done, all) = (0, new.len());
        for items in new.chunks_mut(batch::ITEMS) {
            context.out.progress(done, all, "tasks");
            create(items, context).await?;
            done += items.len();
        }
        Ok(())
    }

    /// Adds a warning if no node runs on the host of the tasks.
    pub(super) async fn look_for_host(&mut self, context: &mut CliContext) -> Result<(), Failure> {
        let Some(host) = &self.host else { return Ok(()) };
        let nodes = fetch::all::<NodeView>(context, &path(["nodes"]), &[]).await?.says;
        if !nodes.iter().any(|node| node.hostname == *host) {
            let mut hosts: Vec<String> = nodes.into_iter().map(|node| node.hostname).collect();
            hosts.sort();
            hosts.dedup();
            self.hints.push(format!(
                "warning: no node is on host {host}, so these tasks wait; nodes are on {}",
                hosts.join(", ")
            ));
        }
        Ok(())
    }
}

async fn create(items: &mut [&mut ImportItem], context: &mut CliContext) -> Result<(), Failure> {
    let bodies: Vec<&Value> = items.iter().map(|item| &item.prepared.body).collect();
    let results = batch::create(&bodies, context).await?;
    for (item, result) in items.iter_mut().zip(results) {
        item.created(&result, context);
    }
    Ok(())
}

impl ImportItem {
    /// Records and prints the result of a line.
    fn created(&mut self, result: &ItemView, context: &mut CliContext) {
        let created = result.status < 400;
        self.result = match (created, &result.code) {
            (true, _) => "created".to_owned(),
            (false, Some(code)) => code.to_string(),
            (false, None) => "refused".to_owned(),
        };
        let place = format!("{}:{}: {}", self.file, self.line, self.name);
        // Warnings about the schedule are printed with the lines.
        let own =
            |warning: &String| self.prepared.warnings.iter().any(|one| one.detail == *warning);
        for warning in words::warnings(&result.warnings).iter().filter(|warning| !own(warning)) {
            context.out.say(&format!("{place}: warning: {warning}"));
        }
        if self.result == "task_deleted" {
            let name = &self.name;
            context
                .out
                .say(&format!("{place}: was deleted; `punctual reuse {name}` brings it back"));
        } else if let Some(detail) = result.detail.as_ref().filter(|_| !created) {
            let advice = result.advice.iter().map(|advice| format!("\n  {advice}"));
            context.out.say(&format!("{place}: {detail}{}", advice.collect::<String>()));
        }
    }

    /// Updates the task from the line. Fields that the line does not define are kept.
    async fn update(
        &self,
        known: &[ImportedTask],
        context: &mut CliContext,
    ) -> Result<String, Failure> {
        let name = self.name.as_str();
        let old = known.iter().find(|task| task.name == name);
        let mut body = old.map(|old| old.body.clone()).unwrap_or_default();
        if let (Value::Object(body), Some(fields)) = (&mut body, self.prepared.body.as_object()) {
            body.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let headers = if_match(old.map(|old| old.revision).unwrap_or_default());
        let path = path(["tasks", name]);
        match context.client()?.send(Method::PUT, &path, &[], Some(&body), &headers).await {
            Ok(reply) => {
                typed::<TaskChanged>(&reply.body, Exit::Unknown)?;
                Ok("updated".to_owned())
            }
            Err(ClientError::Refused(refusal)) => {
                let place = format!("{}:{}", self.file, self.line);
                context.out.say(&format!("{place}: {name}: {}", refusal.detail));
                Ok(refusal.code)
            }
            Err(error) => Err(error.into()),
        }
    }
}
