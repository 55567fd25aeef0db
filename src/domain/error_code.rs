//! The codes by which programs tell one refusal from another.
//!
//! This is the only table of codes: name, HTTP status, and what to do next. A code keeps its name and
//! its status for ever.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $status:literal, $advice:literal;)+) => {
        /// Why something was refused, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])+ $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as answers, logs and metrics carry it, such as `task_exists`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The code of this text; none: this version has no such code.
            #[cfg(feature = "cli")]
            #[must_use]
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// The HTTP status of an answer with this code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }

            /// What to do next, as a sentence for people; a refusal may know something better.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)+
                }
            }
        }
    };
}

codes! {
    // What is sent is no request.
    /// The request is no HTTP/1.1.
    BadRequest = "bad_request", 400,
        "Send a complete HTTP/1.1 request.";
    /// A name stands twice in a JSON object.
    DuplicateKey = "duplicate_key", 400,
        "Write each name once in an object.";
    /// A header cannot be read.
    InvalidHeader = "invalid_header", 400,
        "Correct the header that `errors` names.";
    /// The body is no JSON.
    InvalidJson = "invalid_json", 400,
        "Send a JSON value in UTF-8 as the body.";
    /// The path is not UTF-8.
    InvalidPath = "invalid_path", 400,
        "Encode the path as UTF-8 with percent signs.";
    /// The body is nested too deeply.
    TooDeep = "too_deep", 400,
        "Nest the body less deeply.";

    // Who sends it may not.
    /// A page of another site sent a write.
    CrossSite = "cross_site", 403,
        "Send the request from a program, or from a page of this node.";
    /// A node on loopback was called by another machine's name.
    ForeignHost = "foreign_host", 403,
        "Use localhost or 127.0.0.1 as the name of the node.";

    /// The key in a callback address is not that of the attempt.
    InvalidCallbackKey = "invalid_callback_key", 403,
        "Call back at the address in `callback_url` as it is.";
    /// The signature of a request is missing, wrong or too old.
    InvalidSignature = "invalid_signature", 403,
        "Check that both sides have the same secret and that their clocks agree.";

    // It is not there.
    /// The execution had no such attempt.
    AttemptNotFound = "attempt_not_found", 404,
        "Read the execution: its `attempts` has all of them.";
    /// What an attempt printed is not kept any more.
    OutputGone = "output_gone", 410,
        "Read the execution: its `output_tail` has the last bytes of its newest attempt.";
    /// The task has no backfill of this range, or it is no longer remembered.
    BackfillNotFound = "backfill_not_found", 404,
        "List those of the task with `punctual backfill NAME` or GET /api/v1/tasks/NAME/backfills.";
    /// There is no such calendar.
    CalendarNotFound = "calendar_not_found", 404,
        "List the calendars with `punctual calendar list` or GET /api/v1/calendars.";
    /// There is no such execution, or it is no longer kept.
    ExecutionNotFound = "execution_not_found", 404,
        "List the executions that are kept with `punctual execution list` or GET /api/v1/executions.";
    /// There is no such executor.
    ExecutorNotFound = "executor_not_found", 404,
        "List the executors with `punctual executor list` or GET /api/v1/executors.";
    /// There is no such member.
    MemberNotFound = "member_not_found", 404,
        "Take a member from the list in GET /api/v1/cluster.";
    /// There is no such node.
    NodeNotFound = "node_not_found", 404,
        "List the nodes with `punctual node list` or GET /api/v1/nodes.";
    /// There is no such route.
    RouteNotFound = "route_not_found", 404,
        "Look for the route in GET /openapi.json: those of the API begin with /api/v1.";
    /// There is no task of this name.
    TaskNotFound = "task_not_found", 404,
        "List the tasks with `punctual ls` or GET /api/v1/tasks.";
    /// The route does not have this method.
    MethodNotAllowed = "method_not_allowed", 405,
        "Use one of the methods in the header Allow.";
    /// The body took too long.
    BodyTimeout = "body_timeout", 408,
        "Send the whole body at once, and repeat the request.";
    /// The head of the request took too long.
    RequestTimeout = "request_timeout", 408,
        "Send the whole head of the request at once.";

    // What is there stands against it.
    /// The instant lies ahead of cluster time.
    AheadOfTime = "ahead_of_time", 409,
        "Wait until cluster time has reached the instant.";
    /// Another caller was granted the tick.
    AlreadyClaimed = "already_claimed", 409,
        "Leave the tick to `winner`, and claim a later one.";
    /// Tasks leave the calendar out.
    CalendarInUse = "calendar_in_use", 409,
        "Take the calendar out of the schedules of `tasks` first.";
    /// The execution has ended.
    ExecutionEnded = "execution_ended", 409,
        "Read the execution: it says how it ended.";
    /// The execution has not ended.
    ExecutionLive = "execution_live", 409,
        "Stop the execution first, or wait for its end.";
    /// An executor of this id is online at another address.
    ExecutorOnline = "executor_online", 409,
        "Use another id, or set the executor that has it to offline first.";
    /// The executor is not online, or has as many executions as it takes.
    ExecutorUnavailable = "executor_unavailable", 409,
        "Choose another executor, or wait until this one is online and has room.";
    /// The fence of the claim is missing.
    FenceRequired = "fence_required", 409,
        "Send the fence that the claim answered.";
    /// A pause or the stopped scheduler holds the execution.
    Held = "held", 409,
        "Resume the task, or start the scheduler.";
    /// The task or the scheduler is not active.
    Inactive = "inactive", 409,
        "Resume or enable the task, or start the scheduler.";
    /// The cluster has a name and an id already.
    Initialised = "initialised", 409,
        "Use the name and the id that the cluster has.";
    /// A limit of the cluster is reached.
    LimitReached = "limit_reached", 409,
        "Remove what is no longer needed with cleanup.";
    /// The task has as many live executions as it may have.
    MaxLive = "max_live", 409,
        "Wait for an execution to end, stop one, or raise the task's max_live.";
    /// It is the only member with a vote.
    LastVoter = "last_voter", 409,
        "Add another member first, or stop this node to end the cluster.";
    /// There is a member of this id already.
    MemberExists = "member_exists", 409,
        "Take another id, or readmit the member with `punctual cluster members replace ID` if it lost its data.";
    /// Another member is being added or removed.
    MembersChanging = "members_changing", 409,
        "Wait until that is done, `punctual cluster status` shows it, then repeat the request.";
    /// The node was a member and was removed.
    NodeRemoved = "node_removed", 409,
        "Empty the data folder of the node and add it with `punctual cluster members add`.";
    /// Without the member, no majority of the others answers.
    QuorumAtRisk = "quorum_at_risk", 409,
        "Start the members that are down, or replace them, then repeat the request.";
    /// The member has data of its own.
    MemberNotEmpty = "member_not_empty", 409,
        "Start the member as it is, or empty its data folder first.";
    /// A live node does not know the command yet.
    NeedsUpgrade = "needs_upgrade", 409,
        "Upgrade every node of the cluster, then repeat the request.";
    /// There is nobody to whom the lead could be given.
    NoOtherVoter = "no_other_voter", 409,
        "Start another voter first, and wait until it is up to date.";
    /// The node is leaving the cluster.
    NodeLeaving = "node_leaving", 409,
        "Wait until the node has left or is back.";
    /// A line of the task is full.
    NoRoom = "no_room", 409,
        "Wait until an execution of the task or of its group has ended.";
    /// A node carries the execution out, so nobody calls back.
    NotCalledBack = "not_called_back", 409,
        "Stop the execution instead, or wait for its end.";
    /// It is too early for this.
    NotDue = "not_due", 409,
        "Ask again when the tick is due.";
    /// The execution was granted before.
    NotPending = "not_pending", 409,
        "Read the execution: it says to which node it was granted.";
    /// Ticks of a task must rise.
    Order = "order", 409,
        "Claim a tick after the last one.";
    /// An execution of the task has not ended.
    Overlap = "overlap", 409,
        "Wait until the execution has ended, or stop it.";
    /// Too many executions of the task wait.
    QueueFull = "queue_full", 409,
        "Wait until executions of the task have ended, or raise its queue_max.";
    /// The tick was settled before.
    Settled = "settled", 409,
        "Claim a tick after the instant in `cursor`.";
    /// A newer grant was made.
    StaleFence = "stale_fence", 409,
        "Stop the work: what is done under the old fence does not count.";
    /// The task is cancelled.
    TaskCancelled = "task_cancelled", 409,
        "Resume the task first.";
    /// The name carries the deleted mark.
    TaskDeleted = "task_deleted", 409,
        "Bring the task back with reuse, remove it with cleanup, or create it anew with force=true.";
    /// A task of this name exists.
    TaskExists = "task_exists", 409,
        "Change the task with PUT or PATCH, or replace it with force=true.";
    /// An executor was named for what none carries out, or none for what one carries out.
    WrongAction = "wrong_action", 409,
        "Name an executor for a task of executors, and for no other.";
    /// It was changed since the revision of `If-Match`.
    RevisionMismatch = "revision_mismatch", 412,
        "Read it again, and send its ETag as If-Match.";

    // It is too large, or of the wrong kind.
    /// The body is too large.
    BodyTooLarge = "body_too_large", 413,
        "Send a smaller body, or several requests.";
    /// The request line is too long.
    UriTooLong = "uri_too_long", 414,
        "Shorten the path and its parameters.";
    /// The body is not announced as JSON.
    UnsupportedMediaType = "unsupported_media_type", 415,
        "Set the header Content-Type to application/json.";
    /// The head of the request is too large.
    HeadersTooLarge = "headers_too_large", 431,
        "Send fewer or shorter headers.";

    // It breaks a rule.
    /// Every node would have weight 0.
    AllWeights0 = "all_weights_0", 422,
        "Give another node a weight first.";
    /// Two fields contradict each other.
    Conflict = "conflict", 422,
        "Keep one of the fields that contradict each other.";
    /// The same thing is said in two places.
    Duplicate = "duplicate", 422,
        "Say it in one place only.";
    /// A list names one twice.
    DuplicateItem = "duplicate_item", 422,
        "Name each item once.";
    /// It must not be empty.
    Empty = "empty", 422,
        "Give at least one value.";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422,
        "Take a new key for each request, and the same one only to repeat a request unchanged.";
    /// A number would change by being read.
    InexactNumber = "inexact_number", 422,
        "Write the number as text, or with fewer digits.";
    /// No cron expression.
    InvalidCron = "invalid_cron", 422,
        "Write 5, 6 or 7 fields, and try them with `punctual preview`.";
    /// No days of a schedule.
    InvalidDays = "invalid_days", 422,
        "Name days of the week such as mon, or days of the month such as 1 or -1.";
    /// No delay of a schedule.
    InvalidDelay = "invalid_delay", 422,
        "Give a positive delay such as 10m.";
    /// No duration.
    InvalidDuration = "invalid_duration", 422,
        "Write a number with a unit, such as 90s, 5m or 1h30m.";
    /// No environment variable that an action may set.
    InvalidEnv = "invalid_env", 422,
        "Name variables with letters, digits and underscores, without = and NUL.";
    /// No header that an action may send.
    InvalidHttpHeader = "invalid_http_header", 422,
        "Give the header a valid name and a value of one line.";
    /// No interval of a schedule.
    InvalidInterval = "invalid_interval", 422,
        "Give an interval such as 5s, not below the minimum of the cluster.";
    /// No label.
    InvalidLabel = "invalid_label", 422,
        "Write labels as short keys and values of letters, digits, `-`, `_`, `.` and `/`.";
    /// No number of ticks.
    InvalidMaxTicks = "invalid_max_ticks", 422,
        "Give a number of ticks of at least 1, or leave it out.";
    /// No method of HTTP.
    InvalidMethod = "invalid_method", 422,
        "Use a method of HTTP such as GET or POST.";
    /// No name.
    InvalidName = "invalid_name", 422,
        "Choose a name by the rule in `detail`.";
    /// A parameter of the query breaks a rule.
    InvalidParameter = "invalid_parameter", 422,
        "Correct the parameter that `errors` names, or leave it out.";
    /// No status of HTTP, or no range of them.
    InvalidStatus = "invalid_status", 422,
        "Write a status such as 204, or a range such as 200-299.";
    /// No instant or time of day.
    InvalidTime = "invalid_time", 422,
        "Write an instant such as 2026-12-01T09:00:00Z, or a time of day such as 09:00.";
    /// No URL that an action may call.
    InvalidUrl = "invalid_url", 422,
        "Give a whole http or https URL.";
    /// A value breaks a rule.
    InvalidValue = "invalid_value", 422,
        "Choose a value by the rule that `errors` tells.";
    /// A field is missing.
    MissingField = "missing_field", 422,
        "Add the field that is missing.";
    /// A name is an identity and cannot be changed.
    NameChanged = "name_changed", 422,
        "Leave the name as it is, or create a task of the new name.";
    /// The schedule has no tick ahead of it.
    NeverFires = "never_fires", 422,
        "Choose times that lie ahead and exist.";
    /// Nothing could carry the task out.
    NoHandler = "no_handler", 422,
        "Give the task an action, or register a function of its name.";
    /// Only ticks of a manual schedule can be claimed.
    NotManual = "not_manual", 422,
        "Give the task a manual schedule, or trigger it instead.";
    /// This version cannot do it.
    NotSupported = "not_supported", 422,
        "Leave out what this version does not support.";
    /// Exactly one of some fields is needed.
    OneOf = "one_of", 422,
        "Give exactly one of the fields.";
    /// A number lies out of bounds.
    OutOfRange = "out_of_range", 422,
        "Choose a number within the bounds.";
    /// A value is too large.
    TooLarge = "too_large", 422,
        "Shorten the value.";
    /// A list has too many items, or none.
    TooManyItems = "too_many_items", 422,
        "Split the list into several requests.";
    /// The schedule leaves out a calendar that is not there.
    UnknownCalendar = "unknown_calendar", 422,
        "Create the calendar first, or correct its name.";
    /// Nobody asked for the field.
    UnknownField = "unknown_field", 422,
        "Correct the name of the field, or remove it.";
    /// Nobody asked for the parameter.
    UnknownParameter = "unknown_parameter", 422,
        "Remove the parameter, or correct its name.";
    /// No time zone.
    UnknownTimezone = "unknown_timezone", 422,
        "Use a name of the IANA time zone database such as Europe/Berlin.";
    /// The request does not name this cluster.
    WrongClusterName = "wrong_cluster_name", 422,
        "Send the name that GET /api/v1/cluster shows.";
    /// A value has the wrong type.
    WrongType = "wrong_type", 422,
        "Give a value of the type that the rule names.";

    // The node or the cluster cannot, for now or for sure.
    /// A fault of this node.
    Internal = "internal", 500,
        "Look for the request id in the log of the node, and report the fault.";
    /// The node has not applied the event that the request names.
    EventNotReached = "event_not_reached", 503,
        "Repeat the request with the same Last-Event-ID, or ask a node that is up to date.";
    /// No leader serves this node.
    NoLeader = "no_leader", 503,
        "Repeat the request, or ask another node; check that a majority of the nodes runs.";
    /// It was proved not to be applied; repeating is safe.
    NotAccepted = "not_accepted", 503,
        "Repeat the request: nothing was changed.";
    /// This node may not take executions now.
    SessionEnded = "session_ended", 503,
        "Ask another node.";
    /// Too many requests look through the state at once.
    TooBusy = "too_busy", 503,
        "Repeat the request after a second, and send fewer at once.";
    /// Too many connections are open.
    TooManyConnections = "too_many_connections", 503,
        "Close connections that are idle, ask another node, or come again later.";
    /// Too many streams are open.
    TooManyStreams = "too_many_streams", 503,
        "Ask another node, come again later, or raise http.streams of the node.";
    /// The lead was not taken.
    TransferFailed = "transfer_failed", 503,
        "Check that another voter is up to date, and repeat the request.";
    /// The node has not applied the index that the request names.
    IndexNotReached = "index_not_reached", 504,
        "Repeat the request, or ask a node that is up to date.";
    /// Another node, which has what is asked for, does not answer.
    NodeUnreachable = "node_unreachable", 504,
        "Start the node again, or check the network between the nodes.";
    /// It was handed over and not answered.
    OutcomeUnknown = "outcome_unknown", 504,
        "Look whether it was done, or repeat the request with the same Idempotency-Key.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[test]
fn codes_are_distinct_words() {
    let mut texts: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(texts.iter().all(|text| text.chars().all(word)));
    texts.sort_unstable();
    let all = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), all);
    assert!(ErrorCode::ALL.iter().all(|code| (400..600).contains(&code.status())));
}

#[test]
fn every_code_says_what_to_do() {
    // The first words of advice: what a reader is told to do.
    const VERBS: [&str; 37] = [
        "Add", "Ask", "Bring", "Call", "Change", "Check", "Choose", "Claim", "Close", "Correct",
        "Create", "Empty", "Encode", "Give", "Keep", "Leave", "List", "Look", "Name", "Nest",
        "Read", "Remove", "Repeat", "Report", "Resume", "Say", "Send", "Set", "Shorten", "Split",
        "Start", "Stop", "Take", "Upgrade", "Use", "Wait", "Write",
    ];
    let mut texts = Vec::new();
    for code in ErrorCode::ALL {
        let advice = code.advice();
        let verb = advice.split(' ').next().unwrap_or_default();
        assert!(VERBS.contains(&verb), "{code}: `{advice}` begins with no verb");
        assert!(advice.ends_with('.') && advice.len() > verb.len() + 1, "{code}: {advice}");
        texts.push(advice);
    }
    texts.sort_unstable();
    let all = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), all, "two codes with one advice");
}
