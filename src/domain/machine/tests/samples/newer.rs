//! Samples of the kinds of commands from 36 on.

use super::super::super::command::{
    Assign, Command, Declare, DeclaredObject, FilesRead, FilesStep, NodeFunctions, NodeJoin,
    OfNode, StrategyChange,
};
use super::super::backfill;
use super::spec;
use crate::domain::ids::{NodeId, Revision, SessionId};
use crate::domain::task::Strategy;

/// One of each kind, in the order of their numbers.
pub(super) fn commands(node: NodeId, session: SessionId) -> [Command; 9] {
    let joining = NodeId::new(4, 1);
    let (peer, http) = ("n4:7070".to_owned(), "http://n4:8080".to_owned());
    let choices = vec![("a".to_owned(), Some(node)), ("b".to_owned(), None)];
    [
        Command::SetStrategy(StrategyChange { strategy: Strategy::HashSlot }),
        Command::NodeJoin(Box::new(NodeJoin { node: joining, peer, http })),
        Command::NodeJoined(OfNode { node: joining }),
        Command::Declare(Box::new(Declare {
            set: Revision(12),
            object: DeclaredObject::Task { spec: spec(), hash: 0x52 << 120 },
            if_match: Some(Revision(9)),
        })),
        Command::FilesRead(FilesRead { node, session, step: FilesStep::Begin(0x51 << 120) }),
        Command::NodeFunctions(NodeFunctions { node, session, functions: vec!["f".to_owned()] }),
        backfill::sample(),
        Command::Assign(Assign::Choices(choices)),
        backfill::cancel_sample(),
    ]
}
