//! Creates many tasks in few requests.

use serde_json::Value;

use super::context::CliContext;
use super::exit::{Exit, Failure};
use super::fetch::{self, typed};
use crate::client::path;
use crate::dto::{ItemView, ItemsView};

/// Tasks of one request.
pub const ITEMS: usize = 500;
/// Bytes of one request. A node takes twice as many.
const BYTES: usize = 4 << 20;

/// A request as it is sent: the node reads the bodies and tells what is wrong with them.
#[derive(serde::Serialize)]
struct SentBatch<'a> {
    items: &'a [&'a Value],
}

/// Creates tasks by one request. There is a result for each body, in their order.
///
/// # Errors
/// No good answer.
pub async fn create(bodies: &[&Value], context: &CliContext) -> Result<Vec<ItemView>, Failure> {
    let body = fetch::value(&SentBatch { items: bodies });
    let reply = context.client()?.post(&path(["tasks", "batch"]), &body).await?;
    let results = typed::<ItemsView>(&reply.body, Exit::Unknown)?.items;
    if results.len() == bodies.len() {
        return Ok(results);
    }
    let message = format!("{} tasks were sent, {} answered", bodies.len(), results.len());
    Err(Failure { exit: Exit::Unknown, message })
}

/// How many of these bodies, from the first on, fit into one request; at least one.
#[must_use]
pub fn fitting(bodies: &[&Value]) -> usize {
    let mut bytes = 0;
    let fits = bodies.iter().take(ITEMS).take_while(|body| {
        bytes += body.to_string().len() + 1;
        bytes <= BYTES
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_limited_in_number_and_size() {
        let (small, large) = (json!({"name": "a"}), json!({"payload": "x".repeat(1 << 20)}));
        assert_eq!(fitting(&vec![&small; ITEMS + 7]), ITEMS);
        assert_eq!(fitting(&[&small; 3]), 3);
        assert_eq!(fitting(&[&large; 9]), 3);
        let huge = json!("x".repeat(BYTES));
        assert_eq!(fitting(&[&huge, &huge]), 1);
    }
}
