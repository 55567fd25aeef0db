//! What clients define: tasks of all kinds of schedules, a good part of them in lines, and changes of
//! what is defined.

use std::time::Duration;

use serde_json::{Value, json};

use super::SimClient;
use crate::check::history::ClientRequest;
use crate::sim::plan::Focus;
use crate::sim::random::SeededRandom;
use crate::sim::{actions, executors};

/// The groups, each with the limit that most tasks name.
const GROUPS: [(&str, u64); 3] = [("red", 1), ("green", 2), ("blue", 2)];
/// At most so many executions wait in `sequential`.
const QUEUE_MAX: u64 = 4;
/// The mode and the group of the first steady tasks.
pub(super) const STEADY_IN_LINES: [(&str, Option<(&str, u64)>); 4] = [
    ("sequential", None),
    ("parallel", Some(("red", 1))),
    ("replace", None),
    ("sequential", Some(("green", 2))),
];

impl SimClient {
    /// What a call sends along.
    pub(super) fn body(&mut self, asked: ClientRequest, task: &str, call: u64) -> Option<Value> {
        match asked {
            ClientRequest::Add | ClientRequest::Force | ClientRequest::Update => {
                Some(self.definition(task, call))
            }
            ClientRequest::Patch => Some(match self.random.below(9) {
                4 => json!({"execution_mode": self.mode()}),
                5 => json!({"concurrency": self.group()}),
                6 => json!({"priority": self.priority()}),
                8 => json!({"one_shot": self.random.chance(300)}),
                7 => json!({"queue_max": self.random.range(0, QUEUE_MAX)}),
                0 => json!({"payload": format!("{call}")}),
                1 => json!({"schedule": self.schedule(task, false)}),
                2 => json!({"catch_up_on_resume": self.random.chance(500)}),
                // Often it has that already, and the patch changes nothing.
                _ => {
                    let description = ["", "patched"][self.random.index(2)];
                    json!({"description": description})
                }
            }),
            ClientRequest::Pause { .. } if self.random.chance(300) => {
                let now = self.world.common.plan.epoch_ms
                    + i64::try_from(self.world.history().now() / 1_000).unwrap_or(0);
                let until = now + i64::try_from(self.random.range(1_000, 9_000)).unwrap_or(0);
                let until = punctual::domain::time::Timestamp(until).to_string();
                Some(json!({"reason": "for a while", "until": until}))
            }
            _ => None,
        }
    }

    pub(super) fn definition(&mut self, task: &str, call: u64) -> Value {
        let steady = task.starts_with("steady");
        let policy = ["last", "all", "none"][self.random.index(3)];
        // Work that outlasts a cut, so that somebody stops it meanwhile.
        let long = self.world.common.plan.focus == Focus::Snapshots && self.random.chance(250);
        let lost_after = if long { "90s" } else { ["2s", "4s", "10s"][self.random.index(3)] };
        let timeout = if long { 60_000 } else { self.random.range(500, 4_000) };
        let mut body = json!({
            "name": task,
            "schedule": self.schedule(task, steady),
            "action": {"func": {"id": "work"}},
            "payload": format!("{call}"),
            "timeout": format!("{timeout}ms"),
            "kill_grace": "200ms",
            "lost_after": lost_after,
            "catch_up": {
                "policy": policy,
                "window": format!("{}s", self.random.range(6, 120)),
                "max": self.random.range(1, 8),
            },
            "catch_up_on_resume": self.random.chance(300),
            "enabled": steady || self.random.chance(950),
        });
        if !steady {
            self.stand_in_lines(&mut body, call);
            self.end(&mut body, task);
        }
        self.attempts(&mut body, task);
        self.carrier(&mut body, task);
        body
    }

    /// Whether executors carry a task out: the same in all definitions of a name.
    fn carrier(&self, body: &mut Value, task: &str) {
        let seed = self.world.common.plan.seed;
        let mut random = SeededRandom::of(seed, &format!("carrier of {task}"));
        if random.chance(250) {
            let all = ["round_robin", "weighted_round_robin", "random", "sticky", "least_loaded"];
            let balance = all[random.index(all.len())];
            let names = [executors::NAME];
            body["action"] = json!({"executor": {"balance": balance, "names": names}});
        }
    }

    /// Whether and how executions are attempted again: the same in all definitions of a name.
    fn attempts(&self, body: &mut Value, task: &str) {
        let seed = self.world.common.plan.seed;
        let mut random = SeededRandom::of(seed, &format!("attempts of {task}"));
        if random.chance(400) {
            body["delivery"] = json!("at_least_once");
        }
        if random.chance(500) {
            let (delay, most) =
                ([0, 100, 700, 3_000][random.index(4)], [500, 5_000][random.index(2)]);
            let backoff = ["fixed", "exponential"][random.index(2)];
            body["retry"] = json!({
                "max_retry": random.range(1, 4),
                "delay": format!("{delay}ms"),
                "backoff": backoff,
                "max_delay": format!("{most}ms"),
            });
        }
        let names = self.world.common.plan.names as u64;
        for end in ["success", "failure", "lost", "timeout", "recovered"] {
            if random.chance(200) {
                // One more than there are: that one is never there.
                body["then"][end] = json!([super::name(random.below(names + 1))]);
            }
        }
    }

    /// The definition of a steady task, of which the first few stand in lines.
    pub(super) fn steady(&mut self, task: usize, call: u64) -> Value {
        let mut body = self.definition(&format!("steady-{task}"), call);
        if let Some((mode, group)) = STEADY_IN_LINES.get(task) {
            body["execution_mode"] = json!(mode);
            body["queue_max"] = json!(3);
            body["timeout"] = json!("3s");
            body["schedule"] = json!({"interval": format!("{}ms", self.random.range(700, 2_500))});
            body["concurrency"] =
                group.map_or(Value::Null, |(group, limit)| json!({"group": group, "limit": limit}));
            body["payload"] = json!(self.payload(call));
        }
        body
    }

    /// Puts about half of all definitions in a line of their own, in that of a group, or in both, and
    /// lets executions overlap there.
    fn stand_in_lines(&mut self, body: &mut Value, call: u64) {
        let (own, shared) = (self.random.chance(350), self.random.chance(250));
        if own {
            body["execution_mode"] = json!(self.mode());
            body["queue_max"] = json!(self.random.range(0, QUEUE_MAX));
        }
        if self.random.chance(120) {
            body["max_live"] = json!(self.random.range(1, 4));
        }
        if shared {
            body["concurrency"] = self.group();
            body["priority"] = json!(self.priority());
        }
        if (own || shared) && self.random.chance(600) {
            body["payload"] = json!(self.payload(call));
        }
    }

    /// Lets some tasks fire once only, and some end with a run. Those of which registers are judged
    /// are changed by their clients only.
    fn end(&mut self, body: &mut Value, task: &str) {
        if self.random.chance(80) {
            body["one_shot"] = json!(true);
        }
        if task.starts_with("loose") && self.random.chance(300) {
            body["after_run"] = json!(["mark_deleted", "cleanup"][self.random.index(2)]);
        }
    }

    fn mode(&mut self) -> &'static str {
        ["parallel", "skip", "sequential", "replace"][self.random.index(4)]
    }

    /// A group with its usual limit, or another one; or none.
    fn group(&mut self) -> Value {
        let Some((group, limit)) = GROUPS.get(self.random.index(GROUPS.len() + 1)) else {
            return Value::Null;
        };
        let other = self.random.range(1, 3);
        let limit = if self.random.chance(200) { other } else { *limit };
        json!({"group": group, "limit": limit})
    }

    fn priority(&mut self) -> u64 {
        [5, 0, 4, 9][self.random.index(4)]
    }

    /// A payload that lets an attempt work for a while.
    fn payload(&mut self, call: u64) -> String {
        let time = self.random.log_time(Duration::from_millis(100), Duration::from_secs(3));
        actions::payload(call, time)
    }

    pub(super) fn schedule(&mut self, task: &str, steady: bool) -> Value {
        // Every other definition of a name has the same one, so that an edit may leave it alone.
        if !steady && self.random.chance(500) {
            let own = task.bytes().map(u64::from).sum::<u64>() % 16;
            return json!({"interval": format!("{}ms", 400 + own * 90)});
        }
        let mut schedule = self.rule(steady);
        if schedule.get("manual").is_some() {
            return schedule;
        }
        if self.random.chance(150) {
            schedule["exclude"] = json!(["pauses"]);
        }
        if !steady && self.random.chance(60) {
            schedule["max_ticks"] = self.random.range(1, 12).into();
        }
        schedule
    }

    fn rule(&mut self, steady: bool) -> Value {
        let every = self.random.log_time(Duration::from_millis(250), Duration::from_secs(8));
        let interval = json!({"interval": format!("{}ms", every.as_millis())});
        let drawn = self.random.below(100);
        let gap = ["shift", "skip"][self.random.index(2)];
        let fold = ["first", "second", "both"][self.random.index(3)];
        let dst = json!({"gap": gap, "fold": fold});
        let berlin =
            |key: &str, value: Value| json!({key: value, "timezone": "Europe/Berlin", "dst": dst});
        match drawn {
            0..46 => interval,
            // Far enough for the task's actor to end, so that changes meet it while it does.
            46..52 if !steady => json!({"interval": format!("{}s", self.random.range(15, 3_600))}),
            46..52 => interval,
            // At fixed local times, which clock changes leave out or repeat.
            52..56 => berlin("cron", json!("*/4 0-59 0-23 * * *")),
            56..60 => berlin("daily", json!(["02:00", "02:01", "02:30:10", "03:00", "03:01:30"])),
            _ if steady => interval,
            60..65 => json!({"interval": format!("{}ms", every.as_millis()), "jitter": "150ms"}),
            65..75 => json!({"cron": "*/3 * * * * *"}),
            75..80 => json!({"cron": "5-50/7 * * * * *", "timezone": "Europe/Berlin"}),
            80..86 => json!({"delay": format!("{}ms", self.random.range(200, 9_000))}),
            86..90 => json!({"immediate": true}),
            90..94 => json!({"interval": "1s", "anchor": "2026-03-29T00:00:00.250Z"}),
            94..97 => json!({"daily": ["00:31", "00:59:30", "01:00:30"]}),
            _ => json!({"manual": true}),
        }
    }
}
