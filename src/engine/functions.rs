//! Tells the cluster of functions that are registered after the node has told its own.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::command::{Command, NodeFunctions};
use crate::domain::machine::record::NodeRecord;

use super::context::EngineContext;
use super::limits::TICK;

/// Runs as long as the engine. After each addition since this process registers, it proposes all
/// functions until the applied state has them.
pub(super) async fn tell(context: Arc<EngineContext>, mut added: watch::Receiver<u64>) {
    while added.changed().await.is_ok() {
        loop {
            added.mark_unchanged();
            let functions = context.exec.functions();
            let own = NodeId(context.consensus.id());
            let told = {
                let state = context.consensus.replica().read();
                told(state.node(own).map(|node| &**node), context.session(), &functions)
            };
            match told {
                Telling::Done => break,
                Telling::Later => {}
                Telling::Propose(session) => {
                    let tell = NodeFunctions { node: own, session, functions };
                    context.propose(&[Command::NodeFunctions(tell)]).await;
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

/// What is to be done about the functions.
#[derive(Debug, PartialEq, Eq)]
enum Telling {
    /// The cluster knows them.
    Done,
    /// This process is not registered, and its registration may tell older ones.
    Later,
    /// This session tells them.
    Propose(SessionId),
}

fn told(own: Option<&NodeRecord>, session: Option<SessionId>, functions: &[String]) -> Telling {
    match (own, session) {
        (Some(own), Some(session)) if own.session == session => {
            if own.info.functions == functions {
                Telling::Done
            } else {
                Telling::Propose(session)
            }
        }
        _ => Telling::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::machine::record::Liveness;
    use crate::engine::judge::sample_node;

    #[test]
    fn functions_are_told_by_the_registered_session_until_they_are_known() {
        let mut own = sample_node(1, Liveness::Working);
        let session = own.session;
        let functions = ["load".to_owned()];
        assert_eq!(told(None, None, &functions), Telling::Later);
        assert_eq!(told(Some(&own), None, &functions), Telling::Later);
        let other = SessionId(session.0 + 1);
        assert_eq!(told(Some(&own), Some(other), &functions), Telling::Later);
        assert_eq!(told(Some(&own), Some(session), &functions), Telling::Propose(session));
        own.info.functions = functions.to_vec();
        assert_eq!(told(Some(&own), Some(session), &functions), Telling::Done);
    }
}
