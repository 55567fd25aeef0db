//! A task as an executor declares it, and the body of a task that it stands for.

use serde_json::{Map, Value, json};

use crate::domain::spec::BodyProblem;

/// The fields of a declared task, each with the name under which it was written where there are
/// several.
pub(crate) struct DeclaredFields<'v> {
    /// Its name.
    pub name: (&'static str, &'v str),
    /// Its cron expression; none: it is triggered only.
    pub cron: Option<(&'static str, &'v str)>,
    /// How an executor is chosen.
    pub balance: Option<&'v Value>,
    /// Its timeout in seconds.
    pub limit: Option<(&'static str, &'v Value)>,
    /// What has the same name in the body of a task.
    pub others: Vec<(&'static str, &'v Value)>,
    /// Whether its ticks do not fire.
    pub disabled: bool,
}

/// A declared task.
pub(crate) struct DeclaredTask {
    /// Its name.
    pub name: String,
    /// Its definition, in a form that tasks may be written in.
    pub body: Value,
    /// Places of `body`, and the fields that stand for them in the request.
    written: Vec<(&'static str, &'static str)>,
}

impl DeclaredTask {
    /// The body that these fields stand for.
    pub fn new(fields: &DeclaredFields<'_>) -> Self {
        let (name_field, name) = fields.name;
        let mut written =
            vec![("name", name_field), ("action/executor/balance", "load_balance_strategy")];
        let schedule = match fields.cron {
            Some((field, expression)) => {
                written.push(("schedule/cron", field));
                json!({"cron": expression})
            }
            None => json!({"manual": true}),
        };
        let balance = fields.balance.map(|word| ("balance".to_owned(), word.clone()));
        let executor: Map<String, Value> = balance.into_iter().collect();
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(name));
        body.insert("schedule".to_owned(), schedule);
        body.insert("action".to_owned(), json!({ "executor": executor }));
        if let Some((field, seconds)) = fields.limit {
            written.push(("timeout_seconds", field));
            body.insert("timeout_seconds".to_owned(), seconds.clone());
        }
        for (field, value) in &fields.others {
            body.insert((*field).to_owned(), (*value).clone());
        }
        if fields.disabled {
            body.insert("enabled".to_owned(), json!(false));
        }
        Self { name: name.to_owned(), body: Value::Object(body), written }
    }

    /// Tells a problem of the body at the field that was written.
    pub fn point(&self, problem: &mut BodyProblem) {
        let written = self.written.iter().find_map(|(place, field)| {
            let rest = problem.pointer.strip_prefix(&format!("/{place}"))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("/{field}{rest}"))
        });
        if let Some(written) = written {
            problem.pointer = written;
        }
    }
}
