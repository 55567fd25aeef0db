//! What a cluster has of the objects that files define.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::super::context::CliContext;
use super::super::exit::{Exit, Failure};
use super::super::fetch::{self, typed};
use super::super::task::set::EditedTask;
use crate::client::{ClientError, path};
use crate::config::Definitions;
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec;
use crate::dto::{CalendarView, ClusterView, TaskView};

/// Up to this number tasks are read one by one; of more, all lists are read.
const EACH: usize = 200;
/// Requests at once.
const AT_ONCE: usize = 8;

/// The objects of a cluster.
pub(super) struct KnownCluster {
    /// The zone of schedules without one.
    pub zone: String,
    /// Tasks by name, those marked deleted included.
    pub tasks: BTreeMap<String, ComparedTask>,
    pub calendars: BTreeMap<String, CalendarView>,
    /// The tasks that have the labels of the files, with their revisions.
    pub owned: BTreeMap<String, u64>,
}

/// A task of a cluster.
pub(super) struct ComparedTask {
    /// Its ticks that fired.
    pub fired: u64,
    /// Its definition, or why it cannot be changed.
    pub task: Result<EditedTask, Failure>,
}

impl KnownCluster {
    /// Reads what is compared with the files.
    pub async fn read(
        files: &Definitions,
        labels: &[(String, String)],
        context: &mut CliContext,
    ) -> Result<Self, Failure> {
        let zone = context.read::<ClusterView>(&path(["cluster"]), &[]).await?.says.timezone;
        let calendars = fetch::all::<CalendarView>(context, &path(["calendars"]), &[]).await?.says;
        let calendars = calendars.into_iter().map(|one| (one.body.name.clone(), one)).collect();
        let owned = match labels {
            [] => BTreeMap::new(),
            labels => owned(labels, context).await?,
        };
        let names = files.tasks.iter().map(|task| task.name.as_str());
        let names: Vec<&str> = names.filter(|name| spec::check_name(name).is_ok()).collect();
        let tasks = if names.len() <= EACH {
            each(&names, context).await?
        } else {
            let mut tasks = BTreeMap::new();
            for query in [vec![], vec![("deleted", "true".to_owned())]] {
                let list = fetch::all::<TaskView>(context, &path(["tasks"]), &query).await?;
                let known = list.items.iter().zip(list.says);
                tasks.extend(known.map(|(body, says)| ComparedTask::of(body, &says)));
            }
            tasks
        };
        Ok(Self { zone, tasks, calendars, owned })
    }

    /// The calendar of this name.
    pub fn calendar(&self, name: &str) -> Option<Arc<Calendar>> {
        let known = self.calendars.get(name)?;
        spec::read_calendar(name, &fetch::value(&known.body)).ok().map(Arc::new)
    }
}

impl ComparedTask {
    fn of(body: &serde_json::Value, says: &TaskView) -> (String, Self) {
        let task = EditedTask::of(&says.id, body, says);
        (says.id.clone(), Self { fired: says.totals.fired, task })
    }
}

/// The tasks with these labels.
async fn owned(
    labels: &[(String, String)],
    context: &mut CliContext,
) -> Result<BTreeMap<String, u64>, Failure> {
    let label = |(key, value): &(String, String)| ("label", format!("{key}={value}"));
    let query: Vec<_> = labels.iter().map(label).collect();
    let list = fetch::all::<TaskView>(context, &path(["tasks"]), &query).await?;
    // What nodes read from files of their own is not removed.
    let owned = list.says.into_iter().filter(|task| task.origin != "static");
    Ok(owned.map(|task| (task.id, task.revision)).collect())
}

/// The tasks of these names, as far as there are any.
async fn each(
    names: &[&str],
    context: &CliContext,
) -> Result<BTreeMap<String, ComparedTask>, Failure> {
    let (client, query) = (context.client()?, context.freshness());
    let query = &query;
    let answers = stream::iter(names).map(|name| {
        let path = path(["tasks", name]);
        async move { client.get(&path, query).await }
    });
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let mut tasks = BTreeMap::new();
    for answer in answers {
        match answer {
            Ok(reply) => {
                let says = typed::<TaskView>(&reply.body, Exit::NotAccepted)?;
                tasks.extend([ComparedTask::of(&reply.body, &says)]);
            }
            Err(ClientError::Refused(refusal))
                if refusal.known() == Some(ErrorCode::TaskNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tasks)
}
