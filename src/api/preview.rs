//! `POST /schedules/preview`.

use super::extract::{HandlerResult, WriteRequest};
use super::fields::BodyFields;
use super::reply::ok;
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::Plan;
use crate::domain::spec::check_name;
use crate::domain::time::Millis;
use crate::dto::PreviewRequest;
use crate::ops::OpError;
use crate::ops::preview::{self, PreviewSchedule};

/// Default number of ticks.
const N: u64 = 10;
/// Maximum number of ticks.
const N_MAX: u64 = 1_000;
/// The default task name for the hash of `H`.
const NAME: &str = "preview";

/// `POST /schedules/preview`.
pub(super) async fn show(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<PreviewRequest>(Some(write.body()?))?;
    let from = fields.instant("from");
    let n = fields.number("n", 1..=N_MAX).unwrap_or(N);
    let only_dst = fields.flag("only_dst");
    let name = fields.text("name").unwrap_or(NAME);
    if let Err(rule) = check_name(name) {
        fields.refuse("/name", ErrorCode::InvalidName, rule);
    }
    let asked = asked(&fields);
    fields.done()?;
    let view = write.caller.context.here()?;
    let now = from.map_or(view.now, |from| from.minus(Millis(1)));
    let schedule = asked.read(name, &view, now, &write.caller.context.settings)?;
    let calendars = view.state.excluded_by(&schedule);
    let plan = Plan::excluding(&schedule, name, view.zone(), now, calendars);
    let plan = plan.map_err(|error| OpError::field("/schedule", error.code, error.message))?;
    // The only tick of `immediate` is the current instant.
    let after = if plan.once() { now.minus(Millis(1)) } else { now };
    let scans = &write.caller.context.scans;
    scans
        .run(move || ok(&view, preview::preview(&view, &plan, &schedule, after, n, only_dst)))
        .await
}

fn asked(fields: &BodyFields<'_>) -> PreviewSchedule {
    if (fields.get("schedule").is_some()) == (fields.get("expression").is_some()) {
        fields.refuse("", ErrorCode::OneOf, "needs exactly one of schedule and expression");
    }
    let mut asked = match fields.text("expression") {
        Some(text) => PreviewSchedule::of_expression(text),
        None => PreviewSchedule::of_object(fields.object("schedule")),
    };
    if fields.text("timezone").is_some_and(|zone| !asked.set_zone(zone)) {
        fields.refuse("/timezone", ErrorCode::Conflict, "the schedule names another zone");
    }
    asked
}
