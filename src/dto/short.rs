//! Parts of answers in a few words, as the command line and the web page show them.

use super::{ActionBody, DailyBody, ExecutionView, RuleBody, ScheduleBody};

/// `every 5s`, `0 2 * * * Europe/Berlin`, `daily 02:00`, `manual`.
#[must_use]
pub fn schedule(schedule: &ScheduleBody) -> String {
    let zone = schedule.timezone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    match &schedule.rule {
        RuleBody::Interval(every) => format!("every {every}"),
        RuleBody::Cron(cron) => format!("{cron}{zone}"),
        RuleBody::At(at) => format!("at {}", at.0),
        RuleBody::Delay(delay) => format!("delay {delay}"),
        RuleBody::Daily(DailyBody::One(time)) => format!("daily {time}{zone}"),
        RuleBody::Daily(DailyBody::Many(times)) => format!("daily {}{zone}", times.join(",")),
        RuleBody::Weekly { days, at } => format!("weekly {} {at}{zone}", days.join(",")),
        RuleBody::Monthly { days, at } => {
            let days: Vec<String> = days.iter().map(ToString::to_string).collect();
            format!("monthly {} {at}{zone}", days.join(","))
        }
        RuleBody::Immediate(_) => "immediate".to_owned(),
        RuleBody::Manual(_) => "manual".to_owned(),
    }
}

/// What a task does.
#[must_use]
pub fn action(action: Option<&ActionBody>) -> String {
    match action {
        None => "by the function or executor of its name".to_owned(),
        Some(ActionBody::Http(http)) => format!("{} {}", http.method, http.url),
        Some(ActionBody::Shell(shell)) => {
            let words: Vec<String> = shell.argv.iter().map(|word| quoted(word)).collect();
            let user = shell.user.as_ref().map(|user| format!(" (as {user})")).unwrap_or_default();
            format!("{}{user}", words.join(" "))
        }
        Some(ActionBody::Executor(executor)) => {
            let names = match executor.names.as_slice() {
                [] => "an executor that declared it".to_owned(),
                names => format!("an executor of {}", names.join(", ")),
            };
            format!("by {names} ({})", executor.balance)
        }
        Some(ActionBody::Func(func)) => format!("function {}", func.id),
    }
}

/// A word of a command line as a shell would need it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What became of it: `exit 0`, `status 200`, or the newest attempt's detail.
#[must_use]
pub fn result(execution: &ExecutionView) -> String {
    if let Some(reason) = &execution.reason {
        return reason.clone();
    }
    if let Some(code) = execution.exit_code {
        return format!("exit {code}");
    }
    if let Some(status) = execution.http_status {
        return format!("status {status}");
    }
    let newest = execution.attempts.last().and_then(|attempt| attempt.detail.clone());
    let detail = newest.unwrap_or_default();
    // What only repeats the status explains nothing.
    match &*execution.status {
        "lost" if detail.is_empty() || detail == "lost" => {
            "its node went away before it reported the end".to_owned()
        }
        status if detail == status => String::new(),
        _ => detail,
    }
}
