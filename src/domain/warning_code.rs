//! The codes of warnings about definitions that are valid. A code that is not listed here does not
//! compile.

/// Declares the codes with their names.
macro_rules! warning_codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)*) => {
        /// The code of a warning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WarningCode {
            $($(#[$doc])* $code,)*
        }

        impl WarningCode {
            /// The names of all codes.
            pub const NAMES: &[&'static str] = &[$($name),*];

            /// Its stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

warning_codes! {
    /// Both day fields of a cron expression are given: it fires on either.
    BothDayFields = "both_day_fields",
    /// `then` names a task that does not exist.
    ChainedTaskMissing = "chained_task_missing",
    /// A change leaves no future tick.
    Completed = "completed",
    /// Many tasks tick at this time.
    Crowded = "crowded",
    /// Tasks of one concurrency group name different limits.
    GroupLimitsDiffer = "group_limits_differ",
    /// No node can own the task now.
    NoEligibleNode = "no_eligible_node",
    /// No executor can take the task now.
    NoExecutor = "no_executor",
    /// Nothing carries out the task.
    NoHandler = "no_handler",
    /// Parameters share one environment variable.
    ParametersShareVariable = "parameters_share_variable",
    /// The schedule leaves out the months that lack the day.
    ShortMonths = "short_months",
    /// The step of a cron field allows one value only.
    StepBeyondField = "step_beyond_field",
    /// The interval is shorter than a second.
    SubSecond = "sub_second",
}
