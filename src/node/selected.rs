//! What a program does with many tasks at once, selected by labels or by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Error, Node};
use crate::domain::time::Timestamp;
use crate::dto::ItemsView;
use crate::ops::tasks::bulk::{self, Operation, TaskSelection};
use crate::ops::tasks::lifecycle;

/// Tasks of the cluster, for one operation on all of them. [`Node::select_tasks`] selects them by
/// labels, [`Node::named_tasks`] by name. They are selected anew by each operation.
///
/// The answer has an item for each task, in the order of the names that were given, or of the names
/// of the tasks. An operation that is refused for one task is carried out for the others: the item
/// has the `code` and the `detail` of the error. No operation is an error as a whole unless the
/// cluster accepts none of the changes.
///
/// ```no_run
/// # async fn run(node: punctual::Node) -> Result<(), punctual::Error> {
/// let answer = node.select_tasks([("team", "billing")]).pause("maintenance", None).await?;
/// println!("{} paused, {} refused", answer.succeeded, answer.failed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SelectedTasks {
    node: Node,
    selected: TaskSelection,
}

impl Node {
    /// The tasks that have all these labels. Those that are marked deleted are left out, but for
    /// [`SelectedTasks::cleanup`]. Without a label no operation is carried out (`empty`): it would
    /// be about every task.
    pub fn select_tasks<K: Into<String>, V: Into<String>>(
        &self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> SelectedTasks {
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into()));
        let selected = TaskSelection::Labels(labels.collect::<BTreeMap<String, String>>());
        SelectedTasks { node: self.clone(), selected }
    }

    /// The tasks of these names, 1 to 10,000.
    pub fn named_tasks<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> SelectedTasks {
        let selected = TaskSelection::Names(names.into_iter().map(Into::into).collect());
        SelectedTasks { node: self.clone(), selected }
    }
}

impl SelectedTasks {
    /// Holds the ticks of each task, until an instant if there is one. See [`Node::pause`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`; `invalid_value`: `until` has passed; `not_accepted`,
    /// `outcome_unknown`.
    pub async fn pause(&self, reason: &str, until: Option<Timestamp>) -> Result<ItemsView, Error> {
        self.each(Operation::Pause { reason: reason.to_owned(), until }).await
    }

    /// Ends a pause or a cancellation of each task. See [`Node::resume`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`, `not_accepted`, `outcome_unknown`.
    pub async fn resume(&self) -> Result<ItemsView, Error> {
        self.each(Operation::Resume).await
    }

    /// Cancels each task. See [`Node::cancel`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`, `not_accepted`, `outcome_unknown`.
    pub async fn cancel(&self) -> Result<ItemsView, Error> {
        self.each(Operation::Cancel).await
    }

    /// Starts an execution of each task now, with these parameters over those of the task. An item
    /// has its `execution_id`. See [`Node::trigger`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`, `not_accepted`, `outcome_unknown`.
    pub async fn trigger(&self, parameters: Map<String, Value>) -> Result<ItemsView, Error> {
        let parameters = Some(parameters).filter(|parameters| !parameters.is_empty());
        self.each(Operation::Trigger { parameters }).await
    }

    /// Marks each task deleted. When it returns, none of them starts any more. An item has the
    /// executions that go on (`running`). Of [`Node::named_tasks`], a name without a task is marked
    /// too. See [`Node::mark_deleted`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`, `not_accepted`, `outcome_unknown`.
    pub async fn mark_deleted(&self) -> Result<ItemsView, Error> {
        let tombstone = matches!(self.selected, TaskSelection::Names(_));
        let marked = self.each(Operation::Delete { stop: false, tombstone }).await?;
        lifecycle::no_more_starts(&self.node.caller()).await;
        Ok(marked)
    }

    /// Removes all that is known of each task, also of those marked deleted. Running executions are
    /// stopped. See [`Node::cleanup`].
    ///
    /// # Errors
    /// `empty`, `too_many_items`, `not_accepted`, `outcome_unknown`.
    pub async fn cleanup(&self) -> Result<ItemsView, Error> {
        self.each(Operation::Cleanup).await
    }

    async fn each(&self, operation: Operation) -> Result<ItemsView, Error> {
        let answer = bulk::bulk(&self.node.caller(), operation, self.selected.clone()).await?;
        Ok(answer.body)
    }
}
