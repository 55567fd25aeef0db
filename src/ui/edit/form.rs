//! The form: fields in four groups, or the text of the whole definition.

use maud::{Markup, html};

use super::fields::{ACTIONS, FIELDS, FieldDef, FieldPlace, InputKind, RULES};
use super::overlay::{ACTION, FormTexts, RULE, field_of};
use super::task_form::{FormView, TaskForm};
use crate::dto::FieldError;
use crate::ui::text::{Text, edit as text};
use crate::ui::visit::Visit;

/// Rows of the text of a definition.
const SOURCE_ROWS: usize = 32;

/// All of the form but the preview. `problems` are those that are told at their fields.
pub(super) fn form(
    visit: &Visit,
    edited: &TaskForm,
    zone: &str,
    problems: &[FieldError],
) -> Markup {
    let fields = FormMarkup { visit, edited, zone, problems };
    html! {
        form.edit-form #edit method="post" action=(edited.path()) autocomplete="off" {
            (visit.form_fields())
            input type="hidden" name="base" value=(edited.base.to_string());
            @if let Some(revision) = edited.revision {
                input type="hidden" name="revision" value=(revision);
            }
            input type="hidden" name="view" value=(edited.view.word());
            @match &edited.view {
                FormView::Fields(texts) => (fields.groups(texts)),
                FormView::Source(source) => (fields.source(source)),
            }
            div.row.edit-bar {
                button name="step" value="preview" { (visit.say(text::PREVIEW_IT)) }
                @match &edited.view {
                    FormView::Fields(_) => button name="step" value="source" { (visit.say(text::AS_YAML)) },
                    FormView::Source(_) => button name="step" value="form" { (visit.say(text::AS_FORM)) },
                }
                a.button href=(edited.home()) { (visit.say(text::BACK_TO_TASK)) }
            }
        }
    }
}

struct FormMarkup<'a> {
    visit: &'a Visit,
    edited: &'a TaskForm,
    zone: &'a str,
    problems: &'a [FieldError],
}

impl FormMarkup<'_> {
    fn source(&self, source: &str) -> Markup {
        let visit = self.visit;
        html! {
            section.card {
                div.field {
                    label for="f-source" { (visit.say(text::YAML_SOURCE)) }
                    p.hint #h-source { (visit.say(text::YAML_HELP)) }
                    textarea.source-text #f-source name="source" rows=(SOURCE_ROWS) spellcheck="false"
                        aria-describedby="h-source e-source"
                        aria-invalid=[(!self.problems.is_empty()).then_some("true")] {
                        "\n" (source)
                    }
                    div.problems #e-source {
                        @for problem in self.problems {
                            p.problem lang="en" { code { (problem.pointer) } " " (problem.message) }
                        }
                    }
                }
            }
        }
    }

    fn groups(&self, texts: &FormTexts) -> Markup {
        let visit = self.visit;
        html! {
            fieldset.card { legend { (visit.say(text::BASICS)) }
                (self.fields(texts, FieldPlace::Basics))
            }
            fieldset.card.kinds { legend { (visit.say(text::WHEN)) }
                (self.choice(texts, RULE, &RULES))
                @for (rule, _) in RULES {
                    div.kind.{ "k-" (rule) } { (self.fields(texts, FieldPlace::Rule(rule))) }
                }
                (self.fields(texts, FieldPlace::Schedule))
                (self.more(texts, FieldPlace::ScheduleMore))
            }
            fieldset.card.kinds { legend { (visit.say(text::WHAT)) }
                (self.choice(texts, ACTION, &ACTIONS))
                @for (action, _) in ACTIONS.iter().skip(1) {
                    @let class = if *action == "http" { "request" } else { action };
                    div.kind.{ "k-" (class) } { (self.fields(texts, FieldPlace::Action(action))) }
                }
                (self.more(texts, FieldPlace::ActionMore))
            }
            fieldset.card { legend { (visit.say(text::POLICIES)) }
                (self.fields(texts, FieldPlace::Policies))
                (self.more(texts, FieldPlace::PoliciesMore))
            }
        }
    }

    fn fields(&self, texts: &FormTexts, place: FieldPlace) -> Markup {
        let named = |field: &&FieldDef| field.name != "name" || self.edited.name.is_none();
        let all = FIELDS.iter().filter(|field| field.place == place).filter(named);
        html! { div.fields { @for field in all { (self.field(field, texts.get(field.name))) } } }
    }

    /// Fields that most tasks do not need. They are open if one of them says something.
    fn more(&self, texts: &FormTexts, place: FieldPlace) -> Markup {
        let usual = FormTexts::of(&serde_json::Value::Null);
        let open = FIELDS.iter().filter(|field| field.place == place).any(|field| {
            texts.get(field.name) != usual.get(field.name) || self.of(field.name).next().is_some()
        });
        html! {
            details.more open[open] {
                summary { (self.visit.say(text::MORE_FIELDS)) }
                (self.fields(texts, place))
            }
        }
    }

    /// The problems that are told at a field.
    fn of<'n>(&self, name: &'n str) -> impl Iterator<Item = &FieldError> + use<'_, 'n> {
        self.problems.iter().filter(move |problem| field_of(&problem.pointer) == Some(name))
    }

    /// Where the problems of a field are told. It is there without any too, so that some can come.
    fn told(&self, name: &str) -> Markup {
        html! {
            div.problems #{ "e-" (name) } lang="en" {
                @for problem in self.of(name) { p.problem { (problem.message) } }
            }
        }
    }

    /// The kinds of a rule or an action, each a button.
    fn choice(&self, texts: &FormTexts, name: &str, words: &[(&str, Text)]) -> Markup {
        let chosen = texts.get(name);
        let group = if name == RULE { text::WHEN } else { text::WHAT };
        html! {
            div.choices role="radiogroup" aria-label=(self.visit.say(group))
                aria-describedby={ "e-" (name) } {
                @for (at, (word, label)) in words.iter().enumerate() {
                    @let first = (at == 0).then(|| format!("f-{name}"));
                    label.choice-of {
                        input type="radio" id=[first] name=(name) value=(word) checked[*word == chosen];
                        span { (self.visit.say(*label)) }
                    }
                }
            }
            (self.told(name))
        }
    }

    fn field(&self, field: &FieldDef, value: &str) -> Markup {
        let name = field.name;
        let (id, errors) = (format!("f-{name}"), format!("e-{name}"));
        let label = self.visit.lang.fill(field.label, &[self.zone]);
        let invalid = self.of(name).next().map(|_problem| "true");
        let lines = value.lines().count();
        let example = Some(field.example).filter(|example| !example.is_empty());
        if let InputKind::Flag = field.kind {
            return html! {
                div.field.whole {
                    input type="hidden" name=(name) value="false";
                    label.check-of { input type="checkbox" id=(id) name=(name) value="true"
                        checked[value == "true"] aria-describedby=(errors);
                        " " (label) }
                    (self.told(name))
                }
            };
        }
        let (area, rows) = match field.kind {
            InputKind::Area | InputKind::Pairs(_) | InputKind::Json => (true, 2),
            InputKind::Command => (true, 1),
            _ => (false, 1),
        };
        html! {
            div.field.whole[area || name == "name" || name == "url" || name == "cron"] {
                label for=(id) { (label) }
                @if let InputKind::Choice(words) = field.kind {
                    select id=(id) name=(name) aria-describedby=(errors) aria-invalid=[invalid] {
                        @for (word, says) in words {
                            option value=(word) selected[*word == value] { (self.visit.say(*says)) }
                        }
                        // A word that is not known stays.
                        @if !words.iter().any(|(word, _)| *word == value) {
                            option value=(value) selected { (value) }
                        }
                    }
                } @else if area {
                    textarea id=(id) name=(name) rows=(lines.clamp(rows, 12)) placeholder=[example]
                        spellcheck=(if name == "description" { "true" } else { "false" })
                        aria-describedby=(errors) aria-invalid=[invalid] { "\n" (value) }
                } @else {
                    input type="text" id=(id) name=(name) value=(value) placeholder=[example] spellcheck="false"
                        inputmode=[matches!(field.kind, InputKind::Number).then_some("numeric")]
                        list=[(name == "timezone").then_some("zones")]
                        aria-describedby=(errors) aria-invalid=[invalid];
                    @if name == "timezone" { (self.zones()) }
                }
                (self.told(name))
            }
        }
    }

    /// Some zones to choose from: those at hand.
    fn zones(&self) -> Markup {
        let mut zones = vec![self.zone, "UTC"];
        zones.extend(self.visit.zone.as_deref());
        zones.sort_unstable();
        zones.dedup();
        html! { datalist #zones { @for zone in zones { option value=(zone) {} } } }
    }
}
