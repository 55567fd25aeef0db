//! Checks that the OpenAPI document and the router agree.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request;
use serde_json::Value;

use super::{ROUTES, Verb, openapi, paths};
use crate::api::tests::waiting;
use crate::domain::error_code::ErrorCode;

/// Collects all values with a key, at any depth.
fn under<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key));
            fields.values().for_each(|value| under(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = openapi("1");
    let mut refs = Vec::new();
    under(&document, "$ref", &mut refs);
    assert!(refs.len() > 100, "{}", refs.len());
    let mut named = BTreeSet::new();
    for target in refs {
        let target = target.as_str().unwrap();
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
        named.insert(target.rsplit('/').next().unwrap());
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let odd = schemas.keys().filter(|name| !named.contains(name.as_str()));
    assert_eq!(odd.collect::<Vec<_>>(), Vec::<&String>::new(), "nobody names these");
    assert!(!document.to_string().contains("x-input-required"));
    let task = |name: &str| document["components"]["schemas"][name]["required"].clone();
    assert_eq!(task("TaskBodyInput"), serde_json::json!(["name", "schedule"]));
    assert!(task("TaskBody").as_array().unwrap().len() > 15);
}

#[test]
fn the_document_says_what_a_backfill_needs_and_how_it_is_refused() {
    let document = openapi("1");
    let path = &document["paths"]["/api/v1/tasks/{name}/backfill"];
    let parameters = path["get"]["parameters"].as_array().unwrap();
    let needed = |name: &str| {
        let found = parameters.iter().find(|one| one["name"] == name).unwrap();
        found["required"] == true
    };
    assert!(needed("from") && needed("to") && !needed("consistency"));
    let body = &document["components"]["schemas"]["BackfillRequest"]["required"];
    assert_eq!(*body, serde_json::json!(["from", "to"]));
    let text = path["post"].to_string();
    assert!(text.contains("ahead_of_time"), "{text}");
}

#[test]
fn operations_have_names_of_their_own_and_links_lead_to_them() {
    let document = openapi("1");
    let mut ids = Vec::new();
    for methods in document["paths"].as_object().unwrap().values() {
        ids.extend(methods.as_object().unwrap().values().map(|one| one["operationId"].clone()));
    }
    let all = ids.len();
    let ids: BTreeSet<String> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), all);
    let mut links = Vec::new();
    under(&document, "links", &mut links);
    assert!(links.len() > 5);
    for link in links.iter().flat_map(|links| links.as_object().unwrap().values()) {
        assert!(ids.contains(link["operationId"].as_str().unwrap()), "{link}");
    }
}

#[test]
fn every_code_is_in_the_document() {
    let document = openapi("1");
    let mut told = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            for response in operation["responses"].as_object().unwrap().values() {
                let codes = response["description"].as_str().unwrap();
                told.extend(codes.split(", ").map(str::to_owned));
            }
        }
    }
    // No route returns these codes: they belong to commands without a route.
    let inner = [
        ErrorCode::ExecutorUnavailable,
        ErrorCode::Held,
        ErrorCode::Initialised,
        ErrorCode::NotDue,
        ErrorCode::NotPending,
        ErrorCode::WrongAction,
    ];
    for code in ErrorCode::ALL {
        assert_ne!(told.contains(code.as_str()), inner.contains(code), "{code}");
    }
}

#[test]
fn refusals_are_told_in_the_form_of_their_route() {
    let document = openapi("1");
    let refusal = |path: &str, verb: &str, status: &str| {
        document["paths"][path][verb]["responses"][status]["content"].clone()
    };
    let kinds = |content: Value| content.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let stats = refusal("/api/cron/tasks/{name}/stats", "get", "404");
    let schema = &stats["application/json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/CronErrorView");
    assert_eq!(kinds(stats), ["application/json"]);
    let stop = refusal("/api/v1/scheduler/stop", "post", "503");
    assert!(stop["application/json"]["schema"]["$ref"].to_string().contains("EnvelopeView"));
    // Errors that occur before the route is known are in the canonical format.
    let long = refusal("/api/cron/tasks", "get", "414");
    assert_eq!(kinds(long), ["application/json", "application/problem+json"]);
    let task = refusal("/api/v1/tasks/{name}", "get", "404");
    assert_eq!(kinds(task), ["application/problem+json"]);
}

#[test]
fn the_routes_of_a_path_write_their_errors_in_one_form() {
    for path in paths() {
        let forms: BTreeSet<&str> = super::at(path).map(|route| route.form.name).collect();
        assert_eq!(forms.len(), 1, "{path}: {forms:?}");
    }
}

#[tokio::test]
async fn the_router_has_the_routes_of_the_document_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let router = crate::api::router(waiting(&folder));
    let document = openapi("1");
    let told = document["paths"].as_object().unwrap();
    assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), paths());
    assert!(ROUTES.iter().all(|route| told.contains_key(route.path)));
    for (path, methods) in told {
        let place = path.replace("{name}", "a").replace("{id}", "1");
        for verb in [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete] {
            let request = Request::builder().method(verb.method()).uri(&place);
            let request = request.header("host", "localhost").body(Body::empty()).unwrap();
            let answer = tower::Service::call(&mut router.clone(), request).await.unwrap();
            let there = answer.status() != 405;
            assert_ne!(answer.status(), 404, "{path}");
            assert_eq!(there, methods.get(verb.word()).is_some(), "{verb:?} {path}");
            if !there {
                let allow = answer.headers()["allow"].to_str().unwrap();
                let allowed: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
                let named = allow.to_lowercase();
                let named = named.split(',').filter(|one| *one != "head");
                assert_eq!(named.collect::<Vec<_>>(), allowed, "{path}");
            }
        }
    }
}
