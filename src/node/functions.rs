//! Functions of the embedding program.

use std::error::Error as StdError;
use std::sync::Arc;

use super::{Error, Node};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;
use crate::domain::spec::check_name;
use crate::exec::{Func, FuncContext};
use crate::ops::{OpError, RunningParts};

/// How many functions a node may have: all of them stand in one entry of the log.
const FUNCTIONS_MAX: usize = 1_000;

/// The result of a function. An error fails the attempt, with its text as the reason.
pub type FuncResult = Result<(), Box<dyn StdError + Send + Sync>>;

/// A function as attempts call it.
pub(super) fn handler<F, R>(function: F) -> Func
where
    F: Fn(FuncContext) -> R + Send + Sync + 'static,
    R: Future<Output = FuncResult> + Send + 'static,
{
    Arc::new(move |call| {
        let running = function(call);
        Box::pin(
            async move { running.await.map(|()| String::new()).map_err(|error| error.to_string()) },
        )
    })
}

/// Checks the names of all functions of a node.
pub(super) fn check_names<'a>(
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), OpError> {
    if names.len() > FUNCTIONS_MAX {
        let rule = format!("must have at most {FUNCTIONS_MAX} entries");
        return Err(OpError::field("/functions", ErrorCode::TooLarge, rule));
    }
    for name in names.filter(|name| *name != "*") {
        check_name(name).map_err(|rule| {
            OpError::field("/functions", ErrorCode::InvalidName, format!("{name:?} {rule}"))
        })?;
    }
    Ok(())
}

impl Node {
    /// Makes a function known while the node runs, or takes another one for its name; running
    /// attempts go on with the former one. It returns when the cluster knows of it, from when on
    /// this node is eligible for its tasks. `*` serves all names without a function of their own.
    ///
    /// # Errors
    /// `invalid_name`, `too_large`, `no_leader`: the node looks for its cluster, which will be told.
    pub async fn register<F, R>(&self, name: impl Into<String>, function: F) -> Result<(), Error>
    where
        F: Fn(FuncContext) -> R + Send + Sync + 'static,
        R: Future<Output = FuncResult> + Send + 'static,
    {
        let name = name.into();
        let exec = &self.context().exec;
        let mut names = exec.functions();
        if !names.contains(&name) {
            names.push(name.clone());
        }
        check_names(names.iter().map(String::as_str))?;
        exec.register(name.clone(), handler(function));
        tokio::select! {
            known = self.known(&name) => Ok(known?),
            failure = self.failure() => Err(failure),
        }
    }

    /// Waits until the cluster knows that this process has a function.
    async fn known(&self, name: &str) -> Result<(), OpError> {
        let RunningParts { consensus, engine } = self.context().running()?;
        let replica = consensus.replica();
        loop {
            let seen = replica.newest_event();
            let own = replica.read().node(NodeId(consensus.id())).cloned();
            let has = |own: &NodeRecord| {
                Some(own.session) == engine.session()
                    && own.info.functions.iter().any(|function| function == name)
            };
            if own.as_deref().is_some_and(has) {
                return Ok(());
            }
            replica.event_after(seen).await;
        }
    }
}
