//! One well-filled value of every command and record: no field is left at zero or empty.

mod newer;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Refusal;
use super::super::command::{
    Claim, CleanupAll, Command, Finish, Genesis, MarkDeleted, Named, NodeIntent, NodeLiveness,
    NodePatch, NodeUp, OfExecution, OfFence, OfNode, PauseTask, Put, PutCalendar, PutMode,
    SetScheduler, Settle, SettleSpan, Start, TakeKey, TriggerTask,
};
use super::super::task::record::{
    Attempt, ChainRefusal, ChainedTask, Cluster, ClusterStatistics, Code, DayCounts, Definition,
    Dispatched, Execution, ExecutionEnd, FiredTick, Intent, KeyRecord, LiveRecord, Liveness, More,
    NodeInfo, NodeOverrides, NodeRecord, ParentExecution, PastDay, Pause, Reason, Report, Span,
    Statistics, Status, Streaks, TaskProgress, Tombstone, Totals, Trigger, Verdict,
};
use super::{DAY, executors};
use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use crate::domain::schedule::calendar::{self, Calendar, Dates, TimeRange, Yearly};
use crate::domain::schedule::{Dst, Fold, Gap, LocalTime, Rule, Schedule};
use crate::domain::task::{
    Action, AfterRun, Assignment, Backoff, CatchUp, CatchUpPolicy, ChainCondition, Chains,
    Concurrency, Delivery, ExecutionMode, ExecutorAction, HttpAction, Keep, Retry, ShellAction,
    Strategy, TaskSpec,
};
use crate::domain::time::{Millis, Timestamp};

pub(super) fn at(millis: u64) -> Timestamp {
    DAY.plus(Millis(millis))
}

fn map<T: Clone>(key: &str, value: &T) -> BTreeMap<String, T> {
    BTreeMap::from([(key.to_owned(), value.clone())])
}

/// A definition in which every field says something.
pub(super) fn spec() -> TaskSpec {
    TaskSpec {
        name: "nightly-report".to_owned(),
        description: "adds up the day".to_owned(),
        labels: map("team", &"billing".to_owned()),
        enabled: true,
        schedule: Schedule {
            rule: Rule::Cron("0 0 2 * * *".to_owned()),
            timezone: Some("Europe/Berlin".to_owned()),
            dst: Dst { gap: Gap::Skip, fold: Fold::Both },
            jitter: Some(Millis(250)),
            not_before: Some(at(1)),
            not_after: Some(at(100_000)),
            max_ticks: Some(7),
            exclude: vec!["holidays".to_owned()],
        },
        action: Some(actions().remove(0)),
        parameters: "{\"a\":1}".to_owned(),
        payload: "load".to_owned(),
        execution_mode: ExecutionMode::Sequential,
        max_live: 800,
        queue_max: 12,
        concurrency: Some(Concurrency { group: "db".to_owned(), limit: 2 }),
        priority: 9,
        catch_up: CatchUp { policy: CatchUpPolicy::All, window: Millis(60_000), max: 3 },
        catch_up_on_resume: true,
        delivery: Delivery::AtLeastOnce,
        timeout: Millis(30_000),
        kill_grace: Millis(4_000),
        lost_after: Millis(9_000),
        retry: Retry {
            max_retry: 2,
            delay: Millis(500),
            backoff: Backoff::Fixed,
            max_delay: Millis(8_000),
            jitter: Millis(100),
        },
        assignment: Assignment {
            strategy: Some(Strategy::Weighted),
            selector: map("zone", &"eu-1".to_owned()),
        },
        keep: Keep { executions: 50, ticks: 500, age: Millis(86_400_000) },
        then: Chains {
            success: vec!["load".to_owned()],
            failure: vec!["page".to_owned()],
            lost: vec!["page".to_owned()],
            timeout: vec!["page".to_owned()],
            recovered: vec!["all-clear".to_owned()],
        },
        after_run: AfterRun::Cleanup,
        one_shot: true,
    }
}

/// One action of every kind.
fn actions() -> Vec<Action> {
    vec![
        Action::Http(HttpAction {
            url: "https://example.com/hook".to_owned(),
            method: "POST".to_owned(),
            headers: map("X-One", &"1".to_owned()),
            body: Some("{}".to_owned()),
            expect_status: vec![(200, 299), (304, 304)],
            connect_timeout: Millis(10_000),
        }),
        Action::Shell(ShellAction {
            argv: vec!["echo".to_owned(), "hi".to_owned()],
            env: map("A", &"b".to_owned()),
            cwd: Some("/tmp".to_owned()),
            stdin: "in".to_owned(),
            user: Some("daemon".to_owned()),
        }),
        Action::Executor(ExecutorAction {
            balance: "round_robin".to_owned(),
            names: vec!["worker-1".to_owned()],
            weights: map("worker-1", &5_u32),
        }),
        Action::Func { id: "example-func-1".to_owned() },
    ]
}

/// Definitions that between them have every rule and every action.
pub(super) fn specs() -> Vec<TaskSpec> {
    let noon = LocalTime(43_200);
    let rules = [
        Rule::Cron("0 0 2 * * *".to_owned()),
        Rule::Interval { every: Millis(1_500), anchor: Some(at(5)) },
        Rule::Daily(vec![LocalTime(7_200), noon]),
        Rule::Weekly { days: vec![1, 5], at: noon },
        Rule::Monthly { days: vec![1, -1], at: noon },
        Rule::At(at(77)),
        Rule::Delay(Millis(600_000)),
        Rule::Immediate,
        Rule::Manual,
    ];
    let mut actions = actions().into_iter().map(Some).cycle();
    rules
        .into_iter()
        .map(|rule| {
            let action = actions.next().flatten();
            TaskSpec { schedule: Schedule { rule, ..spec().schedule }, action, ..spec() }
        })
        .collect()
}

fn info() -> NodeInfo {
    NodeInfo {
        name: "n1".to_owned(),
        hostname: "host-1".to_owned(),
        pid: 4_711,
        http: "http://10.0.0.1:8080".to_owned(),
        peer: "10.0.0.1:7070".to_owned(),
        version: "0.1.0".to_owned(),
        level: 1,
        weight: 3,
        labels: map("zone", &"eu-1".to_owned()),
        slots: 8,
        functions: vec!["example-func-1".to_owned()],
        shell: true,
        users: Some(vec!["backup".to_owned(), "root".to_owned()]),
    }
}

fn ended() -> Report {
    Report {
        status: Status::Failed,
        unknown: true,
        started_at: Some(at(10)),
        ended_at: at(20),
        exit_code: Some(-9),
        http_status: Some(503),
        detail: "killed".to_owned(),
        tail: b"last words\n".to_vec(),
    }
}

fn genesis() -> Genesis {
    Genesis {
        id: 0x0123_4567_89AB_CDEF_0011_2233_4455_6677,
        name: "punctual".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        scheduler: true,
        callback_key: 0x5EC2 << 100,
    }
}

/// One command of every kind, in the order of their numbers.
pub(super) fn commands() -> Vec<Command> {
    let name = || "nightly-report".to_owned();
    let of_name = || Named { name: name(), if_match: Some(Revision(40)) };
    let (task, execution, fence) = (TaskKey(5), ExecutionId(300), Fence(299));
    let (session, node) = (SessionId(3), NodeId::new(1, 1));
    let grant = OfFence { task, execution, fence };
    vec![
        Command::Genesis(genesis()),
        Command::Put(Box::new(Put {
            mode: PutMode::Update { if_match: Some(Revision(40)) },
            spec: spec(),
        })),
        Command::MarkDeleted(MarkDeleted {
            name: name(),
            stop: true,
            tombstone: true,
            if_match: Some(Revision(40)),
        }),
        Command::Reuse(of_name()),
        Command::Cleanup(of_name()),
        Command::CleanupAll(CleanupAll {
            cluster: "punctual".to_owned(),
            from: 128,
            upto: Some(Revision(40)),
        }),
        Command::Pause(PauseTask {
            name: name(),
            reason: "too loud".to_owned(),
            until: Some(at(90)),
            if_match: Some(Revision(40)),
        }),
        Command::Resume(of_name()),
        Command::TriggerTask(TriggerTask {
            name: name(),
            parameters: Some("{\"a\":2}".to_owned()),
        }),
        Command::Retry(OfExecution { task, execution }),
        Command::Stop(OfExecution { task, execution }),
        Command::Settle(settle()),
        Command::Start(Start { task, execution, session, again: Some(fence) }),
        Command::Return(grant),
        Command::Finish(Box::new(Finish { task, execution, fence, report: ended() })),
        Command::Lose(grant),
        Command::NodeUp(Box::new(NodeUp { node, boot: 0xB007 << 64, info: info() })),
        Command::NodeLiveness(NodeLiveness { node, session, liveness: Liveness::Down }),
        Command::NodeIntent(NodeIntent { node, intent: Intent::Removing }),
        Command::NodePatch(NodePatch {
            node,
            weight: Some(Some(2)),
            slots: Some(None),
            labels: Some(map("zone", &"eu-2".to_owned())),
        }),
        Command::Scheduler(SetScheduler { on: true }),
        Command::TakeKey(TakeKey),
        Command::Dismiss(OfExecution { task, execution }),
        Command::NodeRemove(OfNode { node: NodeId::new(3, 1) }),
        Command::PutCalendar(Box::new(PutCalendar {
            calendar: calendar(),
            if_match: Some(Revision(9)),
            source: Some(0x50 << 120),
        })),
        Command::DeleteCalendar(Named { name: "holidays".to_owned(), if_match: None }),
        Command::Cancel(of_name()),
    ]
    .into_iter()
    .chain(executors::commands(grant, session))
    .chain(newer::commands(node, session))
    .collect()
}

/// A calendar in which every field says something.
pub(super) fn calendar() -> Calendar {
    Calendar {
        name: "holidays".to_owned(),
        description: "when nobody works".to_owned(),
        timezone: Some("Europe/Berlin".to_owned()),
        rules: vec![calendar::CalendarRule {
            dates: vec![Dates { from: -1, to: 20_000 }],
            yearly: vec![Yearly { from: (12, 24), to: (1, 2) }],
            weekdays: vec![0, 6],
            times: vec![TimeRange { from: LocalTime(79_200), to: LocalTime(21_600) }],
        }],
    }
}

fn settle() -> Settle {
    Settle {
        task: TaskKey(5),
        revision: Revision(40),
        calendars: Revision(38),
        session: SessionId(3),
        now: at(1_000),
        after: at(500),
        spans: vec![
            SettleSpan {
                to: at(600),
                verdict: Verdict::Missed,
                reason: Reason::Window,
                count: Some(2_000),
            },
            SettleSpan {
                to: at(700),
                verdict: Verdict::Coalesced,
                reason: Reason::Later,
                count: None,
            },
        ],
        claim: Some(Claim { tick: at(900), due: at(950), trigger: Trigger::CatchUp, start: true }),
        exhausted: true,
    }
}

pub(super) fn definition() -> Definition {
    Definition { revision: Revision(40), at: at(1), by: "alice".to_owned(), spec: spec() }
}

pub(super) fn live() -> LiveRecord {
    LiveRecord {
        name: "nightly-report".into(),
        revision: Revision(40),
        incarnation: Revision(5),
        created_at: at(1),
        updated_at: at(2),
        definition: Some(Revision(40)),
        scheduled_at: at(3),
        paused: Some(Pause { reason: "too loud".to_owned(), until: Some(at(90)) }),
        deleted: Some(Tombstone { at: at(6), by: "carol".to_owned() }),
        cancelled: Some(at(7)),
        dispatched: Some(Box::new(Dispatched { last: "executor-001".into(), count: 12 })),
    }
}

pub(super) fn progress() -> TaskProgress {
    TaskProgress {
        cursor: at(4),
        truncated_before: at(5),
        live: 2,
        last: Some(Status::Timeout),
        last_success: Some(at(3)),
        exhausted: true,
        totals: Totals {
            fired: 1,
            skipped: 2,
            missed: 3,
            coalesced: 4,
            uncounted_spans: 5,
            success: 6,
            failed: 7,
            timeout: 8,
            cancelled: 9,
            lost: 10,
        },
    }
}

pub(super) fn statistics() -> Statistics {
    let mut statistics = Statistics::default();
    let counts = Totals { success: 300, lost: 2, ..Totals::default() };
    statistics.today = DayCounts { day: 20_514, counts };
    statistics.streaks =
        Streaks { current: 4, failing: true, longest_success: 5, longest_failure: 6 };
    [7, 7, 1_000, 86_400_000].into_iter().for_each(|value| statistics.durations.add(value));
    statistics.latenesses.add(8);
    statistics
}

pub(super) fn past_day() -> PastDay {
    PastDay::from(DayCounts { day: 20_513, counts: progress().totals })
}

pub(super) fn cluster_statistics() -> ClusterStatistics {
    ClusterStatistics {
        totals: progress().totals,
        last_success: Some(at(6)),
        recent: statistics(),
        past: Arc::new([DayCounts::from(past_day())].into()),
    }
}

fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        fence: Fence(298 + u64::from(number)),
        node: NodeId::new(1, 1),
        session: SessionId(3),
        granted_at: at(9),
        report: Some(Box::new(ended())),
        executor: Some(Arc::new(executors::accepted())),
    }
}

pub(super) fn execution() -> Execution {
    Execution {
        id: ExecutionId(300),
        incarnation: Revision(5),
        revision: Revision(40),
        tick: Some(at(8)),
        due: at(9),
        created_at: at(7),
        trigger: Trigger::Retry,
        status: Status::Failed,
        stopping: true,
        attempt: Some(attempt(2)),
        ended_at: Some(at(20)),
        index: 77,
        more: Some(Box::new(More {
            retry_of: Some(ExecutionId(200)),
            earlier: vec![attempt(1)],
            reason: Some("replaced".into()),
            parameters: Some("{\"a\":2}".into()),
            dismissed: true,
            parent: Some(Arc::new(ParentExecution {
                task: "extract".into(),
                execution: ExecutionId(190),
                depth: 3,
                status: Status::Failed,
                exit_code: Some(7),
                http_status: Some(502),
                reason: "exit 7".to_owned(),
                tail: b"no rows\n".to_vec(),
            })),
            chained: vec![
                ChainedTask {
                    condition: ChainCondition::Failure,
                    task: "page".into(),
                    outcome: Ok(ExecutionId(310)),
                },
                ChainedTask {
                    condition: ChainCondition::Failure,
                    task: "gone".into(),
                    outcome: Err(ChainRefusal::Missing),
                },
            ],
            first_start: Some(at(12)),
            next_at: Some(at(15)),
            redeliveries: 1,
        })),
    }
}

pub(super) fn span() -> Span {
    Span {
        from: at(500),
        to: at(600),
        verdict: Verdict::Missed,
        reason: Reason::NoMajority,
        count: Some(2_000),
        revision: Some(Revision(40)),
        index: 77,
    }
}

pub(super) fn fired() -> FiredTick {
    let node = u32::try_from(NodeId::new(1, 1).0).unwrap();
    let reason = Some("exit code 5".into());
    let ended = Some(ExecutionEnd { status: Status::Failed, code: Code::Exit(5), node, reason });
    FiredTick { from: at(600), tick: at(900), execution: ExecutionId(300), index: 77, ended }
}

pub(super) fn node() -> NodeRecord {
    NodeRecord {
        id: NodeId::new(1, 1),
        info: info(),
        session: SessionId(3),
        boot: 0xB007 << 64,
        liveness: Liveness::Down,
        intent: Intent::Draining,
        down_since: Some(at(30)),
        created_at: at(1),
        started_at: at(2),
        overrides: NodeOverrides {
            weight: Some(3),
            slots: Some(0),
            labels: BTreeMap::from([("zone".to_owned(), "b".to_owned())]),
        },
    }
}

pub(super) fn key_record() -> KeyRecord {
    let response = Err(Refusal::RevisionMismatch { current: Revision(40) });
    KeyRecord { number: 41, at: at(2), request: 0xFEED << 96, response }
}

pub(super) fn cluster() -> Cluster {
    Cluster {
        id: 0xC1 << 100,
        name: "punctual".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        scheduler: true,
        floor: at(1),
        strategy: Strategy::HashSlot,
        counter: 300,
        stamp: at(1_000),
        applied: 77,
        callback_key: 0x5EC2 << 100,
    }
}
