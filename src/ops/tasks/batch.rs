//! Creates thousands of tasks in one request.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;

use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::machine::{Answer, Command, Response};
use crate::domain::spec;
use crate::dto::{ItemView, ItemsView};
use crate::ops::context::StateView;
use crate::ops::proposals::{COMMANDS_MAX, IN_FLIGHT, Proposals};
use crate::ops::{Caller, OpAnswer, OpError};
use crate::ops::{eligibility, views};

use super::definition::{mode, settled};

/// The statuses that a response about a single item would have.
const OK: u16 = 200;
const CREATED: u16 = 201;
/// Maximum number of items in a request.
pub(crate) const ITEMS_MAX: usize = 10_000;

/// Creates each task of a list. Errors are reported per item. `place` is the JSON pointer of the
/// list in the body.
///
/// # Errors
/// `too_many_items`; the error of the cluster if it accepted none of the items.
pub(crate) async fn batch(
    caller: &Caller,
    items: &[Value],
    place: &'static str,
    force: bool,
) -> Result<OpAnswer<ItemsView>, OpError> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        let message = format!("must have 1 to {ITEMS_MAX} items, has {}", items.len());
        return Err(OpError::field(place, ErrorCode::TooManyItems, message));
    }
    caller.take_key().await?;
    let view = caller.context.here()?;
    let making = Making { caller, view: &view, mode: mode(force), place };
    let chunks = items.chunks(COMMANDS_MAX).enumerate();
    let chunks: Vec<BoxFuture<'_, Vec<ItemResult>>> =
        chunks.map(|(at, items)| making.chunk(at * COMMANDS_MAX, items).boxed()).collect();
    let made: Vec<Vec<ItemResult>> = stream::iter(chunks).buffered(IN_FLIGHT).collect().await;
    answer(caller, made.into_iter().flatten().collect())
}

/// The result of one item, with the error if the cluster did not accept it.
pub(super) struct ItemResult {
    pub shown: ItemView,
    pub fault: Option<OpError>,
}

impl ItemResult {
    /// An item without a result yet.
    pub fn blank(index: Option<usize>, name: Value) -> ItemView {
        ItemView { index, name, status: OK, ..ItemView::default() }
    }

    pub fn good(shown: ItemView) -> Self {
        Self { shown, fault: None }
    }

    pub fn bad(shown: ItemView, error: OpError) -> Self {
        let shown = ItemView {
            status: error.code().status(),
            code: Some(error.code().as_str().into()),
            detail: Some(error.detail().to_owned()),
            advice: Some(error.advice().to_owned()),
            errors: Some(error.fields()),
            ..shown
        };
        Self { shown, fault: Some(error) }
    }
}

/// Builds the response from the results of all items. If the cluster accepted none of them, it
/// returns that error.
pub(super) fn answer(
    caller: &Caller,
    items: Vec<ItemResult>,
) -> Result<OpAnswer<ItemsView>, OpError> {
    let failed = items.iter().filter(|item| item.fault.is_some()).count();
    let succeeded = items.len() - failed;
    let lost =
        |item: &ItemResult| item.fault.clone().filter(|problem| problem.code().status() >= 500);
    let all_lost = !items.is_empty() && items.iter().all(|item| lost(item).is_some());
    if let Some(problem) = items.first().and_then(lost).filter(|_| all_lost) {
        return Err(problem);
    }
    let items = items.into_iter().map(|item| item.shown).collect();
    Ok(OpAnswer::of(caller.context.here()?, ItemsView { items, succeeded, failed }))
}

/// An item after parsing.
enum PreparedItem {
    /// It is invalid.
    Refused(ItemResult),
    /// The request is repeated, and this was the response.
    Answered(ItemView, Response),
    /// It is among the proposals.
    Proposed(ItemView),
}

/// What all items of a request share.
struct Making<'a> {
    caller: &'a Caller,
    view: &'a StateView,
    mode: PutMode,
    place: &'static str,
}

impl Making<'_> {
    /// Creates the tasks of one chunk, whose first task is item `first`.
    async fn chunk(&self, first: usize, items: &[Value]) -> Vec<ItemResult> {
        // Parsing a chunk takes milliseconds, so other tasks of the runtime can run in between.
        tokio::task::yield_now().await;
        let mut proposals = Proposals::default();
        let read: Vec<PreparedItem> = items
            .iter()
            .enumerate()
            .map(|(at, body)| self.read(first + at, body, &mut proposals))
            .collect();
        let mut answers = proposals.submit(&self.caller.context).await.into_iter();
        let complete = |read| match read {
            PreparedItem::Refused(bad) => bad,
            PreparedItem::Answered(shown, answer) => complete(shown, Some(Ok(answer))),
            PreparedItem::Proposed(shown) => complete(shown, answers.next()),
        };
        read.into_iter().map(complete).collect()
    }

    fn read(&self, index: usize, body: &Value, proposals: &mut Proposals) -> PreparedItem {
        let name = body.get("name").cloned().unwrap_or_default();
        let mut shown = ItemResult::blank(Some(index), name);
        let mut reading = self.view.reading(&self.caller.context.settings);
        reading.settled = settled(self.view, body);
        let read =
            spec::read(&spec::definition(body), reading).and_then(|spec| match eligibility::check(
                &self.view.state,
                &spec,
                None,
            ) {
                Ok(()) => Ok(spec),
                Err(problem) => Err(vec![problem]),
            });
        let part = self.caller.part(&index.to_string());
        let key = part.as_deref().map(|part| self.caller.under(part));
        let known = key.and_then(|key| self.view.state.first(key).ok().flatten());
        match (read, known) {
            // The item was valid then, but may no longer be, for example because its time has
            // passed.
            (Err(_), Some(known)) => PreparedItem::Answered(shown, known.response.clone()),
            (Err(problems), None) => {
                let problem = OpError::from(problems).below(&format!("{}/{index}", self.place));
                PreparedItem::Refused(ItemResult::bad(shown, problem))
            }
            (Ok(spec), _) => {
                shown.warnings = views::warnings(&self.view.state, &spec);
                let put = Put { mode: self.mode, spec };
                proposals.add(&Command::Put(Box::new(put)), key);
                PreparedItem::Proposed(shown)
            }
        }
    }
}

fn complete(mut shown: ItemView, answer: Option<Result<Response, OpError>>) -> ItemResult {
    let answer = answer.unwrap_or_else(|| Err(OpError::internal("an item was not answered")));
    match answer.and_then(|response| response.map_err(OpError::from)) {
        Err(problem) => ItemResult::bad(shown, problem),
        Ok(answer) => {
            shown.status = CREATED;
            if let Answer::Task { revision, .. } = answer {
                shown.revision = Some(revision.0);
            }
            ItemResult::good(shown)
        }
    }
}
