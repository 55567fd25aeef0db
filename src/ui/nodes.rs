//! `/nodes`: the processes of the cluster.

use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::overview::skew_words;
use super::parts;
use super::shell::{Page, Section};
use super::text;
use super::visit::Visit;
use crate::dto::NodeView;
use crate::ops::lists::PageRequest;
use crate::ops::{OpError, nodes};

/// Nodes that are listed.
const LISTED: usize = 100;

/// `GET /nodes`.
pub(super) async fn list(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let all = PageRequest::Cursor { limit: LISTED, after: None };
    let nodes = nodes::list(&visit.context, &view, &all).await?.items;
    let own = &visit.context.settings.node_name;
    let here = nodes.iter().find(|node| node.name == *own);
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let title = visit.say(text::NODES).to_owned();
    let (path, name) = if view.state.cluster().scheduler {
        ("/scheduler/stop", text::STOP_SCHEDULER)
    } else {
        ("/scheduler/start", text::START_SCHEDULER)
    };
    let kind = if view.state.cluster().scheduler { "danger" } else { "primary" };
    let body = html! {
        header.title {
            h1 { (title) }
            div.row.actions { (parts::action(visit, path, name, &[], kind)) }
        }
        p.lead { (view.state.cluster().name) " · " (visit.say(text::TERM)) " "
            (number(here.and_then(|node| node.term))) " · "
            (visit.say(text::APPLIED)) " " (number(here.and_then(|node| node.applied_index))) }
        div.cards { @for node in &nodes { (card(visit, &clock, node, node.name == *own)) } }
        (add(visit))
    };
    Ok(Page { section: Section::Nodes, title, body })
}

fn card(visit: &Visit, clock: &ZoneClock, node: &NodeView, own: bool) -> Markup {
    let text_of = |text: String| Some(html! { (text) });
    let slots = match node.slots {
        0 => visit.say(text::UNLIMITED).to_owned(),
        slots => slots.to_string(),
    };
    html! {
        article.card.node #{ "n" (node.id) } {
            h2 { (parts::dot(&node.state)) (node.name) " "
                span.badge.(if node.role == "leader" { "run" } else { "off" }) { (visit.lang.word(&node.role)) }
                @if own { " " span.muted { (visit.say(text::THIS_NODE)) } } }
            p { (parts::badge(visit, &node.state))
                @if node.intent != "none" { " " (parts::badge(visit, &node.intent)) } }
            dl.facts {
                (parts::fact(visit, text::OWNED, Some(html! { (node.tasks_owned) })))
                (parts::fact(visit, text::RUNNING, Some(html! { (node.running) })))
                (parts::fact(visit, text::SLOTS, text_of(slots)))
                (parts::fact(visit, text::WEIGHT, Some(html! { (node.weight) })))
                (parts::fact(visit, text::CLOCK, node.clock_skew_ms.map(|skew| html! { (skew_words(visit, skew)) })))
                (parts::fact(visit, text::APPLIED, node.applied_index.map(|index| html! { (index) })))
                (parts::fact(visit, text::STARTED_AT, Some(clock.time(node.started_at.0))))
                (parts::fact(visit, text::LAST_SEEN, node.last_seen.map(|at| clock.relative(at.0))))
                (parts::fact(visit, text::ADDRESS, Some(html! { code.wrap { (node.http) } br; code.wrap { (node.peer) } })))
                (parts::fact(visit, text::VERSION, Some(html! { (node.version) })))
                (parts::fact(visit, text::LABELS, (!node.labels.is_empty()).then(|| html! {
                    @for (key, value) in &node.labels { span.label { (key) "=" (value) } " " } })))
            }
            div.row.actions {
                @let path = |action: &str| format!("/nodes/{}/{action}", parts::segment(&node.id));
                @if node.intent == "none" { (parts::action(visit, &path("drain"), text::DRAIN, &[], "danger")) }
                @if node.intent == "draining" { (parts::action(visit, &path("undrain"), text::UNDRAIN, &[], "primary")) }
                @if node.role == "follower" && node.state == "working" {
                    (parts::action(visit, &path("lead"), text::TRANSFER, &[], ""))
                }
                @if node.state == "down" {
                    (parts::action(visit, &path("replace"), text::REPLACE_MEMBER, &[], "danger"))
                }
                @if !own { (parts::action(visit, &path("remove"), text::REMOVE_MEMBER, &[], "danger")) }
            }
        }
    }
}

/// A form for another member.
fn add(visit: &Visit) -> Markup {
    let field = |name: &str, text, kind: &str, hint: &str| {
        html! { label { (visit.say(text)) input name=(name) type=(kind) placeholder=(hint) required; } }
    };
    html! {
        @if !visit.read_only {
            details.card #add {
                summary { (visit.say(text::ADD_MEMBER)) }
                p.muted { (visit.say(text::ADD_MEMBER_HELP)) }
                form.filter method="post" action="/nodes" {
                    (visit.form_fields())
                    (field("id", text::MEMBER_ID, "number", "4"))
                    (field("peer", text::PEER_ADDRESS, "text", "10.0.0.4:7946"))
                    (field("http", text::HTTP_ADDRESS, "text", "http://10.0.0.4:8080"))
                    button.primary { (visit.say(text::ADD_MEMBER)) }
                }
            }
        }
    }
}
