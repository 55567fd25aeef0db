//! Consistency checks across settings.

use std::collections::BTreeSet;

use super::Config;
use super::address::{is_loopback, split};
use super::error::ConfigError;
use super::keys::MEMBERS;
use super::reader::item_origin;
use super::source::Origin;
use crate::domain::time::Millis;

/// Adds an error for each inconsistency.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut check = Check { config, errors };
    check.exposure();
    check.members();
    check.own_address();
    check.times();
    check.output();
}

struct Check<'a> {
    config: &'a Config,
    errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let setting = self.config.settings.get(key);
        let origin = setting.map_or(&Origin::Default, |setting| &setting.origin);
        self.errors.push(origin.error(key, message));
    }

    fn given(&self, key: &str) -> bool {
        self.config.settings.get(key).is_some_and(|setting| setting.origin != Origin::Default)
    }

    /// Whether these keys were parsed without errors. Only then can they be compared.
    fn sound(&self, keys: &[&str]) -> bool {
        !self.errors.iter().any(|error| keys.contains(&error.key.as_str()))
    }

    /// Whether members are configured and all of them are valid.
    fn listed(&self) -> bool {
        let setting = self.config.settings.get(MEMBERS);
        let given = setting.and_then(|setting| setting.value.as_array()).map_or(0, Vec::len);
        given > 0 && self.sound(&[MEMBERS])
    }

    /// A listener that other machines can reach must be protected, unless the operator allows it to
    /// be insecure.
    fn exposure(&mut self) {
        let (http, peer) = (&self.config.http, &self.config.peer);
        if http.enabled && !http.listen.ip().is_loopback() && !http.insecure {
            let message = format!(
                "{} is not loopback: anyone who reaches it could do anything; set http.insecure = \
                 true if only friends do",
                http.listen
            );
            self.refuse("http.listen", message);
        }
        let secret = self.config.cluster.secret.is_some() || !self.sound(&["cluster.secret"]);
        if !peer.listen.ip().is_loopback() && !peer.insecure && !secret {
            let message = format!(
                "{} is not loopback: anyone who reaches it could give commands; set \
                 cluster.secret, or peer.insecure = true",
                peer.listen
            );
            self.refuse("peer.listen", message);
        }
    }

    fn members(&mut self) {
        if !self.listed() {
            return;
        }
        let config = self.config;
        let members = &config.cluster.members;
        let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (index, member) in members.iter().enumerate() {
            let mut rules = Vec::new();
            if !ids.insert(member.id) {
                rules.push(format!("id {} stands twice", member.id));
            }
            if !addresses.insert(&member.peer) {
                rules.push(format!("peer {} stands twice", member.peer));
            }
            let setting = config.settings.get(MEMBERS);
            let origin = setting.map_or(Origin::Default, |setting| item_origin(setting, index));
            self.errors.extend(rules.iter().map(|rule| origin.error(MEMBERS, rule)));
        }
        let here =
            |here: bool| members.iter().find(|member| is_loopback(&member.peer) == Some(here));
        if let (Some(inside), Some(outside)) = (here(true), here(false)) {
            let message = format!(
                "member {} at {} cannot be reached from member {} at {}",
                inside.id, inside.peer, outside.id, outside.peer
            );
            self.refuse(MEMBERS, message);
        }
        let list = || ids.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        if !self.given("node.id") {
            self.refuse("node.id", format!("must say which member this node is: {}", list()));
        } else if config.this_member().is_none() {
            self.refuse("node.id", format!("must be one of the members {}", list()));
        }
    }

    /// Peers must be able to reach this node at the address in the member list.
    fn own_address(&mut self) {
        if !self.listed() || !self.sound(&["peer.listen", "node.id"]) {
            return;
        }
        let Some(member) = self.config.this_member() else { return };
        let listen = self.config.peer.listen;
        let (Some((_, port)), true) = (split(&member.peer), listen.ip().is_loopback()) else {
            return;
        };
        // There is no address translation in front of a loopback listener, so the ports must be
        // equal.
        if is_loopback(&member.peer) == Some(false) || port != listen.port() {
            let message = format!(
                "is {listen}, but the other members reach this node at {} (member {})",
                member.peer, member.id
            );
            self.refuse("peer.listen", message);
        }
    }

    fn output(&mut self) {
        let output = &self.config.actions.output;
        if output.kept_bytes < output.live_bytes.saturating_mul(2) {
            let message = format!(
                "is {}, must be at least twice live_bytes ({})",
                output.kept_bytes, output.live_bytes
            );
            self.refuse("actions.output.kept_bytes", message);
        }
    }

    fn times(&mut self) {
        let (raft, limits) = (&self.config.raft, &self.config.limits);
        let rules = [
            (
                raft.heartbeat.0.saturating_mul(2) > raft.election_min.0,
                "raft.heartbeat",
                format!(
                    "is {}, must be at most half of election_min ({})",
                    raft.heartbeat, raft.election_min
                ),
            ),
            (
                raft.election_max <= raft.election_min,
                "raft.election_max",
                format!(
                    "is {}, must be longer than election_min ({})",
                    raft.election_max, raft.election_min
                ),
            ),
            (
                limits.failover_timeout <= sum(limits.down_after, raft.election_max),
                "limits.failover_timeout",
                format!(
                    "is {}, must be longer than down_after ({}) and raft.election_max ({})",
                    limits.failover_timeout, limits.down_after, raft.election_max
                ),
            ),
        ];
        let compared = [
            "raft.heartbeat",
            "raft.election_min",
            "raft.election_max",
            "limits.failover_timeout",
            "limits.down_after",
        ];
        if !self.sound(&compared) {
            return;
        }
        for (_, key, message) in rules.into_iter().filter(|(broken, ..)| *broken) {
            self.refuse(key, message);
        }
    }
}

fn sum(a: Millis, b: Millis) -> Millis {
    Millis(a.0.saturating_add(b.0))
}
