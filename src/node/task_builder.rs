//! Definitions of tasks, in code.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::spec;
use crate::domain::task::{
    AfterRun, Backoff, CatchUpPolicy, ChainCondition, Delivery, ExecutionMode,
};
use crate::domain::time::Timestamp;

/// The definition of a task: its name, a schedule, an action, and policies. What is not set has the
/// default of the API. The node that is asked checks it, and names the field that is wrong.
///
/// Without an action a task calls the function of its own name.
///
/// ```no_run
/// # async fn add(node: punctual::Node) -> Result<(), punctual::Error> {
/// use std::time::Duration;
/// use punctual::{Backoff, ExecutionMode, TaskBuilder};
///
/// let load = TaskBuilder::cron("load", "*/5 * * * * *")
///     .function("load-table")
///     .parameter("table", "orders")
///     .timeout(Duration::from_secs(30))
///     .retry(3, Duration::from_secs(1), Backoff::Exponential)
///     .mode(ExecutionMode::Skip);
/// let added = node.add_task(load).await?;
/// println!("{} is owned by {:?}", added.id, added.owner);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct TaskBuilder(Map<String, Value>);

impl TaskBuilder {
    fn new(name: impl Into<String>, rule: &str, value: impl Into<Value>) -> Self {
        let schedule = Map::from_iter([(rule.to_owned(), value.into())]);
        let fields = [("name", Value::String(name.into())), ("schedule", schedule.into())];
        Self(fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect())
    }

    /// A task with a cron expression of five fields, six (seconds first) or seven (with a year).
    pub fn cron(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self::new(name, "cron", expression.into())
    }

    /// A task with a fixed interval, from 100 ms.
    pub fn every(name: impl Into<String>, interval: Duration) -> Self {
        Self::new(name, "interval", millis(interval))
    }

    /// A task that fires at a time of day, such as `02:00`.
    pub fn daily(name: impl Into<String>, time: impl Into<String>) -> Self {
        Self::new(name, "daily", time.into())
    }

    /// A task that fires once, at an instant: a [`Timestamp`] or a [`SystemTime`].
    pub fn at(name: impl Into<String>, at: impl Into<Timestamp>) -> Self {
        Self::new(name, "at", at.into().to_string())
    }

    /// A task that fires once, so long after it was added.
    pub fn after(name: impl Into<String>, delay: Duration) -> Self {
        Self::new(name, "delay", millis(delay))
    }

    /// A task that fires once, when it is added.
    pub fn now(name: impl Into<String>) -> Self {
        Self::new(name, "immediate", true)
    }

    /// A task that fires by triggers, and by [`Node::can_run`](crate::Node::can_run).
    pub fn manual(name: impl Into<String>) -> Self {
        Self::new(name, "manual", true)
    }

    /// A definition as the API and files have it. The flat spellings of other schedulers are read
    /// too.
    pub const fn from_json(body: Map<String, Value>) -> Self {
        Self(body)
    }

    /// Sets a field of the definition for which there is no method, such as `keep`.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Sets a field of an object among the fields.
    fn inner(mut self, object: &str, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let fields = self.0.entry(object).or_insert_with(|| json!({}));
        if !fields.is_object() {
            *fields = json!({});
        }
        if let Value::Object(fields) = fields {
            fields.insert(name.into(), value.into());
        }
        self
    }

    /// Calls the function of this name, on a node that has it.
    pub fn function(self, id: impl Into<String>) -> Self {
        self.field("action", json!({"func": {"id": id.into()}}))
    }

    /// Sends an HTTP request (POST) to this URL.
    pub fn http(self, url: impl Into<String>) -> Self {
        self.field("action", json!({"http": {"url": url.into()}}))
    }

    /// Runs a command, on a node that starts processes.
    pub fn shell<A: Into<String>>(self, argv: impl IntoIterator<Item = A>) -> Self {
        let argv: Vec<String> = argv.into_iter().map(Into::into).collect();
        self.field("action", json!({"shell": {"argv": argv}}))
    }

    /// For people.
    pub fn description(self, text: impl Into<String>) -> Self {
        self.field("description", text.into())
    }

    /// A label, by which tasks are selected.
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.inner("labels", key, value.into())
    }

    /// Only nodes with this label own and execute the task.
    pub fn selector(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let mut selector = match self.0.get("assignment").and_then(|all| all.get("selector")) {
            Some(Value::Object(selector)) => selector.clone(),
            _ => Map::new(),
        };
        selector.insert(key.into(), Value::String(value.into()));
        self = self.inner("assignment", "selector", selector);
        self
    }

    /// The IANA zone of the schedule; without one, that of the cluster.
    pub fn timezone(self, zone: impl Into<String>) -> Self {
        self.inner("schedule", "timezone", zone.into())
    }

    /// Text for the action.
    pub fn payload(self, text: impl Into<String>) -> Self {
        self.field("payload", text.into())
    }

    /// A parameter for the action. Triggers may lay others over it.
    pub fn parameter(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.inner("parameters", key, value)
    }

    /// All parameters, as a type of the program that is an object in JSON. What cannot be
    /// represented is null, which adding the task refuses.
    pub fn parameters(self, parameters: &impl Serialize) -> Self {
        self.field("parameters", serde_json::to_value(parameters).unwrap_or_default())
    }

    /// Bounds an attempt; zero: no bound.
    pub fn timeout(self, limit: Duration) -> Self {
        self.field("timeout", millis(limit))
    }

    /// So long an attempt that should end may go on before it is dropped or killed.
    pub fn kill_grace(self, grace: Duration) -> Self {
        self.field("kill_grace", millis(grace))
    }

    /// An attempt of a node that is silent for so long is lost.
    pub fn lost_after(self, silence: Duration) -> Self {
        self.field("lost_after", millis(silence))
    }

    /// Attempts after a known failure, and the delay before each.
    pub fn retry(self, max_retry: u32, delay: Duration, backoff: Backoff) -> Self {
        let backoff = spec::backoff_word(backoff);
        let retry = json!({"max_retry": max_retry, "delay": millis(delay), "backoff": backoff});
        self.field("retry", retry)
    }

    /// Whether an attempt of unknown outcome is made again.
    pub fn delivery(self, delivery: Delivery) -> Self {
        self.field("delivery", spec::delivery_word(delivery))
    }

    /// What a tick does while an execution has not ended.
    pub fn mode(self, mode: ExecutionMode) -> Self {
        self.field("execution_mode", spec::execution_mode_word(mode))
    }

    /// Limits the executions of all tasks of a group together.
    pub fn concurrency(self, group: impl Into<String>, limit: u32) -> Self {
        self.field("concurrency", json!({"group": group.into(), "limit": limit}))
    }

    /// From 0 to 9: of the executions that wait, the highest starts first.
    pub fn priority(self, priority: u8) -> Self {
        self.field("priority", priority)
    }

    /// Which ticks that nobody could settle in time fire afterwards, as far back as the window.
    pub fn catch_up(self, policy: CatchUpPolicy, window: Duration) -> Self {
        let policy = spec::catch_up_word(policy);
        self.field("catch_up", json!({"policy": policy, "window": millis(window)}))
    }

    /// Starts another task when an execution ends so.
    pub fn then(mut self, on: ChainCondition, task: impl Into<String>) -> Self {
        let mut names = match self.0.get("then").and_then(|then| then.get(on.word())) {
            Some(Value::Array(names)) => names.clone(),
            _ => Vec::new(),
        };
        names.push(Value::String(task.into()));
        self = self.inner("then", on.word(), names);
        self
    }

    /// The first tick completes the task: it never fires twice.
    pub fn one_shot(self) -> Self {
        self.field("one_shot", true)
    }

    /// What becomes of the task when an execution of a tick has ended.
    pub fn after_run(self, after: AfterRun) -> Self {
        self.field("after_run", spec::after_run_word(after))
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        self.0.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The function that the task calls.
    pub(super) fn function_name(&self) -> &str {
        let id = self.0.get("action").and_then(|action| action.pointer("/func/id"));
        id.and_then(Value::as_str).unwrap_or_else(|| self.name())
    }

    /// As the API has it.
    pub(super) fn into_body(self) -> Value {
        Value::Object(self.0)
    }
}

/// A duration as definitions write it.
fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

impl From<SystemTime> for Timestamp {
    /// What is too far away becomes the last instant.
    fn from(time: SystemTime) -> Self {
        let number = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(number(since)),
            Err(before) => Self(-number(before.duration())),
        }
    }
}
