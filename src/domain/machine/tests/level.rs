//! The level of the cluster.

use super::super::LEVEL;
use super::super::command::{Command, NodeLiveness, NodeUp};
use super::super::record::Liveness;
use super::{TestWorld, node_info};
use crate::domain::ids::{NodeId, SessionId};

fn up(world: &mut TestWorld, number: u16, boot: u128, level: u16) -> SessionId {
    let node = NodeId::new(number, 1);
    let mut info = node_info(number.into());
    info.level = level;
    world.accept(&Command::NodeUp(Box::new(NodeUp { node, boot, info })));
    world.state.node(node).unwrap().session
}

#[test]
fn it_is_the_lowest_of_the_live_members() {
    let mut world = TestWorld::new();
    assert_eq!(world.state.level(), 1);
    up(&mut world, 1, 1, 2);
    let old = up(&mut world, 2, 2, 1);
    assert_eq!(world.state.level(), 1);
    let node = NodeId::new(2, 1);
    let down = NodeLiveness { node, session: old, liveness: Liveness::Down };
    world.accept(&Command::NodeLiveness(down));
    assert_eq!(world.state.level(), 2, "a node that is down does not count");
    up(&mut world, 2, 3, 2);
    up(&mut world, 3, 4, 3);
    assert_eq!(world.state.level(), 2);
}

#[test]
fn every_kind_has_a_level_that_this_software_knows() {
    let levels = Command::KINDS.iter().map(|(kind, _)| Command::level_of(*kind));
    assert!(levels.into_iter().all(|level| (1..=LEVEL).contains(&level)));
}
