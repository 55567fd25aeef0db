//! The part of an import that talks to the cluster.

use reqwest::Method;
use serde_json::{Value, json};

use super::matching::Fit;
use super::{Import, ImportItem};
use crate::cli::context::CliContext;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{self, CHANGED, ITEM, TASK, text, word};
use crate::cli::words;
use crate::client::{ClientError, path};
use crate::domain::spec;
use crate::dto::NodeView;

/// Tasks sent in one request.
const BATCH: usize = 500;

impl Import {
    /// The tasks that the cluster has of these crontabs.
    pub(super) async fn known(&self, context: &mut CliContext) -> Result<Vec<Value>, Failure> {
        let mut known = Vec::new();
        for stem in &self.stems {
            let query = [("name", format!("{stem}-*"))];
            let (_, tasks) = fetch::all(context, &path(["tasks"]), &query, &TASK).await?;
            known.extend(tasks);
        }
        Ok(known)
    }

    /// Makes the tasks that are new, and changes those that differ if that is wanted.
    pub(super) async fn send(
        &mut self,
        known: &[Value],
        update: bool,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        for item in &mut self.items {
            item.result = match item.fit {
                Fit::Unchanged => "unchanged".to_owned(),
                Fit::Differs if update => item.update(known, context).await?,
                Fit::Differs => "differs".to_owned(),
                Fit::New => continue,
            };
        }
        let mut new: Vec<&mut ImportItem> =
            self.items.iter_mut().filter(|item| item.fit == Fit::New).collect();
        for items in new.chunks_mut(BATCH) {
            create(items, context).await?;
        }
        Ok(())
    }

    /// Notes it if no node is where the tasks are to run.
    pub(super) async fn look_for_host(&mut self, context: &mut CliContext) -> Result<(), Failure> {
        let Some(host) = &self.host else { return Ok(()) };
        let (_, _, nodes) = fetch::all_typed::<NodeView>(context, &path(["nodes"])).await?;
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
    let body = json!({ "items": bodies });
    let reply = context.client()?.post(&path(["tasks", "batch"]), &body).await?;
    let results = ITEM.items(&reply.body, Exit::Unknown)?;
    if results.len() != items.len() {
        let message = format!("{} lines were sent, {} answered", items.len(), results.len());
        return Err(Failure { exit: Exit::Unknown, message });
    }
    for (item, result) in items.iter_mut().zip(results) {
        let created = result.get("status").and_then(Value::as_u64).is_some_and(|it| it < 400);
        item.result = match (created, text(result, "code")) {
            (true, _) => "created".to_owned(),
            (false, Some(code)) => code.to_owned(),
            (false, None) => "refused".to_owned(),
        };
        let place = format!("{}:{}: {}", item.file, item.line, item.name());
        // Those of the schedule are told with the lines.
        let own =
            |warning: &String| item.prepared.warnings.iter().any(|one| one.detail == *warning);
        for warning in words::warnings(result).iter().filter(|warning| !own(warning)) {
            context.out.say(&format!("{place}: warning: {warning}"));
        }
        let said = match (item.result.as_str(), text(result, "detail")) {
            ("task_deleted", _) => {
                format!("was deleted; `punctual reuse {}` brings it back", item.name())
            }
            (_, Some(detail)) if !created => detail.to_owned(),
            _ => continue,
        };
        context.out.say(&format!("{place}: {said}"));
    }
    Ok(())
}

impl ImportItem {
    /// Changes the task to what the line says; what the line says nothing of stays.
    async fn update(&self, known: &[Value], context: &mut CliContext) -> Result<String, Failure> {
        let name = self.name();
        let old = known.iter().find(|task| text(task, "name") == Some(name));
        let mut body = old.map(spec::definition).unwrap_or_default();
        if let (Value::Object(body), Some(fields)) = (&mut body, self.prepared.body.as_object()) {
            body.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let revision = old.map(|old| word(old, "revision")).unwrap_or_default();
        let headers = [("If-Match", format!("\"{revision}\""))];
        let path = path(["tasks", name]);
        match context.client()?.send(Method::PUT, &path, &[], Some(&body), &headers).await {
            Ok(reply) => {
                CHANGED.check(&reply.body, Exit::Unknown)?;
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
