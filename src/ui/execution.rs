//! `/executions/{id}`: one execution: its phases, its attempts, what it printed.

use axum::extract::RawPathParams;
use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::shell::{Page, Section};
use super::text;
use super::visit::Visit;
use super::{marks, parts, printed};
use crate::domain::time::Timestamp;
use crate::dto::{AttemptView, ExecutionView};
use crate::ops::{OpError, executions, views};

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
    let printed = printed::read(visit, &view, id).await?;
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
        (printed::card(visit, &execution, &printed))
        (relatives(visit, &execution))
    };
    Ok(Page { section: Section::Executions, title, body })
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
                        td { @let number = one.attempt.to_string();
                            @let shown = visit.get("attempt") == Some(&*number);
                            a href={ (visit.with(&[("attempt", &number), ("find", "")])) "#printed" } aria-current=[shown.then_some("true")]
                                aria-label=(visit.lang.fill(text::OUTPUT_OF_ATTEMPT, &[&number])) { (number) } }
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
