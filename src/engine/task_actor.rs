//! One owned task whose next tick is near: looks at the state, decides, proposes, looks again.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::consensus::ReplicaEvent;
use crate::domain::ids::{Revision, SessionId, TaskKey};
use crate::domain::machine::command::{Claim, Command, Settle};
use crate::domain::machine::{Answer, Effect, envelope};
use crate::domain::schedule::Plan;
use crate::domain::schedule::calendar::Calendar;
use crate::domain::settling::{Decision, Step, decide};
use crate::domain::time::{Millis, Timestamp};

use super::context::EngineContext;
use super::limits::{GIVEN_UP, HELD_BACK, PROPOSAL_LIMIT, REPROPOSE, UNSURE};
use super::node_actor::NodeMsg;
use super::observed::ObservedTask;
use super::residency::Residence;
use super::sleepers::may_sleep;
use super::slots::AskPurpose;
use super::timer::{Alarm, AlarmTarget, Armed};

pub(super) struct TaskActor;

/// What a task actor is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum TaskMsg {
    /// Something may have changed.
    Look,
}

pub(super) struct TaskArguments {
    pub key: TaskKey,
    /// Tells this actor from others of the task.
    pub residence: Residence,
    pub context: Arc<EngineContext>,
    pub node: ActorRef<NodeMsg>,
}

pub(super) struct TaskState {
    arguments: TaskArguments,
    plan: Option<(Revision, Vec<Arc<Calendar>>, Plan)>,
    /// What was proposed: after which instant, and when.
    proposed: Option<(Timestamp, Instant)>,
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
        Ok(TaskState { arguments, plan: None, proposed: None, armed: Armed::default(), _alive })
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

fn claims(step: &Step, tick: Timestamp) -> bool {
    step.claim.is_some_and(|firing| firing.tick == tick)
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
        let now = context.clock.now();
        if !context.clock.sure() {
            return self.alarm(myself, now.plus(UNSURE), now);
        }
        let back = self.held_back(&seen);
        let now = now.minus(back);
        let settings = &context.settings;
        let decision = decide(&seen.view(&plan, now, context.lead(), settings.failover_timeout));
        if let Some((after, at)) = self.proposed
            && seen.settled > after
        {
            context.measured(at.elapsed());
            self.proposed = None;
        }
        let claimed = |tick| match &decision {
            Decision::Settle(steps) => steps.iter().any(|step| claims(step, tick)),
            Decision::Idle | Decision::Wake(_) => false,
        };
        context.dispatch.lock().slots.release_claims(self.arguments.key, seen.settled, claimed);
        match decision {
            Decision::Idle => self.sleep(myself, None).await,
            Decision::Wake(at) if may_sleep(at, settings.activation_horizon, now.plus(back)) => {
                self.sleep(myself, Some(at.minus(settings.activation_horizon))).await;
            }
            Decision::Wake(at) => self.alarm(myself, at.plus(back), now.plus(back)),
            Decision::Settle(steps) => self.settle(myself, &seen, steps, now).await,
        }
    }

    /// The decision is made for a moment this long before now. A leader whose time is behind this
    /// node's refuses what lies ahead of its stamp. After a proposal that came to nothing the task
    /// is therefore decided for a moment that has passed on every clock that members may agree on.
    fn held_back(&self, seen: &ObservedTask) -> Millis {
        let refused = self.proposed.is_some_and(|(after, at)| {
            after == seen.settled && (REPROPOSE..GIVEN_UP).contains(&at.elapsed())
        });
        if refused { HELD_BACK } else { Millis(0) }
    }

    /// The task's ticks, computed anew when its definition or a calendar changed; none: it has
    /// none, or none that can be computed, which the node actor says.
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

    async fn settle(
        &mut self,
        myself: &ActorRef<TaskMsg>,
        seen: &ObservedTask,
        steps: Vec<Step>,
        now: Timestamp,
    ) {
        let context = &self.arguments.context;
        let pending =
            self.proposed.filter(|(after, at)| *after == seen.settled && at.elapsed() < REPROPOSE);
        let again = now.plus(Millis(REPROPOSE.as_millis().try_into().unwrap_or(u64::MAX)));
        if pending.is_some() {
            return self.alarm(myself, again, now);
        }
        let Some(session) = context.session() else { return self.sleep(myself, None).await };
        let mut room = true;
        let mut commands = Vec::with_capacity(steps.len());
        for step in steps {
            let claim = step.claim.map(|firing| {
                let purpose = AskPurpose::Claim(self.arguments.key, firing.tick);
                // Without a slot it fires all the same, and waits; so do those after it.
                room = room && context.dispatch.lock().slots.ask(purpose, context.clock.boot());
                if room {
                    let owned = || context.owns_by_state(&seen.task);
                    context.life.claiming(self.arguments.key, firing.tick, owned);
                }
                Claim { tick: firing.tick, due: firing.due, trigger: firing.trigger, start: room }
            });
            commands.push(Command::Settle(Settle {
                task: self.arguments.key,
                revision: seen.task.live.revision,
                calendars: seen.calendars_at,
                session,
                now,
                after: step.after,
                spans: step.spans,
                claim,
                exhausted: step.exhausted,
            }));
        }
        self.proposed = Some((seen.settled, Instant::now()));
        if bug!("act-on-answer") {
            self.act_on_answer(&commands, session).await;
        } else {
            context.propose(&commands).await;
        }
        self.alarm(myself, again, now);
    }

    /// A bug: what the answer grants is started.
    async fn act_on_answer(&self, commands: &[Command], session: SessionId) {
        let mut bytes = Vec::new();
        for command in commands {
            envelope::pack(&mut bytes, command, "", None);
        }
        let consensus = &self.arguments.context.consensus;
        let outcome = consensus.submit(bytes.into(), commands.len(), PROPOSAL_LIMIT).await;
        for answer in outcome.map(|answered| answered.responses).unwrap_or_default() {
            if let Ok(Answer::Execution { task, execution, fence: Some(fence) }) = answer {
                let granted = Effect::Granted { task, execution, fence, session };
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

    /// Ends this actor; the node actor looks at the task then, and wakes it when it is time. What
    /// is sent to this actor from here on reaches nobody.
    async fn sleep(&self, myself: &ActorRef<TaskMsg>, until: Option<Timestamp>) {
        let TaskArguments { key, residence, context, node } = &self.arguments;
        context.life.interleave().await;
        // A node actor that is gone ends this process.
        let _gone = node.send_message(NodeMsg::Asleep(*key, *residence, until));
        myself.stop(None);
    }
}
