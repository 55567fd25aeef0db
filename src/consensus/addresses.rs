//! Where members say that they are.
//!
//! A node tells its peers its own addresses with every poll of their clocks. A peer that knows it
//! elsewhere dials the new address, and believes it when that node answers there. So a member can
//! move while the settings of the others name its former address; the leader then changes the
//! address in the membership of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::life;
use crate::transport::Purpose;

use super::core::RaftCore;
use super::network::config_id;
use super::types::RaftMember;
use super::wire::{self, Malformed, WireReader};

/// The addresses at which nodes were reached, by Raft id.
pub(super) type ReachedAddresses = BTreeMap<u64, RaftMember>;

/// The addresses that members announce.
pub(super) struct AnnouncedAddresses {
    /// This node's own.
    pub own: RaftMember,
    /// Those at which others were reached.
    pub reached: watch::Sender<ReachedAddresses>,
    /// The nodes that are being dialled.
    dialling: Mutex<BTreeSet<u64>>,
}

impl AnnouncedAddresses {
    pub fn new(own: RaftMember) -> Self {
        let (reached, dialling) = (watch::Sender::default(), Mutex::default());
        Self { own, reached, dialling }
    }

    /// This node's addresses, as a poll carries them.
    pub fn announcement(&self) -> Bytes {
        let mut out = BytesMut::new();
        wire::put_text(&mut out, &self.own.peer);
        wire::put_text(&mut out, &self.own.http);
        out.freeze()
    }
}

fn read(body: Bytes) -> Result<RaftMember, Malformed> {
    let mut reader = WireReader(body);
    let member = RaftMember { peer: reader.text()?, http: reader.text()? };
    reader.end()?;
    Ok(member)
}

/// Notes what a peer announces, if it is a member and answers there. An empty body says nothing.
pub(super) fn heard(core: &Arc<RaftCore>, from: u64, body: Bytes) -> Result<(), Malformed> {
    if body.is_empty() {
        return Ok(());
    }
    let mut told = read(body)?;
    let members = core.members.borrow();
    let Some(known) = members.iter().find(|member| member.node == from) else { return Ok(()) };
    if told.http.is_empty() {
        told.http.clone_from(&known.http);
    }
    let same = known.peer == told.peer && known.http == told.http;
    if same || !core.announced.dialling.lock().insert(from) {
        return Ok(());
    }
    let core = Arc::clone(core);
    life::spawn(async move {
        let dialer = core.peers.dialer(config_id(from), Some(from), &told.peer);
        match dialer.connect(Purpose::Forward).await {
            Ok(_answers) => {
                tracing::info!("n{} is at {} now", config_id(from), told.peer);
                core.announced.reached.send_modify(|reached| {
                    reached.insert(from, told);
                });
            }
            Err(error) => tracing::debug!(%error, "a member is not where it says"),
        }
        core.announced.dialling.lock().remove(&from);
    });
    Ok(())
}
