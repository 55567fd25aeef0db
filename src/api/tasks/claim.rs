//! A caller's own claim of a tick: the first caller is granted it, all others hear who was.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use serde_json::json;

use crate::api::context::View;
use crate::api::error::Problem;
use crate::api::extract::{Reply, Segment, Write};
use crate::api::fields::Fields;
use crate::api::lists::location;
use crate::api::plans;
use crate::api::views;
use crate::domain::ids::{Revision, SessionId};
use crate::domain::machine::command::{Claim, Settle};
use crate::domain::machine::record::{FiredTick, Trigger};
use crate::domain::machine::{Answer, Command, Refusal, Task};
use crate::domain::time::Timestamp;

/// A claim that meets other changes of its task is tried so many times.
const TRIES: u32 = 8;

/// `POST /tasks/{name}/claim`: takes a tick of a `manual` task.
pub(in crate::api) async fn claim(Segment(name): Segment, write: Write) -> Reply {
    write.params.only(&[])?;
    let fields = Fields::of(Some(write.body()?), &["tick"])?;
    let tick = fields.need("tick").instant("tick");
    fields.done()?;
    let Some(tick) = tick else { return Err(Problem::internal("a tick was read and not found")) };
    for _ in 0..TRIES {
        let view = write.view().await?;
        if let Some(first) = write.first(&view)? {
            return granted(&write, &first);
        }
        let task = view.task(&name)?;
        let settle = match settle(&view, task, tick, &write)? {
            Wanted::Grant(settle) => settle,
            Wanted::Known(fired) => return Err(claimed(&view, task, fired)),
        };
        match write.try_submit(&Command::Settle(settle)).await? {
            Ok(answer) => return granted(&write, &answer),
            // Somebody settled or changed the task meanwhile: look again.
            Err(Refusal::Cursor { .. } | Refusal::RevisionMismatch { .. }) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Problem::new("not_accepted", "the task changes too fast; nothing was changed"))
}

/// What there is to do about a tick.
enum Wanted<'a> {
    /// To propose this.
    Grant(Settle),
    /// Nothing: it fired.
    Known(&'a FiredTick),
}

fn settle<'a>(
    view: &View,
    task: &'a Task,
    tick: Timestamp,
    write: &Write,
) -> Result<Wanted<'a>, Problem> {
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted.into());
    }
    let plan = plans::current(&view.state, task);
    let plan = plan.filter(|plan| plan.manual()).ok_or_else(|| {
        Problem::new("not_manual", "only ticks of a task with a manual schedule can be claimed")
    })?;
    if let Some(fired) = task.history.fired(tick) {
        return Ok(Wanted::Known(fired));
    }
    let after = view.state.settled(task);
    if tick <= after {
        return Err(Refusal::Cursor { at: after }.into());
    }
    let session = write.context.running()?.engine.session();
    let session = session.ok_or_else(|| Problem::from(Refusal::Session))?;
    Ok(Wanted::Grant(command(task, session, after, tick, plan.due(tick))))
}

fn command(
    task: &Task,
    session: SessionId,
    after: Timestamp,
    tick: Timestamp,
    due: Timestamp,
) -> Settle {
    Settle {
        task: task.key,
        revision: task.live.revision,
        calendars: Revision(0),
        session,
        now: due,
        after,
        spans: Vec::new(),
        claim: Some(Claim { tick, due, trigger: Trigger::Claim, start: true }),
        exhausted: false,
    }
}

/// A tick that another caller was granted.
fn claimed(view: &View, task: &Task, fired: &FiredTick) -> Problem {
    let execution = task.history.execution(fired.execution);
    let winner = match execution {
        Some(execution) => views::execution(&view.state, task, execution),
        None => json!({"id": fired.execution.to_string()}),
    };
    let problem = Problem::new("already_claimed", "another caller was granted this tick");
    problem.with("execution_id", fired.execution.to_string()).with("winner", winner)
}

fn granted(write: &Write, answer: &Answer) -> Reply {
    let Answer::Execution { execution, fence, .. } = answer else {
        return Err(Refusal::MaxLive.into());
    };
    let view = write.context.here()?;
    let found = view.state.execution(*execution);
    let body = json!({
        "execution_id": execution.to_string(),
        "fence": fence.map(|fence| fence.0),
        "execution": found.map(|(task, found)| views::execution(&view.state, task, found)),
    });
    let mut response = view.reply(StatusCode::CREATED, body);
    if let Some(location) = location("executions", &execution.to_string()) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
