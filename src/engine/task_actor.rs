//! The actor of one owned task with a near tick. It repeatedly checks the state, decides, and
//! proposes commands.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::consensus::ReplicaEvent;
use crate::domain::ids::{Revision, SessionId, TaskKey};
use crate::domain::machine::command::Command;
use crate::domain::machine::{Answer, Hint, envelope};
use crate::domain::schedule::Plan;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::settling::{SettleStep, decide};
use crate::domain::time::{Millis, Timestamp};

use super::context::EngineContext;
use super::limits::PROPOSAL_LIMIT;
use super::node_actor::NodeMsg;
use super::observed::ObservedTask;
use super::residency::Residence;
use super::settle_cycle::{SettleCycle, TaskDo, commands, release_claims, without_time};
use super::slots::AskPurpose;
use super::timer::{Alarm, AlarmTarget, Armed};

pub(super) struct TaskActor;

/// A message to a task actor.
#[derive(Clone, Copy, Debug)]
pub(super) enum TaskMsg {
    /// Check the state, because something may have changed.
    Look,
}

pub(super) struct TaskArguments {
    pub key: TaskKey,
    /// Distinguishes this actor from other actors of the task.
    pub residence: Residence,
    pub context: Arc<EngineContext>,
    pub node: ActorRef<NodeMsg>,
}

pub(super) struct TaskState {
    arguments: TaskArguments,
    plan: Option<(Revision, Vec<Arc<Calendar>>, Plan)>,
    cycle: SettleCycle,
    /// The start of the time base for the age of proposals.
    began: Instant,
    armed: Armed,
    _alive: watch::Receiver<bool>,
}

impl Actor for TaskActor {
    type Msg = TaskMsg;
    type State = TaskState;
    type Arguments = TaskArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<TaskMsg>,
        arguments: TaskArguments,
    ) -> Result<TaskState, ActorProcessingErr> {
        myself.send_message(TaskMsg::Look)?;
        let _alive = arguments.context.alive();
        let (cycle, began, armed) = (SettleCycle::default(), Instant::now(), Armed::default());
        Ok(TaskState { arguments, plan: None, cycle, began, armed, _alive })
    }

    async fn handle(
        &self,
        myself: ActorRef<TaskMsg>,
        _message: TaskMsg,
        state: &mut TaskState,
    ) -> Result<(), ActorProcessingErr> {
        let life = state.arguments.context.life.clone();
        life.wrap(state.look(&myself)).await;
        Ok(())
    }
}

impl TaskState {
    fn see(&self) -> Option<ObservedTask> {
        let context = &self.arguments.context;
        let mut seen = ObservedTask::of(&context.consensus.replica().read(), self.arguments.key)?;
        if bug!("clock-for-cursor") {
            seen.settled = seen.settled.min(context.clock.now().plus(Millis(100)));
        }
        Some(seen)
    }

    async fn look(&mut self, myself: &ActorRef<TaskMsg>) {
        let context = &self.arguments.context;
        let owned =
            |seen: &ObservedTask| context.owns_task(&seen.task) || bug!("former-owner-goes-on");
        let Some(seen) = self.see().filter(owned) else {
            return self.sleep(myself, None).await;
        };
        let context = Arc::clone(&self.arguments.context);
        let Some(plan) = self.plan(&seen) else { return self.sleep(myself, None).await };
        let (now, at) = (context.clock.now(), self.began.elapsed());
        if !context.clock.sure() {
            return self.carry_out(myself, &seen, without_time(now), now).await;
        }
        let settings = &context.settings;
        let held_back = self.cycle.held_back(seen.settled, at);
        let moment = now.minus(held_back);
        let decision = decide(&seen.view(&plan, moment, context.lead(), settings.failover_timeout));
        if let Some(latency) = self.cycle.settled(seen.settled, at) {
            context.measured(latency);
        }
        let of = (self.arguments.key, seen.settled);
        release_claims(&mut context.dispatch.lock().slots, of, &decision, held_back);
        let horizon = settings.activation_horizon;
        let todo = self.cycle.next(decision, seen.settled, (now, held_back), at, horizon);
        self.carry_out(myself, &seen, todo, now).await;
    }

    async fn carry_out(
        &mut self,
        myself: &ActorRef<TaskMsg>,
        seen: &ObservedTask,
        todo: TaskDo,
        now: Timestamp,
    ) {
        match todo {
            TaskDo::Sleep(until) => self.sleep(myself, until).await,
            TaskDo::LookAt(at) => self.alarm(myself, at, now),
            TaskDo::Propose { steps, moment, again } => {
                let Some(session) = self.arguments.context.session() else {
                    return self.sleep(myself, None).await;
                };
                self.propose(seen, steps, session, moment).await;
                self.alarm(myself, again, now);
            }
        }
    }

    /// The task's ticks, recomputed when its definition or a calendar has changed. None: it has no
    /// ticks, or they cannot be computed, which the node actor reports.
    fn plan(&mut self, seen: &ObservedTask) -> Option<Plan> {
        let revision = seen.task.definition()?.revision;
        if let Some((known, calendars, plan)) = &self.plan
            && *known == revision
            && *calendars == seen.calendars
        {
            return Some(plan.clone());
        }
        let plan = seen.plan()?.ok()?;
        self.plan = Some((revision, seen.calendars.clone(), plan.clone()));
        Some(plan)
    }

    async fn propose(
        &mut self,
        seen: &ObservedTask,
        steps: Vec<SettleStep>,
        session: SessionId,
        moment: Timestamp,
    ) {
        let context = &self.arguments.context;
        let key = self.arguments.key;
        let commands = commands(seen, steps, session, moment, |tick| {
            let purpose = AskPurpose::Claim(key, tick);
            let room = context.dispatch.lock().slots.ask(purpose, context.clock.boot());
            if room {
                context.life.claiming(key, tick, || context.owns_by_state(&seen.task));
            }
            room
        });
        self.cycle.proposed(seen.settled, self.began.elapsed());
        if bug!("act-on-answer") {
            self.act_on_answer(&commands, session).await;
        } else {
            context.propose(&commands).await;
        }
    }

    /// A seeded bug: starts attempts by the answer instead of the applied state.
    async fn act_on_answer(&self, commands: &[Command], session: SessionId) {
        let mut bytes = Vec::new();
        for command in commands {
            envelope::pack(&mut bytes, command, "", None);
        }
        let consensus = &self.arguments.context.consensus;
        let outcome = consensus.submit(bytes.into(), commands.len(), PROPOSAL_LIMIT).await;
        for answer in outcome.map(|answered| answered.responses).unwrap_or_default() {
            if let Ok(Answer::Execution { task, execution, fence: Some(fence) }) = answer {
                let granted = Hint::Granted { task, execution, fence, session };
                let event = ReplicaEvent::Applied(0, vec![granted]);
                let _gone = self.arguments.node.send_message(NodeMsg::Event(event));
            }
        }
    }

    fn alarm(&mut self, myself: &ActorRef<TaskMsg>, at: Timestamp, now: Timestamp) {
        if !self.armed.arm(at, now) {
            return;
        }
        let alarm = Alarm { at, target: AlarmTarget::Task(myself.clone()) };
        self.arguments.context.set_alarm(alarm);
    }

    /// Ends this actor. The node actor then checks the task and wakes it in time. Later messages to
    /// this actor are lost.
    async fn sleep(&self, myself: &ActorRef<TaskMsg>, until: Option<Timestamp>) {
        let TaskArguments { key, residence, context, node } = &self.arguments;
        context.life.interleave().await;
        // If the node actor has stopped, this process ends.
        let _gone = node.send_message(NodeMsg::Asleep(*key, *residence, until));
        myself.stop(None);
    }
}
