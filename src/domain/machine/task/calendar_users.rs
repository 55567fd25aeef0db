//! How many tasks exclude each calendar, including tasks marked deleted.

use std::sync::Arc;

use imbl::OrdMap;

use crate::domain::task::TaskSpec;

/// The number of tasks that exclude each calendar. A calendar without such tasks has no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarUsers(OrdMap<Arc<str>, u32>);

impl CalendarUsers {
    /// Whether a task excludes the calendar.
    pub fn any(&self, calendar: &str) -> bool {
        self.0.contains_key(calendar)
    }

    /// Counts a new current definition.
    pub fn add(&mut self, spec: Option<&TaskSpec>) {
        self.change(spec, |users| users.saturating_add(1));
    }

    /// Removes a former definition from the counts.
    pub fn remove(&mut self, spec: Option<&TaskSpec>) {
        self.change(spec, |users| users.saturating_sub(1));
    }

    fn change(&mut self, spec: Option<&TaskSpec>, next: impl Fn(u32) -> u32) {
        for name in spec.into_iter().flat_map(|spec| &spec.schedule.exclude) {
            let users = next(self.0.get(&**name).copied().unwrap_or(0));
            let name: Arc<str> = name.as_str().into();
            if users == 0 {
                self.0.remove(&name);
            } else {
                self.0.insert(name, users);
            }
        }
    }
}
