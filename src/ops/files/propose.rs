//! Brings the cluster in step with the files of this node, where their definitions are in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::FileSet;
use crate::domain::declared::{self, FilesTurn, Prune, Standing, WithoutFiles};
use crate::domain::ids::Revision;
use crate::domain::machine::command::{Declare, DeclaredObject, FilesRead, FilesStep};
use crate::domain::machine::{Command, Refusal};
use crate::dto::{DriftApplied, Rfc3339};
use crate::ops::context::{Context, Freshness, StateView};
use crate::ops::error::OpError;
use crate::ops::proposals::Proposals;

/// Looks at the state before it gives way to others.
const ROUNDS_MAX: usize = 100;

/// How the files of this node stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilesOutcome {
    /// Nothing was read yet without problems.
    Unread,
    /// Their definitions are in force, and everything of them was proposed.
    InStep,
    /// Those of these nodes are in force, which are others.
    Different(Vec<String>),
}

/// What is to be proposed for a name.
struct DeclareAct {
    kind: &'static str,
    name: String,
    counted: DeclareCount,
    object: DeclaredObject,
    if_match: Option<Revision>,
}

#[derive(Clone, Copy)]
enum DeclareCount {
    Added,
    Changed,
    Removed,
}

/// What came of the proposals of one set.
#[derive(Default)]
struct DeclareTally {
    added: u64,
    changed: u64,
    removed: u64,
    refused: BTreeMap<(&'static str, String), String>,
}

/// Takes a reading: what is wrong with it in this cluster leaves the definitions of the one before.
///
/// # Errors
/// The state cannot be read now.
pub(crate) async fn take(
    context: &Context,
    reading: Result<FileSet, Vec<String>>,
) -> Result<Vec<String>, OpError> {
    let view = context.view(Freshness::default()).await?;
    let checked = reading.and_then(|set| {
        let problems = set.problems(&view, &context.settings);
        if problems.is_empty() { Ok(Arc::new(set)) } else { Err(problems) }
    });
    let problems = checked.as_ref().err().cloned().unwrap_or_default();
    context.files.note(context.clock.now(), checked);
    let count = u32::try_from(problems.len()).unwrap_or(u32::MAX);
    let told = view.state.files_of(view.own).map_or(0, |own| own.problems);
    if count > 0 && count != told {
        tell(context, &view, FilesStep::Broken(count)).await?;
    }
    Ok(problems)
}

/// Tells that this node reads no files, if it did before and others are to know. False: it is to be
/// looked at again later.
///
/// # Errors
/// The cluster cannot be told now.
pub(crate) async fn tell_none(context: &Context) -> Result<bool, OpError> {
    let view = context.view(Freshness::default()).await?;
    match declared::without_files(&view.state, view.own) {
        WithoutFiles::Nothing => Ok(true),
        WithoutFiles::Waits => Ok(false),
        WithoutFiles::TakesBack => tell(context, &view, FilesStep::None).await.map(|()| true),
    }
}

/// Proposes what is to be proposed for the last reading.
///
/// # Errors
/// The cluster does not take proposals now, or others propose at the same time; to be repeated.
pub(crate) async fn step(context: &Context) -> Result<FilesOutcome, OpError> {
    let last = context.files.last();
    // As long as its files have problems, it proposes nothing.
    let Some(set) = last.set.filter(|_| last.problems.is_empty()) else {
        return Ok(FilesOutcome::Unread);
    };
    let mut tally = DeclareTally::default();
    for _ in 0..ROUNDS_MAX {
        let view = context.view(Freshness::default()).await?;
        match declared::turn(&view.state, view.own, set.hash) {
            FilesTurn::InStep => {
                tally.note(context, false);
                return Ok(FilesOutcome::InStep);
            }
            FilesTurn::Different => return Ok(FilesOutcome::Different(who_is_in_force(&view))),
            FilesTurn::Tell => tell(context, &view, FilesStep::Tell(set.hash)).await?,
            FilesTurn::Begin => tell(context, &view, FilesStep::Begin(set.hash)).await?,
            FilesTurn::Propose(number) => {
                let acts = acts(context, &view, &set, &mut tally.refused);
                if acts.is_empty() {
                    tell(context, &view, FilesStep::Complete(set.hash)).await?;
                    tally.note(context, true);
                    tally = DeclareTally::default();
                } else {
                    propose(context, number, acts, &mut tally).await?;
                }
            }
        }
    }
    let what = "others change what the files define faster than this node can follow";
    Err(OpError::new(crate::domain::error_code::ErrorCode::NotAccepted, what))
}

/// The names of the nodes whose files have the definitions in force.
pub(super) fn who_is_in_force(view: &StateView) -> Vec<String> {
    let with = view.state.files().filter(|(_, files)| declared::in_force(&view.state, files));
    with.map(|(node, _)| crate::ops::views::node_name(&view.state, node)).collect()
}

async fn tell(context: &Context, view: &StateView, step: FilesStep) -> Result<(), OpError> {
    let session = context.running()?.engine.session();
    let session = session.ok_or_else(|| OpError::no_leader("the node is not registered yet"))?;
    let command = Command::FilesRead(FilesRead { node: view.own, session, step });
    match context.submit(&command, None).await? {
        // The set in force is another one by now, which the next look shows.
        Ok(_) | Err(Refusal::Order) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// What is to be proposed next: calendars that tasks may exclude, then tasks, then the removal of
/// calendars. Empty: nothing is left. What is known as refused is left out.
fn acts(
    context: &Context,
    view: &StateView,
    set: &FileSet,
    refused: &mut BTreeMap<(&'static str, String), String>,
) -> Vec<DeclareAct> {
    let prune = context.files.prune;
    let calendars: Vec<DeclareAct> = set
        .calendars()
        .filter_map(|(calendar, hash)| {
            let standing = declared::calendar_standing(&view.state, &calendar.body, hash);
            let (counted, if_match) = put(standing)?;
            let object = DeclaredObject::Calendar { calendar: (*calendar.body).clone(), hash };
            let (kind, name) = ("calendar", calendar.name.clone());
            Some(DeclareAct { kind, name, counted, object, if_match })
        })
        .filter(|act| !refused.contains_key(&(act.kind, act.name.clone())))
        .collect();
    if !calendars.is_empty() {
        return calendars;
    }
    let mut acts = Vec::new();
    for (task, hash) in set.tasks() {
        let standing = declared::task_standing(&view.state, &task.name, hash);
        let Some((counted, if_match)) = put(standing) else { continue };
        let (kind, name) = ("task", task.name.clone());
        if refused.contains_key(&(kind, name.clone())) {
            continue;
        }
        match set.definition(task, view, &context.settings) {
            Ok(spec) => {
                let object = DeclaredObject::Task { spec, hash };
                acts.push(DeclareAct { kind, name, counted, object, if_match });
            }
            Err(why) => drop(refused.insert((kind, name), why)),
        }
    }
    acts.extend(gone_tasks(view, set, prune));
    acts.retain(|act| !refused.contains_key(&(act.kind, act.name.clone())));
    if acts.is_empty() {
        acts.extend(gone_calendars(view, set, prune));
        acts.retain(|act| !refused.contains_key(&(act.kind, act.name.clone())));
    }
    acts
}

/// How a name that the files have is proposed; none: it is not.
const fn put(standing: Standing) -> Option<(DeclareCount, Option<Revision>)> {
    match standing {
        Standing::Missing => Some((DeclareCount::Added, None)),
        Standing::Outdated(revision) => Some((DeclareCount::Changed, Some(revision))),
        _ => None,
    }
}

fn gone_tasks(view: &StateView, set: &FileSet, prune: Prune) -> Vec<DeclareAct> {
    let wanted: BTreeSet<&str> = set.tasks().map(|(task, _)| task.name.as_str()).collect();
    let gone = declared::gone_tasks(&view.state, &wanted, prune).into_iter();
    gone.filter_map(|(task, standing)| {
        let Standing::Gone(revision) = standing else { return None };
        let name = task.live.name.to_string();
        let object = match prune {
            Prune::Delete => DeclaredObject::TaskGone(name.clone()),
            Prune::Disable => {
                let mut spec = task.spec()?.clone();
                spec.enabled = false;
                DeclaredObject::Task { spec, hash: 0 }
            }
        };
        let (counted, if_match) = (DeclareCount::Removed, Some(revision));
        Some(DeclareAct { kind: "task", name, counted, object, if_match })
    })
    .collect()
}

fn gone_calendars(view: &StateView, set: &FileSet, prune: Prune) -> Vec<DeclareAct> {
    let wanted: BTreeSet<&str> = set.calendars().map(|(one, _)| one.name.as_str()).collect();
    let gone = declared::gone_calendars(&view.state, &wanted, prune).into_iter();
    gone.filter_map(|(calendar, standing)| {
        let Standing::Gone(revision) = standing else { return None };
        let name = calendar.name.clone();
        let object = DeclaredObject::CalendarGone(name.clone());
        let (counted, if_match) = (DeclareCount::Removed, Some(revision));
        Some(DeclareAct { kind: "calendar", name, counted, object, if_match })
    })
    .collect()
}

async fn propose(
    context: &Context,
    set: Revision,
    acts: Vec<DeclareAct>,
    tally: &mut DeclareTally,
) -> Result<(), OpError> {
    let mut proposals = Proposals::by(&format!("files:{}", context.settings.node_name));
    let mut told = Vec::with_capacity(acts.len());
    for DeclareAct { kind, name, counted, object, if_match } in acts {
        proposals.add(&Command::Declare(Box::new(Declare { set, object, if_match })), None);
        told.push((kind, name, counted));
    }
    let answers = proposals.submit(context).await;
    for ((kind, name, counted), answer) in told.into_iter().zip(answers) {
        match answer? {
            Ok(_) => tally.count(counted),
            // Somebody else was faster: the next look shows how it stands.
            Err(Refusal::RevisionMismatch { .. } | Refusal::TaskExists | Refusal::TaskDeleted) => {}
            Err(refusal) => {
                let why = OpError::from(refusal).detail().to_owned();
                tally.refused.insert((kind, name), why);
            }
        }
    }
    Ok(())
}

impl DeclareTally {
    fn count(&mut self, counted: DeclareCount) {
        match counted {
            DeclareCount::Added => self.added += 1,
            DeclareCount::Changed => self.changed += 1,
            DeclareCount::Removed => self.removed += 1,
        }
    }

    /// Keeps and logs what was done, if anything was, or if all was done.
    fn note(&self, context: &Context, whole: bool) {
        let Self { added, changed, removed, refused } = self;
        if !whole && added + changed + removed == 0 && refused.is_empty() {
            return;
        }
        for ((kind, name), why) in refused {
            tracing::warn!("{kind} {name} of the files was refused: {why}");
        }
        let refused_count = u64::try_from(refused.len()).unwrap_or(u64::MAX);
        tracing::info!(
            added,
            changed,
            removed,
            refused = refused_count,
            "the cluster is in step with the files of this node"
        );
        let applied = DriftApplied {
            at: Rfc3339(context.clock.now()),
            added: *added,
            changed: *changed,
            removed: *removed,
            refused: refused_count,
        };
        context.files.note_applied(refused.clone(), applied);
    }
}
