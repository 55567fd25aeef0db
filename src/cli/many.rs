//! One command on several objects: a line for each, and how many were done.

use std::pin::pin;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch::{self, typed};
use super::output::Output;
use crate::client::{Client, ClientError, ErrorKind, Reply, ServerRefusal, path};
use crate::domain::error_code::ErrorCode;
use crate::dto::{BulkRequest, ExecutionView, FieldError, ItemView, ItemsView};

/// Tasks of one request.
const CHUNK: usize = 1_000;
/// Requests at once.
const AT_ONCE: usize = 8;

/// What is read of an answer about one task, whatever it is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AboutOne {
    revision: Option<u64>,
    running: Option<Vec<ExecutionView>>,
}

/// What a refusal says of fields.
#[derive(Deserialize)]
struct OfFields {
    errors: Vec<FieldError>,
}

/// Does something to all of these tasks in few requests.
///
/// # Errors
/// What kept the cluster from taking any of a request; how many were done before is said.
pub async fn bulk(
    names: &[String],
    request: &BulkRequest,
    context: &mut CliContext,
) -> Result<Vec<ItemView>, Failure> {
    let mut items: Vec<ItemView> = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        context.out.progress(items.len(), names.len(), "tasks");
        let request = BulkRequest { names: Some(chunk.to_vec()), ..request.clone() };
        let sent = context.client()?.post(&path(["tasks", "bulk"]), &fetch::value(&request)).await;
        let answer = sent.map_err(Failure::from);
        match answer.and_then(|reply| typed::<ItemsView>(&reply.body, Exit::Unknown)) {
            Ok(done) => items.extend(done.items),
            Err(failure) if items.is_empty() => return Err(failure),
            Err(failure) => {
                let done = items.iter().filter(|item| item.status < 400).count();
                let message = format!("after {done} tasks: {}", failure.message);
                return Err(Failure { message, ..failure });
            }
        }
    }
    Ok(items)
}

/// A request about the object of a name.
pub struct OneRequest<'a> {
    /// Where the objects are in the API, such as `tasks`.
    pub collection: &'static str,
    pub method: Method,
    /// What stands behind the name in the path, if anything.
    pub verb: Option<&'a str>,
    pub query: &'a [(&'a str, String)],
    pub body: Option<&'a Value>,
}

/// Does something to each of these objects by a request of its own.
///
/// # Errors
/// No client can be made.
pub async fn each(
    names: &[String],
    request: &OneRequest<'_>,
    context: &mut CliContext,
) -> Result<Vec<ItemView>, Failure> {
    let client = context.own_client()?;
    let client = &*client;
    let items = names.iter().map(|name| async move {
        let sent = request.send(name, client).await;
        item(name, sent)
    });
    Ok(at_once(items, request.collection, &mut context.out).await)
}

/// Waits for several of these at once, and shows how many of the `nouns` are done.
pub async fn at_once<T>(
    work: impl ExactSizeIterator<Item = impl Future<Output = T>>,
    nouns: &str,
    out: &mut Output,
) -> Vec<T> {
    let all = work.len();
    let mut done = Vec::with_capacity(all);
    let mut ended = pin!(stream::iter(work).buffered(AT_ONCE));
    out.progress(0, all, nouns);
    while let Some(one) = ended.next().await {
        done.push(one);
        out.progress(done.len(), all, nouns);
    }
    done
}

impl<'a> OneRequest<'a> {
    /// A `POST` of what stands behind the name in the path.
    #[must_use]
    pub fn post(collection: &'static str, verb: &'a str) -> Self {
        Self { collection, method: Method::POST, verb: Some(verb), query: &[], body: None }
    }

    /// A `PATCH`.
    #[must_use]
    pub fn patch(collection: &'static str, body: &'a Value) -> Self {
        Self { collection, method: Method::PATCH, verb: None, query: &[], body: Some(body) }
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete(collection: &'static str) -> Self {
        Self { collection, method: Method::DELETE, verb: None, query: &[], body: None }
    }

    async fn send(&self, name: &str, client: &Client) -> Result<Reply, ClientError> {
        let path = path([self.collection, name].into_iter().chain(self.verb));
        client.send(self.method.clone(), &path, self.query, self.body, &[]).await
    }
}

/// What became of one request, as the answer to many tells it.
pub fn item(name: &str, sent: Result<Reply, ClientError>) -> ItemView {
    match sent {
        Ok(reply) => done(name, reply.status, &reply.body),
        Err(error) => undone(name, error),
    }
}

/// The same of a request with a good answer.
pub fn done(name: &str, status: u16, body: &Value) -> ItemView {
    let about = AboutOne::deserialize(body).unwrap_or_default();
    let ids = |running: Vec<ExecutionView>| running.into_iter().map(|one| one.id).collect();
    let (revision, running) = (about.revision, about.running.map(ids));
    ItemView { name: name.into(), status, revision, running, ..ItemView::default() }
}

/// The same of what was not sent: `exit` says what kind of failure it is.
pub fn unsent(name: &str, exit: Exit, why: String) -> ItemView {
    let status = match exit {
        Exit::Conflict => 409,
        Exit::NotAccepted => 503,
        _ => 422,
    };
    ItemView { name: name.into(), status, detail: Some(why), ..ItemView::default() }
}

/// The same of a request without a good answer.
pub fn undone(name: &str, error: ClientError) -> ItemView {
    let blank = ItemView { name: name.into(), ..ItemView::default() };
    match error {
        ClientError::Refused(refusal) => {
            let ServerRefusal { status, code, detail, advice, body, .. } = *refusal;
            let (code, advice) = (Some(code.into()), Some(advice).filter(|text| !text.is_empty()));
            let errors = OfFields::deserialize(&body).ok().map(|of| of.errors);
            ItemView { status, code, detail: Some(detail), advice, errors, ..blank }
        }
        error => {
            let code = match error.kind() {
                ErrorKind::Unknown => ErrorCode::OutcomeUnknown,
                _ => ErrorCode::NotAccepted,
            };
            let (status, detail) = (code.status(), Some(error.to_string()));
            ItemView { status, code: Some(code.as_str().into()), detail, ..blank }
        }
    }
}

/// Prints a line for each item, and how many were done.
///
/// # Errors
/// Those of the stream.
pub fn tell(
    items: Vec<ItemView>,
    nouns: &str,
    done: &str,
    good: impl Fn(&ItemView) -> String,
    context: &mut CliContext,
) -> CommandResult {
    let all = items.len();
    let succeeded = items.iter().filter(|item| item.status < 400).count();
    let exit = exit_of_all(&items);
    if context.out.for_people() {
        let lines = items.iter().map(|item| {
            let name = item.name.as_str().unwrap_or_default();
            match item.status {
                ..400 => format!("{name}: {}\n", good(item)),
                _ => format!("{name}: {}\n", refused(item)),
            }
        });
        let lines: String = lines.collect();
        context.out.bytes(lines.as_bytes())?;
        for item in &items {
            let name = item.name.as_str().unwrap_or_default();
            for id in item.running.iter().flatten() {
                context.out.say(&format!("execution {id} of {name} still runs"));
            }
            for warning in &item.warnings {
                context.out.say(&format!("warning: {name}: {}", warning.detail));
            }
        }
        context.out.say(&format!("{succeeded} of {all} {nouns} {done}"));
    } else {
        let each: Vec<Value> = items.iter().map(fetch::value).collect();
        let whole = ItemsView { items, succeeded, failed: all - succeeded };
        context.out.many(&fetch::value(&whole), &each, |_clock| Default::default())?;
    }
    Ok(exit)
}

/// Says why each of these was refused, and gives the exit code for it.
pub fn complain(items: &[ItemView], context: &mut CliContext) -> Exit {
    for item in items {
        let name = item.name.as_str().unwrap_or_default();
        context.out.say(&format!("{name}: {}", refused(item)));
    }
    exit_of_all(items)
}

fn exit_of_all(items: &[ItemView]) -> Exit {
    items.iter().map(exit_of).fold(Exit::Ok, Exit::worse)
}

/// The exit code that a failure of this item alone would have.
pub fn exit_of(item: &ItemView) -> Exit {
    if item.status < 400 {
        return Exit::Ok;
    }
    let refusal = ServerRefusal {
        status: item.status,
        code: item.code.as_deref().unwrap_or_default().to_owned(),
        detail: String::new(),
        advice: String::new(),
        errors: Vec::new(),
        body: Value::Null,
    };
    refusal.kind().into()
}

/// Why nothing was done: `there is no task of this name (task_not_found)`.
pub fn refused(item: &ItemView) -> String {
    let detail = item.detail.as_deref().unwrap_or("refused");
    let code = item.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let told = |field: &&FieldError| detail.ends_with(&field.message);
    let fields = item.errors.iter().flatten().filter(|field| !told(field)).map(|field| {
        let place = field.pointer.trim_start_matches('/').replace('/', ".");
        format!("; {place}: {}", field.message)
    });
    format!("{detail}{code}{}", fields.collect::<String>())
}
