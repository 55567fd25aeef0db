//! How many tasks name each strategy of assignment, including tasks marked deleted.

use std::collections::BTreeMap;

use crate::domain::task::{Strategy, TaskSpec};

/// The number of tasks that name each strategy. A strategy without such tasks has no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyUsers(BTreeMap<Strategy, u32>);

impl StrategyUsers {
    /// Whether a task names the strategy.
    pub fn any(&self, strategy: Strategy) -> bool {
        self.0.contains_key(&strategy)
    }

    /// Counts a new current definition.
    pub fn add(&mut self, spec: Option<&TaskSpec>) {
        if let Some(strategy) = spec.and_then(|spec| spec.assignment.strategy) {
            let users = self.0.entry(strategy).or_default();
            *users = users.saturating_add(1);
        }
    }

    /// Removes a former definition from the counts.
    pub fn remove(&mut self, spec: Option<&TaskSpec>) {
        let Some(strategy) = spec.and_then(|spec| spec.assignment.strategy) else { return };
        let Some(users) = self.0.get_mut(&strategy) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.0.remove(&strategy);
        }
    }
}
