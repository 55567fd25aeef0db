//! The error for an unknown name, with the most similar existing name.

use super::context::CliContext;
use super::exit::{Exit, Failure};
use super::fetch::{self, ReplyKind};
use crate::client::path;
use crate::dto::{NodeView, TaskView};

/// Maximum number of names compared.
const NAMES: usize = 1_000;

/// The error for an unknown name. `what` is the kind of object, such as `task`.
pub async fn not_found(what: &str, name: &str, code: &str, context: &mut CliContext) -> Failure {
    let nodes = what == "node";
    let names = match nodes {
        true => names(context, "nodes", |node: &NodeView| &node.name).await,
        false => names(context, "tasks", |task: &TaskView| &task.id).await,
    };
    let near = match nearest(name, &names) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if nodes && !names.is_empty() => format!("; there are {}", names.join(", ")),
        None if nodes => "; `punctual node list` lists them".to_owned(),
        None => "; `punctual ls` lists the tasks".to_owned(),
    };
    let message = format!("no {what} is called `{name}`{near} ({code})");
    Failure { exit: Exit::Conflict, message }
}

/// The most similar name, if it is similar enough.
fn nearest<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    let bound = (name.chars().count() / 3).max(1);
    names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known.as_str()))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, known)| known)
}

/// The existing names. Empty if they cannot be fetched, because the error is reported anyway.
async fn names<T: ReplyKind>(
    context: &mut CliContext,
    collection: &str,
    name: fn(&T) -> &String,
) -> Vec<String> {
    let found = fetch::up_to(context, &path([collection]), &[], NAMES).await;
    found.map(|list| list.says.iter().map(name).cloned().collect()).unwrap_or_default()
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
