//! Carries out the decisions of [`watcher`](super::watcher) and [`prober`](super::prober): requests to
//! executors, and proposals.

use std::sync::Arc;

use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::machine::command::{Command, Finish, OfFence};
use crate::domain::machine::record::{Report, Status};
use crate::exec::{ExecutorTarget, executor};
use crate::telemetry::line::one_line;

use super::context::EngineContext;
use super::node_actor::{NodeMsg, NodeState};
use super::prober::{ProbeDo, ProbeEvent};
use super::watcher::{ExecutorAttempt, WatchDo, WatchEvent};

impl NodeState {
    /// Passes an event to the decisions about the attempts that executors have, and carries the result out.
    pub(super) fn on_watch(&mut self, event: WatchEvent) {
        if !self.watcher.concerns(&event) {
            return;
        }
        let watcher = &mut self.watcher;
        let mut lost = Vec::new();
        for todo in self.context.look(|view| watcher.on(event, view)) {
            if let WatchDo::Lose(grant) = todo {
                lost.push(Command::Lose(grant));
                continue;
            }
            let context = Arc::clone(&self.context);
            self.context.spawn(async move { context.carry_out_watch(todo).await });
        }
        if !lost.is_empty() {
            let context = Arc::clone(&self.context);
            self.context.spawn(async move { context.propose_all(&lost).await });
        }
    }

    /// Passes an event to the decisions about the liveness of executors, and carries the result out.
    pub(super) fn on_probe(&mut self, event: ProbeEvent) {
        let prober = &mut self.prober;
        for todo in self.context.look(|view| prober.on(event, view)) {
            let (context, node) = (Arc::clone(&self.context), self.me.clone());
            self.context.spawn(async move {
                match todo {
                    ProbeDo::Probe(id) => {
                        let found = context.probe(&id).await;
                        // A node actor that is gone ends this process.
                        let _gone = node.send_message(NodeMsg::Probed(id, found));
                    }
                    ProbeDo::Tell(found) => {
                        let (executor, reason) = (&found.id, one_line(&found.reason));
                        if found.online {
                            tracing::info!(executor, "the executor answers again");
                        } else {
                            tracing::warn!(executor, "the executor does not answer: {reason}");
                        }
                        context.propose(&[Command::ExecutorLiveness(found)]).await;
                    }
                }
            });
        }
    }

    /// Looks at executors and at the attempts that they have.
    pub(super) fn look_at_executors(&mut self) {
        let any = self.context.consensus.replica().read().executors().next().is_some();
        if any || self.watcher.watches() {
            self.on_watch(WatchEvent::Look);
            self.on_probe(ProbeEvent::Look(self.context.silence()));
        }
    }
}

impl EngineContext {
    async fn carry_out_watch(&self, todo: WatchDo) {
        match todo {
            WatchDo::Lose(grant) => self.propose_all(&[Command::Lose(grant)]).await,
            WatchDo::Stop(attempt) => drop(self.stop_attempt(&attempt).await),
            WatchDo::End(attempt, status) => {
                let stopped = self.stop_attempt(&attempt).await;
                self.propose(&[self.end(&attempt, status, stopped)]).await;
            }
        }
    }

    fn end(
        &self,
        attempt: &ExecutorAttempt,
        status: Status,
        stopped: Result<(), String>,
    ) -> Command {
        let OfFence { task, execution, fence } = attempt.grant;
        let what = match status {
            Status::Timeout => "no callback in time",
            _ => "stopped",
        };
        let detail = match &stopped {
            Ok(()) => what.to_owned(),
            Err(why) => format!("{what}; the executor did not confirm that it stopped: {why}"),
        };
        let state = self.consensus.replica().read();
        let found = state.execution(execution).map(|(_, found)| found);
        let begun = found.and_then(|found| {
            let current = found.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence);
            found.presumed_start().filter(|_| current)
        });
        let report = Report {
            unknown: status == Status::Timeout || stopped.is_err(),
            started_at: begun,
            ..Report::unreported(status, self.clock.now(), &detail)
        };
        Command::Finish(Box::new(Finish { task, execution, fence, report }))
    }

    async fn stop_attempt(&self, attempt: &ExecutorAttempt) -> Result<(), String> {
        let OfFence { execution, fence, .. } = attempt.grant;
        let base_url = &attempt.executor.info.base_url;
        self.exec.stop_on_executor(base_url, execution, fence).await
    }

    async fn probe(&self, id: &str) -> Result<(), String> {
        let executor = self.consensus.replica().read().executor(id).cloned();
        let url = executor.as_ref().and_then(|executor| executor.info.health_check_url.as_ref());
        let url = url.ok_or_else(|| "it was removed, or names no health check URL".to_owned())?;
        self.exec.probe(url, self.settings.executors.health_check.timeout).await
    }

    /// Where requests to an executor about an attempt go; none: it is not registered.
    pub(super) fn executor_target(
        &self,
        id: &str,
        execution: ExecutionId,
        fence: Fence,
    ) -> Option<ExecutorTarget> {
        let state = self.consensus.replica().read();
        let info = &state.executor(id)?.info;
        let base = self.settings.executors.callback_base.as_ref();
        let base = base.unwrap_or(&self.settings.info.http).trim_end_matches('/');
        let key = state.cluster().callback_key;
        Some(ExecutorTarget {
            id: info.id.clone(),
            base_url: info.base_url.trim_end_matches('/').to_owned(),
            callback_url: executor::callback_url(base, key, execution, fence),
        })
    }
}
