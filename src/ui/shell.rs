//! The frame that all pages have: head, menu, notices, foot; and the headers of the answer.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, SET_COOKIE,
};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::text::{self, Language, Text};
use super::visit::{Theme, Visit};
use super::{assets, parts, wire};
use crate::domain::machine::record::Liveness;
use crate::ops::OpError;

/// What a page may load and do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The entries of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Tasks,
    Executions,
    Failed,
    Nodes,
    Executors,
    Week,
    Calendars,
    None,
}

const MENU: [(Section, &str, Text); 8] = [
    (Section::Overview, "/", text::OVERVIEW),
    (Section::Tasks, "/tasks", text::TASKS),
    (Section::Executions, "/executions", text::EXECUTIONS),
    (Section::Failed, "/failed", text::FAILED),
    (Section::Nodes, "/nodes", text::NODES),
    (Section::Executors, "/executors", text::EXECUTORS),
    (Section::Week, "/week", text::WEEK),
    (Section::Calendars, "/calendars", text::CALENDARS),
];

/// A page without its frame.
pub(super) struct Page {
    pub section: Section,
    pub title: String,
    pub body: Markup,
}

impl Visit {
    /// The answer with a page, or with why there is none.
    pub(super) fn answer(&self, page: Result<Page, OpError>) -> Response {
        match page {
            Ok(page) => self.framed(&page),
            Err(problem) => self.refuse(&problem),
        }
    }

    /// The answer that says why something was not done or is not there.
    pub(super) fn refuse(&self, problem: &OpError) -> Response {
        let body = html! {
            section.card.error role="alert" {
                h1 { (self.say(text::ERROR)) }
                p { (problem.detail()) }
                @for field in problem.fields() {
                    p { code { (field.pointer) } " " (field.message) }
                }
                p { (problem.advice()) }
                p.muted { (self.say(text::ERROR_CODE)) ": " code { (problem.code().as_str()) } }
            }
        };
        let title = self.say(text::ERROR).to_owned();
        let status = problem.code().status();
        let page = self.framed(&Page { section: Section::None, title, body });
        (status_of(status), page).into_response()
    }

    fn framed(&self, page: &Page) -> Response {
        let html = self.draw(page).into_string();
        let mut response = wire::answer("text/html; charset=utf-8", &html, self.gzip);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let referrer = HeaderName::from_static("referrer-policy");
        headers.insert(referrer, HeaderValue::from_static("same-origin"));
        for cookie in self.cookies() {
            headers.append(SET_COOKIE, cookie);
        }
        response
    }

    fn draw(&self, page: &Page) -> Markup {
        let [css, js, icon] = assets::paths();
        let here = self.context.here().ok();
        let zone = self.zone.as_deref().or_else(|| here.as_ref().map(|view| view.zone()));
        html! {
            (DOCTYPE)
            html lang=(self.lang.code()) data-theme=(self.theme.word()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (page.title) " · punctual" }
                    link rel="icon" href=(icon);
                    link rel="stylesheet" href=(css);
                    script src=(js) defer {}
                }
                body data-live=(self.with(&[])) data-lost=(self.say(text::STREAM_LOST))
                    data-zone=[self.zone.as_deref()]
                    data-still[page.section == Section::None] {
                    a.skip href="#main" { (self.say(text::SKIP_TO_CONTENT)) }
                    header.top {
                        a.brand href="/" { img src=(icon) alt="" width="22" height="22"; "punctual" }
                        nav aria-label=(self.say(text::MAIN_MENU)) {
                            @for (section, path, name) in MENU {
                                a href=(path) aria-current=[(section == page.section).then_some("page")] {
                                    (self.say(name))
                                }
                            }
                        }
                        (self.health())
                    }
                    main #main tabindex="-1" {
                        p.lost #lost role="status" hidden {}
                        @if let Some(said) = &self.said { p.said #said role="status" { (said) } }
                        @if self.unled() { p.notice #unled role="alert" { (self.say(text::NO_LEADER)) } }
                        (page.body)
                    }
                    footer.foot {
                        p {
                            (self.lang.fill(text::TIMES_IN, &[zone.unwrap_or("UTC")])) " · "
                            (self.lang.fill(text::SHOWN_BY, &[
                                &self.context.settings.node_name, self.context.settings.version,
                            ]))
                        }
                        (self.preferences())
                    }
                }
            }
        }
    }

    /// Whether this node knows no leader.
    fn unled(&self) -> bool {
        let running = self.context.running().ok();
        running.is_none_or(|running| running.consensus.no_leader_reason().is_some())
    }

    /// How many nodes work, as one mark.
    fn health(&self) -> Markup {
        let Ok(view) = self.context.here() else { return html! {} };
        let all = view.state.nodes().count();
        let working = view.state.nodes().filter(|node| node.liveness == Liveness::Working).count();
        let status = if working == all { "success" } else { "failed" };
        html! {
            a.health href="/nodes" { (parts::dot(status)) (working) "/" (all) span.wide { " " (self.say(text::NODES)) } }
        }
    }

    /// Language and colours. A form, so that it works without the script.
    fn preferences(&self) -> Markup {
        let theme = |theme: Theme| match theme {
            Theme::System => text::THEME_SYSTEM,
            Theme::Light => text::THEME_LIGHT,
            Theme::Dark => text::THEME_DARK,
        };
        html! {
            form.row #preferences method="post" action="/settings" {
                (self.form_fields())
                input type="hidden" name="zone" value=(self.zone.as_deref().unwrap_or_default());
                label { (self.say(text::LANGUAGE)) " "
                    select name="language" autocomplete="off" {
                        @for (lang, code, name) in Language::ALL {
                            option value=(code) lang=(code) selected[lang == self.lang] { (name) }
                        }
                    }
                }
                label { (self.say(text::THEME)) " "
                    select name="theme" autocomplete="off" {
                        @for (one, word) in Theme::ALL {
                            option value=(word) selected[one == self.theme] { (self.say(theme(one))) }
                        }
                    }
                }
                button { (self.say(text::APPLY)) }
            }
        }
    }

    /// The hidden fields of every form.
    pub(super) fn form_fields(&self) -> Markup {
        html! {
            input type="hidden" name="token" value=(self.masked_token());
            input type="hidden" name="back" value=(self.with(&[]));
        }
    }
}

fn status_of(status: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(status)
        .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR)
}
