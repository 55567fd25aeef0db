//! `/openapi.json`: an OpenAPI 3.1 document, built from the route table and the schemas of `dto`.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Content, Param, ParamKind, Route, Verb, at, paths};
use crate::api::error::PROBLEM;
use crate::domain::error_code::ErrorCode;
use crate::dto::ProblemView;

/// Prefix of schema references.
const SCHEMAS: &str = "#/components/schemas/";
/// The schema extension in which request types list their required fields.
const INPUT_REQUIRED: &str = "x-input-required";

/// Error codes of all routes.
const ALWAYS: &[ErrorCode] = &[
    ErrorCode::BadRequest,
    ErrorCode::BodyTimeout,
    ErrorCode::BodyTooLarge,
    ErrorCode::CrossSite,
    ErrorCode::ForeignHost,
    ErrorCode::HeadersTooLarge,
    ErrorCode::Internal,
    ErrorCode::InvalidHeader,
    ErrorCode::InvalidPath,
    ErrorCode::MethodNotAllowed,
    ErrorCode::RequestTimeout,
    ErrorCode::RouteNotFound,
    ErrorCode::TooManyConnections,
    ErrorCode::UriTooLong,
];
/// Error codes that occur before the route is known. They are always in the canonical format.
const BEFORE: &[ErrorCode] = &[
    ErrorCode::BadRequest,
    ErrorCode::HeadersTooLarge,
    ErrorCode::InvalidHeader,
    ErrorCode::RequestTimeout,
    ErrorCode::TooManyConnections,
    ErrorCode::UriTooLong,
];
/// Additional error codes of all cluster routes.
const CLUSTER: &[ErrorCode] = &[
    ErrorCode::IndexNotReached,
    ErrorCode::InvalidParameter,
    ErrorCode::NoLeader,
    ErrorCode::NotSupported,
    ErrorCode::TooBusy,
    ErrorCode::UnknownParameter,
];
/// Additional error codes of all write routes.
const WRITES: &[ErrorCode] = &[
    ErrorCode::DuplicateKey,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::InexactNumber,
    ErrorCode::InvalidJson,
    ErrorCode::NeedsUpgrade,
    ErrorCode::NotAccepted,
    ErrorCode::OutcomeUnknown,
    ErrorCode::RevisionMismatch,
    ErrorCode::TooDeep,
    ErrorCode::UnknownField,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::WrongType,
];

/// Links of the document: operation, status, target operation, target parameter, and the value in
/// the response.
const LINKS: &[(&str, u16, &str, &str, &str)] = &[
    ("createTask", 201, "getTask", "name", "$response.body#/name"),
    ("createTask", 201, "putTask", "name", "$response.body#/name"),
    ("createTask", 201, "patchTask", "name", "$response.body#/name"),
    ("createTask", 201, "pauseTask", "name", "$response.body#/name"),
    ("createTask", 201, "resumeTask", "name", "$response.body#/name"),
    ("createTask", 201, "triggerTask", "name", "$response.body#/name"),
    ("createTask", 201, "claimTick", "name", "$response.body#/name"),
    ("createTask", 201, "getWhy", "name", "$response.body#/name"),
    ("createTask", 201, "deleteTask", "name", "$response.body#/name"),
    ("deleteTask", 200, "reuseTask", "name", "$response.body#/name"),
    ("deleteTask", 200, "cleanupTask", "name", "$response.body#/name"),
    ("triggerTask", 201, "getExecution", "id", "$response.body#/id"),
    ("triggerTask", 201, "stopExecution", "id", "$response.body#/id"),
    ("triggerTask", 201, "getOutput", "id", "$response.body#/id"),
    ("stopExecution", 200, "retryExecution", "id", "$response.body#/id"),
    ("stopExecution", 200, "dismissExecution", "id", "$response.body#/id"),
    ("claimTick", 201, "endExecution", "id", "$response.body#/execution_id"),
    ("putCalendar", 201, "getCalendar", "name", "$response.body#/name"),
    ("putCalendar", 201, "deleteCalendar", "name", "$response.body#/name"),
];

/// Builds the document.
pub(in crate::api) fn openapi(version: &str) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut writer = DocumentWriter {
        answers: settings().for_serialize().into_generator(),
        requests: settings().for_deserialize().into_generator(),
    };
    let mut all = Map::new();
    for path in paths() {
        let mut methods = Map::new();
        for route in at(path) {
            methods.insert(route.verb.word().to_owned(), writer.operation(route, path));
        }
        all.insert(path.to_owned(), methods.into());
    }
    let problem = json!(writer.answers.subschema_for::<ProblemView>());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "punctual",
            "version": version,
            "description": "cron for a cluster",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "paths": all,
        "components": {
            "schemas": writer.schemas(),
            "responses": {"Problem": {
                "description": "Why the request was not answered as asked.",
                "content": {"application/problem+json": {"schema": problem}},
            }},
        },
    })
}

/// Writes operations and collects the schemas that they use.
struct DocumentWriter {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl DocumentWriter {
    fn operation(&mut self, route: &Route, path: &str) -> Value {
        // A fixed path that overlaps with `{name}` also lists the routes of the named object.
        let own = route.path == path;
        let id = if own { route.id.to_owned() } else { format!("{}At{}", route.id, last(path)) };
        let mut operation = json!({
            "operationId": id,
            "summary": route.says,
            "x-role": format!("{:?}", route.role).to_lowercase(),
            "parameters": parameters(route, path),
        });
        if let Some(body) = route.body {
            let mut schema = json!((body.schema)(&mut self.requests));
            requested(&mut schema);
            let mut content = json!({"schema": schema});
            if let Some(example) = example(route.id) {
                content["examples"] = json!({route.id: {"value": example}});
            }
            operation["requestBody"] = json!({
                "required": body.needed,
                "content": {"application/json": content},
            });
        }
        operation["responses"] = self.responses(route, own);
        operation
    }

    fn responses(&mut self, route: &Route, own: bool) -> Value {
        let mut responses = Map::new();
        for (status, content) in route.answers {
            let content = match content {
                Content::Json(schema) => {
                    json!({"application/json": {"schema": (schema)(&mut self.answers)}})
                }
                Content::Events(data) => {
                    let data = json!((data)(&mut self.answers));
                    let schema = json!({"type": "string"});
                    json!({"text/event-stream": {"schema": schema, "x-event-data": data}})
                }
                Content::Text(kinds) => {
                    let kinds = kinds
                        .iter()
                        .map(|kind| ((*kind).to_owned(), json!({"schema": {"type": "string"}})));
                    Value::Object(kinds.collect())
                }
            };
            let mut response = json!({"description": route.says, "content": content});
            let links = links(route.id, *status);
            if own && !links.is_empty() {
                response["links"] = links.into();
            }
            responses.insert(status.to_string(), response);
        }
        let mut refusals: BTreeMap<u16, Vec<&ErrorCode>> = BTreeMap::new();
        for code in codes(route) {
            refusals.entry(code.status()).or_default().push(code);
        }
        for (status, codes) in refusals {
            let refusal = self.refusal(route, codes);
            responses.entry(status.to_string()).or_insert(refusal);
        }
        responses.into()
    }

    /// The error responses with one status.
    fn refusal(&mut self, route: &Route, codes: Vec<&ErrorCode>) -> Value {
        let before = codes.iter().any(|code| BEFORE.contains(code));
        let mut content = Map::new();
        for form in [Some(route.form), before.then_some(PROBLEM)].into_iter().flatten() {
            let schema = json!({"schema": (form.schema)(&mut self.answers)});
            content.insert(form.content_type.to_owned(), schema);
        }
        let mut codes: Vec<&str> = codes.into_iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        json!({"description": codes.join(", "), "content": content})
    }

    /// All schemas. Schemas of requests have separate names.
    fn schemas(&mut self) -> Value {
        let mut all = Map::new();
        for (name, mut schema) in self.answers.take_definitions(true) {
            answered(&mut schema);
            if name == "ProblemView" {
                let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
                schema["properties"]["code"]["enum"] = json!(codes);
            }
            all.insert(name, schema);
        }
        for (name, mut schema) in self.requests.take_definitions(true) {
            requested(&mut schema);
            all.insert(input_name(&name), schema);
        }
        all.sort_keys();
        all.into()
    }
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// The error codes of a route.
fn codes(route: &Route) -> impl Iterator<Item = &'static ErrorCode> {
    let cluster = route.path.starts_with("/api/") || route.path == "/readyz";
    let groups = [
        route.errors,
        ALWAYS,
        if cluster { CLUSTER } else { &[] },
        if route.writes() { WRITES } else { &[] },
    ];
    groups.into_iter().flatten()
}

fn links(id: &str, status: u16) -> Map<String, Value> {
    let links = LINKS.iter().filter(|(from, when, ..)| *from == id && *when == status);
    let link = |(_, _, to, name, value): &(&str, u16, &str, &str, &str)| {
        let link = json!({"operationId": to, "parameters": {*name: value}});
        ((*to).to_owned(), link)
    };
    links.map(link).collect()
}

/// Example bodies for requests whose schema alone does not lead to a valid one.
fn example(id: &str) -> Option<Value> {
    Some(match id {
        "createTask" => json!({
            "name": "hello",
            "schedule": {"manual": true},
            "action": {"http": {"url": "http://127.0.0.1:1/"}},
        }),
        "patchTask" => json!({"description": "says hello"}),
        "triggerTask" => json!({"parameters": {"to": "you"}}),
        "pauseTask" => json!({"reason": "maintenance"}),
        "claimTick" => json!({"tick": "2026-01-01T00:00:00.000Z"}),
        "changeTasks" => json!({"op": "pause", "selector": {"env": "test"}}),
        "previewSchedule" => json!({"expression": "0 2 * * *", "timezone": "Europe/Berlin"}),
        "putCalendar" => json!({"rules": [{"weekdays": ["sat", "sun"]}]}),
        _ => return None,
    })
}

/// The last segment of a path, capitalized as the suffix of an operation id.
fn last(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut letters = last.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn parameters(route: &Route, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for part in path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            let pattern = "^[A-Za-z0-9_@+:-][A-Za-z0-9_@+:.-]*$";
            let schema = json!({"type": "string", "maxLength": 200, "pattern": pattern});
            all.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
    }
    all.extend(route.params().map(parameter));
    if path.starts_with("/api/") {
        let index = "Answer only when this log index is applied, within 5 s.";
        all.push(parameter(&Param {
            name: "consistency",
            kind: ParamKind::Word(&["linearizable", "stale"]),
            says: "`stale`: as the node knows it, without asking the leader.",
            needed: false,
        }));
        let kind = ParamKind::Number(0, u64::MAX);
        all.push(parameter(&Param { name: "min_index", kind, says: index, needed: false }));
    }
    if route.answers.iter().any(|(_, content)| matches!(content, Content::Events(_))) {
        let schema = json!({"type": "string", "pattern": "^[0-9]{1,19}$"});
        all.push(header("Last-Event-ID", "The stream goes on behind this event.", schema));
    }
    if route.writes() {
        let schema = json!({"type": "string", "pattern": "^[!-~]{1,200}$"});
        let says = "Whoever repeats a request under its key gets the first answer.";
        all.push(header("Idempotency-Key", says, schema));
    }
    if route.bound {
        let schema = json!({"type": "string", "pattern": r#"^(\*|"[0-9]{1,19}")$"#});
        all.push(header("If-Match", "The `ETag` of what is to be changed.", schema));
    }
    all
}

fn header(name: &str, says: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "description": says, "schema": schema})
}

fn parameter(param: &Param) -> Value {
    let schema = match param.kind {
        ParamKind::Flag => json!({"type": "boolean"}),
        ParamKind::Text => json!({"type": "string"}),
        ParamKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        ParamKind::Instant => json!({"type": "string", "format": "date-time"}),
        ParamKind::Number(min, max) => {
            json!({"type": "integer", "minimum": min, "maximum": max})
        }
        ParamKind::Word(words) => json!({"type": "string", "enum": words}),
    };
    let mut whole =
        json!({"name": param.name, "in": "query", "description": param.says, "schema": schema});
    if let Some(fields) = whole.as_object_mut().filter(|_| param.needed) {
        fields.insert("required".to_owned(), true.into());
    }
    whole
}

/// The schema name of a request type. Requests may omit fields that responses always have.
fn input_name(name: &str) -> String {
    if name.ends_with("Request") { name.to_owned() } else { format!("{name}Input") }
}

/// Converts a schema to that of a request: replaces the references and the required fields.
fn requested(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(required) = fields.remove(INPUT_REQUIRED) {
                fields.insert("required".to_owned(), required);
            }
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = target.strip_prefix(SCHEMAS)
            {
                *target = format!("{SCHEMAS}{}", input_name(name));
            }
            fields.values_mut().for_each(requested);
        }
        Value::Array(items) => items.iter_mut().for_each(requested),
        _ => {}
    }
}

/// Converts a schema to that of a response.
fn answered(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove(INPUT_REQUIRED);
            fields.values_mut().for_each(answered);
        }
        Value::Array(items) => items.iter_mut().for_each(answered),
        _ => {}
    }
}
