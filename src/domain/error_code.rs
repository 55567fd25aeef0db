//! The codes by which programs tell one refusal from another.
//!
//! This is the only table of codes. A code keeps its name and its status for ever.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $status:literal;)+) => {
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

            /// The HTTP status of an answer with this code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }
        }
    };
}

codes! {
    // What is sent is no request.
    /// The request is no HTTP/1.1.
    BadRequest = "bad_request", 400;
    /// A name stands twice in a JSON object.
    DuplicateKey = "duplicate_key", 400;
    /// A header cannot be read.
    InvalidHeader = "invalid_header", 400;
    /// The body is no JSON.
    InvalidJson = "invalid_json", 400;
    /// The path is not UTF-8.
    InvalidPath = "invalid_path", 400;
    /// The body is nested too deeply.
    TooDeep = "too_deep", 400;

    // Who sends it may not.
    /// A page of another site sent a write.
    CrossSite = "cross_site", 403;
    /// A node on loopback was called by another machine's name.
    ForeignHost = "foreign_host", 403;

    // It is not there.
    /// The execution had no such attempt.
    AttemptNotFound = "attempt_not_found", 404;
    /// There is no such calendar.
    CalendarNotFound = "calendar_not_found", 404;
    /// There is no such execution, or it is no longer kept.
    ExecutionNotFound = "execution_not_found", 404;
    /// There is no such member.
    MemberNotFound = "member_not_found", 404;
    /// There is no such node.
    NodeNotFound = "node_not_found", 404;
    /// There is no such route.
    RouteNotFound = "route_not_found", 404;
    /// There is no task of this name.
    TaskNotFound = "task_not_found", 404;
    /// The route does not have this method.
    MethodNotAllowed = "method_not_allowed", 405;
    /// The body took too long.
    BodyTimeout = "body_timeout", 408;
    /// The head of the request took too long.
    RequestTimeout = "request_timeout", 408;

    // What is there stands against it.
    /// The instant lies ahead of cluster time.
    AheadOfTime = "ahead_of_time", 409;
    /// Another caller was granted the tick.
    AlreadyClaimed = "already_claimed", 409;
    /// Tasks leave the calendar out.
    CalendarInUse = "calendar_in_use", 409;
    /// The execution has ended.
    ExecutionEnded = "execution_ended", 409;
    /// The execution has not ended.
    ExecutionLive = "execution_live", 409;
    /// The fence of the claim is missing.
    FenceRequired = "fence_required", 409;
    /// A pause or the stopped scheduler holds the execution.
    Held = "held", 409;
    /// The task or the scheduler is not active.
    Inactive = "inactive", 409;
    /// The cluster has a name and an id already.
    Initialised = "initialised", 409;
    /// A limit of the cluster is reached.
    LimitReached = "limit_reached", 409;
    /// The task has as many live executions as it may have.
    MaxLive = "max_live", 409;
    /// The member has data of its own.
    MemberNotEmpty = "member_not_empty", 409;
    /// A live node does not know the command yet.
    NeedsUpgrade = "needs_upgrade", 409;
    /// There is nobody to whom the lead could be given.
    NoOtherVoter = "no_other_voter", 409;
    /// The node is on its way out.
    NodeLeaving = "node_leaving", 409;
    /// It is too early for this.
    NotDue = "not_due", 409;
    /// The execution was granted before.
    NotPending = "not_pending", 409;
    /// Ticks of a task must rise.
    Order = "order", 409;
    /// The tick was settled before.
    Settled = "settled", 409;
    /// A newer grant was made.
    StaleFence = "stale_fence", 409;
    /// The name carries the deleted mark.
    TaskDeleted = "task_deleted", 409;
    /// A task of this name exists.
    TaskExists = "task_exists", 409;
    /// It was changed since the revision of `If-Match`.
    RevisionMismatch = "revision_mismatch", 412;

    // It is too large, or of the wrong kind.
    /// The body is too large.
    BodyTooLarge = "body_too_large", 413;
    /// The request line is too long.
    UriTooLong = "uri_too_long", 414;
    /// The body is not announced as JSON.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// The head of the request is too large.
    HeadersTooLarge = "headers_too_large", 431;

    // It breaks a rule.
    /// Every node would have weight 0.
    AllWeights0 = "all_weights_0", 422;
    /// Two fields contradict each other.
    Conflict = "conflict", 422;
    /// The same thing is said in two places.
    Duplicate = "duplicate", 422;
    /// A list names one twice.
    DuplicateItem = "duplicate_item", 422;
    /// It must not be empty.
    Empty = "empty", 422;
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422;
    /// A number would change by being read.
    InexactNumber = "inexact_number", 422;
    /// No cron expression.
    InvalidCron = "invalid_cron", 422;
    /// No days of a schedule.
    InvalidDays = "invalid_days", 422;
    /// No delay of a schedule.
    InvalidDelay = "invalid_delay", 422;
    /// No duration.
    InvalidDuration = "invalid_duration", 422;
    /// No environment variable that an action may set.
    InvalidEnv = "invalid_env", 422;
    /// No header that an action may send.
    InvalidHttpHeader = "invalid_http_header", 422;
    /// No interval of a schedule.
    InvalidInterval = "invalid_interval", 422;
    /// No label.
    InvalidLabel = "invalid_label", 422;
    /// No number of ticks.
    InvalidMaxTicks = "invalid_max_ticks", 422;
    /// No method of HTTP.
    InvalidMethod = "invalid_method", 422;
    /// No name.
    InvalidName = "invalid_name", 422;
    /// A parameter of the query breaks a rule.
    InvalidParameter = "invalid_parameter", 422;
    /// No status of HTTP, or no range of them.
    InvalidStatus = "invalid_status", 422;
    /// No instant or time of day.
    InvalidTime = "invalid_time", 422;
    /// No URL that an action may call.
    InvalidUrl = "invalid_url", 422;
    /// A value breaks a rule.
    InvalidValue = "invalid_value", 422;
    /// A field is missing.
    MissingField = "missing_field", 422;
    /// A name is an identity and cannot be changed.
    NameChanged = "name_changed", 422;
    /// The schedule has no tick ahead of it.
    NeverFires = "never_fires", 422;
    /// Nothing could carry the task out.
    NoHandler = "no_handler", 422;
    /// Only ticks of a manual schedule can be claimed.
    NotManual = "not_manual", 422;
    /// This version cannot do it.
    NotSupported = "not_supported", 422;
    /// Exactly one of some fields is needed.
    OneOf = "one_of", 422;
    /// A number lies out of bounds.
    OutOfRange = "out_of_range", 422;
    /// A value is too large.
    TooLarge = "too_large", 422;
    /// A list has too many items, or none.
    TooManyItems = "too_many_items", 422;
    /// The schedule leaves out a calendar that is not there.
    UnknownCalendar = "unknown_calendar", 422;
    /// Nobody asked for the field.
    UnknownField = "unknown_field", 422;
    /// Nobody asked for the parameter.
    UnknownParameter = "unknown_parameter", 422;
    /// No time zone.
    UnknownTimezone = "unknown_timezone", 422;
    /// The request does not name this cluster.
    WrongClusterName = "wrong_cluster_name", 422;
    /// A value has the wrong type.
    WrongType = "wrong_type", 422;

    // The node or the cluster cannot, for now or for sure.
    /// A fault of this node.
    Internal = "internal", 500;
    /// No leader serves this node.
    NoLeader = "no_leader", 503;
    /// It was proved not to be applied; repeating is safe.
    NotAccepted = "not_accepted", 503;
    /// This node may not take executions now.
    SessionEnded = "session_ended", 503;
    /// Too many requests look through the state at once.
    TooBusy = "too_busy", 503;
    /// Too many connections are open.
    TooManyConnections = "too_many_connections", 503;
    /// The lead was not taken.
    TransferFailed = "transfer_failed", 503;
    /// The node has not applied the index that the request names.
    IndexNotReached = "index_not_reached", 504;
    /// Another node, which has what is asked for, does not answer.
    NodeUnreachable = "node_unreachable", 504;
    /// It was handed over and not answered.
    OutcomeUnknown = "outcome_unknown", 504;
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
