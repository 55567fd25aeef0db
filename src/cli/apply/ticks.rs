//! What a change of a schedule means for the next ticks of a task.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::super::context::CliContext;
use super::super::exit::{Exit, Failure};
use super::super::fetch::typed;
use super::compare::WantedTasks;
use super::known::{ComparedTask, KnownCluster};
use super::{ApplyItem, ApplyResult, ObjectKind, TicksChange};
use crate::client::path;
use crate::config::Definitions;
use crate::domain::schedule::Plan;
use crate::domain::task::TaskSpec;
use crate::domain::time::Timestamp;
use crate::dto::{NextTick, NextView, TaskBody};
use crate::ops::preview;

/// Number of ticks that are shown.
const TICKS: usize = 3;
/// Requests at once.
const AT_ONCE: usize = 8;

/// Adds the next ticks before and after the change to each task whose schedule changes.
pub(super) async fn add(
    items: &mut [ApplyItem],
    wanted: &WantedTasks,
    files: &Definitions,
    known: &KnownCluster,
    context: &CliContext,
) -> Result<(), Failure> {
    let now = context.out.clock().now();
    let client = context.client()?;
    let changed = items.iter_mut().filter(|item| item.is(ObjectKind::Task, ApplyResult::Changed));
    let about = changed.filter_map(|item| {
        let spec = wanted.get(&item.name)?;
        let former = known.tasks.get(&item.name)?;
        let body = &former.task.as_ref().ok()?.body;
        let new = TaskBody::from(spec);
        let same = body.schedule == new.schedule;
        let ticks_alike = same && body.enabled == new.enabled && body.one_shot == new.one_shot;
        (!ticks_alike).then_some((item, spec, former, body, same))
    });
    let about: Vec<_> = about.collect();
    let asked = stream::iter(about).map(|(item, spec, former, body, same)| async move {
        let query = [("n", TICKS.to_string())];
        let reply = client.get(&path(["tasks", &item.name, "next"]), &query).await?;
        let listed = typed::<NextView>(&reply.body, Exit::NotAccepted)?.items;
        let after = if same && !spec.one_shot {
            listed.clone()
        } else {
            foretell(spec, former, files, known, now)
        };
        let of = |enabled: bool, ticks| if enabled { ticks } else { Vec::new() };
        let before = of(body.enabled, listed);
        item.next_ticks = Some(TicksChange { before, after: of(spec.enabled, after) });
        Ok::<(), Failure>(())
    });
    let asked: Vec<Result<(), Failure>> = asked.buffered(AT_ONCE).collect().await;
    asked.into_iter().collect()
}

/// The next ticks of a definition that is set now.
fn foretell(
    spec: &TaskSpec,
    former: &ComparedTask,
    files: &Definitions,
    known: &KnownCluster,
    now: Timestamp,
) -> Vec<NextTick> {
    let calendar =
        |name: &String| files.calendar(name).map(Arc::clone).or_else(|| known.calendar(name));
    let excluded: Vec<_> = spec.schedule.exclude.iter().filter_map(calendar).collect();
    let plan = Plan::excluding(&spec.schedule, &spec.name, &known.zone, now, excluded);
    let Ok(plan) = plan else { return Vec::new() };
    let left = match (spec.one_shot, spec.schedule.max_ticks) {
        (true, _) => 1_u64.saturating_sub(former.fired),
        (false, Some(max)) => max.saturating_sub(former.fired),
        (false, None) => u64::MAX,
    };
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let ticks = std::iter::successors(plan.next_noted(now), |tick| plan.next_noted(tick.at));
    ticks.take(TICKS.min(left)).map(|tick| preview::tick(&plan, &tick)).collect()
}
