//! What a definition means and what saving it changes, before anything is saved.

use maud::{Markup, html};

use super::fields::FIELDS;
use super::overlay::field_of;
use super::task_form::{Conflict, FormView, TaskForm};
use super::year;
use crate::domain::time::Timestamp;
use crate::dto::{ChangeView, FieldError};
use crate::ops::draft::{DraftTicks, TickChanges};
use crate::ui::clock::ZoneClock;
use crate::ui::parts;
use crate::ui::text as common;
use crate::ui::text::{Language, edit as text};
use crate::ui::visit::Visit;
use crate::ui::warnings;

/// All that the preview shows.
pub(super) struct Previewed {
    /// The ticks, with a clock of the schedule's zone and the beginnings of the days.
    pub ticks: Option<(DraftTicks, ZoneClock, String, Vec<Timestamp>)>,
    /// What is wrong.
    pub problems: Vec<FieldError>,
    /// Why it was not saved, if that is not among the problems.
    pub refused: Option<String>,
    /// What differs from the present definition. None: it is not valid, or there is no definition.
    pub changes: Option<Vec<ChangeView>>,
    pub conflict: Option<Conflict>,
    /// Something that is worth saying on top.
    pub notice: Option<String>,
    /// What identifies a definition that may be saved.
    pub seen: Option<String>,
    /// Whether nobody has typed anything yet.
    pub blank: bool,
}

/// The preview. It has an address of its own in the page, so that it alone is replaced as one types.
pub(super) fn preview(visit: &Visit, edited: &TaskForm, shown: &Previewed) -> Markup {
    html! {
        section.card #preview aria-labelledby="preview-title" {
            h2 #preview-title { (visit.say(text::PREVIEW)) }
            @if let Some(notice) = &shown.notice { p.notice role="alert" { (notice) } }
            @if let Some(refused) = &shown.refused {
                div.notice.error role="alert" { p { strong { (visit.say(text::NOT_SAVED)) } } p lang="en" { (refused) } }
            }
            @if let Some(conflict) = &shown.conflict { (others(visit, edited, conflict)) }
            @if shown.blank {
                p.muted { (visit.say(text::PREVIEW_HERE)) }
            } @else if !shown.problems.is_empty() {
                (problems(visit, edited, &shown.problems))
            }
            @if let Some((ticks, clock, zone, bounds)) = &shown.ticks {
                (schedule(visit, clock, zone, ticks))
                (at_changes(visit, clock, ticks))
                @if let Some(moved) = &ticks.moved { (changed_ticks(visit, clock, moved)) }
                h3 { (visit.lang.fill(text::YEAR, &[zone])) }
                (year::year(visit, clock, bounds, &ticks.days))
            }
            @if let Some(changes) = &shown.changes {
                h3 #difference { (visit.say(text::DIFFERENCE)) }
                @if changes.is_empty() { p { (visit.say(text::NO_DIFFERENCE)) } }
                @else { (difference(visit, changes)) }
            }
            (save(visit, edited, shown))
        }
    }
}

/// The button that saves. It carries what was previewed, so that nothing else is saved.
fn save(visit: &Visit, edited: &TaskForm, shown: &Previewed) -> Markup {
    let nothing = shown.changes.as_ref().is_some_and(Vec::is_empty);
    let Some(seen) = shown.seen.as_ref().filter(|_| !nothing) else { return html! {} };
    let name = match (&edited.name, edited.revision, &shown.conflict) {
        (None, ..) => visit.say(text::CREATE).to_owned(),
        (_, Some(revision), Some(_)) => visit.lang.fill(text::SAVE_OVER, &[&revision.to_string()]),
        _ => visit.say(text::SAVE).to_owned(),
    };
    html! {
        p.row.save {
            input type="hidden" name="seen" value=(seen) form="edit";
            input type="hidden" name="key" value=(parts::once()) form="edit";
            button.primary #save name="step" value="save" form="edit" { (name) }
        }
    }
}

fn problems(visit: &Visit, edited: &TaskForm, problems: &[FieldError]) -> Markup {
    let source = matches!(edited.view, FormView::Source(_));
    html! {
        div.notice.error #problems {
            p { strong { (visit.say(text::NOT_VALID)) } }
            ul {
                @for problem in problems {
                    @let field = if source { Some("source") } else { field_of(&problem.pointer) };
                    @let known = FIELDS.iter().find(|known| Some(known.name) == field);
                    li lang="en" {
                        @match field {
                            Some(field) => a href={ "#f-" (field) } {
                                @match known {
                                    Some(known) if !source => span lang=(visit.lang.code()) { (visit.lang.fill(known.label, &["UTC"])) },
                                    _ => code { (pointer(&problem.pointer)) },
                                }
                            },
                            None => code { (pointer(&problem.pointer)) },
                        }
                        ": " (problem.message)
                    }
                }
            }
        }
    }
}

fn pointer(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

/// What others changed since the form was opened.
fn others(visit: &Visit, edited: &TaskForm, conflict: &Conflict) -> Markup {
    let revision = conflict.revision.to_string();
    let name = edited.name.as_deref().unwrap_or_default();
    html! {
        div.notice #conflict role="alert" {
            p { strong { (visit.lang.fill(text::CONFLICT, &[name])) } }
            p { (visit.lang.fill(text::OTHERS_CHANGED, &[&revision])) }
            @match &conflict.changes {
                None => p { (visit.say(text::OTHERS_UNKNOWN)) },
                Some(none) if none.is_empty() => p { (visit.say(text::OTHERS_STATE)) },
                Some(changes) => (difference(visit, changes)),
            }
            p { (visit.lang.fill(text::CARRIED_OVER, &[&revision])) }
        }
    }
}

fn difference(visit: &Visit, changes: &[ChangeView]) -> Markup {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => visit.say(text::ABSENT).to_owned(),
        other => other.to_string(),
    };
    html! {
        ul.diff {
            @for change in changes {
                li { code { (pointer(&change.pointer)) } ": " del { (value(&change.before)) } " → "
                    ins { (value(&change.after)) } }
            }
        }
    }
}

/// The schedule in words, its warnings and its next ticks, in its zone and in UTC.
fn schedule(visit: &Visit, clock: &ZoneClock, zone: &str, ticks: &DraftTicks) -> Markup {
    let preview = &ticks.preview;
    let words = if visit.lang == Language::Zh { &preview.words_zh } else { &preview.words };
    let utc = ZoneClock::new("UTC", clock.now(), visit.lang);
    let in_utc = zone == "UTC";
    let noted = preview.ticks.iter().any(|tick| tick.note.is_some() || tick.excluded.is_some());
    html! {
        p.words role="status" { (words) }
        @for warning in &preview.warnings { p.notice { (warnings::told(visit, warning)) } }
        h3 { (visit.say(text::NEXT_TICKS)) }
        @if preview.ticks.is_empty() { (parts::empty(visit.say(text::NO_TICKS_OF_ITS_OWN))) }
        @else {
            div.scroll tabindex="0" role="region" aria-label=(visit.say(text::NEXT_TICKS)) {
                table.next-ten {
                    thead { tr {
                        th scope="col" { (visit.lang.fill(text::IN_ZONE, &[zone])) }
                        @if !in_utc { th scope="col" { "UTC" } }
                        @if noted { th scope="col" { (visit.say(text::NOTE)) } }
                    } }
                    tbody {
                        @for tick in &preview.ticks {
                            tr {
                                td { (clock.dated(tick.at.0)) }
                                @if !in_utc { td { (utc.dated(tick.at.0)) } }
                                @if noted { td.note-of {
                                    @if let Some(calendar) = &tick.excluded {
                                        (parts::badge(visit, "excluded")) " " (calendar) " "
                                    }
                                    @if let Some(note) = parts::note(visit, tick) { span { (note) } }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The ticks that the clock changes of a year affect.
fn at_changes(visit: &Visit, clock: &ZoneClock, ticks: &DraftTicks) -> Markup {
    if ticks.preview.ticks.is_empty() {
        return html! {};
    }
    let days: Vec<String> = ticks.change_days.iter().map(|day| clock.day(*day)).collect();
    html! {
        h3 { (visit.say(text::CLOCK_CHANGES)) }
        @if ticks.at_changes.is_empty() {
            p.muted #clock-changes {
                @if days.is_empty() { (visit.say(text::NO_CLOCK_CHANGE)) }
                @else { (visit.lang.fill(text::CHANGES_AFFECT_NONE, &[&days.join(", ")])) }
            }
        } @else {
            ul.plain #clock-changes {
                @for tick in &ticks.at_changes {
                    li { strong { (clock.dated(tick.at.0)) }
                        @if let Some(note) = parts::note(visit, tick) { " " span.note { (note) } } }
                }
            }
        }
    }
}

/// The ticks that only the present or only the new definition has.
fn changed_ticks(visit: &Visit, clock: &ZoneClock, moved: &TickChanges) -> Markup {
    let week = moved.until.since(clock.now()).0 >= 7 * 86_400_000;
    let title = match week {
        true => visit.say(text::MOVED).to_owned(),
        false => visit.lang.fill(text::MOVED_UNTIL, &[&clock.dated(moved.until)]),
    };
    let list = |count: u64, first: &[Timestamp], what: common::Text| {
        html! {
            @if count > 0 {
                p { (visit.lang.fill(what, &[&count.to_string()])) }
                ul.plain.some-ticks {
                    @for tick in first { li { (clock.dated(*tick)) } }
                    @if count > first.len() as u64 {
                        li.muted { (visit.lang.fill(common::AND_MORE, &[&(count - first.len() as u64).to_string()])) }
                    }
                }
            }
        }
    };
    let kept = moved.kept.to_string();
    html! {
        div #moved {
            h3 { (title) }
            (list(moved.gone.0, &moved.gone.1, text::GONE))
            (list(moved.come.0, &moved.come.1, text::COME))
            @let what = if moved.gone.0 + moved.come.0 == 0 { text::NONE_MOVES } else { text::KEPT };
            p.muted { (visit.lang.fill(what, &[&kept])) }
        }
    }
}
