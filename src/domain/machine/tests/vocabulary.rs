//! Every answer and every word, so that none changes its number.

use super::super::task::record::{Reason, Status, Trigger, Verdict};
use super::super::{Answer, Refusal};
use super::samples::at;
use crate::domain::ids::{ExecutionId, Fence, Revision, SessionId, TaskKey};
use crate::domain::task::Strategy;

/// Every answer and refusal, in their order.
pub(super) fn responses() -> Vec<super::Response> {
    let (task, execution) = (TaskKey(5), ExecutionId(300));
    let answers = [
        Answer::Done,
        Answer::Task { task, revision: Revision(40), created: true },
        Answer::Execution { task, execution, fence: Some(Fence(299)) },
        Answer::Running(vec![execution]),
        Answer::Session(SessionId(3)),
        Answer::NotFired(Refusal::Overlap),
        Answer::Calendar { revision: Revision(40), created: true },
        Answer::Swept { upto: Revision(40), next: Some(128) },
        Answer::Resumed { task, revision: Revision(40), execution },
        Answer::Executor { revision: Revision(40), created: true },
        Answer::Backfilled { task, executions: vec![execution] },
    ];
    let refusals = [
        Refusal::TaskExists,
        Refusal::TaskDeleted,
        Refusal::TaskNotFound,
        Refusal::RevisionMismatch { current: Revision(40) },
        Refusal::KeyReused,
        Refusal::ExecutionNotFound,
        Refusal::ExecutionEnded,
        Refusal::NotPending,
        Refusal::StaleFence,
        Refusal::Held,
        Refusal::MaxLive,
        Refusal::Overlap,
        Refusal::QueueFull,
        Refusal::NoRoom,
        Refusal::Session,
        Refusal::Cursor { at: at(4) },
        Refusal::Order,
        Refusal::Ahead,
        Refusal::Inactive,
        Refusal::NodeNotFound,
        Refusal::NotDue,
        Refusal::Initialised,
        Refusal::ClusterName,
        Refusal::Full,
        Refusal::CalendarNotFound,
        Refusal::CalendarInUse,
        Refusal::AllWeightsZero,
        Refusal::TaskCancelled,
        Refusal::ExecutorNotFound,
        Refusal::ExecutorOnline,
        Refusal::ExecutorUnavailable,
        Refusal::WrongAction,
        Refusal::NodeLeaving,
        Refusal::NodeGone,
        Refusal::MembersChanging,
        Refusal::BackfillNotFound,
    ];
    answers.into_iter().map(Ok).chain(refusals.into_iter().map(Err)).collect()
}

pub(super) fn verdicts() -> [Verdict; 4] {
    [Verdict::Fired, Verdict::Skipped, Verdict::Missed, Verdict::Coalesced]
}

pub(super) fn reasons() -> [Reason; 15] {
    use Reason as R;
    [
        R::Overlap,
        R::QueueFull,
        R::MaxLive,
        R::Paused,
        R::Disabled,
        R::Cancelled,
        R::Deleted,
        R::Excluded,
        R::Stopped,
        R::Window,
        R::Max,
        R::NoMajority,
        R::NoNode,
        R::Edited,
        R::Later,
    ]
}

pub(super) fn statuses() -> [Status; 7] {
    use Status as S;
    [S::Pending, S::Running, S::Success, S::Failed, S::Timeout, S::Cancelled, S::Lost]
}

pub(super) fn triggers() -> [Trigger; 7] {
    use Trigger as T;
    [T::Schedule, T::CatchUp, T::Manual, T::Retry, T::Claim, T::Chain, T::Backfill]
}

pub(super) fn strategies() -> [Strategy; 7] {
    use Strategy as S;
    [S::Consistent, S::HashSharding, S::HashSlot, S::Range, S::Weighted, S::RoundRobin, S::Custom]
}
