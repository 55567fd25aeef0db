//! The connections to the other members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::transport::{CallError, Dialer, PeerCaller, Purpose};

use super::acknowledged::Acknowledged;
use super::membership::{ListedMember, MemberList};
use super::network::config_id;

/// The ways to one peer.
pub(super) struct PeerConnections {
    pub id: u16,
    pub dialer: Dialer,
    /// For votes and heartbeats.
    pub control: PeerCaller,
    /// Writes, reads, liveness.
    pub forward: PeerCaller,
    /// Requests that are held until there is news.
    pub watch: PeerCaller,
}

/// The connections to all peers: by configured id, and for Raft, which must know the exact node, by
/// Raft id.
pub(super) struct Peers {
    /// Their acknowledgements to this node as their leader.
    pub acknowledged: Acknowledged,
    make: MakeDialer,
    known: Mutex<PeersById>,
}

type PeersById = BTreeMap<(u16, Option<u64>), Arc<PeerConnections>>;

/// Makes a dialer for a configured id, and for that Raft node if there is one, at an address.
type MakeDialer = Box<dyn Fn(u16, Option<u64>, String) -> Dialer + Send + Sync>;

impl Peers {
    pub fn new(make: impl Fn(u16, Option<u64>, String) -> Dialer + Send + Sync + 'static) -> Self {
        Self {
            acknowledged: Acknowledged::default(),
            make: Box::new(make),
            known: Mutex::default(),
        }
    }

    /// The peer at this address, which counts only when it is not known yet.
    pub fn at(&self, id: u16, addr: &str) -> Arc<PeerConnections> {
        self.find(&mut self.known.lock(), id, None, addr)
    }

    /// The same, if it is this Raft node, at the address of its member where that is known.
    pub fn of_raft(&self, node: u64, addr: &str) -> Arc<PeerConnections> {
        let mut known = self.known.lock();
        let id = config_id(node);
        let addr = known.get(&(id, None)).map_or(addr, |peer| &peer.dialer.addr).to_owned();
        self.find(&mut known, id, Some(node), &addr)
    }

    /// Dials a node at an address that is not its known one, or not known yet.
    pub fn dialer(&self, id: u16, node: Option<u64>, addr: &str) -> Dialer {
        (self.make)(id, node, addr.to_owned())
    }

    /// A connection of its own to a node at an address.
    pub fn alone(&self, id: u16, addr: &str) -> PeerCaller {
        PeerCaller::new(self.dialer(id, None, addr), Purpose::Forward)
    }

    fn find(
        &self,
        known: &mut PeersById,
        id: u16,
        node: Option<u64>,
        addr: &str,
    ) -> Arc<PeerConnections> {
        let peer = known.entry((id, node)).or_insert_with(|| {
            let dialer = (self.make)(id, node, addr.to_owned());
            let control = PeerCaller::new(dialer.clone(), Purpose::Control);
            let forward = PeerCaller::new(dialer.clone(), Purpose::Forward);
            let watch = PeerCaller::new(dialer.clone(), Purpose::Watch);
            Arc::new(PeerConnections { id, dialer, control, forward, watch })
        });
        Arc::clone(peer)
    }

    /// Knows exactly these members but the own, each at its address.
    pub fn follow(&self, list: &MemberList, own: u16) {
        let mut known = self.known.lock();
        known.retain(|(id, node), peer| {
            let stays = |member: &ListedMember| member.peer == peer.dialer.addr;
            list.get(*id).is_some_and(stays) && node.is_none_or(|node| list.nodes().contains(&node))
        });
        for member in list.each().filter(|member| member.id != own) {
            self.find(&mut known, member.id, None, &member.peer);
        }
    }

    /// The peer with the configured id of this Raft node, if it is known.
    pub fn node(&self, node: u64) -> Option<Arc<PeerConnections>> {
        self.member(config_id(node))
    }

    /// The peer with this configured id, if it is known.
    pub fn member(&self, id: u16) -> Option<Arc<PeerConnections>> {
        self.known.lock().get(&(id, None)).cloned()
    }

    /// One for each configured id.
    pub fn all(&self) -> Vec<Arc<PeerConnections>> {
        let known = self.known.lock();
        known.iter().filter(|((_, node), _)| node.is_none()).map(|(_, peer)| peer.clone()).collect()
    }
}

impl PeerConnections {
    /// Sends a long request over a connection of its own, because the shared connection is dropped
    /// as soon as any request on it is late.
    pub async fn ask_alone(
        &self,
        kind: u16,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        PeerCaller::new(self.dialer.clone(), Purpose::Forward).call(kind, body, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::tests::list;
    use super::*;
    use crate::domain::ids::NodeId;
    use crate::transport::{Fabric, PeerIdentity, Tcp};

    fn dialer(id: u16, node: Option<u64>, addr: String) -> Dialer {
        Dialer {
            fabric: Fabric { network: Arc::new(Tcp), random: Arc::new(|_| {}), secret: None },
            local_ip: None,
            addr,
            to_config_id: id,
            node: node.map(NodeId),
            connect_timeout: Duration::from_secs(1),
            identify: Arc::new(|| PeerIdentity {
                level: 1,
                cluster_name: String::new(),
                cluster_id: None,
                node: NodeId(0),
                config_id: 1,
                software: String::new(),
                empty: false,
                boot: None,
            }),
        }
    }

    #[tokio::test]
    async fn peers_follow_the_members() {
        let [a, b, c] = [1, 2, 3].map(|id| NodeId::new(id, 1));
        let peers = Peers::new(dialer);
        let known = |peers: &Peers| -> Vec<(u16, String)> {
            peers.all().iter().map(|peer| (peer.id, peer.dialer.addr.clone())).collect()
        };
        peers.follow(&list(&[(a, "a", true), (b, "b", true)]), 1);
        assert_eq!(known(&peers), [(2, "b".to_owned())]);
        let (stays, raft) = (peers.member(2).unwrap(), peers.of_raft(b.0, "as logged"));
        assert_eq!(raft.dialer.addr, "b");
        peers.follow(&list(&[(a, "a", true), (b, "b", true), (c, "c", false)]), 1);
        assert_eq!(known(&peers), [(2, "b".to_owned()), (3, "c".to_owned())]);
        assert!(Arc::ptr_eq(&stays, &peers.member(2).unwrap()), "its connections stay");
        peers.follow(&list(&[(a, "a", true), (b, "moved", true)]), 1);
        assert_eq!(known(&peers), [(2, "moved".to_owned())]);
        assert_eq!(peers.of_raft(b.0, "as logged").dialer.addr, "moved");
    }
}
