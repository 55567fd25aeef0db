//! The cron language: text, syntax tree and canonical form.
//!
//! [`text`] splits a text into fields and resolves prefixes and nicknames. [`item`] parses the
//! items between commas. [`stretch`] converts them to number ranges. The parent's `pattern` maps
//! them to the calendar.

#[cfg(test)]
mod bad_texts;
mod item;
mod kind;
mod stretch;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub(super) use self::kind::FieldKind;
pub(super) use self::stretch::{NumberRange, sunday_first};
pub use self::text::parse_cron;
pub(super) use self::text::read_canonical;

/// A cron expression of 5, 6 or 7 fields. `Display` writes the canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    fields: Vec<Field>,
}

/// One field: items separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The kind of the field.
    pub(super) kind: FieldKind,
    /// At least one item.
    pub(super) items: Vec<CronItem>,
}

/// One item of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CronItem {
    /// `*`, `*/n`.
    Any(Option<u16>),
    /// `?`.
    Unset,
    /// `5`, `5/15` (to the end of the field), `5-10`, `5-10/2`. A descending range wraps around.
    Range { from: Value, to: Option<Value>, step: Option<u16> },
    /// `H`, `H/n`, `H(a-b)`, `H(a-b)/n`.
    Hash { range: Option<(Value, Value)>, step: Option<u16> },
    /// `L`, `L-n`: the n-th day before the last of the month.
    Last(u16),
    /// `LW`: the last workday (Monday to Friday) of the month.
    LastWorkday,
    /// `15W`: the workday (Monday to Friday) nearest to that day, within its month.
    Nearest(u16),
    /// `FRIL`: the last of that weekday in the month.
    LastOf(Value),
    /// `FRI#2`: the n-th of that weekday in the month.
    Nth(Value, u16),
}

/// A number, with its short name if it was written as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// The number as written; Sunday may be 7.
    pub(super) number: u16,
    name: Option<&'static str>,
}

impl Expression {
    /// The field of this kind, if the expression has it.
    pub(super) fn field(&self, kind: FieldKind) -> Option<&Field> {
        self.fields.iter().find(|field| field.kind == kind)
    }

    /// The fields, in order.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether the schedule follows elapsed time instead of fixed local times: its minute or hour
    /// field begins with `*` or is `H/n`.
    pub(super) fn follows_elapsed_time(&self) -> bool {
        [FieldKind::Minute, FieldKind::Hour].into_iter().filter_map(|kind| self.field(kind)).any(
            |field| {
                matches!(field.items.first(), Some(CronItem::Any(_)))
                    || matches!(
                        field.items.as_slice(),
                        [CronItem::Hash { range: None, step: Some(_) }]
                    )
            },
        )
    }
}

impl Field {
    /// Whether a day field begins with `*` or is `?`. A day must then match both day fields.
    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self.items.first(), Some(CronItem::Any(_) | CronItem::Unset))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, &self.fields, " ")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, &self.items, ",")
    }
}

impl fmt::Display for CronItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self {
            Self::Any(step) => {
                f.write_str("*")?;
                *step
            }
            Self::Range { from, to, step } => {
                write!(f, "{from}")?;
                if let Some(to) = to {
                    write!(f, "-{to}")?;
                }
                *step
            }
            Self::Hash { range, step } => {
                f.write_str("H")?;
                if let Some((from, to)) = range {
                    write!(f, "({from}-{to})")?;
                }
                *step
            }
            Self::Unset => return f.write_str("?"),
            Self::Last(0) => return f.write_str("L"),
            Self::Last(before) => return write!(f, "L-{before}"),
            Self::LastWorkday => return f.write_str("LW"),
            Self::Nearest(day) => return write!(f, "{day}W"),
            Self::LastOf(day) => return write!(f, "{day}L"),
            Self::Nth(day, nth) => return write!(f, "{day}#{nth}"),
        };
        step.map_or(Ok(()), |step| write!(f, "/{step}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.number),
        }
    }
}

/// Writes parts with a separator between them.
fn separated(
    f: &mut fmt::Formatter<'_>,
    parts: &[impl fmt::Display],
    separator: &str,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{part}")?;
    }
    Ok(())
}
