//! Parser for one field. Every error has the column of the invalid character.

use super::{CronItem, Field, FieldKind, Value};
use crate::domain::schedule::ScheduleError;

/// Parses the field of this kind from the characters `from..to` of the text.
pub(super) fn read_field(
    text: &[char],
    kind: FieldKind,
    from: usize,
    to: usize,
) -> Result<Field, ScheduleError> {
    let mut reader = ItemReader { text, kind, at: from, end: to };
    let mut items = Vec::new();
    loop {
        items.push(reader.item()?);
        if !reader.eat(',') {
            break;
        }
    }
    if items.len() > 1 && items.contains(&CronItem::Unset) {
        return Err(ScheduleError::cron(from, "? must stand alone in its field"));
    }
    Ok(Field { kind, items })
}

/// Parser state: a position in a field.
struct ItemReader<'t> {
    text: &'t [char],
    kind: FieldKind,
    at: usize,
    end: usize,
}

impl ItemReader<'_> {
    fn item(&mut self) -> Result<CronItem, ScheduleError> {
        let start = self.at;
        let item = match self.peek() {
            None | Some(',') => {
                let message = format!("{} needs a value here", self.kind.name());
                return Err(ScheduleError::cron(start, message));
            }
            Some('*') => {
                self.at += 1;
                CronItem::Any(self.step()?)
            }
            Some('?') if self.kind.is_day_field() => {
                self.at += 1;
                CronItem::Unset
            }
            Some('?') => {
                return Err(ScheduleError::cron(start, "? is for the day fields only; write *"));
            }
            Some('H') if !self.letter_at(start + 1) => self.hash()?,
            Some('L') if self.kind == FieldKind::Day => self.last()?,
            Some(_) => self.valued()?,
        };
        match self.peek() {
            None | Some(',') => Ok(item),
            Some(_) => {
                let found = self.text.get(self.at).copied().unwrap_or(' ');
                let message = format!("unexpected {found:?} after {item}");
                Err(ScheduleError::cron(self.at, message))
            }
        }
    }

    /// Parses an item that begins with a value.
    fn valued(&mut self) -> Result<CronItem, ScheduleError> {
        let start = self.at;
        if let Some(day) = self.last_of_named_day() {
            return Ok(CronItem::LastOf(day));
        }
        let from = self.value()?;
        match self.peek() {
            Some('L') if self.kind == FieldKind::Weekday => {
                self.at += 1;
                Ok(CronItem::LastOf(from))
            }
            Some('#') if self.kind == FieldKind::Weekday => {
                self.at += 1;
                Ok(CronItem::Nth(from, self.small_number("#", 5)?))
            }
            Some('W') if self.kind == FieldKind::Day => {
                self.at += 1;
                Ok(CronItem::Nearest(from.number))
            }
            Some('L') => Err(self.misplaced("a day and L (6L) is for the weekday field only")),
            Some('#') => Err(self.misplaced("# is for the weekday field only")),
            Some('W') => Err(self.misplaced("W is for the day of month field only")),
            Some('-') => {
                self.at += 1;
                let to = self.value()?;
                if self.kind == FieldKind::Year && to.number < from.number {
                    let message = format!("a year range must rise, got {from}-{to}");
                    return Err(ScheduleError::cron(start, message));
                }
                Ok(CronItem::Range { from, to: Some(to), step: self.step()? })
            }
            _ => Ok(CronItem::Range { from, to: None, step: self.step()? }),
        }
    }

    /// Parses `L`, `L-3` or `LW` in the day of month field.
    fn last(&mut self) -> Result<CronItem, ScheduleError> {
        self.at += 1;
        if self.eat('W') {
            return Ok(CronItem::LastWorkday);
        }
        if self.eat('-') {
            return Ok(CronItem::Last(self.small_number("L-", 30)?));
        }
        Ok(CronItem::Last(0))
    }

    /// Parses `H`, `H/n`, `H(a-b)` or `H(a-b)/n`.
    fn hash(&mut self) -> Result<CronItem, ScheduleError> {
        let start = self.at;
        if self.kind == FieldKind::Year {
            return Err(ScheduleError::cron(start, "H is not for the year field"));
        }
        self.at += 1;
        if !self.eat('(') {
            return Ok(CronItem::Hash { range: None, step: self.step()? });
        }
        let from_at = self.at;
        let from = self.value()?;
        if !self.eat('-') {
            return Err(ScheduleError::cron(self.at, "H( ) holds a range such as H(0-29)"));
        }
        let to = self.value()?;
        if to.number < from.number {
            let message = format!("the range in H( ) must rise, got {from}-{to}");
            return Err(ScheduleError::cron(from_at, message));
        }
        if !self.eat(')') {
            return Err(ScheduleError::cron(self.at, "H( is missing its closing parenthesis"));
        }
        Ok(CronItem::Hash { range: Some((from, to)), step: self.step()? })
    }

    /// Parses a weekday name followed directly by `L`, such as `FRIL`.
    fn last_of_named_day(&mut self) -> Option<Value> {
        let (word, end) = self.word();
        let day = word.strip_suffix('L').filter(|_| self.kind == FieldKind::Weekday)?;
        let (number, name) = self.kind.named(day)?;
        self.at = end;
        Some(Value { number, name: Some(name) })
    }

    /// Parses a number or a name of the field.
    fn value(&mut self) -> Result<Value, ScheduleError> {
        let start = self.at;
        if let Some(digits) = self.digits() {
            let number = digits.parse::<u16>().ok();
            let in_bounds = self.kind.min()..=self.kind.max_written();
            return match number.filter(|number| in_bounds.contains(number)) {
                Some(number) => Ok(Value { number, name: None }),
                None => Err(self.out_of_bounds(start, &digits)),
            };
        }
        let (word, end) = self.word();
        if let Some((number, name)) = self.kind.named(&word) {
            self.at = end;
            return Ok(Value { number, name: Some(name) });
        }
        let message = match (word.as_str(), self.kind) {
            ("", kind) => match self.peek() {
                Some(found) => format!("{} needs a value here, found {found:?}", kind.name()),
                None => format!("{} needs a value here", kind.name()),
            },
            ("L", FieldKind::Weekday) => "L needs its weekday before it, such as FRIL".to_owned(),
            ("L", FieldKind::Day) => "L cannot end a range".to_owned(),
            ("L", _) => "L is for the day fields only".to_owned(),
            ("W", FieldKind::Day) => "W needs its day before it, such as 15W".to_owned(),
            ("W", _) => "W is for the day of month field only".to_owned(),
            (word, _) => return Err(self.out_of_bounds(start, word)),
        };
        Err(ScheduleError::cron(start, message))
    }

    /// Parses an optional `/n`. A step wider than the field selects the first value only, as in
    /// Debian's cron 3.0pl1 and robfig/cron 3.0.1; [`warnings`](crate::domain::schedule::warnings)
    /// reports it.
    fn step(&mut self) -> Result<Option<u16>, ScheduleError> {
        if !self.eat('/') {
            return Ok(None);
        }
        let start = self.at;
        let Some(digits) = self.digits() else {
            return Err(ScheduleError::cron(start, "a number must follow /"));
        };
        match digits.parse::<u16>().ok().filter(|step| *step > 0) {
            Some(step) => Ok(Some(step)),
            None => {
                let name = self.kind.name();
                let got = shortened(&digits);
                let message = format!("{name} step must be 1 to {}, got {got}", u16::MAX);
                Err(ScheduleError::cron(start, message))
            }
        }
    }

    /// Parses the number from 1 to `max` that must follow `after`.
    fn small_number(&mut self, after: &str, max: u16) -> Result<u16, ScheduleError> {
        let start = self.at;
        let digits = self.digits().unwrap_or_default();
        digits.parse::<u16>().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| {
            let got = if digits.is_empty() { "nothing" } else { shortened(&digits) };
            let message = format!("a number from 1 to {max} must follow {after}, got {got}");
            ScheduleError::cron(start, message)
        })
    }

    fn misplaced(&self, message: &str) -> ScheduleError {
        ScheduleError::cron(self.at, message)
    }

    fn out_of_bounds(&self, start: usize, got: &str) -> ScheduleError {
        let (name, allowed) = (self.kind.name(), self.kind.allowed());
        let got = shortened(got);
        ScheduleError::cron(start, format!("{name} must be {allowed}, got {got}"))
    }

    /// The next character in upper case. `None` at the end of the field.
    fn peek(&self) -> Option<char> {
        let next = self.text.get(self.at).filter(|_| self.at < self.end);
        next.map(char::to_ascii_uppercase)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Consumes the digits at the current position, if any.
    fn digits(&mut self) -> Option<String> {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        (!digits.is_empty()).then_some(digits)
    }

    /// The letters at the current position in upper case, and the position after them. Consumes
    /// nothing.
    fn word(&self) -> (String, usize) {
        let mut end = self.at;
        while self.letter_at(end) {
            end += 1;
        }
        let letters = self.text.get(self.at..end).unwrap_or_default();
        (letters.iter().map(char::to_ascii_uppercase).collect(), end)
    }

    fn letter_at(&self, index: usize) -> bool {
        index < self.end && self.text.get(index).is_some_and(char::is_ascii_alphabetic)
    }
}

/// The beginning of an invalid token, for messages. Tokens are ASCII.
fn shortened(token: &str) -> &str {
    token.get(..20).unwrap_or(token)
}
