//! Executors: services outside the cluster that register and carry executions out on request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::Revision;
use super::time::Timestamp;

/// Tasks that one executor may declare.
pub const DECLARED_MAX: usize = 10_000;

/// Whether an executor is given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExecutorStatus {
    /// It answers.
    Online,
    /// It does not answer.
    Offline,
    /// An operator holds work back, whether it answers or not.
    Maintenance,
}

impl ExecutorStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Online, Self::Offline, Self::Maintenance];

    /// The status that a word names.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// How every interface names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What an executor tells of itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorInfo {
    /// Its identity.
    pub id: String,
    /// The service that it is an instance of; several executors may share it.
    pub name: String,
    /// Where it takes requests.
    pub base_url: String,
    /// Where it says that it works; none: its heartbeats say so.
    pub health_check_url: Option<String>,
    /// Its share of work; 0: none.
    pub weight: u32,
    /// Executions at once; 0: no limit.
    pub capacity: u32,
    /// For people.
    pub metadata: BTreeMap<String, String>,
    /// Names of the tasks that it carries out, in order, each once.
    pub tasks: Vec<String>,
}

/// An executor that registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorRecord {
    /// What it told at its last registration.
    pub info: ExecutorInfo,
    /// Whether it is given work.
    pub status: ExecutorStatus,
    /// Why it has this status.
    pub reason: String,
    /// Since when it does not answer, whatever its status; none: it answers.
    pub offline_since: Option<Timestamp>,
    /// Its first registration.
    pub registered_at: Timestamp,
    /// Its last registration or heartbeat.
    pub renewed_at: Timestamp,
    /// The command that last changed it; renewals that change nothing else leave it.
    pub revision: Revision,
}

impl ExecutorRecord {
    /// Whether one more execution may be given to it, beside so many that it has.
    #[must_use]
    pub const fn takes(&self, in_flight: u32) -> bool {
        matches!(self.status, ExecutorStatus::Online)
            && (self.info.capacity == 0 || in_flight < self.info.capacity)
    }

    /// Whether a definition that names executors means this one: by its id, or by the name that it
    /// shares with others.
    #[must_use]
    pub fn is_one_of(&self, names: &[String]) -> bool {
        names.iter().any(|name| *name == self.info.name || *name == self.info.id)
    }
}
