//! The lines of the scripts about executors, and the decisions about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::EngineWorld;
use crate::config::{ExecutorSettings, HealthCheckSettings};
use crate::domain::assign::Members;
use crate::domain::executor::{ExecutorInfo, ExecutorStatus};
use crate::domain::machine::command::{
    ExecutorLiveness, Finish, Named, OfExecutor, OfFence, PutExecutor, SetExecutorStatus,
};
use crate::domain::machine::record::{Report, Status};
use crate::domain::machine::{Command, State};
use crate::domain::time::Millis;
use crate::engine::dispatch::{Dispatch, DispatchEvent};
use crate::engine::prober::{ProbeDo, ProbeEvent, Prober};
use crate::engine::watcher::{WatchDo, WatchEvent, Watcher};
use crate::stories::ScriptLine;

pub(super) fn dispatch() -> Dispatch {
    Dispatch::new(Millis(1_000), ExecutorSettings::default().dispatch_wait)
}

pub(super) fn watcher() -> Watcher {
    Watcher::new(ExecutorSettings::default().max_silence)
}

/// Three failures in the interval of 30 s, and two successes, count.
pub(super) fn prober() -> Prober {
    Prober::new(HealthCheckSettings::default())
}

/// The command of a line about an executor.
pub(super) fn command(state: &State, line: &ScriptLine) -> Command {
    let id = line.word(1).to_owned();
    let tasks = line.option("tasks").into_iter().flat_map(|text| text.split(','));
    match line.word(0) {
        "executor" => Command::PutExecutor(Box::new(PutExecutor {
            info: ExecutorInfo {
                name: "worker".to_owned(),
                base_url: format!("http://{id}"),
                health_check_url: line.has("health").then(|| format!("http://{id}/health")),
                weight: 1,
                capacity: line.option("capacity").map_or(0, |text| text.parse().expect("one")),
                metadata: BTreeMap::new(),
                tasks: tasks.map(str::to_owned).collect(),
                id,
            },
        })),
        "heartbeat" => Command::ExecutorHeartbeat(OfExecutor { id }),
        "silent" => {
            let seen = state.executor(&id).expect("an executor");
            let (revision, renewed_at) = (seen.revision, seen.renewed_at);
            let reason = "refused".to_owned();
            Command::ExecutorLiveness(ExecutorLiveness {
                id,
                revision,
                renewed_at,
                online: false,
                reason,
            })
        }
        "status" => {
            let status = match line.word(2) {
                "online" => ExecutorStatus::Online,
                "offline" => ExecutorStatus::Offline,
                _ => ExecutorStatus::Maintenance,
            };
            let (reason, if_match) = (String::new(), None);
            Command::ExecutorStatus(SetExecutorStatus { id, status, reason, if_match })
        }
        "delete-executor" => Command::DeleteExecutor(Named { name: id, if_match: None }),
        other => panic!("no line {other}"),
    }
}

impl EngineWorld {
    /// A line about what becomes of requests to executors; false: it is another.
    pub(super) fn executor_line(&mut self, line: &ScriptLine) -> bool {
        match line.word(0) {
            "watch" => self.on_watch(WatchEvent::Look),
            "probe" => {
                let silence = if line.has("unacknowledged") { Millis(60_000) } else { Millis(0) };
                self.on_probe(ProbeEvent::Look(silence));
            }
            "probed" => {
                let found = if line.has("well") { Ok(()) } else { Err("refused".to_owned()) };
                self.on_probe(ProbeEvent::Probed(line.word(1).into(), found));
            }
            "took" | "refused" => {
                let (executor, took) = (Arc::from(line.word(1)), line.word(0) == "took");
                self.on_attempt(DispatchEvent::Dispatched(executor, took));
            }
            "accept" => {
                let (task, execution, fence) = self.execution(line);
                let accept = Command::Accept(OfFence { task, execution, fence });
                if let Err(refused) = self.apply(&accept) {
                    self.told.push(format!("refused, {refused}"));
                }
            }
            _ => return false,
        }
        true
    }

    pub(super) fn on_watch(&mut self, event: WatchEvent) {
        if !self.watcher.concerns(&event) {
            return;
        }
        let members = Members::of(&self.state);
        let view = super::world::view(&self.state, &members, self.session, self.now);
        let todo = self.watcher.on(event, &view);
        for todo in todo {
            self.told.push(match todo {
                WatchDo::End(attempt, status) => {
                    let OfFence { task, execution, fence } = attempt.grant;
                    let report = Report::unreported(status, self.now, "");
                    let report = Report { unknown: status == Status::Timeout, ..report };
                    let end = Finish { task, execution, fence, report };
                    self.proposed.push_back(Command::Finish(Box::new(end)));
                    let status = status.word();
                    {
                        let on = &attempt.executor.info.id;
                        format!("stop e{execution} f{fence} on {on}, then {status}")
                    }
                }
                WatchDo::Stop(attempt) => {
                    let OfFence { execution, fence, .. } = attempt.grant;
                    format!("stop e{execution} f{fence} on {}", attempt.executor.info.id)
                }
                WatchDo::Lose(grant) => {
                    self.proposed.push_back(Command::Lose(grant));
                    format!("e{} f{} is lost", grant.execution, grant.fence)
                }
            });
        }
    }

    pub(super) fn on_probe(&mut self, event: ProbeEvent) {
        let members = Members::of(&self.state);
        let view = super::world::view(&self.state, &members, self.session, self.now);
        for todo in self.prober.on(event, &view) {
            self.told.push(match todo {
                ProbeDo::Probe(id) => format!("probe {id}"),
                ProbeDo::Tell(found) => {
                    let what = if found.online { "online" } else { "offline" };
                    let told = format!("{} is {what}: {}", found.id, found.reason);
                    self.proposed.push_back(Command::ExecutorLiveness(found));
                    told
                }
            });
        }
    }
}
