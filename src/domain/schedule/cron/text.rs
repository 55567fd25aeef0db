//! Parser for a complete cron text: zone prefix, nickname or fields.

use super::item::read_field;
use super::{Expression, FieldKind};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::plan::check_interval;
use crate::domain::schedule::{Rule, ScheduleError, zone};
use crate::domain::time::Millis;

/// Maximum length of a text. Listing all values of all fields except the year takes fewer
/// characters.
const MAX_CHARS: usize = 1_000;

/// Nicknames and their expansions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The order of the fields in an expression with 7 fields.
const KINDS: [FieldKind; 7] = [
    FieldKind::Second,
    FieldKind::Minute,
    FieldKind::Hour,
    FieldKind::Day,
    FieldKind::Month,
    FieldKind::Weekday,
    FieldKind::Year,
];

/// Parses the value of `cron`: 5 to 7 fields, a nickname or `@every`, with an optional `CRON_TZ=`
/// prefix. Returns the rule in canonical form and the zone of the prefix.
///
/// # Errors
/// `invalid_cron`, `invalid_interval` or `unknown_timezone`, with the column.
pub fn parse_cron(text: &str) -> Result<(Rule, Option<String>), ScheduleError> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_CHARS {
        let message = format!("a cron expression has at most {MAX_CHARS} characters");
        return Err(ScheduleError::cron(MAX_CHARS, message));
    }
    let words = words(&chars);
    let Some(first) = words.first() else {
        return Err(ScheduleError::cron(
            0,
            "must not be empty; a cron expression has 5 to 7 fields",
        ));
    };
    let (zone, words) = match prefix(first)? {
        Some(zone) => (Some(zone), words.get(1..).unwrap_or_default()),
        None => (None, words.as_slice()),
    };
    let Some(first) = words.first() else {
        return Err(ScheduleError::cron(chars.len(), "a cron expression must follow the zone"));
    };
    let rule = if first.text.starts_with('@') {
        nickname(first, words.get(1..).unwrap_or_default())?
    } else {
        Rule::Cron(read_fields(&chars, words)?.to_string())
    };
    Ok((rule, zone))
}

/// Parses the text of a [`Rule::Cron`].
pub(in crate::domain::schedule) fn read_canonical(text: &str) -> Result<Expression, ScheduleError> {
    let chars: Vec<char> = text.chars().collect();
    read_fields(&chars, &words(&chars))
}

/// A word: characters between spaces.
struct CronWord {
    text: String,
    from: usize,
    to: usize,
}

fn words(chars: &[char]) -> Vec<CronWord> {
    let mut out = Vec::new();
    let mut from = 0;
    for run in chars.split(char::is_ascii_whitespace) {
        let to = from + run.len();
        if !run.is_empty() {
            out.push(CronWord { text: run.iter().collect(), from, to });
        }
        from = to + 1;
    }
    out
}

/// The zone of a `CRON_TZ=Zone` or `TZ=Zone` prefix. `None` if the word is not a prefix.
fn prefix(word: &CronWord) -> Result<Option<String>, ScheduleError> {
    let Some((name, zone)) = word.text.split_once('=') else { return Ok(None) };
    if !name.eq_ignore_ascii_case("CRON_TZ") && !name.eq_ignore_ascii_case("TZ") {
        let message = format!("unknown prefix {name}=; only CRON_TZ= and TZ= are known");
        return Err(ScheduleError::cron(word.from, message));
    }
    let zone_at = word.from + name.chars().count() + 1;
    if zone.is_empty() {
        let message = format!("a timezone must follow {name}=");
        return Err(ScheduleError::cron(zone_at, message));
    }
    zone::canonical(zone).map(Some).map_err(|error| error.at(zone_at))
}

/// The rule of a word that begins with `@`.
fn nickname(word: &CronWord, rest: &[CronWord]) -> Result<Rule, ScheduleError> {
    let name = word.text.to_ascii_lowercase();
    if name == "@every" {
        return every(word, rest);
    }
    let Some((_, fields)) = NICKNAMES.iter().find(|(nickname, _)| *nickname == name) else {
        let known = NICKNAMES.map(|(nickname, _)| nickname).join(", ");
        let message = format!("{} is not one of {known}, @every", word.text);
        return Err(ScheduleError::cron(word.from, message));
    };
    match rest.first() {
        Some(extra) => {
            Err(ScheduleError::cron(extra.from, format!("nothing may follow {}", word.text)))
        }
        None => Ok(Rule::Cron((*fields).to_owned())),
    }
}

/// `@every 90s`.
fn every(word: &CronWord, rest: &[CronWord]) -> Result<Rule, ScheduleError> {
    let Some(duration) = rest.first() else {
        return Err(ScheduleError::cron(word.to, "a duration such as 90s must follow @every"));
    };
    if let Some(extra) = rest.get(1) {
        let message = "one duration without spaces, such as 1h30m, must follow @every";
        return Err(ScheduleError::cron(extra.from, message));
    }
    let every = Millis::parse(&duration.text)
        .map_err(|message| {
            ScheduleError::new("cron", ErrorCode::InvalidInterval, format!("@every {message}"))
        })
        .and_then(|every| check_interval(every).map(|()| every))
        .map_err(|error| error.at(duration.from))?;
    Ok(Rule::Interval { every, anchor: None })
}

fn read_fields(chars: &[char], words: &[CronWord]) -> Result<Expression, ScheduleError> {
    let kinds = match words.len() {
        5 => KINDS.get(1..6),
        6 => KINDS.get(..6),
        7 => Some(&KINDS[..]),
        _ => None,
    };
    let Some(kinds) = kinds else {
        let message = format!("a cron expression has 5, 6 or 7 fields, got {}", words.len());
        let index = match words.get(7) {
            Some(extra) => extra.from,
            None => words.last().map_or(0, |last| last.to),
        };
        return Err(ScheduleError::cron(index, message));
    };
    let read = |(kind, word): (&FieldKind, &CronWord)| read_field(chars, *kind, word.from, word.to);
    let fields = kinds.iter().zip(words).map(read).collect::<Result<_, _>>()?;
    Ok(Expression { fields })
}
