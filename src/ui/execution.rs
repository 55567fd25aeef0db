//! `/executions/{id}`: one execution: its phases, its attempts, what it printed.

use axum::extract::RawPathParams;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::shell::{Page, Section};
use super::text;
use super::visit::Visit;
use super::{ansi, marks, parts};
use crate::domain::time::Timestamp;
use crate::dto::{AttemptView, ExecutionView};
use crate::ops::output::{self, OutputNow};
use crate::ops::{OpError, executions, views};

/// The end of the output that a page shows, in bytes.
const SHOWN: usize = 64 << 10;

/// What there is of the output.
enum Printed {
    /// Its end; whether there is more before it.
    Bytes(Vec<u8>, bool),
    /// Why it is not there.
    Gone(OpError),
}

/// `GET /executions/{id}`.
pub(super) async fn show(params: RawPathParams, visit: Visit) -> Response {
    let id = params.iter().next().map_or("", |(_, id)| id).to_owned();
    let page = made(&visit, &id).await;
    visit.answer(page)
}

async fn made(visit: &Visit, id: &str) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let (task, found) = executions::find(&view, id)?;
    let (created, execution) = (found.created_at, views::execution(&view.state, task, found));
    let printed = match output::read(&visit.context, &view, id, None, 0).await {
        Ok(OutputNow::Kept { bytes, from, .. }) => cut(bytes, from > 0),
        Ok(OutputNow::Tail(bytes)) => cut(bytes, false),
        Err(problem) => Printed::Gone(problem),
    };
    let title = format!("{} {id}", visit.say(text::EXECUTION));
    let body = html! {
        header.title {
            h1 { (visit.say(text::EXECUTION)) " " (id) " " (parts::badge(visit, &execution.status))
                @if execution.stopping && execution.status == "running" {
                    " " span.badge.wait { (visit.say(text::ASKED_TO_STOP)) }
                } }
            (actions(visit, &execution))
        }
        p.lead { (parts::task(&execution.task)) }
        section.card { h2 { (visit.say(text::PHASES)) } (phases(visit, &clock, &execution, created)) }
        section.card { (facts(visit, &clock, &execution)) }
        (attempts(visit, &clock, &execution.attempts))
        (printed_card(visit, &execution, &printed))
        (relatives(visit, &execution))
    };
    Ok(Page { section: Section::Executions, title, body })
}

fn cut(bytes: Vec<u8>, more: bool) -> Printed {
    let skip = bytes.len().saturating_sub(SHOWN);
    Printed::Bytes(bytes.into_iter().skip(skip).collect(), more || skip > 0)
}

fn actions(visit: &Visit, execution: &ExecutionView) -> Markup {
    let path = |action: &str| format!("{}/{action}", parts::execution_path(&execution.id));
    let ended = !matches!(&*execution.status, "pending" | "running");
    let failed = matches!(&*execution.status, "failed" | "timeout" | "lost");
    let key = parts::once();
    html! {
        div.row.actions {
            @if ended {
                (parts::action(visit, &path("retry"), text::RETRY, &[("key", &key)], "primary"))
                @if failed && !execution.dismissed {
                    (parts::action(visit, &path("dismiss"), text::DISMISS, &[], ""))
                }
            } @else if !execution.stopping {
                (parts::action(visit, &path("stop"), text::STOP, &[], "danger"))
            }
        }
    }
}

fn phases(
    visit: &Visit,
    clock: &ZoneClock,
    execution: &ExecutionView,
    created: Timestamp,
) -> Markup {
    let say = |text| visit.say(text).to_owned();
    let mut all =
        vec![(say(text::CREATED), created, "ok"), (say(text::DUE), execution.due.0, "ok")];
    all.extend(execution.start_time.map(|at| (say(text::STARTED), at.0, "ok")));
    all.extend(
        execution.end_time.map(|at| (say(text::ENDED), at.0, parts::class(&execution.status))),
    );
    // An owner claims a tick shortly before it is due.
    all.sort_by_key(|(_, at, _)| *at);
    marks::phases(&all, clock)
}

fn facts(visit: &Visit, clock: &ZoneClock, execution: &ExecutionView) -> Markup {
    let number = |value: Option<String>| value.map(|value| html! { (value) });
    let parameters = execution.parameters.as_object().filter(|all| !all.is_empty());
    let queue = execution.queue.as_ref().map(|queue| parts::queue(visit, queue));
    html! {
        dl.facts {
            (parts::fact(visit, text::TRIGGER, Some(html! { (visit.lang.word(&execution.trigger)) })))
            (parts::fact(visit, text::TICK, execution.tick.map(|tick| clock.time(tick.0))))
            (parts::fact(visit, text::LATENESS, number(parts::lateness(execution.lateness_ms))))
            (parts::fact(visit, text::DURATION, number(parts::duration(execution, clock))))
            (parts::fact(visit, text::EXIT_CODE, number(execution.exit_code.map(|code| code.to_string()))))
            (parts::fact(visit, text::HTTP_STATUS, number(execution.http_status.map(|code| code.to_string()))))
            (parts::fact(visit, text::REASON, number(execution.reason.clone())))
            (parts::fact(visit, text::QUEUE, number(queue)))
            (parts::fact(visit, text::REVISION, Some(html! { (execution.revision) })))
            (parts::fact(visit, text::PARAMETERS, parameters.map(|all| html! {
                code.wrap { (serde_json::to_string(all).unwrap_or_default()) } })))
        }
    }
}

fn attempts(visit: &Visit, clock: &ZoneClock, attempts: &[AttemptView]) -> Markup {
    html! {
        @if !attempts.is_empty() {
            section.card {
                h2 { (visit.say(text::ATTEMPTS)) }
                div.scroll tabindex="0" role="region" aria-label=(visit.say(text::ATTEMPTS)) { table {
                    thead { tr {
                        th scope="col" { (visit.say(text::ATTEMPT)) }
                        th scope="col" { (visit.say(text::OUTCOME)) }
                        th scope="col" { (visit.say(text::NODE)) }
                        th.num scope="col" { (visit.say(text::FENCE)) }
                        th scope="col" { (visit.say(text::STARTED)) }
                        th scope="col" { (visit.say(text::ENDED)) }
                        th scope="col" { (visit.say(text::REASON)) }
                    } }
                    tbody { @for one in attempts { tr {
                        td { (one.attempt) }
                        td { (parts::badge(visit, one.outcome.as_deref().unwrap_or("running"))) }
                        td { (one.node) @if let Some(executor) = &one.executor_id { " · " (executor) } }
                        td.num { (one.fence) }
                        td { @if let Some(at) = one.started_at { (clock.time(at.0)) } @else { "–" } }
                        td { @if let Some(at) = one.ended_at { (clock.time(at.0)) } @else { "–" } }
                        td { (one.detail.as_deref().unwrap_or_default())
                            @if one.unknown { " " (visit.say(text::UNKNOWN_OUTCOME)) } }
                    } } }
                } }
            }
        }
    }
}

fn printed_card(visit: &Visit, execution: &ExecutionView, printed: &Printed) -> Markup {
    let live = matches!(&*execution.status, "pending" | "running");
    html! {
        section.card {
            header.title {
                h2 { (visit.say(text::OUTPUT)) }
                div.row {
                    label.tool hidden { input type="checkbox" #follow checked[live] autocomplete="off"; (visit.say(text::FOLLOW)) }
                    label.tool hidden { input type="checkbox" #wrap checked autocomplete="off"; (visit.say(text::WRAP)) }
                    a.button href={ (parts::execution_path(&execution.id)) "/output" } download { (visit.say(text::DOWNLOAD)) }
                }
            }
            @match printed {
                Printed::Gone(problem) => { p.muted lang="en" { (problem.detail()) } }
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

fn relatives(visit: &Visit, execution: &ExecutionView) -> Markup {
    let some =
        execution.parent.is_some() || execution.retry_of.is_some() || !execution.chained.is_empty();
    html! {
        @if some {
            section.card {
                h2 { (visit.say(text::CHAIN)) }
                ul.plain {
                    @if let Some(of) = &execution.retry_of { li { (visit.say(text::RETRY_OF)) " " (parts::execution(of)) } }
                    @if let Some(parent) = &execution.parent {
                        li { (visit.say(text::PARENT)) " " (parts::task(&parent.task)) " "
                            (parts::execution(&parent.execution_id)) " " (parts::badge(visit, &parent.status)) }
                    }
                    @for child in &execution.chained {
                        li { (visit.say(text::CHILDREN)) " " (parts::task(&child.task)) " "
                            @if let Some(id) = &child.execution_id { (parts::execution(id)) }
                            @if let Some(refused) = &child.refused { (parts::badge(visit, refused)) }
                            " " span.muted { (visit.lang.fill(text::ON, &[&visit.lang.word(&child.on)])) } }
                    }
                }
            }
        }
    }
}

/// `GET /executions/{id}/output`: all that is kept of the output, as a file.
pub(super) async fn output(params: RawPathParams, visit: Visit) -> Response {
    let id = params.iter().next().map_or("", |(_, id)| id).to_owned();
    let read = async {
        let view = visit.view().await?;
        output::read(&visit.context, &view, &id, None, 0).await
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
