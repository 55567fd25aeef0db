//! The fields of a story's task that say what the end of an attempt or an execution leads to.

use crate::domain::task::{Action, AfterRun, Backoff, Delivery, ExecutorAction, TaskSpec};
use crate::domain::time::Millis;

/// The names in `a,b`.
fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Sets such a field; false: it is none.
pub(super) fn set(spec: &mut TaskSpec, field: &str, value: &str) -> bool {
    let duration = || Millis::parse(value).expect("a duration");
    match field {
        "retry" => spec.retry.max_retry = value.parse().expect("a number"),
        "retry_delay" => spec.retry.delay = duration(),
        "max_delay" => spec.retry.max_delay = duration(),
        "backoff" => spec.retry.backoff = Backoff::Fixed,
        "delivery" => spec.delivery = Delivery::AtLeastOnce,
        "success" => spec.then.success = names(value),
        "failure" => spec.then.failure = names(value),
        "lost" => spec.then.lost = names(value),
        "timeout" => spec.then.timeout = names(value),
        "recovered" => spec.then.recovered = names(value),
        "executor" => {
            let (names, weights) = (Vec::new(), std::collections::BTreeMap::new());
            let action = ExecutorAction { balance: value.to_owned(), names, weights };
            spec.action = Some(Action::Executor(action));
        }
        "one_shot" => spec.one_shot = value == "true",
        "after_run" => {
            spec.after_run = match value {
                "mark_deleted" => AfterRun::MarkDeleted,
                "cleanup" => AfterRun::Cleanup,
                _ => AfterRun::Keep,
            }
        }
        _ => return false,
    }
    true
}
