//! The fields that the reader knows are those of the published schema, in every object of a body.

use std::collections::BTreeSet;

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

use super::{CalendarBody, CalendarView, TaskBody, TaskRequest, TaskView};
use crate::domain::error_code::ErrorCode;
use crate::domain::spec::{ReadContext, calendar_definition, definition, read};
use crate::domain::time::{Millis, Timestamp};

const READING: ReadContext<'_> = ReadContext {
    default_zone: "UTC",
    now: Timestamp(0),
    min_interval: Millis(100),
    functions_allowed: false,
    custom_strategy: false,
    current: None,
    settled: Timestamp(0),
    calendars: None,
};

/// No field of any object is spelled like this.
const UNKNOWN: &str = "xxxxxxxxxxxxxxxxxxxx";

/// Collects the names of the properties at a place of a schema. All alternatives count.
fn collect(schema: &Value, root: &Value, place: &[&str], names: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let definition = root.pointer(name.trim_start_matches('#')).expect("a definition");
        collect(definition, root, place, names);
    }
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        for schema in schema[alternatives].as_array().into_iter().flatten() {
            collect(schema, root, place, names);
        }
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    match place {
        [] => names.extend(properties.keys().cloned()),
        [field, rest @ ..] => {
            let inner = properties.get(*field);
            inner.into_iter().for_each(|inner| collect(inner, root, rest, names));
        }
    }
}

fn published<T: JsonSchema>(place: &[&str]) -> BTreeSet<String> {
    let root = schema_for!(T).to_value();
    let mut names = BTreeSet::new();
    collect(&root, &root, place, &mut names);
    names
}

/// What the reader says that it knows at a place.
fn known(place: &[&str]) -> BTreeSet<String> {
    let mut body = json!({"name": "t", "schedule": {"cron": "0 2 * * *"}});
    let mut object = &mut body;
    for field in place {
        object = &mut object[*field];
        if object.is_null() {
            *object = json!({});
        }
    }
    object[UNKNOWN] = json!(1);
    let pointer =
        format!("{}/{UNKNOWN}", place.iter().map(|field| format!("/{field}")).collect::<String>());
    let problems = read(&body, READING).expect_err("an unknown field");
    let told = problems.iter().find(|problem| problem.pointer == pointer).expect("is refused");
    let (_, names) = told.message.split_once("known here: ").expect("names the known fields");
    names.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_reader_knows_the_published_fields() {
    for place in [
        &["schedule"][..],
        &["schedule", "dst"],
        &["action"],
        &["action", "http"],
        &["action", "shell"],
        &["action", "executor"],
        &["action", "func"],
        &["concurrency"],
        &["catch_up"],
        &["retry"],
        &["assignment"],
        &["keep"],
        &["then"],
    ] {
        let published = published::<TaskBody>(place);
        assert!(!published.is_empty(), "{place:?}");
        let mut known = known(place);
        // A second spelling of `interval`. The schema is also that of answers, which never have it.
        assert_eq!(known.remove("every"), place == ["schedule"], "{place:?}");
        assert_eq!(known, published, "{place:?}");
    }
    assert_eq!(known(&[]), published::<TaskBody>(&[]));
}

#[test]
fn the_published_flat_fields_are_read() {
    for field in published::<TaskRequest>(&[]) {
        let mut body = json!({"name": "t"});
        if body[&field].is_null() {
            // A value that no field may have.
            body[&field] = json!([[UNKNOWN]]);
        }
        let problems = read(&body, READING).expect_err("is no task");
        let codes = problems.iter().map(|problem| problem.code);
        assert!(
            codes.into_iter().all(|code| code != ErrorCode::UnknownField),
            "{field}: {problems:?}"
        );
    }
}

/// What is sent back or exported is the definition, whatever an answer adds to it.
#[test]
fn an_answer_without_what_it_adds_is_a_definition() {
    fn stripped<T: JsonSchema>(strip: impl Fn(&Value) -> Value) -> BTreeSet<String> {
        let fields = published::<T>(&[]).into_iter().map(|field| (field, json!(1)));
        let left = strip(&Value::Object(fields.collect()));
        left.as_object().expect("an object").keys().cloned().collect()
    }
    assert_eq!(stripped::<TaskView>(definition), published::<TaskBody>(&[]));
    assert_eq!(stripped::<CalendarView>(calendar_definition), published::<CalendarBody>(&[]));
}
