//! Making a task.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use serde_json::Value;

use crate::api::extract::{Reply, Write};
use crate::api::lists::location;
use crate::domain::machine::Command;
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::spec;
use crate::domain::time::Timestamp;
use crate::ops::OpError;
use crate::ops::context::View;
use crate::ops::eligibility;

use super::after_write;

/// `POST /tasks`: makes a task; with `force` whatever has its name is replaced.
pub(in crate::api) async fn create(write: Write) -> Reply {
    let force = write.params.flag("force")?;
    let body = write.body()?;
    let view = write.context.here()?;
    let mut reading = view.reading(&write.context.settings);
    reading.settled = settled(&view, body);
    let read =
        spec::read(&spec::definition(body), reading).map_err(OpError::from).and_then(|spec| {
            eligibility::check(&view.state, &spec, None)?;
            Ok(spec)
        });
    let answer = match read {
        Ok(spec) => {
            let put = Put { mode: mode(force), spec };
            write.submit(&Command::Put(Box::new(put))).await?
        }
        // What could be made then may not be any more: its time may have passed.
        Err(problem) => write.unless_answered(problem).await?,
    };
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let made = answer.revision();
    let mut response = after_write(&write.context, StatusCode::CREATED, &name, made, None)?;
    if let Some(location) = location("tasks", &name) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Up to here no tick of a new task of that name fires: what its name had before is settled.
pub(super) fn settled(view: &View, body: &Value) -> Timestamp {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let floor = view.state.cluster().floor;
    view.state.named(name).map_or(floor, |task| view.state.settled(task))
}

/// How a new task treats what has its name.
pub(super) const fn mode(force: bool) -> PutMode {
    if force { PutMode::Force } else { PutMode::Add }
}
