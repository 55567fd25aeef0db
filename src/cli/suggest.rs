//! What is said of a name that nothing has: the name, and the nearest one that there is.

use serde_json::Value;

use super::context::CliContext;
use super::exit::{Exit, Failure};
use super::fetch::{NODE, TASK, text};
use crate::client::path;

/// Names that are looked at for one that is near.
const NAMES: usize = 1_000;

/// The failure for a name that no `what` (a task, say) has.
pub async fn not_found(what: &str, name: &str, code: &str, context: &mut CliContext) -> Failure {
    let nodes = what == "node";
    let names = names(if nodes { "nodes" } else { "tasks" }, context).await;
    let near = match nearest(name, &names) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if nodes && !names.is_empty() => format!("; there are {}", names.join(", ")),
        None => String::new(),
    };
    let message = format!("no {what} is called `{name}`{near} ({code})");
    Failure { exit: Exit::Conflict, message }
}

/// The name that differs least, if it differs little.
fn nearest<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    let bound = (name.chars().count() / 3).max(1);
    names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known.as_str()))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, known)| known)
}

/// What there is, as far as it can be told: the failure is told without it, too.
async fn names(collection: &str, context: &mut CliContext) -> Vec<String> {
    let shape = if collection == "nodes" { NODE } else { TASK };
    let query = [("limit", NAMES.to_string())];
    let Ok(reply) = context.get(&path([collection]), &query).await else { return Vec::new() };
    let items = shape.items(&reply.body, Exit::NotAccepted).unwrap_or_default();
    items.iter().filter_map(|item: &Value| Some(text(item, "name")?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        let names = ["nightly-backup", "hello", "help"].map(str::to_owned);
        for (typed, near) in [
            ("nightly_backup", Some("nightly-backup")),
            ("nigthly-backup", Some("nightly-backup")),
            ("helo", Some("hello")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &names), near, "{typed}");
        }
    }
}
