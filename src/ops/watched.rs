//! What a reader looks at, so that it is told only when that has changed.
//!
//! A reader of events about one task would look at the events of all: at 1,000 ticks a second and 100
//! readers some 300,000 a second. A [`Mark`] costs one look at the state, and a reader compares it with
//! its last one as often as it likes.

use std::sync::Arc;

use super::context::{Context, StateView};
use super::{OpError, executions, output, views};
use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::EventId;
use crate::domain::machine::Task;
use crate::domain::machine::record::NodeRecord;
use crate::domain::schedule::calendar::CalendarRecord;
use crate::dto::ExecutionView;

/// What a reader looks at, beside the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatchedThing {
    /// A task, with its history.
    Task(String),
    /// An execution, with its output.
    Execution(String),
    /// The nodes, and whether the scheduler is started.
    Nodes,
    /// The executors.
    Executors,
    /// The calendars.
    Calendars,
    /// Everything.
    Everything,
}

/// What a reader has seen.
#[derive(Debug, PartialEq)]
pub(crate) struct Mark {
    leader: Option<u64>,
    nodes: Vec<Arc<NodeRecord>>,
    scheduler: bool,
    seen: SeenThing,
}

#[derive(Debug, PartialEq)]
enum SeenThing {
    Task(Option<SameTask>),
    /// With the bytes that it has printed so far, if it has not ended.
    Execution(Option<Box<ExecutionView>>, Option<u64>),
    Nodes,
    /// With the running attempts of each.
    Executors(Vec<(Arc<ExecutorRecord>, u32)>),
    Calendars(Vec<Arc<CalendarRecord>>),
    Everything(EventId),
}

/// A task as it was. A change makes another record of it.
#[derive(Debug)]
struct SameTask(Arc<Task>);

impl PartialEq for SameTask {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Mark {
    /// Whether it may change without an event: a running execution prints.
    pub const fn grows(&self) -> bool {
        matches!(self.seen, SeenThing::Execution(_, Some(_)))
    }
}

impl WatchedThing {
    /// What there is now, as this node has applied it.
    ///
    /// # Errors
    /// `no_leader` as long as the node looks for its cluster.
    pub async fn mark(&self, context: &Context) -> Result<Mark, OpError> {
        let consensus = &context.running()?.consensus;
        // Before the state, so that an event in between is found the next time.
        let newest = consensus.replica().newest_event();
        let view = context.here()?;
        let seen = match self {
            Self::Task(name) => SeenThing::Task(view.state.named(name).cloned().map(SameTask)),
            Self::Execution(id) => execution(context, &view, id).await,
            Self::Nodes => SeenThing::Nodes,
            Self::Executors => SeenThing::Executors(
                view.state
                    .executors()
                    .map(|one| (Arc::clone(one), view.state.in_flight(&one.info.id)))
                    .collect(),
            ),
            Self::Calendars => SeenThing::Calendars(view.state.calendars().cloned().collect()),
            Self::Everything => SeenThing::Everything(newest),
        };
        Ok(Mark {
            leader: *consensus.leader().borrow(),
            nodes: view.state.nodes().cloned().collect(),
            scheduler: view.state.cluster().scheduler,
            seen,
        })
    }
}

async fn execution(context: &Context, view: &StateView, id: &str) -> SeenThing {
    let Ok((task, found)) = executions::find(view, id) else {
        return SeenThing::Execution(None, None);
    };
    let shown = Box::new(views::execution(&view.state, task, found));
    if found.status.ended() {
        return SeenThing::Execution(Some(shown), None);
    }
    // A node that does not answer has printed nothing new.
    let printed = output::total(context, view, id).await.unwrap_or_default();
    SeenThing::Execution(Some(shown), Some(printed))
}
