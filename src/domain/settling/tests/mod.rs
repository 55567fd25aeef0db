//! What owners decide, beside a model that enumerates every tick.

mod model;
mod table;

use std::cell::Cell;

use super::*;
use crate::domain::ids::{NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{
    Claim, Command, Finish, Genesis, NodeLiveness, NodeUp, PauseTask, Put, PutCalendar, PutMode,
    Settle,
};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::machine::record::{Liveness, Report, Status};
use crate::domain::machine::{Answer, Applied, Response, State, node_info};
use crate::domain::schedule::calendar::{self, Calendar, TimeRange};
use crate::domain::schedule::{LocalTime, Rule, Schedule};

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Notes steps from tick to tick.
pub(super) fn note(steps: u64) {
    STEPS.set(STEPS.get() + steps);
}

/// How many steps something took.
fn steps_of<T>(what: impl FnOnce() -> T) -> (T, u64) {
    STEPS.set(0);
    let out = what();
    (out, STEPS.get())
}

/// 2026-03-02T12:00:00Z.
const NOON: Timestamp = Timestamp(1_772_452_800_000);
const FAILOVER: Millis = Millis(5_000);
const LEAD: Millis = Millis(20);

/// One task and its owner, with the real state machine between them.
struct TestOwner {
    state: State,
    session: SessionId,
    key: TaskKey,
    now: Timestamp,
    index: u64,
    lead: Millis,
}

impl TestOwner {
    /// A task created at an instant.
    fn of(spec: TaskSpec, at: Timestamp) -> Self {
        let mut owner = Self {
            state: State::default(),
            session: SessionId(0),
            key: TaskKey(0),
            now: at,
            index: 0,
            lead: LEAD,
        };
        let id = NodeId::new(1, 1);
        let (name, timezone) = ("x".to_owned(), "UTC".to_owned());
        let info = node_info(1);
        owner.accept(Command::Genesis(Genesis {
            id: 1,
            name,
            timezone,
            scheduler: true,
            callback_key: 7,
        }));
        let up = NodeUp { node: id, boot: 1, info };
        match owner.accept(Command::NodeUp(Box::new(up))) {
            Answer::Session(session) => owner.session = session,
            other => panic!("{other:?}"),
        }
        let (session, liveness) = (owner.session, Liveness::Working);
        owner.accept(Command::NodeLiveness(NodeLiveness { node: id, session, liveness }));
        // An hour of which parts of each minute are left out.
        let times = (0..60).flat_map(|minute| {
            let at = 43_200 + minute * 60;
            let second = |second: u32| LocalTime(at + second);
            [(0, 7), (10, 13), (30, 55)]
                .map(|(from, to)| TimeRange { from: second(from), to: second(to) })
        });
        let rule =
            calendar::CalendarRule { times: times.collect(), ..calendar::CalendarRule::default() };
        let calendar = Calendar {
            name: "x".to_owned(),
            description: String::new(),
            timezone: None,
            rules: vec![rule],
        };
        owner.accept(Command::PutCalendar(Box::new(PutCalendar {
            calendar,
            if_match: None,
            source: None,
        })));
        match owner.accept(Command::Put(Box::new(Put { mode: PutMode::Add, spec }))) {
            Answer::Task { task, .. } => owner.key = task,
            other => panic!("{other:?}"),
        }
        owner
    }

    fn apply(&mut self, command: &Command) -> Response {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        self.index += 1;
        let head = EntryHead { stamp: self.now, origin: 1, seq: self.index };
        let mut applied = Applied::default();
        self.state.apply(self.index, &envelope::entry(head, &packed), &mut applied).unwrap();
        applied.responses.remove(0)
    }

    fn accept(&mut self, command: Command) -> Answer {
        self.apply(&command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"))
    }

    fn pause(&mut self, until: Option<Timestamp>) {
        let (name, reason) = (self.task().live.name.to_string(), String::new());
        self.accept(Command::Pause(PauseTask { name, reason, until, if_match: None }));
    }

    fn task(&self) -> &Task {
        self.state.task(self.key).unwrap()
    }

    fn plan(&self) -> Plan {
        let spec = self.task().spec().unwrap();
        self.state.plan(spec, self.task().live.scheduled_at).unwrap()
    }

    fn decide(&self) -> Decision {
        let view = SettleView {
            task: self.task(),
            plan: &self.plan(),
            settled: self.state.settled(self.task()),
            scheduler: self.state.cluster().scheduler,
            now: self.now,
            lead: self.lead,
            failover: FAILOVER,
        };
        let decision = decide(&view);
        let outlook = match &decision {
            Decision::Idle => NextDecision::Idle,
            Decision::Wake(at) => NextDecision::Wake(*at),
            Decision::Settle(_) => NextDecision::Due,
        };
        assert_eq!(super::outlook(&view), outlook);
        decision
    }

    /// Proposes what was decided; all of it must be accepted.
    fn settle(&mut self, steps: Vec<SettleStep>) {
        assert!(!steps.is_empty() && steps.len() <= STEPS_MAX + 1);
        let revision = self.task().live.revision;
        let calendars = self.state.calendars_of(self.task());
        for step in steps {
            let claim = step.claim.map(|firing| Claim {
                tick: firing.tick,
                due: firing.due,
                trigger: firing.trigger,
                start: true,
            });
            let answer = self.accept(Command::Settle(Settle {
                task: self.key,
                revision,
                calendars,
                session: self.session,
                now: self.now,
                after: step.after,
                spans: step.spans,
                claim,
                exhausted: step.exhausted,
            }));
            // Else a task that fires often would come to its maximum of live executions.
            if let Answer::Execution { task, execution, fence: Some(fence) } = answer {
                let report = Report::unreported(Status::Success, self.now, "");
                self.accept(Command::Finish(Box::new(Finish { task, execution, fence, report })));
            }
        }
    }

    /// Decides and settles until there is nothing left to do now.
    fn until_quiet(&mut self) -> Decision {
        for _ in 0..1_000 {
            match self.decide() {
                Decision::Settle(steps) => self.settle(steps),
                quiet => return quiet,
            }
        }
        panic!("it never comes to rest");
    }
}

fn spec(rule: Rule) -> TaskSpec {
    let mut spec = TaskSpec::new("x", Schedule::of(rule), None);
    // Everything is kept, so that everything can be looked at.
    spec.keep.ticks = 1_000_000;
    spec.keep.executions = 1_000_000;
    spec.keep.age = Millis(u64::MAX);
    spec
}

fn every(millis: u64) -> TaskSpec {
    spec(Rule::Interval { every: Millis(millis), anchor: None })
}

fn cron(text: &str) -> TaskSpec {
    spec(crate::domain::schedule::parse_cron(text).unwrap().0)
}

fn later(millis: u64) -> Timestamp {
    NOON.plus(Millis(millis))
}
