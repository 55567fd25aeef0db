//! What came of the files of a node, and how the cluster differs from them.

use std::collections::BTreeSet;

use super::{FileSet, LastReading};
use crate::domain::declared::{self, Prune, Standing};
use crate::domain::machine::record::FilesRecord;
use crate::dto::{DriftItem, DriftView, NodeFilesView, Rfc3339};
use crate::ops::context::{Context, StateView};
use crate::ops::views;

/// The files of this node against the cluster.
pub(crate) fn show(context: &Context, view: &StateView) -> DriftView {
    let LastReading { at, problems, set, refused, applied } = context.files.last();
    let mut items = set.as_ref().map_or_else(Vec::new, |set| items(view, set, context.files.prune));
    for item in &mut items {
        let kind = if &*item.kind == "task" { "task" } else { "calendar" };
        item.refused = refused.get(&(kind, item.name.clone())).cloned();
    }
    let reads = !context.files.paths().is_empty();
    let own = view.state.files_of(view.own).filter(|_| reads);
    let set = set.as_deref();
    DriftView {
        node: context.settings.node_name.clone(),
        paths: context.files.paths().iter().map(|path| path.display().to_string()).collect(),
        read_at: at.map(Rfc3339),
        problems,
        hash: set.map(|set| hex(set.hash)),
        in_force: own.is_some_and(|own| in_force(view, own, set)),
        hash_in_force: view.state.files_in_force().map(|set| hex(set.hash)),
        tasks: set.map_or(0, |set| set.tasks().count() as u64),
        calendars: set.map_or(0, |set| set.calendars().count() as u64),
        applied,
        nodes: nodes(view, reads),
        items,
    }
}

/// What each node told. This one only if it reads files: the only node does not take back what it
/// told.
fn nodes(view: &StateView, reads: bool) -> Vec<NodeFilesView> {
    let one = |(node, files): (_, &FilesRecord)| NodeFilesView {
        node: views::node_name(&view.state, node),
        hash: (files.hash != 0).then(|| hex(files.hash)),
        in_force: declared::in_force(&view.state, files),
        complete: files.complete,
        problems: files.problems,
    };
    view.state.files().filter(|(node, _)| reads || *node != view.own).map(one).collect()
}

/// Whether what was read last is in force: what this node told before may be in force still.
fn in_force(view: &StateView, own: &FilesRecord, set: Option<&FileSet>) -> bool {
    declared::in_force(&view.state, own) && set.is_none_or(|set| set.hash == own.hash)
}

/// Long enough to tell sets apart.
pub(crate) fn hex(hash: u128) -> String {
    format!("{:016x}", hash >> 64)
}

fn items(view: &StateView, set: &FileSet, prune: Prune) -> Vec<DriftItem> {
    let mut items = Vec::new();
    let mut add = |kind: &'static str, name: &str, standing: Standing, place: Option<String>| {
        if standing != Standing::InStep {
            let (kind, standing, name) = (kind.into(), standing.word().into(), name.to_owned());
            items.push(DriftItem { kind, name, standing, place, refused: None });
        }
    };
    let state = &view.state;
    for (task, hash) in set.tasks() {
        let standing = declared::task_standing(state, &task.name, hash);
        if standing != Standing::InStep {
            add("task", &task.name, standing, Some(set.place(task)));
        }
    }
    for (calendar, hash) in set.calendars() {
        let standing = declared::calendar_standing(state, &calendar.body, hash);
        add("calendar", &calendar.name, standing, Some(set.place(calendar)));
    }
    let wanted: BTreeSet<&str> = set.tasks().map(|(task, _)| task.name.as_str()).collect();
    for (task, standing) in declared::gone_tasks(state, &wanted, prune) {
        add("task", &task.live.name, standing, None);
    }
    let wanted: BTreeSet<&str> = set.calendars().map(|(one, _)| one.name.as_str()).collect();
    for (calendar, standing) in declared::gone_calendars(state, &wanted, prune) {
        add("calendar", &calendar.name, standing, None);
    }
    items
}
