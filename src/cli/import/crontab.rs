//! Reading a crontab as cron itself does, line by line.
//!
//! A line is blank, a comment, an assignment that holds for the lines after it, or a job: time
//! fields or a nickname, in a system crontab the user, and the command up to the line's end. In a
//! command the first `%` that no backslash precedes begins the standard input, where each further
//! one is a line end; `\%` is a `%`. All other backslashes stay.
//!
//! What is wrong with one line does not keep the others from being read.

use std::collections::BTreeMap;

use crate::domain::schedule::{Rule, parse_cron, zone};

/// What a job runs under if nothing else is said.
pub const SHELL: &str = "/bin/sh";
/// Where cron looks for programs if nothing else is said.
pub const PATH: &str = "/usr/bin:/bin";
/// Names whom cron mails what jobs write.
const MAILTO: &str = "MAILTO";
/// Words of the heading that many crontabs have above their fields.
const HEADING: [&str; 3] = ["dom", "dow", "command"];

/// What was read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crontab {
    /// Its jobs, in order.
    pub jobs: Vec<CrontabJob>,
    /// What could not be read.
    pub problems: Vec<LineProblem>,
    /// What was read and has no counterpart here.
    pub not_carried: Vec<LineNotice>,
    /// Assignments that have the output of the jobs below them mailed.
    pub mail: Vec<LineNotice>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrontabJob {
    /// Where it stands, from 1.
    pub line: usize,
    /// When it runs.
    pub rule: Rule,
    /// The zone that `CRON_TZ` gave it.
    pub zone: Option<String>,
    /// The user of a system crontab.
    pub user: Option<String>,
    /// For the shell.
    pub command: String,
    /// What the command reads.
    pub stdin: String,
    /// What the file assigned before the line.
    pub env: BTreeMap<String, String>,
    /// The comment directly above it.
    pub comment: Option<String>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// A sentence for people.
    pub message: String,
}

/// Something to know about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineNotice {
    /// From 1.
    pub line: usize,
    /// A sentence for people.
    pub message: String,
}

/// What stands on a line that is no comment.
enum CrontabLine {
    Assignment(String, String),
    Job(CrontabEntry),
    Reboot,
}

/// A job as its line alone tells it.
struct CrontabEntry {
    rule: Rule,
    user: Option<String>,
    command: String,
    stdin: String,
}

/// What is wrong with a line, and at which byte.
struct LineError {
    at: usize,
    message: String,
}

/// Reads a crontab; in a `system` one each job names its user.
#[must_use]
pub fn parse(bytes: &[u8], system: bool) -> Crontab {
    let mut reader = CrontabReader { system, ..CrontabReader::default() };
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        reader.number = index + 1;
        match std::str::from_utf8(line) {
            Ok(line) => reader.line(line),
            Err(error) => {
                let before = line.get(..error.valid_up_to()).unwrap_or_default();
                let at = String::from_utf8_lossy(before).chars().count();
                reader.comment = None;
                reader.refuse(at + 1, "the line is not UTF-8");
            }
        }
    }
    reader.out
}

#[derive(Default)]
struct CrontabReader {
    system: bool,
    number: usize,
    env: BTreeMap<String, String>,
    /// The zone of `CRON_TZ`; an error: the line that names an unknown one.
    zone: Option<Result<String, usize>>,
    comment: Option<String>,
    out: Crontab,
}

impl CrontabJob {
    /// Whether cron mails what it writes to somebody whom the file names.
    #[must_use]
    pub fn mailed(&self) -> bool {
        self.env.get(MAILTO).is_some_and(|address| !address.is_empty())
    }
}

impl CrontabReader {
    fn refuse(&mut self, column: usize, message: impl Into<String>) {
        let problem = LineProblem { line: self.number, column, message: message.into() };
        self.out.problems.push(problem);
    }

    fn remark(&mut self, message: String) {
        self.out.not_carried.push(LineNotice { line: self.number, message });
    }

    fn line(&mut self, line: &str) {
        let text = line.trim_start_matches([' ', '\t']);
        if text.trim_end().is_empty() {
            self.comment = None;
            return;
        }
        if let Some(comment) = text.strip_prefix('#') {
            self.comment = describe(comment);
            return;
        }
        let comment = self.comment.take();
        match read(line, line.len() - text.len(), self.system) {
            Ok(CrontabLine::Assignment(name, value)) => self.assign(name, value, line),
            Ok(CrontabLine::Job(entry)) => self.job(entry, comment),
            Ok(CrontabLine::Reboot) => {
                self.remark("@reboot: a cluster does not start up with a machine".to_owned());
            }
            Err(wrong) => self.refuse(column(line, wrong.at), wrong.message),
        }
    }

    fn assign(&mut self, name: String, value: String, line: &str) {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` is no name of a variable");
            return self.refuse(column(line, line.len() - line.trim_start().len()), message);
        }
        match name.as_str() {
            "CRON_TZ" if value.is_empty() => self.zone = None,
            "CRON_TZ" => match zone::canonical(&value) {
                Ok(zone) => self.zone = Some(Ok(zone)),
                Err(error) => {
                    self.zone = Some(Err(self.number));
                    let at = line.find('=').map_or(0, |at| at + 1);
                    self.refuse(column(line, at), error.message);
                }
            },
            MAILTO if !value.is_empty() => {
                let message = format!("{MAILTO}={value}");
                self.out.mail.push(LineNotice { line: self.number, message });
            }
            "RANDOM_DELAY" => {
                self.remark(format!("RANDOM_DELAY={value}: a task has schedule.jitter for it"));
            }
            // As cron does: who runs a job is not for the file to say.
            "LOGNAME" | "USER" => return,
            _ => {}
        }
        self.env.insert(name, value);
    }

    fn job(&mut self, entry: CrontabEntry, comment: Option<String>) {
        let zone = match &self.zone {
            Some(Err(line)) => {
                let message = format!("its zone is not known; see CRON_TZ in line {line}");
                return self.refuse(1, message);
            }
            Some(Ok(zone)) => Some(zone.clone()),
            None => None,
        };
        self.out.jobs.push(CrontabJob {
            line: self.number,
            rule: entry.rule,
            zone,
            user: entry.user,
            command: entry.command,
            stdin: entry.stdin,
            env: self.env.clone(),
            comment,
        });
    }
}

/// The column of a byte, in characters, from 1.
fn column(line: &str, at: usize) -> usize {
    line.get(..at).unwrap_or(line).chars().count() + 1
}

/// What a comment tells people of the job below it; nothing if it is a heading, a ruler or a job
/// that was switched off.
fn describe(comment: &str) -> Option<String> {
    let text = comment.trim_matches(|c: char| c == '#' || c.is_whitespace());
    let words: Vec<&str> = text.split_whitespace().collect();
    let heading = HEADING.iter().filter(|word| words.contains(word)).count() > 1;
    let ruler = !text.chars().any(char::is_alphabetic);
    let fields = words.get(..5).map(|fields| fields.join(" "));
    let job = fields.is_some_and(|fields| parse_cron(&fields).is_ok());
    (!heading && !ruler && !job).then(|| text.to_owned())
}

/// Reads a line whose first character is at byte `start`.
fn read(line: &str, start: usize, system: bool) -> Result<CrontabLine, LineError> {
    let text = line.get(start..).unwrap_or_default();
    // A job begins with a digit, a star, `@` or, where it is not to be logged, a minus sign.
    let job = text.starts_with(|c: char| c.is_ascii_digit() || "*@-~?".contains(c));
    if !job {
        let (name, value) = assignment(text).ok_or_else(|| LineError {
            at: start,
            message: "is neither a job nor an assignment such as NAME=value or NAME=\"value\""
                .to_owned(),
        })?;
        return Ok(CrontabLine::Assignment(name, value));
    }
    let start = if text.starts_with('-') { start + 1 } else { start };
    let (from, to) = times(line, start).ok_or_else(|| too_short(line, system))?;
    let schedule = line.get(from..to).unwrap_or_default();
    if schedule.eq_ignore_ascii_case("@reboot") {
        return Ok(CrontabLine::Reboot);
    }
    let (rule, _no_prefix) = parse_cron(schedule).map_err(|error| {
        let chars = error.column.map_or(0, |column| column.saturating_sub(1));
        let bytes = schedule.char_indices().nth(chars).map_or(schedule.len(), |(at, _)| at);
        LineError { at: from + bytes, message: error.message }
    })?;
    let mut rest = to;
    let user = if system {
        let (from, to) = word(line, rest).ok_or_else(|| too_short(line, system))?;
        rest = to;
        line.get(from..to).map(str::to_owned)
    } else {
        None
    };
    let (from, _) = word(line, rest).ok_or_else(|| too_short(line, system))?;
    let (command, stdin) = split_percent(line.get(from..).unwrap_or_default());
    if command.trim().is_empty() {
        return Err(LineError { at: from, message: "the command is empty".to_owned() });
    }
    Ok(CrontabLine::Job(CrontabEntry { rule, user, command, stdin }))
}

fn too_short(line: &str, system: bool) -> LineError {
    let user = if system { "a user and " } else { "" };
    let message = format!("five time fields or a nickname, {user}a command are needed");
    LineError { at: line.trim_end().len(), message }
}

/// From where to where the times reach: five words, a nickname, or `@every` and its length.
fn times(line: &str, start: usize) -> Option<(usize, usize)> {
    let (from, mut end) = word(line, start)?;
    let first = line.get(from..end)?;
    let more = match first.starts_with('@') {
        true if first.eq_ignore_ascii_case("@every") => 1,
        true => 0,
        false => 4,
    };
    for _ in 0..more {
        end = word(line, end)?.1;
    }
    Some((from, end))
}

/// The next word from a byte on: from where to where.
fn word(line: &str, from: usize) -> Option<(usize, usize)> {
    let rest = line.get(from..)?;
    let begin = from + rest.find(|c| c != ' ' && c != '\t')?;
    let length = line.get(begin..)?.find([' ', '\t']);
    Some((begin, length.map_or(line.len(), |length| begin + length)))
}

/// Reads `NAME = value`; either side may stand in quotes of one kind.
fn assignment(text: &str) -> Option<(String, String)> {
    let (name, rest) = match quoted(text) {
        Some(split) => split,
        None => {
            let end = text.find([' ', '\t', '='])?;
            text.split_at_checked(end)?
        }
    };
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let value = match quoted(value) {
        Some((inner, after)) => after.trim().is_empty().then_some(inner)?,
        None if value.starts_with(['"', '\'']) => return None,
        None => value.trim_end(),
    };
    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// What stands in the quotes with which a text begins, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text.get(1..)?.split_once(quote)
}

/// Splits what follows the times into the command and its standard input.
fn split_percent(text: &str) -> (String, String) {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            '%' if escaped => {
                part.pop();
                part.push('%');
            }
            '%' => parts.push(String::new()),
            other => part.push(other),
        }
        escaped = c == '\\' && !escaped;
    }
    let input = parts.split_off(1).join("\n");
    let end = if input.is_empty() || input.ends_with('\n') { "" } else { "\n" };
    (parts.concat(), format!("{input}{end}"))
}
