//! What a program does with the cluster and this node.

use super::{Error, Node};
use crate::domain::task::Strategy;
use crate::dto::{NodePatchRequest, NodeView};
use crate::ops::lists::PageRequest;
use crate::ops::{cluster, nodes};

impl Node {
    /// The nodes of the cluster, in the order of their ids.
    ///
    /// # Errors
    /// `no_leader`.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        let view = self.view().await?;
        let all = PageRequest::Cursor { limit: usize::MAX, after: None };
        Ok(nodes::list(self.context(), &view, &all).await?.items)
    }

    /// How tasks are given to nodes from now on, but for those that name a strategy themselves.
    ///
    /// # Errors
    /// `not_supported`.
    pub async fn set_strategy(&self, strategy: Strategy) -> Result<(), Error> {
        cluster::set_strategy(&self.caller(), strategy).await?;
        Ok(())
    }

    /// Starts or stops the scheduler of the whole cluster. While it is stopped no tick fires, also
    /// across restarts.
    ///
    /// # Errors
    /// `not_accepted`, `outcome_unknown`.
    pub async fn set_scheduler(&self, on: bool) -> Result<(), Error> {
        cluster::set_scheduler(&self.caller(), on).await?;
        Ok(())
    }

    /// Changes how many executions run on this node at once; 0: no limit; `None`: the number of its
    /// settings. It counts for those that start from now on, and stays in the cluster over restarts
    /// of the node, instead of [`NodeBuilder::max_running`](crate::NodeBuilder::max_running).
    ///
    /// # Errors
    /// `not_accepted`, `outcome_unknown`.
    pub async fn set_max_running(&self, executions: Option<u32>) -> Result<(), Error> {
        let changes = NodePatchRequest { slots: Some(executions), ..NodePatchRequest::default() };
        nodes::patch(&self.caller(), self.node_id(), &changes).await?;
        Ok(())
    }

    /// Gives this node's tasks to others, or takes tasks again. Running attempts go on.
    ///
    /// # Errors
    /// `node_leaving`, `not_accepted`, `outcome_unknown`.
    pub async fn drain(&self, drains: bool) -> Result<(), Error> {
        nodes::drain(&self.caller(), self.node_id(), drains).await?;
        Ok(())
    }

    /// Removes all tasks and deleted marks of the cluster, with their history. `cluster` is the name
    /// of the cluster, so that this does not happen to another one. Returns how many tasks are left:
    /// those that were added meanwhile.
    ///
    /// # Errors
    /// `wrong_cluster_name`, `not_accepted`, `outcome_unknown`.
    pub async fn cleanup_all(&self, cluster: &str) -> Result<usize, Error> {
        let left = cluster::cleanup_all(&self.caller(), cluster.to_owned()).await?;
        Ok(left.body.tasks)
    }
}
