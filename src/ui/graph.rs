//! The chains of a task, as a graph from left to right.

use maud::{Markup, html};

use super::parts;
use super::text;
use super::visit::Visit;
use crate::ops::chains::{ChainEdge, ChainGraph, GraphTask};

/// The width of a task, and the space to those of the next step.
const WIDTH: i32 = 170;
const SPACE: i32 = 90;
/// The height of a task, and the space to the next one.
const HEIGHT: i32 = 30;
const ROW: i32 = 46;
/// Letters of a name that have room.
const LETTERS: usize = 21;

/// A graph; nothing for a task without chains. `status`: how the last execution of a task is.
pub(super) fn chains(
    visit: &Visit,
    graph: &ChainGraph,
    status: impl Fn(&str) -> Option<&'static str>,
) -> Markup {
    if graph.tasks.len() < 2 && graph.edges.is_empty() {
        return html! {};
    }
    let first = graph.tasks.iter().map(|task| task.step).min().unwrap_or(0);
    let last = graph.tasks.iter().map(|task| task.step).max().unwrap_or(0);
    let rows = graph.tasks.iter().map(|task| task.row + 1).max().unwrap_or(1);
    let rows = i32::try_from(rows).unwrap_or(1);
    let (width, height) = ((last - first) * (WIDTH + SPACE) + WIDTH + 40, rows * ROW + 24);
    let place = |task: &GraphTask| Place::of(task, first);
    html! {
        section.card #chain {
            h2 { (visit.say(text::CHAIN)) }
            div.scroll tabindex="0" role="region" aria-label=(visit.say(text::CHAIN)) {
                svg.graph viewBox={ "-20 -12 " (width) " " (height) } width=(width) height=(height)
                    role="group" aria-label=(visit.say(text::CHAIN)) {
                    @for edge in &graph.edges {
                        @if let (Some(from), Some(to)) = (graph.tasks.get(edge.from), graph.tasks.get(edge.to)) {
                            (drawn(visit, edge, (from, to), (place(from), place(to))))
                        }
                    }
                    @for task in &graph.tasks {
                        @let at = place(task);
                        a href=(parts::task_path(&task.name)) {
                            title { (task.name)
                                @if let Some(status) = status(&task.name) { ": " (visit.lang.word(status)) } }
                            rect.box.own[task.step == 0 && task.row == 0] x=(at.x) y=(at.y)
                                width=(WIDTH) height=(HEIGHT) rx="7" {}
                            @if let Some(status) = status(&task.name) {
                                circle class=(parts::class(status)) cx=(at.x + 14) cy=(at.y + HEIGHT / 2) r="4.5" {}
                            }
                            text x=(at.x + 26) y=(at.y + HEIGHT / 2 + 4) { (cut(&task.name)) }
                        }
                    }
                }
            }
            @if graph.more { p.muted { (visit.say(text::CHAIN_GOES_ON)) } }
        }
    }
}

/// The upper left corner of a task.
#[derive(Clone, Copy)]
struct Place {
    x: i32,
    y: i32,
}

impl Place {
    fn of(task: &GraphTask, first: i32) -> Self {
        let row = i32::try_from(task.row).unwrap_or_default();
        Self { x: (task.step - first) * (WIDTH + SPACE), y: row * ROW }
    }
}

/// A chain as a curve from the right side of one task to the left side of the other, with the end that
/// it is for.
fn drawn(
    visit: &Visit,
    edge: &ChainEdge,
    (from, to): (&GraphTask, &GraphTask),
    (begin, end): (Place, Place),
) -> Markup {
    let words: Vec<String> = edge.on.iter().map(|on| visit.lang.word(on)).collect();
    let kind = match edge.on.as_slice() {
        ["success" | "recovered"] => "ok",
        [_] => "bad",
        _ => "off",
    };
    let middle = HEIGHT / 2;
    let (x1, y1, x2, y2) = (begin.x + WIDTH, begin.y + middle, end.x, end.y + middle);
    let bend = (SPACE / 2).max((x2 - x1).abs() / 3);
    let told = format!("{} → {}: {}", from.name, to.name, words.join(", "));
    html! {
        g { title { (told) }
            path.edge.(kind) d={ "M" (x1) " " (y1) " C" (x1 + bend) " " (y1) " " (x2 - bend) " " (y2) " "
                (x2 - 7) " " (y2) } {}
            path.tip.(kind) d={ "M" (x2 - 8) " " (y2 - 4) " L" (x2) " " (y2) " L" (x2 - 8) " " (y2 + 4) " Z" } {}
            // Between neighbours there is room in the middle, otherwise at the end.
            @if to.step == from.step + 1 {
                text.on x=(i32::midpoint(x1, x2) - 4) y=(i32::midpoint(y1, y2) - 5) text-anchor="middle" {
                    (words.join(", "))
                }
            } @else if to.step > from.step {
                text.on x=(x2 - 12) y=(y2 + 16) text-anchor="end" { (words.join(", ")) }
            }
        }
    }
}

/// A name as far as there is room.
fn cut(name: &str) -> String {
    // Chinese letters are as wide as two others.
    let wide = |c: char| if c.is_ascii() { 1 } else { 2 };
    if name.chars().map(wide).sum::<usize>() <= LETTERS {
        return name.to_owned();
    }
    let mut left = LETTERS - 1;
    let fits = |c: &char| {
        let enough = left >= wide(*c);
        left = left.saturating_sub(wide(*c));
        enough
    };
    let start: String = name.chars().take_while(fits).collect();
    format!("{start}…")
}
