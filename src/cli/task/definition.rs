//! From options to a definition: the body of a new task, or what changes one.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::options::{ActionArgs, DefinitionArgs, PolicyArgs};
use crate::cli::local::LocalClock;
use crate::dto::{ActionBody, RuleBody, TaskBody};

/// What the options are to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormerTask<'a> {
    /// The definition that the task has; none: the task is new.
    pub body: Option<&'a TaskBody>,
    /// Variables that its command is to lose.
    pub unset_env: &'a [String],
}

impl DefinitionArgs {
    /// The fields that the options name, in the order of the canonical body. For a task that is
    /// there they are a JSON merge patch: what takes the place of something else removes it by a
    /// null.
    ///
    /// # Errors
    /// A sentence: options that do not go together or with the task, or a time that is none.
    pub fn fields(
        &self,
        former: FormerTask<'_>,
        clock: &LocalClock,
    ) -> Result<Map<String, Value>, String> {
        let policy = &self.policy;
        let mut fields = Map::new();
        put(&mut fields, "description", policy.description.as_deref());
        put(&mut fields, "labels", pairs(&policy.labels));
        let enabled =
            (self.schedule.enabled || self.schedule.disabled).then_some(self.schedule.enabled);
        put(&mut fields, "enabled", enabled);
        put(&mut fields, "schedule", object(self.schedule_fields(former.body, clock)?));
        put(&mut fields, "action", self.action.fields(former)?);
        put(&mut fields, "parameters", pairs(&policy.parameters));
        put(&mut fields, "payload", policy.payload.as_deref());
        put(&mut fields, "execution_mode", policy.mode.and_then(choice));
        put(&mut fields, "max_live", policy.max_live);
        put(&mut fields, "queue_max", policy.queue_max);
        put(&mut fields, "concurrency", policy.concurrency.clone());
        put(&mut fields, "priority", policy.priority);
        let catch_up =
            self.schedule.catch_up.and_then(choice).map(|policy| json!({ "policy": policy }));
        put(&mut fields, "catch_up", catch_up);
        policy.put_into(&mut fields);
        Ok(fields)
    }

    fn schedule_fields(
        &self,
        former: Option<&TaskBody>,
        clock: &LocalClock,
    ) -> Result<Map<String, Value>, String> {
        let options = &self.schedule;
        let mut schedule = Map::new();
        if let Some((key, rule)) = self.when.rule(options.tz.as_deref(), clock)? {
            let old = former.map(|former| &former.schedule);
            if let Some(old) = old.filter(|old| rule_key(&old.rule) != key) {
                schedule.insert(rule_key(&old.rule).to_owned(), Value::Null);
                if old.anchor.flatten().is_some() {
                    schedule.insert("anchor".to_owned(), Value::Null);
                }
            }
            schedule.insert(key.to_owned(), rule);
        }
        put(&mut schedule, "timezone", nullable(options.tz.as_deref()));
        if !options.exclude.is_empty() {
            schedule.insert("exclude".to_owned(), json!(options.exclude));
        }
        put(&mut schedule, "max_ticks", options.max_ticks);
        put(&mut schedule, "jitter", options.jitter.as_deref());
        Ok(schedule)
    }
}

impl PolicyArgs {
    /// The fields behind `catch_up`.
    fn put_into(&self, fields: &mut Map<String, Value>) {
        put(fields, "timeout", self.timeout.as_deref());
        put(fields, "kill_grace", self.kill_grace.as_deref());
        put(fields, "lost_after", self.lost_after.as_deref());
        let mut retry = Map::new();
        put(&mut retry, "max_retry", self.retry);
        put(&mut retry, "delay", self.retry_delay.as_deref());
        put(&mut retry, "backoff", self.retry_backoff.and_then(choice));
        put(&mut retry, "max_delay", self.retry_max_delay.as_deref());
        put(&mut retry, "jitter", self.retry_jitter.as_deref());
        put(fields, "retry", object(retry));
        put(fields, "delivery", self.delivery.and_then(choice));
        let node = self.node.iter().map(|node| ("node".to_owned(), node.clone()));
        let selector: Vec<_> = self.selector.iter().cloned().chain(node).collect();
        let mut assignment = Map::new();
        put(&mut assignment, "selector", pairs(&selector));
        put(&mut assignment, "strategy", self.strategy.as_deref());
        put(fields, "assignment", object(assignment));
        let mut then: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (end, task) in &self.then {
            then.entry(end).or_default().push(task);
        }
        put(fields, "then", (!then.is_empty()).then(|| json!(then)));
        put(fields, "keep", object(self.keep.iter().cloned().collect()));
        put(fields, "after_run", self.after_run.and_then(choice));
        put(fields, "one_shot", self.one_shot.then_some(true));
    }
}

impl ActionArgs {
    fn fields(&self, former: FormerTask<'_>) -> Result<Option<Value>, String> {
        let old = former.body.and_then(|body| body.action.as_ref()).map(action_key);
        let kind = match (&self.http, self.argv.is_empty()) {
            _ if self.executor.is_some() => Some("executor"),
            (Some(_), _) => Some("http"),
            (None, false) => Some("shell"),
            (None, true) => old,
        };
        let mut executor = Map::new();
        if let Some(names) = &self.executor {
            let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
            executor.insert("names".to_owned(), json!(names));
        }
        put(&mut executor, "balance", self.balance.and_then(choice));
        if !executor.is_empty() && kind != Some("executor") {
            return Err(
                "--balance chooses among executors (--executor); this task is for none".to_owned()
            );
        }
        let mut http = Map::new();
        put(&mut http, "url", self.http.as_deref());
        put(&mut http, "method", self.method.as_deref());
        put(&mut http, "headers", pairs(&self.headers));
        put(&mut http, "body", nullable(self.body.as_deref()));
        let mut shell = Map::new();
        if !self.argv.is_empty() {
            shell.insert("argv".to_owned(), json!(self.argv));
        }
        let mut env = Map::new();
        env.extend(former.unset_env.iter().map(|key| (key.clone(), Value::Null)));
        env.extend(self.env.iter().map(|(key, value)| (key.clone(), json!(value))));
        put(&mut shell, "env", object(env));
        put(&mut shell, "cwd", nullable(self.cwd.as_deref()));
        put(&mut shell, "user", nullable(self.user.as_deref()));
        if !http.is_empty() && kind != Some("http") {
            return Err("--method, --header and --body belong to an HTTP request (--http URL); \
                        this task sends none"
                .to_owned());
        }
        if !shell.is_empty() && kind != Some("shell") {
            return Err("--env, --cwd and --user belong to a command (-- ARGV); this task starts \
                        none"
                .to_owned());
        }
        let (key, given) = match (executor.is_empty(), http.is_empty()) {
            (false, _) => ("executor", executor),
            (true, false) => ("http", http),
            (true, true) => ("shell", shell),
        };
        if given.is_empty() {
            return Ok(None);
        }
        let mut action = Map::new();
        if let Some(old) = old.filter(|old| *old != key) {
            action.insert(old.to_owned(), Value::Null);
        }
        action.insert(key.to_owned(), Value::Object(given));
        Ok(Some(Value::Object(action)))
    }
}

/// The field of a schedule that has its rule.
const fn rule_key(rule: &RuleBody) -> &'static str {
    match rule {
        RuleBody::Cron(_) => "cron",
        RuleBody::Interval(_) => "interval",
        RuleBody::Daily(_) => "daily",
        RuleBody::Weekly { .. } => "weekly",
        RuleBody::Monthly { .. } => "monthly",
        RuleBody::At(_) => "at",
        RuleBody::Delay(_) => "delay",
        RuleBody::Immediate(_) => "immediate",
        RuleBody::Manual(_) => "manual",
    }
}

/// The field of an action that says what it is.
const fn action_key(action: &ActionBody) -> &'static str {
    match action {
        ActionBody::Http(_) => "http",
        ActionBody::Shell(_) => "shell",
        ActionBody::Executor(_) => "executor",
        ActionBody::Func(_) => "func",
    }
}

/// The word of a definition for the value of an option.
fn choice(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|known| known.get_name().replace('-', "_"))
}

/// Adds a field if it has a value.
fn put<T: Into<Value>>(fields: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        fields.insert(key.to_owned(), value.into());
    }
}

/// The fields as an object, unless there are none.
fn object(fields: Map<String, Value>) -> Option<Value> {
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn pairs(pairs: &[(String, String)]) -> Option<Value> {
    object(pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect())
}

/// A text that is taken away by an empty one.
fn nullable(text: Option<&str>) -> Option<Value> {
    text.map(|text| if text.is_empty() { Value::Null } else { json!(text) })
}
