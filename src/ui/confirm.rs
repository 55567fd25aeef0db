//! The question before an action that cannot be taken back. A browser with the script asks it by
//! itself; without it this page does.

use axum::response::Response;
use maud::html;

use super::shell::{Page, Section};
use super::text;
use super::visit::Form;

/// The field that a form has once the question was answered.
const SURE: &str = "sure";
/// Objects of an action that are named.
const NAMED: usize = 50;

/// What is asked.
pub(super) struct Question<'a> {
    /// What would be done, with what.
    pub title: String,
    /// What the button says.
    pub button: &'a str,
    /// What it would be done with, if that is more than one thing.
    pub objects: &'a [String],
    /// Where to go back to.
    pub home: &'a str,
}

/// The page that asks; none if it was answered.
pub(super) fn ask(form: &Form, question: &Question<'_>) -> Option<Response> {
    if form.get(SURE).is_some() {
        return None;
    }
    let visit = &form.visit;
    let more = question.objects.len().saturating_sub(NAMED);
    let body = html! {
        section.card #confirm {
            h1 { (question.title) }
            @if !question.objects.is_empty() {
                ul { @for name in question.objects.iter().take(NAMED) { li { (name) } } }
                @if more > 0 { p.muted { (visit.lang.fill(text::AND_MORE, &[&more.to_string()])) } }
            }
            form.row method="post" action=(visit.path) {
                @for (name, value) in &form.fields { input type="hidden" name=(name) value=(value); }
                input type="hidden" name=(SURE) value="1";
                button.danger { (question.button) }
                a.button href=(form.back(question.home)) { (visit.say(text::BACK)) }
            }
        }
    };
    Some(visit.answer(Ok(Page { section: Section::None, title: question.title.clone(), body })))
}
