//! What an execution printed: its end, what is found in it, the output of former attempts, and all of it
//! as a file.

use axum::extract::RawPathParams;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::text;
use super::visit::Visit;
use super::{ansi, parts};
use crate::dto::ExecutionView;
use crate::ops::OpError;
use crate::ops::context::StateView;
use crate::ops::output::{self, OutputNow};

/// The end of the output that a page shows, in bytes.
const SHOWN: usize = 64 << 10;
/// Lines that are shown of those that contain a text, and the length of each in characters.
const LINES: usize = 200;
const LINE: usize = 400;
/// Characters that are shown before what was found.
const BEFORE: usize = 100;

/// What there is of the output.
pub(super) enum Printed {
    /// Its end; whether there is more before it.
    Bytes(Vec<u8>, bool),
    /// What was found in it.
    Found(FoundLines),
    /// Why it is not there.
    Gone(OpError),
}

/// Lines that contain a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundLines {
    /// The first of them.
    lines: Vec<FoundLine>,
    /// How many there are.
    count: usize,
    /// Whether there is more than was searched.
    more: bool,
}

/// A line, or a part of it: what stands before, what was found, and what follows.
#[derive(Debug, PartialEq, Eq)]
struct FoundLine {
    /// From 1.
    number: usize,
    parts: [String; 3],
}

/// The attempt that the query asks for; none: the newest.
fn attempt(visit: &Visit) -> Result<Option<u32>, OpError> {
    let number = visit.get("attempt").map(str::parse::<u32>).transpose();
    number.map_err(|_error| OpError::parameter("attempt", "must be the number of an attempt"))
}

/// What the page shows of the output.
///
/// # Errors
/// `invalid_parameter`.
pub(super) async fn read(visit: &Visit, view: &StateView, id: &str) -> Result<Printed, OpError> {
    let attempt = attempt(visit)?;
    let context = &visit.context;
    let Some(text) = visit.get("find").map(str::to_owned) else {
        return Ok(match output::end(context, view, id, attempt, SHOWN as u64).await {
            Ok(OutputNow::Kept { bytes, from, .. }) => end(&bytes, from > 0),
            Ok(OutputNow::Tail(bytes)) => end(&bytes, false),
            Err(problem) => Printed::Gone(problem),
        });
    };
    match output::searchable(context, view, id, attempt).await {
        Ok((bytes, more)) => {
            let search = move || find(&ansi::plain(&bytes), &text, more);
            Ok(Printed::Found(context.scans.run(search).await?))
        }
        Err(problem) => Ok(Printed::Gone(problem)),
    }
}

/// The end of an output, from the beginning of a line on.
fn end(bytes: &[u8], more: bool) -> Printed {
    let skip = bytes.len().saturating_sub(SHOWN);
    let cut = more || skip > 0;
    let rest = bytes.get(skip..).unwrap_or_default();
    let line = rest.iter().position(|byte| *byte == b'\n').filter(|_| cut);
    let begin = line.map_or(0, |at| at + 1);
    Printed::Bytes(rest.get(begin..).unwrap_or_default().to_vec(), cut)
}

/// The lines that contain a text, whichever case its ASCII letters have.
fn find(text: &str, wanted: &str, more: bool) -> FoundLines {
    let wanted = wanted.to_ascii_lowercase();
    let mut found = FoundLines { lines: Vec::new(), count: 0, more };
    for (at, line) in text.lines().enumerate() {
        let Some(begin) = line.to_ascii_lowercase().find(&wanted) else { continue };
        found.count += 1;
        if found.count <= LINES {
            found.lines.push(FoundLine { number: at + 1, parts: cut(line, begin, wanted.len()) });
        }
    }
    found
}

/// What a long line has around a place. The lengths are those of ASCII-lower-case text, which are the
/// same.
fn cut(line: &str, begin: usize, length: usize) -> [String; 3] {
    let (before, rest) = line.split_at_checked(begin).unwrap_or((line, ""));
    let (found, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
    let skip = before.chars().count().saturating_sub(BEFORE);
    let before: String = before.chars().skip(skip).collect();
    let mut after = after.chars();
    let mut kept: String = after.by_ref().take(LINE).collect();
    if after.next().is_some() {
        kept.push('…');
    }
    let before = if skip > 0 { format!("…{before}") } else { before };
    [before, found.to_owned(), kept]
}

/// The output in its box.
pub(super) fn card(visit: &Visit, execution: &ExecutionView, printed: &Printed) -> Markup {
    let live = matches!(&*execution.status, "pending" | "running");
    let chosen = visit.get("attempt");
    let follow = live && chosen.is_none();
    let file = match chosen {
        Some(attempt) => format!("/output?attempt={}", parts::segment(attempt)),
        None => "/output".to_owned(),
    };
    html! {
        section.card #printed {
            header.title {
                h2 { @match chosen {
                    Some(attempt) => { (visit.lang.fill(text::OUTPUT_OF_ATTEMPT, &[attempt])) }
                    None => { (visit.say(text::OUTPUT)) }
                } }
                div.row {
                    @if let Printed::Bytes(..) = printed {
                        label.tool hidden { input type="checkbox" #follow checked[follow] autocomplete="off"; (visit.say(text::FOLLOW)) }
                    }
                    label.tool hidden { input type="checkbox" #wrap checked autocomplete="off"; (visit.say(text::WRAP)) }
                    a.button href={ (parts::execution_path(&execution.id)) (file) } download { (visit.say(text::DOWNLOAD)) }
                }
            }
            (search(visit, execution))
            @match printed {
                Printed::Gone(problem) => { p.muted lang="en" { (problem.detail()) } }
                Printed::Found(found) => { (lines(visit, found)) }
                Printed::Bytes(bytes, _) if bytes.is_empty() => {
                    (parts::empty(visit.say(if live { text::WAITING_FOR_OUTPUT } else { text::NO_OUTPUT })))
                }
                Printed::Bytes(bytes, more) => {
                    @if *more { p.muted { (visit.say(text::OUTPUT_CUT)) } }
                    pre.output #output tabindex="0" { (ansi::shown(bytes)) }
                }
            }
        }
    }
}

fn search(visit: &Visit, execution: &ExecutionView) -> Markup {
    html! {
        form.filter method="get" action=(parts::execution_path(&execution.id)) role="search" {
            @if let Some(attempt) = visit.get("attempt") { input type="hidden" name="attempt" value=(attempt); }
            label { (visit.say(text::FIND_IN_OUTPUT))
                input type="search" name="find" value=[visit.get("find")]; }
            button { (visit.say(text::FIND)) }
            @if visit.get("find").is_some() {
                a.button href=(visit.with(&[("find", "")])) { (visit.say(text::SHOW_END)) }
            }
        }
    }
}

fn lines(visit: &Visit, found: &FoundLines) -> Markup {
    let shown = found.lines.len();
    html! {
        p.muted {
            (visit.lang.fill(text::LINES_FOUND, &[&found.count.to_string()]))
            @if shown < found.count { " " (visit.lang.fill(text::FIRST_SHOWN, &[&shown.to_string()])) }
            @if found.more { " " (visit.say(text::NOT_ALL_SEARCHED)) }
        }
        @if shown > 0 {
            pre.output.found #found tabindex="0" {
                @for line in &found.lines {
                    @let [before, hit, after] = &line.parts;
                    span.no { (format!("{:>6}  ", line.number)) } (before) mark { (hit) } (after) "\n"
                }
            }
        }
    }
}

/// `GET /executions/{id}/output`: all that is kept of the output, as a file.
pub(super) async fn file(params: RawPathParams, visit: Visit) -> Response {
    let id = params.iter().next().map_or("", |(_, id)| id).to_owned();
    let read = async {
        let attempt = attempt(&visit)?;
        let view = visit.view().await?;
        output::read(&visit.context, &view, &id, attempt, 0).await
    };
    let bytes = match read.await {
        Ok(OutputNow::Kept { bytes, .. } | OutputNow::Tail(bytes)) => bytes,
        Err(problem) => return visit.refuse(&problem),
    };
    let id: String = id.chars().filter(char::is_ascii_digit).collect();
    let name = format!("attachment; filename=\"execution-{id}.txt\"");
    let kind = (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
    ([kind, (CONTENT_DISPOSITION, name)], bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_begins_with_a_line() {
        let shown = |bytes: &[u8], more| match end(bytes, more) {
            Printed::Bytes(bytes, more) => (bytes, more),
            Printed::Found(_) | Printed::Gone(_) => unreachable!(),
        };
        assert_eq!(shown(b"a\nb\n", false), (b"a\nb\n".to_vec(), false));
        assert_eq!(shown(b"rest of a line\nb\n", true), (b"b\n".to_vec(), true));
        assert_eq!(shown(b"no line", true), (b"no line".to_vec(), true));
        let long = "0123456789abcde\n".repeat(SHOWN / 16 + 1);
        let (bytes, more) = shown(long.as_bytes(), false);
        assert!(more && bytes.len() == SHOWN - 16 && bytes.starts_with(b"0123"));
    }

    #[test]
    fn lines_are_found_with_their_numbers() {
        let found = find("one\nAN Error here\nfine\nerror", "eRRor", false);
        let numbers: Vec<usize> = found.lines.iter().map(|line| line.number).collect();
        assert_eq!((numbers, found.count, found.more), (vec![2, 4], 2, false));
        assert_eq!(found.lines[0].parts, ["AN ", "Error", " here"].map(str::to_owned));
        assert_eq!(find("报表 İx", "x", true).lines[0].parts[0], "报表 İ");
        assert_eq!(find("one", "two", false).count, 0);
        let many = find(&"a\n".repeat(LINES + 5), "A", false);
        assert_eq!((many.lines.len(), many.count), (LINES, LINES + 5));
        let [before, hit, after] = cut(&format!("{0}x{0}", "é".repeat(1_000)), 2_000, 1);
        assert_eq!((before.chars().count(), &*hit, after.chars().count()), (101, "x", LINE + 1));
    }
}
