//! The cases by which the contract on time is shown: instants, and the rule that explains each, in
//! `shown.txt`. `BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use crate::domain::assign::Members;
use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::command::{
    Claim, Command, Genesis, NodeLiveness, NodeUp, PauseTask, Put, PutCalendar, PutMode, Settle,
};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::machine::record::Liveness;
use crate::domain::machine::{Answer, Applied, State, node_info};
use crate::domain::schedule::{Dst, Fold, Gap, Plan, Schedule, parse_cron};
use crate::domain::settling::{self, Decision, decide};
use crate::domain::spec::read_calendar;
use crate::domain::task::{CatchUpPolicy, TaskSpec};
use crate::domain::time::{Millis, Timestamp};
use crate::ops::context::StateView;
use crate::ops::preview::{body, tick};
use crate::ops::why::why;
use crate::stories::golden;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn cron(text: &str, zone: &str) -> Schedule {
    let (rule, _) = parse_cron(text).unwrap();
    Schedule { timezone: Some(zone.to_owned()), ..Schedule::of(rule) }
}

/// The next ticks as a preview shows them.
fn preview(out: &mut String, what: &str, schedule: &Schedule, from: &str, n: usize) {
    let plan = Plan::compile(schedule, "preview", "UTC", at(from)).unwrap();
    let told = body(Vec::new(), schedule, "UTC");
    writeln!(out, "{what} from {from}").unwrap();
    for words in [told.words, told.words_zh] {
        writeln!(out, "  {words}").unwrap();
    }
    for warning in told.warnings {
        writeln!(out, "  warning: {}", warning.detail).unwrap();
    }
    let first = plan.next_noted(at(from));
    for found in std::iter::successors(first, |found| plan.next_noted(found.at)).take(n) {
        let told = tick(&plan, &found);
        let note = told.note.map(|note| format!("  {note}")).unwrap_or_default();
        writeln!(out, "  {}  {}{note}", told.at.0, told.local).unwrap();
    }
    out.push('\n');
}

/// One node with the state machine and nothing between them.
struct ShownOwner {
    state: State,
    session: SessionId,
    now: Timestamp,
    index: u64,
}

impl ShownOwner {
    fn apply(&mut self, command: &Command) -> Answer {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        self.index += 1;
        let head = EntryHead { stamp: self.now, origin: 1, seq: self.index };
        let mut applied = Applied::default();
        self.state.apply(self.index, &envelope::entry(head, &packed), &mut applied).unwrap();
        applied.responses.remove(0).unwrap()
    }

    fn start(now: Timestamp) -> Self {
        let (state, session) = (State::default(), SessionId(0));
        let mut owner = Self { state, session, now, index: 0 };
        let info = node_info(1);
        let (name, timezone) = ("shown".to_owned(), "UTC".to_owned());
        owner.apply(&Command::Genesis(Genesis {
            id: 1,
            name,
            timezone,
            scheduler: true,
            callback_key: 7,
        }));
        let node = NodeId::new(1, 1);
        let up = Command::NodeUp(Box::new(NodeUp { node, boot: 1, info }));
        let Answer::Session(session) = owner.apply(&up) else { panic!("no session") };
        owner.session = session;
        let liveness = Liveness::Working;
        owner.apply(&Command::NodeLiveness(NodeLiveness { node, session, liveness }));
        owner
    }

    fn add(&mut self, name: &str, text: &str, more: impl FnOnce(&mut TaskSpec)) {
        let mut spec = TaskSpec::new(name, cron(text, "UTC"), None);
        more(&mut spec);
        self.apply(&Command::Put(Box::new(Put { mode: PutMode::Add, spec })));
    }

    fn pause(&mut self, name: &str, until: Timestamp) {
        let (name, reason) = (name.to_owned(), "a look".to_owned());
        let pause = PauseTask { name, reason, until: Some(until), if_match: None };
        self.apply(&Command::Pause(pause));
    }

    /// Settles all that is due, the owner being there at this instant.
    fn settle(&mut self, now: Timestamp) {
        self.now = now;
        let keys: Vec<_> = self.state.tasks().map(|task| task.key).collect();
        for key in keys {
            loop {
                let task = self.state.task(key).unwrap().clone();
                let plan = self.state.plan(task.spec().unwrap(), task.live.scheduled_at).unwrap();
                let decision = decide(&settling::SettleView {
                    task: &task,
                    plan: &plan,
                    settled: self.state.settled(&task),
                    scheduler: true,
                    now,
                    lead: Millis(20),
                    failover: Millis(5_000),
                });
                let Decision::Settle(steps) = decision else { break };
                for step in steps {
                    let claim = step.claim.map(|firing| Claim {
                        tick: firing.tick,
                        due: firing.due,
                        trigger: firing.trigger,
                        start: false,
                    });
                    self.apply(&Command::Settle(Settle {
                        task: key,
                        revision: task.live.revision,
                        calendars: self.state.calendars_of(&task),
                        session: self.session,
                        now,
                        after: step.after,
                        spans: step.spans,
                        claim,
                        exhausted: step.exhausted,
                    }));
                }
            }
        }
    }

    fn why(&self, out: &mut String, name: &str, when: &str) {
        let members = Members::of(&self.state);
        let view =
            StateView { state: self.state.clone(), members, now: self.now, own: NodeId::new(1, 1) };
        let told = why(&view, self.state.named(name).unwrap(), Some(at(when)));
        let told = serde_json::to_value(told).unwrap();
        let facts =
            ["verdict", "expected", "reason", "settled", "index", "owner", "state", "cursor"];
        let facts = facts.map(|key| format!("{key} {}", told[key]));
        writeln!(out, "why {name} --at {when}\n  {}", told["summary"].as_str().unwrap()).unwrap();
        writeln!(out, "  {}\n", facts.join(", ")).unwrap();
    }
}

#[test]
fn the_cases_that_are_shown_are_golden() {
    let mut out = String::new();
    let zone = "America/New_York";
    for (gap, word) in [(Gap::Shift, "shift"), (Gap::Skip, "skip")] {
        let dst = Dst { gap, ..Dst::default() };
        let schedule = Schedule { dst, ..cron("30 2 * * *", zone) };
        let what = format!("30 2 * * *, {zone}, dst.gap = {word},");
        preview(&mut out, &what, &schedule, "2026-03-06T05:00:00Z", 4);
    }
    for (fold, word) in [(Fold::First, "first"), (Fold::Second, "second"), (Fold::Both, "both")] {
        let dst = Dst { fold, ..Dst::default() };
        let schedule = Schedule { dst, ..cron("30 1 * * *", zone) };
        let what = format!("30 1 * * *, {zone}, dst.fold = {word},");
        preview(&mut out, &what, &schedule, "2026-10-30T04:00:00Z", 5);
    }
    let elapsed = cron("*/30 * * * *", zone);
    preview(&mut out, "*/30 * * * *, elapsed time,", &elapsed, "2026-03-08T06:00:00Z", 4);
    preview(&mut out, "*/30 * * * *, elapsed time,", &elapsed, "2026-11-01T04:59:59Z", 5);
    let fridays = cron("0 0 13 * FRI", "UTC");
    preview(&mut out, "0 0 13 * FRI,", &fridays, "2026-01-01T00:00:00Z", 20);

    let mut owner = ShownOwner::start(at("2026-03-02T12:00:00Z"));
    let weekend = serde_json::json!({"rules": [{"times": ["12:20/12:40"]}]});
    let calendar = read_calendar("lunch", &weekend).unwrap();
    owner.apply(&Command::PutCalendar(Box::new(PutCalendar {
        calendar,
        if_match: None,
        source: None,
    })));
    owner.add("last", "*/5 * * * *", |_| {});
    owner.add("none", "*/5 * * * *", |spec| spec.catch_up.policy = CatchUpPolicy::None);
    owner.add("short", "*/5 * * * *", |spec| spec.catch_up.window = Millis::from_secs(240));
    owner.add("paused", "*/5 * * * *", |_| {});
    owner.add("quiet", "*/5 * * * *", |spec| spec.schedule.exclude = vec!["lunch".to_owned()]);
    owner.settle(at("2026-03-02T12:05:00Z"));
    // The only node is killed for sixteen minutes; then somebody pauses a task for ten.
    owner.settle(at("2026-03-02T12:21:00Z"));
    owner.pause("paused", at("2026-03-02T12:32:00Z"));
    for minute in 22..=45 {
        owner.settle(at(&format!("2026-03-02T12:{minute}:00Z")));
    }
    owner.pause("paused", at("2026-03-02T13:12:00Z"));
    for (name, when) in [
        ("last", "2026-03-02T12:05:00Z"),
        ("last", "2026-03-02T12:10:00Z"),
        ("last", "2026-03-02T12:20:00Z"),
        ("none", "2026-03-02T12:10:00Z"),
        ("short", "2026-03-02T12:15:00Z"),
        ("paused", "2026-03-02T12:30:00Z"),
        ("paused", "2026-03-02T13:10:00Z"),
        ("quiet", "2026-03-02T12:25:00Z"),
        ("quiet", "2026-03-02T12:40:00Z"),
        ("quiet", "2026-03-03T12:25:00Z"),
        ("quiet", "2026-03-03T12:45:00Z"),
        ("quiet", "2026-03-03T12:46:00Z"),
    ] {
        owner.why(&mut out, name, when);
    }
    golden(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/tests/shown.txt")), &out);
}
