//! The table of routes.

use axum::routing::{delete, get, patch, post, put};

use super::{
    AccessRole, Content, Handler, Param, ParamKind, RequestBody, Route, SchemaOf, Verb, of,
};
use crate::api::compat::{history, monitor, scheduler};
use crate::api::error::{CRON, ENVELOPE, ErrorForm, PROBLEM};
use crate::api::tasks::{self, about, backfill, many};
use crate::api::{
    calendars, cluster, events, executions, executors, health, members, metrics, nodes, output,
    preview, spec, what_if,
};
use crate::domain::error_code::ErrorCode as Code;
use crate::dto::{
    AssignmentView, BackfillRequest, BackfillTicksView, BackfillView, BackfillsView, BatchRequest,
    BulkRequest, CalendarBody, CalendarChanged, CalendarRemoved, CalendarView, CallbackRequest,
    ClaimRequest, ClaimView, CleanupAllRequest, ClusterView, CronHistoryView, CronInstancesView,
    CronStatusView, CronTaskStatsView, CronTasksView, CurrentLeader, DriftView, EnvelopeView,
    EventView, ExecutionChanged, ExecutionView, ExecutorRegistered, ExecutorRemoved,
    ExecutorStatusRequest, ExecutorView, HealthView, ItemsView, JobView, ListView, LiveView,
    MemberAddRequest, MemberJoined, MemberRemoved, MergePatch, Message, NextView, NodePatchRequest,
    NodeView, PauseRequest, PreviewRequest, PreviewView, ReadyView, RegisterRequest, RevisionsView,
    SchedulerSwitched, SchedulerView, StatsView, StrategyRequest, StrategyView, TaskChanged,
    TaskRequest, TaskStatsView, TaskView, TasksLeft, TicksView, TransferRequest, TriggerRequest,
    WhatIfView, WhyView,
};
use crate::ops::executors::STATUSES as EXECUTOR_STATUSES;
use crate::ops::words::{STATUSES, TASK_STATES};

const fn route(
    verb: Verb,
    path: &'static str,
    id: &'static str,
    says: &'static str,
    handler: Handler,
) -> Route {
    Route {
        verb,
        path,
        id,
        says,
        role: AccessRole::Viewer,
        query: &[],
        body: None,
        answers: &[],
        errors: &[],
        bound: false,
        form: PROBLEM,
        handler,
    }
}

impl Route {
    const fn role(self, role: AccessRole) -> Self {
        Self { role, ..self }
    }

    const fn query(self, query: &'static [&'static [Param]]) -> Self {
        Self { query, ..self }
    }

    /// It takes a body, which may be left out.
    const fn may_have(self, schema: SchemaOf) -> Self {
        Self { body: Some(RequestBody { schema, needed: false }), ..self }
    }

    /// It takes a body.
    const fn takes(self, schema: SchemaOf) -> Self {
        Self { body: Some(RequestBody { schema, needed: true }), ..self }
    }

    const fn gives(self, answers: &'static [(u16, Content)]) -> Self {
        Self { answers, ..self }
    }

    const fn refuses(self, errors: &'static [Code]) -> Self {
        Self { errors, ..self }
    }

    const fn bound(self) -> Self {
        Self { bound: true, ..self }
    }

    /// Its refusals are written in this form.
    const fn told(self, form: ErrorForm) -> Self {
        Self { form, ..self }
    }
}

const fn param(name: &'static str, kind: ParamKind, says: &'static str) -> Param {
    Param { name, kind, says, needed: false }
}

/// A parameter that a request must have.
const fn needed(name: &'static str, kind: ParamKind, says: &'static str) -> Param {
    Param { name, kind, says, needed: true }
}

const fn json(schema: SchemaOf) -> Content {
    Content::Json(schema)
}

/// The parameters of every list.
const PAGING: &[Param] = &[
    param("limit", ParamKind::Number(1, 1_000), "How many items."),
    param("cursor", ParamKind::Text, "The `next_cursor` of the answer before."),
    param("page", ParamKind::Number(1, 1_000_000_000), "Which page, instead of a cursor."),
    param("page_size", ParamKind::Number(1, 1_000), "Items of a page."),
];
const TASKS: &[Param] = &[
    param("status", ParamKind::Word(&TASK_STATES), "Only tasks in this state."),
    param(
        "name",
        ParamKind::Texts,
        "Only names that match one of these patterns. `*` and `?` are wildcards.",
    ),
    param("label", ParamKind::Texts, "Only tasks with this label, `key` or `key=value`."),
    param("owner", ParamKind::Text, "Only tasks of this node."),
    param("deleted", ParamKind::Flag, "List deleted names instead of tasks."),
    param("sort", ParamKind::Word(&["name", "next", "last"]), "The order of the list."),
];
const WHAT_IF: &[Param] = &[
    param("leave", ParamKind::Texts, "A node that goes."),
    param(
        "join",
        ParamKind::Texts,
        "A node that comes, `NAME[:WEIGHT][:KEY=VALUE…]`: a new one, or one that may own nothing now.",
    ),
    param("drain", ParamKind::Texts, "A node that is drained."),
    param("weight", ParamKind::Texts, "A node's other weight, `NAME=WEIGHT`."),
    param("strategy", ParamKind::Text, "Another strategy of tasks that name none."),
];
const EXECUTIONS: &[Param] = &[
    param(
        "task_id",
        ParamKind::Texts,
        "Only executions of tasks that match one of these patterns. `*` and `?` are wildcards.",
    ),
    param(
        "label",
        ParamKind::Texts,
        "Only executions of tasks with this label, `key` or `key=value`.",
    ),
    param("status", ParamKind::Word(&STATUSES), "Only those with this status."),
    param("node", ParamKind::Text, "Only those on this node."),
    param("failed", ParamKind::Flag, "Only those that failed and were not dismissed."),
    param("executor_id", ParamKind::Text, "Only those that were given to this executor."),
];
const FORCE: &[Param] = &[param("force", ParamKind::Flag, "Replace what has the name.")];
const WAIT: &[Param] =
    &[param("wait", ParamKind::Flag, "Wait until no further start is possible.")];
const DELETE: &[Param] = &[
    param("stop", ParamKind::Flag, "Also stop running executions."),
    param("cleanup", ParamKind::Flag, "Also remove the name with its history and statistics."),
    param("tombstone", ParamKind::Flag, "Mark the name even if there is no task."),
];
const NEXT: &[Param] = &[
    param("n", ParamKind::Number(1, 1_000), "How many."),
    param("from", ParamKind::Instant, "From here on, instead of now."),
];
const TICKS: &[Param] = &[
    param("from", ParamKind::Instant, "None before."),
    param("to", ParamKind::Instant, "None after."),
    param("limit", ParamKind::Number(1, 1_000), "How many."),
    param("cursor", ParamKind::Text, "The `next_cursor` of the answer before."),
    param("empty", ParamKind::Flag, "Also stretches without a tick."),
];
const STATUS: &[Param] = &[param("status", ParamKind::Word(&STATUSES), "Only these.")];
const AT: &[Param] = &[param("at", ParamKind::Instant, "The instant, instead of the next tick.")];
const RANGE: &[Param] = &[
    needed("from", ParamKind::Instant, "The first instant of the range."),
    needed("to", ParamKind::Instant, "The end of the range, which is not part of it."),
];
const TASK: &[Param] = &[param("task_id", ParamKind::Text, "Of this task only.")];
const OUTPUT: &[Param] = &[
    param("follow", ParamKind::Flag, "As a stream, up to the end."),
    param("from", ParamKind::Number(0, u64::MAX), "From this byte on."),
    param(
        "attempt",
        ParamKind::Number(1, u32::MAX as u64),
        "Of this attempt; a stream begins with it.",
    ),
];
const AFTER: &[Param] =
    &[param("after", ParamKind::Text, "Executions after this one, instead of unfinished ones.")];
const EVENTS: &[Param] = &[
    param("kinds", ParamKind::Text, "Only these kinds, such as `task.put,task.deleted`."),
    param("task", ParamKind::Texts, "Only what is about this task and its executions."),
    param("after", ParamKind::Text, "From this event on, where no Last-Event-ID is sent."),
    param("last", ParamKind::Number(1, 1_000), "First so many of the newest events."),
    param("follow", ParamKind::Word(&["true", "false"]), "`false`: up to the newest event."),
];
/// The parameters of the lists of other schedulers, which have no pages.
const ALL: &[Param] = &[param("limit", ParamKind::Number(1, 10_000), "How many at most; 10,000.")];
const HISTORY: &[Param] = &[param("limit", ParamKind::Number(1, 1_000), "How many at most; 100.")];
const CALLBACK: &[Param] = &[
    param("fence", ParamKind::Number(0, u64::MAX), "That of the attempt."),
    param("key", ParamKind::Text, "That of the callback URL."),
];
const EXECUTORS: &[Param] =
    &[param("status", ParamKind::Word(&EXECUTOR_STATUSES), "Only executors with this status.")];

/// What a body of a task may be refused for.
const TASK_BODY: &[Code] = &[
    Code::Conflict,
    Code::Duplicate,
    Code::DuplicateItem,
    Code::Empty,
    Code::InvalidCron,
    Code::InvalidDays,
    Code::InvalidDelay,
    Code::InvalidDuration,
    Code::InvalidEnv,
    Code::InvalidHttpHeader,
    Code::InvalidInterval,
    Code::InvalidLabel,
    Code::InvalidMaxTicks,
    Code::InvalidMethod,
    Code::InvalidName,
    Code::InvalidStatus,
    Code::InvalidTime,
    Code::InvalidUrl,
    Code::InvalidValue,
    Code::MissingField,
    Code::NameChanged,
    Code::NeverFires,
    Code::NoHandler,
    Code::OneOf,
    Code::OutOfRange,
    Code::TooLarge,
    Code::UnknownCalendar,
    Code::UnknownTimezone,
    Code::TaskExists,
    Code::TaskDeleted,
    Code::TaskNotFound,
    Code::LimitReached,
];

/// What a registration may be refused for.
const REGISTRATION: &[Code] = &[
    Code::ExecutorOnline,
    Code::ExecutorNotFound,
    Code::Conflict,
    Code::DuplicateItem,
    Code::Empty,
    Code::InvalidCron,
    Code::InvalidDuration,
    Code::InvalidName,
    Code::InvalidUrl,
    Code::InvalidValue,
    Code::LimitReached,
    Code::MissingField,
    Code::NeverFires,
    Code::OutOfRange,
    Code::TooLarge,
    Code::TooManyItems,
];

#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    route(Verb::Get, "/livez", "getLivez", "Whether the process answers.", || get(health::livez))
        .role(AccessRole::Open).gives(&[(200, json(of::<LiveView>))]),
    route(Verb::Get, "/readyz", "getReadyz", "Whether the node is ready.", || get(health::readyz))
        .role(AccessRole::Open).gives(&[(200, json(of::<ReadyView>))]),
    route(Verb::Get, "/health", "getHealth", "Health in the legacy format.", || get(health::health))
        .gives(&[(200, json(of::<HealthView>)), (503, json(of::<HealthView>))]),
    route(Verb::Get, "/metrics", "getMetrics", "For Prometheus.", || get(metrics::page))
        .gives(&[(200, Content::Text(&["text/plain", "application/openmetrics-text"]))]),
    route(Verb::Get, "/openapi.json", "getDocument", "This document.", || get(spec::document))
        .role(AccessRole::Open).gives(&[(200, json(of::<MergePatch>))]),

    route(Verb::Get, "/api/v1/tasks", "listTasks", "Tasks that fit all filters.", || get(tasks::list))
        .query(&[TASKS, PAGING]).gives(&[(200, json(of::<ListView<TaskView>>))]),
    route(Verb::Post, "/api/v1/tasks", "createTask", "Makes a task.", || post(tasks::create))
        .role(AccessRole::Editor).query(&[FORCE]).takes(of::<TaskRequest>)
        .gives(&[(201, json(of::<TaskChanged>))]).refuses(TASK_BODY),
    route(Verb::Get, "/api/v1/tasks/{name}", "getTask", "A task, marked deleted or not.", || get(tasks::get))
        .gives(&[(200, json(of::<TaskView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Put, "/api/v1/tasks/{name}", "putTask", "Replaces the definition. Cursor and history are kept.", || put(tasks::put))
        .role(AccessRole::Editor).takes(of::<TaskRequest>).bound()
        .gives(&[(200, json(of::<TaskChanged>))]).refuses(TASK_BODY),
    route(Verb::Patch, "/api/v1/tasks/{name}", "patchTask", "A JSON merge patch of the definition.", || patch(tasks::patch))
        .role(AccessRole::Editor).takes(of::<MergePatch>).bound()
        .gives(&[(200, json(of::<TaskChanged>))]).refuses(TASK_BODY),
    route(Verb::Delete, "/api/v1/tasks/{name}", "deleteTask", "Sets the deleted mark, or removes all that is known of the name.", || delete(tasks::delete))
        .role(AccessRole::Editor).query(&[WAIT, DELETE]).bound()
        .gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound, Code::InvalidName, Code::LimitReached]),
    route(Verb::Post, "/api/v1/tasks/batch", "createTasks", "Creates many tasks. Errors are reported per task.", || post(many::batch))
        .role(AccessRole::Editor).query(&[FORCE]).takes(of::<BatchRequest>)
        .gives(&[(200, json(of::<ItemsView>))]).refuses(&[Code::TooManyItems, Code::MissingField]),
    route(Verb::Post, "/api/v1/tasks/bulk", "changeTasks", "One operation on many tasks; what is refused for one stops no other.", || post(many::bulk))
        .role(AccessRole::Editor).takes(of::<BulkRequest>).gives(&[(200, json(of::<ItemsView>))])
        .refuses(&[Code::OneOf, Code::TooManyItems, Code::MissingField, Code::InvalidValue, Code::Conflict, Code::Empty, Code::InvalidTime, Code::TooLarge]),
    route(Verb::Post, "/api/v1/tasks/{name}/trigger", "triggerTask", "An execution now.", || post(tasks::trigger))
        .role(AccessRole::Operator).may_have(of::<TriggerRequest>).gives(&[(201, json(of::<ExecutionChanged>))])
        .refuses(&[Code::TaskNotFound, Code::TaskDeleted, Code::MaxLive, Code::Overlap, Code::QueueFull, Code::TooLarge, Code::Inactive]),
    route(Verb::Post, "/api/v1/tasks/{name}/pause", "pauseTask", "Its ticks no longer fire.", || post(tasks::pause))
        .role(AccessRole::Operator).query(&[WAIT]).may_have(of::<PauseRequest>).bound()
        .gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound, Code::TaskDeleted, Code::TaskCancelled, Code::InvalidValue, Code::InvalidTime, Code::TooLarge]),
    route(Verb::Post, "/api/v1/tasks/{name}/resume", "resumeTask", "Its ticks fire again.", || post(tasks::resume))
        .role(AccessRole::Operator).bound().gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound, Code::TaskDeleted]),
    route(Verb::Post, "/api/v1/tasks/{name}/cancel", "cancelTask", "Its ticks no longer fire, and what waits ends.", || post(tasks::cancel))
        .role(AccessRole::Operator).query(&[WAIT]).bound()
        .gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound, Code::TaskDeleted]),
    route(Verb::Post, "/api/v1/tasks/{name}/reuse", "reuseTask", "Takes the deleted mark away.", || post(tasks::reuse))
        .role(AccessRole::Editor).bound().gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound, Code::LimitReached]),
    route(Verb::Post, "/api/v1/tasks/{name}/cleanup", "cleanupTask", "Removes the name with its history and statistics.", || post(tasks::cleanup))
        .role(AccessRole::Editor).bound().gives(&[(200, json(of::<TaskChanged>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Post, "/api/v1/tasks/{name}/claim", "claimTick", "Takes a tick of a task with a manual schedule.", || post(tasks::claim))
        .role(AccessRole::Operator).takes(of::<ClaimRequest>).gives(&[(201, json(of::<ClaimView>))])
        .refuses(&[Code::TaskNotFound, Code::TaskDeleted, Code::NotManual, Code::AlreadyClaimed, Code::Settled, Code::Order, Code::AheadOfTime, Code::Inactive, Code::MaxLive, Code::NoRoom, Code::SessionEnded, Code::MissingField, Code::InvalidTime]),
    route(Verb::Post, "/api/v1/tasks/{name}/backfill", "backfillTask", "Executions for the next ticks of a past range, each tick of the range once. Repeated until it is done.", || post(backfill::step))
        .role(AccessRole::Operator).takes(of::<BackfillRequest>).gives(&[(200, json(of::<BackfillView>))])
        .refuses(&[Code::TaskNotFound, Code::TaskDeleted, Code::TaskCancelled, Code::Inactive, Code::LimitReached, Code::AheadOfTime, Code::TooLarge, Code::MissingField, Code::InvalidTime, Code::InvalidValue, Code::OutOfRange]),
    route(Verb::Get, "/api/v1/tasks/{name}/backfill", "previewBackfill", "The ticks that a backfill of a range would execute. Nothing changes.", || get(backfill::ticks))
        .query(&[RANGE]).gives(&[(200, json(of::<BackfillTicksView>))]).refuses(&[Code::TaskNotFound, Code::TaskDeleted]),
    route(Verb::Delete, "/api/v1/tasks/{name}/backfill", "cancelBackfill", "No further executions for ticks of a past range. Those that were created go on.", || delete(backfill::cancel))
        .role(AccessRole::Operator).query(&[RANGE]).gives(&[(200, json(of::<BackfillView>))]).refuses(&[Code::TaskNotFound, Code::BackfillNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/backfills", "listBackfills", "How far its backfills are.", || get(backfill::list))
        .gives(&[(200, json(of::<BackfillsView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/next", "getNextTicks", "Its next ticks.", || get(about::next))
        .query(&[NEXT]).gives(&[(200, json(of::<NextView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/ticks", "getTicks", "Past ticks and their verdicts, newest first.", || get(about::ticks))
        .query(&[TICKS]).gives(&[(200, json(of::<TicksView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/executions", "listExecutionsOfTask", "Its executions, newest first.", || get(about::executions))
        .query(&[STATUS, PAGING]).gives(&[(200, json(of::<ListView<ExecutionView>>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/executions/new", "followExecutionsOfTask", "Its executions as a stream, each as it is created.", || get(output::created))
        .query(&[AFTER]).gives(&[(200, Content::Text(&["text/event-stream"]))]).refuses(&[Code::TaskNotFound, Code::TooManyStreams]),
    route(Verb::Get, "/api/v1/tasks/{name}/stats", "getTaskStats", "Statistics of a task: counts, success rate, streaks, durations, lateness, days.", || get(about::stats))
        .gives(&[(200, json(of::<TaskStatsView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/revisions", "getRevisions", "Its kept definitions, newest first.", || get(about::revisions))
        .gives(&[(200, json(of::<RevisionsView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/assignment", "getAssignment", "Who owns it, and why.", || get(about::assignment))
        .gives(&[(200, json(of::<AssignmentView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/tasks/{name}/why", "getWhy", "Explains the verdict of a past or future tick.", || get(about::why))
        .query(&[AT]).gives(&[(200, json(of::<WhyView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Post, "/api/v1/schedules/preview", "previewSchedule", "What a schedule would do; nothing is stored.", || post(preview::show))
        .takes(of::<PreviewRequest>).gives(&[(200, json(of::<PreviewView>))]).refuses(TASK_BODY),

    route(Verb::Get, "/api/v1/drift", "getDrift", "How the cluster differs from the files of the node that answers.", || get(calendars::drift))
        .gives(&[(200, json(of::<DriftView>))]),

    route(Verb::Get, "/api/v1/calendars", "listCalendars", "Calendars.", || get(calendars::list))
        .query(&[PAGING]).gives(&[(200, json(of::<ListView<CalendarView>>))]),
    route(Verb::Get, "/api/v1/calendars/{name}", "getCalendar", "A calendar.", || get(calendars::get))
        .gives(&[(200, json(of::<CalendarView>))]).refuses(&[Code::CalendarNotFound]),
    route(Verb::Put, "/api/v1/calendars/{name}", "putCalendar", "Makes it or changes it.", || put(calendars::put))
        .role(AccessRole::Editor).takes(of::<CalendarBody>).bound()
        .gives(&[(200, json(of::<CalendarChanged>)), (201, json(of::<CalendarChanged>))])
        .refuses(&[Code::InvalidName, Code::NameChanged, Code::InvalidValue, Code::Empty, Code::TooLarge, Code::UnknownTimezone, Code::LimitReached, Code::MissingField]),
    route(Verb::Delete, "/api/v1/calendars/{name}", "deleteCalendar", "Deletes a calendar that no task excludes.", || delete(calendars::delete))
        .role(AccessRole::Editor).bound().gives(&[(200, json(of::<CalendarRemoved>))]).refuses(&[Code::CalendarNotFound, Code::CalendarInUse]),

    route(Verb::Get, "/api/v1/executions", "listExecutions", "Executions, newest first.", || get(executions::list))
        .query(&[EXECUTIONS, PAGING]).gives(&[(200, json(of::<ListView<ExecutionView>>))]),
    route(Verb::Get, "/api/v1/executions/stats", "getStats", "Statistics of all tasks, or of one.", || get(executions::stats))
        .query(&[TASK]).gives(&[(200, json(of::<StatsView>))]).refuses(&[Code::TaskNotFound]),
    route(Verb::Get, "/api/v1/executions/{id}", "getExecution", "An execution.", || get(executions::get))
        .gives(&[(200, json(of::<ExecutionView>))]).refuses(&[Code::ExecutionNotFound]),
    route(Verb::Delete, "/api/v1/executions/{id}", "dismissExecution", "Dismisses a failed execution from the list of failures.", || delete(executions::dismiss))
        .role(AccessRole::Operator).gives(&[(200, json(of::<ExecutionChanged>))]).refuses(&[Code::ExecutionNotFound, Code::ExecutionLive]),
    route(Verb::Get, "/api/v1/executions/{id}/output", "getOutput", "What it printed.", || get(output::output))
        .query(&[OUTPUT]).gives(&[(200, Content::Text(&["text/plain", "text/event-stream"]))])
        .refuses(&[Code::ExecutionNotFound, Code::AttemptNotFound, Code::NodeUnreachable, Code::OutputGone, Code::TooManyStreams]),
    route(Verb::Post, "/api/v1/executions/{id}/callback", "endExecution", "The end of an execution, told by the caller or the executor that carried it out.", || post(executions::callback))
        .role(AccessRole::Operator).query(&[CALLBACK]).takes(of::<CallbackRequest>).gives(&[(200, json(of::<Message>))])
        .refuses(&[Code::ExecutionNotFound, Code::ExecutionEnded, Code::StaleFence, Code::FenceRequired, Code::MissingField, Code::InvalidValue, Code::Conflict, Code::NotCalledBack, Code::InvalidCallbackKey, Code::InvalidSignature]),
    route(Verb::Post, "/api/v1/executions/{id}/stop", "stopExecution", "Ends a waiting one, asks a running one to stop.", || post(executions::stop))
        .role(AccessRole::Operator).gives(&[(200, json(of::<ExecutionChanged>)), (202, json(of::<ExecutionChanged>))])
        .refuses(&[Code::ExecutionNotFound, Code::ExecutionEnded]),
    route(Verb::Post, "/api/v1/executions/{id}/retry", "retryExecution", "Repeats an ended execution as a new one.", || post(executions::retry))
        .role(AccessRole::Operator).gives(&[(201, json(of::<ExecutionChanged>))])
        .refuses(&[Code::ExecutionNotFound, Code::ExecutionLive, Code::TaskNotFound, Code::TaskDeleted, Code::MaxLive, Code::Overlap, Code::QueueFull, Code::Inactive]),

    route(Verb::Get, "/api/v1/nodes", "listNodes", "Nodes.", || get(nodes::list))
        .query(&[PAGING]).gives(&[(200, json(of::<ListView<NodeView>>))]),
    route(Verb::Get, "/api/v1/nodes/{id}", "getNode", "A node, by its id or name.", || get(nodes::get))
        .gives(&[(200, json(of::<NodeView>))]).refuses(&[Code::NodeNotFound]),
    route(Verb::Patch, "/api/v1/nodes/{id}", "patchNode", "Its weight, slots and labels.", || patch(nodes::patch))
        .role(AccessRole::Operator).takes(of::<NodePatchRequest>).gives(&[(200, json(of::<NodeView>))])
        .refuses(&[Code::NodeNotFound, Code::OutOfRange, Code::InvalidLabel, Code::TooLarge, Code::AllWeights0]),
    route(Verb::Post, "/api/v1/nodes/{id}/drain", "drainNode", "Moves its tasks to other nodes until it is undrained.", || post(nodes::drain))
        .role(AccessRole::Operator).gives(&[(200, json(of::<NodeView>))]).refuses(&[Code::NodeNotFound, Code::NodeLeaving]),
    route(Verb::Post, "/api/v1/nodes/{id}/undrain", "undrainNode", "It takes tasks again.", || post(nodes::undrain))
        .role(AccessRole::Operator).gives(&[(200, json(of::<NodeView>))]).refuses(&[Code::NodeNotFound, Code::NodeLeaving]),

    route(Verb::Get, "/api/v1/cluster", "getCluster", "The cluster.", || get(cluster::get))
        .gives(&[(200, json(of::<ClusterView>))]),
    route(Verb::Post, "/api/v1/cluster/transfer-leader", "transferLeader", "Transfers leadership to another voter.", || post(cluster::transfer_leader))
        .role(AccessRole::Admin).may_have(of::<TransferRequest>).gives(&[(200, json(of::<CurrentLeader>))])
        .refuses(&[Code::MemberNotFound, Code::NoOtherVoter, Code::TransferFailed]),
    route(Verb::Get, "/api/v1/cluster/backup", "backUp", "All records, as a file that `punctual restore` reads. Without its end it is not whole.", || get(cluster::backup))
        .role(AccessRole::Admin).gives(&[(200, Content::Text(&[cluster::BACKUP_TYPE]))]).refuses(&[Code::TooManyStreams]),
    route(Verb::Post, "/api/v1/cluster/members", "addMember", "Adds a node that waits with an empty data folder.", || post(members::add))
        .role(AccessRole::Admin).takes(of::<MemberAddRequest>).gives(&[(200, json(of::<MemberJoined>))])
        .refuses(&[Code::MissingField, Code::InvalidValue, Code::OutOfRange, Code::MemberExists, Code::MemberNotEmpty, Code::MembersChanging, Code::NodeRemoved, Code::NeedsUpgrade, Code::NodeUnreachable]),
    route(Verb::Delete, "/api/v1/cluster/members/{id}", "removeMember", "Removes a member when its executions have ended.", || delete(members::remove))
        .role(AccessRole::Admin).gives(&[(200, json(of::<MemberRemoved>))])
        .refuses(&[Code::MemberNotFound, Code::NodeNotFound, Code::NodeLeaving, Code::LastVoter, Code::QuorumAtRisk, Code::MembersChanging]),
    route(Verb::Post, "/api/v1/cluster/members/{id}/replace", "replaceMember", "Readmits a member that lost its data.", || post(members::replace))
        .role(AccessRole::Admin).gives(&[(200, json(of::<MemberJoined>))])
        .refuses(&[Code::MemberNotFound, Code::MemberNotEmpty, Code::MembersChanging, Code::NodeRemoved, Code::NeedsUpgrade, Code::NodeUnreachable]),
    route(Verb::Get, "/api/v1/cluster/what-if", "whatIf", "Which tasks would have another owner if nodes or the strategy changed. Nothing changes.", || get(what_if::what_if))
        .query(&[WHAT_IF, PAGING]).gives(&[(200, json(of::<WhatIfView>))]).refuses(&[Code::AllWeights0]),
    route(Verb::Get, "/api/v1/scheduler/status", "getScheduler", "Whether ticks fire in the cluster.", || get(cluster::scheduler))
        .gives(&[(200, json(of::<SchedulerView>))]),
    route(Verb::Get, "/api/v1/scheduler/jobs", "listJobs", "Tasks in short, by name.", || get(scheduler::jobs))
        .query(&[ALL]).gives(&[(200, json(of::<EnvelopeView<Vec<JobView>>>))]).told(ENVELOPE),
    route(Verb::Post, "/api/v1/scheduler/start", "startScheduler", "Ticks are claimed from now on.", || post(scheduler::start))
        .role(AccessRole::Operator).gives(&[(200, json(of::<EnvelopeView<SchedulerSwitched>>))]).told(ENVELOPE),
    route(Verb::Post, "/api/v1/scheduler/stop", "stopScheduler", "No more ticks are claimed, on any node.", || post(scheduler::stop))
        .role(AccessRole::Operator).gives(&[(200, json(of::<EnvelopeView<SchedulerSwitched>>))]).told(ENVELOPE),
    route(Verb::Put, "/api/v1/scheduler/strategy", "putStrategy", "How the tasks that name no strategy are given to nodes.", || put(cluster::put_strategy))
        .role(AccessRole::Admin).takes(of::<StrategyRequest>).gives(&[(200, json(of::<StrategyView>))])
        .refuses(&[Code::MissingField, Code::InvalidValue, Code::NotSupported]),
    route(Verb::Post, "/api/v1/admin/cleanup-all", "cleanupAll", "Removes all tasks, deleted marks and calendars.", || post(cluster::cleanup_all))
        .role(AccessRole::Admin).takes(of::<CleanupAllRequest>).gives(&[(200, json(of::<TasksLeft>))])
        .refuses(&[Code::WrongClusterName, Code::MissingField]),

    route(Verb::Get, "/api/cron/status", "getCronStatus", "The node that answers.", || get(monitor::status))
        .gives(&[(200, json(of::<CronStatusView>))]).told(CRON),
    route(Verb::Get, "/api/cron/instances", "listCronInstances", "Nodes, and the tasks that each owns.", || get(monitor::instances))
        .query(&[ALL]).gives(&[(200, json(of::<CronInstancesView>))]).told(CRON),
    route(Verb::Get, "/api/cron/tasks", "listCronTasks", "Tasks, by name.", || get(monitor::tasks))
        .query(&[ALL]).gives(&[(200, json(of::<CronTasksView>))]).told(CRON),
    route(Verb::Get, "/api/cron/tasks/{name}/stats", "getCronTaskStats", "How the executions of a task went.", || get(monitor::stats))
        .gives(&[(200, json(of::<CronTaskStatsView>))]).refuses(&[Code::TaskNotFound]).told(CRON),
    route(Verb::Get, "/api/cron/tasks/{name}/history", "getCronTaskHistory", "Executions and skipped ticks of a task, newest first.", || get(history::history))
        .query(&[HISTORY]).gives(&[(200, json(of::<CronHistoryView>))]).refuses(&[Code::TaskNotFound]).told(CRON),

    route(Verb::Get, "/api/v1/executors", "listExecutors", "Executors, by id.", || get(executors::list))
        .query(&[EXECUTORS, PAGING]).gives(&[(200, json(of::<ListView<ExecutorView>>))]),
    route(Verb::Post, "/api/v1/executors/register", "registerExecutor", "Registers an executor with its tasks, or renews its registration.", || post(executors::register))
        .role(AccessRole::Editor).takes(of::<RegisterRequest>)
        .gives(&[(200, json(of::<ExecutorRegistered>)), (201, json(of::<ExecutorRegistered>))])
        .refuses(REGISTRATION),
    route(Verb::Get, "/api/v1/executors/{id}", "getExecutor", "An executor.", || get(executors::get))
        .gives(&[(200, json(of::<ExecutorView>))]).refuses(&[Code::ExecutorNotFound]),
    route(Verb::Delete, "/api/v1/executors/{id}", "deleteExecutor", "Removes an executor. Its running executions end as lost.", || delete(executors::delete))
        .role(AccessRole::Editor).bound().gives(&[(200, json(of::<ExecutorRemoved>))]).refuses(&[Code::ExecutorNotFound]),
    route(Verb::Put, "/api/v1/executors/{id}/status", "putExecutorStatus", "Sets its status.", || put(executors::put_status))
        .role(AccessRole::Editor).takes(of::<ExecutorStatusRequest>).bound().gives(&[(200, json(of::<Message>))])
        .refuses(&[Code::ExecutorNotFound, Code::MissingField, Code::InvalidValue, Code::TooLarge]),
    route(Verb::Post, "/api/v1/executors/{id}/heartbeat", "heartbeat", "An executor says that it works.", || post(executors::heartbeat))
        .role(AccessRole::Editor).gives(&[(200, json(of::<ExecutorView>))]).refuses(&[Code::ExecutorNotFound]),

    route(Verb::Get, "/api/v1/events", "followEvents", "What changes, as a stream, from any event on.", || get(events::events))
        .query(&[EVENTS]).gives(&[(200, Content::Events(of::<EventView>))]).refuses(&[Code::EventNotReached, Code::TooManyStreams]),

    later(Verb::Get, "/api/v1/functions", "listFunctions", || get(spec::not_supported)),
    later(Verb::Get, "/api/v1/audit", "listAudit", || get(spec::not_supported)),
    later(Verb::Get, "/api/v1/tokens", "listTokens", || get(spec::not_supported)),
    later(Verb::Post, "/api/v1/tokens", "createToken", || post(spec::not_supported)),
    later(Verb::Delete, "/api/v1/tokens", "deleteToken", || delete(spec::not_supported)),
];

/// A route that the contract names and a later version builds.
const fn later(verb: Verb, path: &'static str, id: &'static str, handler: Handler) -> Route {
    route(verb, path, id, "Not supported in this version.", handler).refuses(&[Code::NotSupported])
}
