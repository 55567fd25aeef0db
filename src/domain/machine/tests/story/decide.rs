//! The step of a story in which the owner of a task decides.

use super::super::telling::{clock, step};
use super::*;
use crate::domain::machine::command::Claim;
use crate::domain::settling::{Decision, SettleStep, SettleView, decide};

impl MachineStory {
    /// What the task's owner decides now, and what comes of it.
    pub(super) fn decide(&mut self, line: &ScriptLine) -> Vec<String> {
        let task = self.task(line.word(1));
        let spec = task.spec().expect("a definition");
        let plan = self.world.state.plan(spec, task.live.scheduled_at);
        let decision = decide(&SettleView {
            task,
            plan: &plan.expect("a schedule"),
            settled: self.world.state.settled(task),
            scheduler: self.world.state.cluster().scheduler,
            now: self.world.stamp,
            lead: Millis(20),
            failover: Millis::from_secs(5),
        });
        let steps = match decision {
            Decision::Idle => return vec!["nothing to do".to_owned()],
            Decision::Wake(at) => return vec![format!("look again at {}", clock(at))],
            Decision::Settle(steps) => steps,
        };
        let (key, revision) = (task.key, task.live.revision);
        let session = self.session(line);
        let mut told = Vec::new();
        for decided in steps {
            told.push(step(&decided));
            let command = Command::Settle(self.settle_of(key, revision, session, decided));
            told.push(format!("= {}", self.propose(&command, "", None)));
        }
        told
    }

    fn settle_of(
        &self,
        task: TaskKey,
        revision: Revision,
        session: SessionId,
        step: SettleStep,
    ) -> Settle {
        let claim = step.claim.map(|firing| Claim {
            tick: firing.tick,
            due: firing.due,
            trigger: firing.trigger,
            start: true,
        });
        Settle {
            task,
            revision,
            calendars: self
                .world
                .state
                .task(task)
                .map_or(Revision(0), |task| self.world.state.calendars_of(task)),
            session,
            now: self.world.stamp,
            after: step.after,
            spans: step.spans,
            claim,
            exhausted: step.exhausted,
        }
    }
}
