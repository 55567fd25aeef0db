//! What a node needs to own a task, derived from the definition alone. Tasks with equal needs are of
//! one class: a node may own all of them, or none.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{self, Excluded, Included};
use std::sync::Arc;

use super::record::Definition;
use crate::domain::schedule::Rule;
use crate::domain::task::{Action, TaskSpec};

/// What a node needs to carry a task out. Names are `&str`, or `String` where they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeNeed<S> {
    /// Nothing: executors carry it out, any node does, or callers do who claim its ticks.
    Nothing,
    /// To start processes, as this user if it is named.
    Shell(Option<S>),
    /// The function with this name.
    Function(S),
    /// The function with the name of the task, unless an executor declares the task.
    TaskName(S),
}

impl<'a> NodeNeed<&'a str> {
    /// That of a definition. A `manual` task without an action is for callers who claim its ticks.
    #[must_use]
    pub fn of(spec: &'a TaskSpec) -> Self {
        match &spec.action {
            Some(Action::Http(_) | Action::Executor(_)) => Self::Nothing,
            Some(Action::Shell(action)) => Self::Shell(action.user.as_deref()),
            Some(Action::Func { id }) => Self::Function(id),
            None if spec.schedule.rule == Rule::Manual => Self::Nothing,
            None => Self::TaskName(&spec.name),
        }
    }

    fn kept(self) -> NodeNeed<String> {
        match self {
            Self::Nothing => NodeNeed::Nothing,
            Self::Shell(user) => NodeNeed::Shell(user.map(str::to_owned)),
            Self::Function(name) => NodeNeed::Function(name.to_owned()),
            Self::TaskName(name) => NodeNeed::TaskName(name.to_owned()),
        }
    }
}

impl<S> NodeNeed<S> {
    /// The need without its name.
    const fn kind(&self) -> NodeNeed<()> {
        match self {
            Self::Nothing => NodeNeed::Nothing,
            Self::Shell(_) => NodeNeed::Shell(None),
            Self::Function(_) => NodeNeed::Function(()),
            Self::TaskName(_) => NodeNeed::TaskName(()),
        }
    }
}

impl NodeNeed<String> {
    fn as_deref(&self) -> NodeNeed<&str> {
        match self {
            Self::Nothing => NodeNeed::Nothing,
            Self::Shell(user) => NodeNeed::Shell(user.as_deref()),
            Self::Function(name) => NodeNeed::Function(name),
            Self::TaskName(name) => NodeNeed::TaskName(name),
        }
    }
}

/// What a node needs to own a task: the labels of the selector, and what carries the task out. Two
/// are equal if these are, whatever definitions they come from. The order has no meaning.
#[derive(Clone, Debug, Default)]
pub struct OwnerNeeds(Source);

/// Where the needs are written. The most frequent ones are written here, to be compared at once.
#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Nothing,
    Shell,
    Definition(Arc<Definition>),
    Alone(Box<(BTreeMap<String, String>, NodeNeed<String>)>),
}

impl OwnerNeeds {
    /// Those of the tasks with this definition.
    #[must_use]
    pub fn of(definition: &Arc<Definition>) -> Self {
        let spec = &definition.spec;
        Self(match NodeNeed::of(spec) {
            NodeNeed::Nothing if spec.assignment.selector.is_empty() => Source::Nothing,
            NodeNeed::Shell(None) if spec.assignment.selector.is_empty() => Source::Shell,
            _ => Source::Definition(Arc::clone(definition)),
        })
    }

    /// Those with the same selector and another need.
    #[must_use]
    pub fn with(&self, need: NodeNeed<&str>) -> Self {
        let selector = self.selector().cloned().unwrap_or_default();
        Self(Source::Alone(Box::new((selector, need.kept()))))
    }

    /// The labels that a node must have. `None`: it needs no label.
    #[must_use]
    pub fn selector(&self) -> Option<&BTreeMap<String, String>> {
        let selector = match &self.0 {
            Source::Nothing | Source::Shell => return None,
            Source::Definition(definition) => &definition.spec.assignment.selector,
            Source::Alone(alone) => &alone.0,
        };
        Some(selector).filter(|selector| !selector.is_empty())
    }

    /// Those of a task that needs these labels and nothing else.
    fn labels(selector: BTreeMap<String, String>) -> Self {
        Self(Source::Alone(Box::new((selector, NodeNeed::Nothing))))
    }

    /// The selectors with one more label, which follows all others and is held together with them by
    /// a node.
    fn longer(&self, owners: &impl TaskOwners) -> Vec<Self> {
        let selector = self.selector().cloned().unwrap_or_default();
        let last = selector.last_key_value().map(|(key, _)| key.clone());
        let mut labels = BTreeSet::new();
        owners.each_label(self, &mut |key, value| {
            if last.as_deref() < Some(key) {
                labels.insert((key.to_owned(), value.to_owned()));
            }
        });
        let longer = labels.into_iter().map(|label| {
            let mut selector = selector.clone();
            selector.extend([label]);
            Self::labels(selector)
        });
        longer.collect()
    }

    /// Whether the first labels of another selector are those of this one.
    fn begins(&self, other: &Self) -> bool {
        let own = self.selector().into_iter().flatten();
        let other = other.selector().into_iter().flatten();
        other.take(own.clone().count()).eq(own)
    }

    /// What a node needs to carry the task out.
    #[must_use]
    pub fn need(&self) -> NodeNeed<&str> {
        match &self.0 {
            Source::Nothing => NodeNeed::Nothing,
            Source::Shell => NodeNeed::Shell(None),
            Source::Definition(definition) => NodeNeed::of(&definition.spec),
            Source::Alone(alone) => alone.1.as_deref(),
        }
    }

    /// Whether both are certainly the same, without a look at what is written.
    fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Nothing, Source::Nothing) | (Source::Shell, Source::Shell) => true,
            (Source::Definition(one), Source::Definition(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Ord for OwnerNeeds {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.same(other) {
            return Ordering::Equal;
        }
        (self.selector(), self.need()).cmp(&(other.selector(), other.need()))
    }
}

impl PartialOrd for OwnerNeeds {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OwnerNeeds {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OwnerNeeds {}

/// The classes whose needs differ in a name only: that of a user, a function or a task.
#[derive(Clone, Debug)]
pub(super) struct ClassFamily(pub OwnerNeeds);

impl Ord for ClassFamily {
    fn cmp(&self, other: &Self) -> Ordering {
        let (Self(one), Self(other)) = (self, other);
        if one.same(other) {
            return Ordering::Equal;
        }
        (one.selector(), one.need().kind()).cmp(&(other.selector(), other.need().kind()))
    }
}

impl PartialOrd for ClassFamily {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ClassFamily {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ClassFamily {}

impl ClassFamily {
    /// The families among others whose selector a node matches. `first` finds the first one of the
    /// others from a bound on, in their order.
    ///
    /// Families with the same first labels are side by side in this order. So this takes steps for the
    /// labels that a node holds together and that some selector begins with, however many other
    /// selectors there are.
    pub fn held<'a>(
        owners: &impl TaskOwners,
        first: impl Fn(Bound<&Self>) -> Option<&'a Self>,
    ) -> Vec<Self> {
        let (mut held, mut todo) = (Vec::new(), vec![OwnerNeeds::default()]);
        while let Some(labels) = todo.pop() {
            let mut next = first(Included(&Self(labels.clone())));
            while let Some(family) = next.filter(|next| next.0.selector() == labels.selector()) {
                held.push(family.clone());
                next = first(Excluded(family));
            }
            if next.is_some_and(|next| labels.begins(&next.0)) {
                let begins = |longer: &OwnerNeeds| {
                    let next = first(Included(&Self(longer.clone())));
                    next.is_some_and(|next| longer.begins(&next.0))
                };
                todo.extend(labels.longer(owners).into_iter().filter(begins));
            }
        }
        held
    }
}

/// Which tasks nodes may own, by what these need.
pub trait TaskOwners {
    /// Whether a node may own tasks with these needs.
    fn has_owner(&self, needs: &OwnerNeeds) -> bool;

    /// Each label of each node that matches the selector of these needs. Some may come twice.
    fn each_label(&self, needs: &OwnerNeeds, tell: &mut dyn FnMut(&str, &str));

    /// The number of the needs that nodes meet, with this selector and of this kind: an upper bound.
    /// 0: a node may own no such task, whatever its name. `usize::MAX`: every such task.
    fn met_count(&self, needs: &OwnerNeeds) -> usize;

    /// The needs that [`TaskOwners::met_count`] counts, if they are not all. Some may come twice.
    fn each_met(&self, needs: &OwnerNeeds, meet: &mut dyn FnMut(NodeNeed<&str>));
}
