//! The fields of a body, in the order in which the canonical form shows them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::parameters::{NO_NUL, is_command, with_nul};
use super::reader::{BrokenRule, Object, choice, duration, escape, flag, text, whole};
use super::rules::{
    CATCH_UP_MAX, CHAINED_MAX, DESCRIPTION_BYTES_MAX, DURATION_MAX, LABELS_MAX, LOST_AFTER_MIN,
    PAYLOAD_BYTES_MAX, RETRIES_MAX, check_label, check_name,
};
use super::words::{
    AFTER_RUNS, BACKOFFS, CATCH_UP_POLICIES, DELIVERIES, EXECUTION_MODES, STRATEGIES,
};
use super::{BodyProblem, ReadContext, action, schedule};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::{
    Assignment, CatchUp, Chains, Concurrency, Keep, MAX_LIVE_MAX, Retry, TaskSpec,
};
use crate::domain::time::Millis;

/// The largest count that a definition can hold.
const COUNT_MAX: i64 = u32::MAX as i64;

/// Reads every field; where one has a problem the result carries its default.
pub(super) fn read(
    value: &Value,
    ctx: ReadContext<'_>,
    problems: &mut Vec<BodyProblem>,
) -> TaskSpec {
    Object::read(Some(value), String::new(), problems, |body| {
        let mut spec = identity(body, ctx);
        spec.action = action::read(body);
        data(body, &mut spec);
        without_nul(body, &spec);
        policies(body, &mut spec);
        spec
    })
}

/// What the task is and when it fires.
fn identity(body: &mut Object<'_, '_>, ctx: ReadContext<'_>) -> TaskSpec {
    let name = body.required("name", |value| {
        let name = text(value)?;
        check_name(name).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
        Ok(name.to_owned())
    });
    // A schedule of its own type is reported by `object`; here only that there is one.
    let given = body.required("schedule", |_value| Ok(())).is_some();
    let schedule = body.object("schedule", |object| schedule::read(object, ctx));
    let catch_up = body.object("catch_up", catch_up);
    if let Some(schedule) = schedule.as_ref().filter(|_| given) {
        let name = name.as_deref().unwrap_or_default();
        schedule::check_fires(body, schedule, name, catch_up, ctx);
    }
    let schedule = schedule.unwrap_or_else(|| Schedule::of(Rule::Manual));
    let mut spec = TaskSpec::new(name.unwrap_or_default(), schedule, None);
    spec.catch_up = catch_up;
    spec.description = body.field("description", String::new(), |value| {
        let text = text(value)?;
        if text.len() > DESCRIPTION_BYTES_MAX {
            let message = format!("must have at most {DESCRIPTION_BYTES_MAX} bytes");
            return Err(BrokenRule::new(ErrorCode::TooLarge, message));
        }
        Ok(text.to_owned())
    });
    spec.labels = labels(body, "labels");
    spec.enabled = body.field("enabled", spec.enabled, flag);
    spec
}

fn labels(object: &mut Object<'_, '_>, key: &'static str) -> BTreeMap<String, String> {
    let labels = object.map(key, |name, value| {
        let value = text(value)?;
        check_label(name, value).map_err(|rule| BrokenRule::new(ErrorCode::InvalidLabel, rule))?;
        Ok(value.to_owned())
    });
    if labels.len() > LABELS_MAX {
        let fault =
            BrokenRule::new(ErrorCode::TooLarge, format!("must have at most {LABELS_MAX} entries"));
        object.refuse(&format!("/{key}"), fault);
    }
    labels
}

fn catch_up(object: &mut Object<'_, '_>) -> CatchUp {
    let default = CatchUp::default();
    let most = i64::try_from(CATCH_UP_MAX).unwrap_or(i64::MAX);
    CatchUp {
        policy: object.field("policy", default.policy, |value| choice(value, CATCH_UP_POLICIES)),
        window: object.field("window", default.window, any_duration),
        max: object.field("max", default.max, |value| whole(value, 1..=most)),
    }
}

fn any_duration(value: &Value) -> Result<Millis, BrokenRule> {
    duration(value, Millis(0)..=DURATION_MAX)
}

/// What every attempt is handed.
fn data(body: &mut Object<'_, '_>, spec: &mut TaskSpec) {
    spec.parameters = body.field("parameters", "{}".to_owned(), |value| match value {
        Value::Object(fields) => Ok(canonical_text(fields)),
        other => Err(BrokenRule::wrong("an object", other)),
    });
    spec.payload = body.field("payload", String::new(), |value| text(value).map(str::to_owned));
    let bytes = spec.parameters.len() + spec.payload.len();
    if bytes > PAYLOAD_BYTES_MAX {
        let message = format!(
            "must have at most {PAYLOAD_BYTES_MAX} bytes together with parameters, have {bytes}"
        );
        body.refuse("/payload", BrokenRule::new(ErrorCode::TooLarge, message));
    }
}

/// What is handed to a command is in its environment, which cannot have a zero byte.
fn without_nul(body: &mut Object<'_, '_>, spec: &TaskSpec) {
    if !is_command(spec) {
        return;
    }
    let rule = || BrokenRule::new(ErrorCode::InvalidValue, NO_NUL);
    if spec.payload.contains('\0') {
        body.refuse("/payload", rule());
    }
    let parameters: Map<String, Value> = serde_json::from_str(&spec.parameters).unwrap_or_default();
    for name in with_nul(&parameters) {
        body.refuse(&format!("/parameters/{}", escape(&name)), rule());
    }
}

/// Compact, keys sorted on every level: equal objects have equal texts.
fn canonical_text(fields: &Map<String, Value>) -> String {
    let mut value = Value::Object(fields.clone());
    value.sort_all_objects();
    value.to_string()
}

/// What happens when ticks, executions or nodes are not as one would wish.
fn policies(body: &mut Object<'_, '_>, spec: &mut TaskSpec) {
    spec.execution_mode =
        body.field("execution_mode", spec.execution_mode, |value| choice(value, EXECUTION_MODES));
    spec.max_live =
        body.field("max_live", spec.max_live, |value| whole(value, 1..=i64::from(MAX_LIVE_MAX)));
    spec.queue_max = body.field("queue_max", spec.queue_max, |value| whole(value, 0..=COUNT_MAX));
    spec.concurrency = concurrency(body);
    spec.priority = body.field("priority", spec.priority, |value| whole(value, 0..=9));
    spec.catch_up_on_resume = body.field("catch_up_on_resume", spec.catch_up_on_resume, flag);
    spec.delivery = body.field("delivery", spec.delivery, |value| choice(value, DELIVERIES));
    spec.timeout = body.field("timeout", spec.timeout, any_duration);
    spec.kill_grace = body.field("kill_grace", spec.kill_grace, any_duration);
    spec.lost_after = body.field("lost_after", spec.lost_after, |value| {
        duration(value, LOST_AFTER_MIN..=DURATION_MAX)
    });
    spec.retry = body.object("retry", retry);
    spec.assignment = body.object("assignment", |object| Assignment {
        strategy: object.optional("strategy", |value| choice(value, STRATEGIES)),
        selector: labels(object, "selector"),
    });
    spec.keep = body.object("keep", keep);
    spec.then = body.object("then", chains);
    spec.after_run = body.field("after_run", spec.after_run, |value| choice(value, AFTER_RUNS));
    spec.one_shot = body.field("one_shot", spec.one_shot, flag);
}

fn concurrency(body: &mut Object<'_, '_>) -> Option<Concurrency> {
    body.present("concurrency")?;
    body.object("concurrency", |object| {
        let group = object.required("group", |value| {
            let group = text(value)?;
            check_name(group).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
            Ok(group.to_owned())
        });
        let limit = object.required("limit", |value| whole(value, 1..=COUNT_MAX));
        Some(Concurrency { group: group?, limit: limit? })
    })
}

fn retry(object: &mut Object<'_, '_>) -> Retry {
    let default = Retry::default();
    Retry {
        max_retry: object
            .field("max_retry", default.max_retry, |value| whole(value, 0..=RETRIES_MAX)),
        delay: object.field("delay", default.delay, any_duration),
        backoff: object.field("backoff", default.backoff, |value| choice(value, BACKOFFS)),
        max_delay: object.field("max_delay", default.max_delay, any_duration),
        jitter: object.field("jitter", default.jitter, any_duration),
    }
}

/// Names of tasks, which need not be there yet.
fn chains(object: &mut Object<'_, '_>) -> Chains {
    let mut names = |key| {
        let names = object.list(key, |value| {
            let name = text(value)?;
            check_name(name).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
            Ok(name.to_owned())
        });
        let names = names.unwrap_or_default();
        if names.len() > CHAINED_MAX {
            let rule = format!("must have at most {CHAINED_MAX} names, has {}", names.len());
            object.refuse(&format!("/{key}"), BrokenRule::new(ErrorCode::TooLarge, rule));
        }
        if let Some(at) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            let rule = BrokenRule::new(ErrorCode::Conflict, "is named twice");
            object.refuse(&format!("/{key}/{at}"), rule);
        }
        names
    };
    Chains {
        success: names("success"),
        failure: names("failure"),
        lost: names("lost"),
        timeout: names("timeout"),
        recovered: names("recovered"),
    }
}

fn keep(object: &mut Object<'_, '_>) -> Keep {
    let default = Keep::default();
    Keep {
        executions: object
            .field("executions", default.executions, |value| whole(value, 0..=COUNT_MAX)),
        ticks: object.field("ticks", default.ticks, |value| whole(value, 0..=COUNT_MAX)),
        age: object.field("age", default.age, any_duration),
    }
}
