//! How many tasks a change of the members makes this node look at.

use super::world::{EngineWorld, OWN};
use crate::domain::assign::Members;
use crate::domain::ids::NodeId;
use crate::stories::StoryWorld;

/// In several parts of the pass over all tasks.
const TASKS: usize = 2_300;

fn play(world: &mut EngineWorld, lines: &[&str]) {
    for line in lines {
        world.line(line);
    }
}

/// Which tasks the node owns, by its own look at the state.
fn owned(world: &EngineWorld) -> Vec<String> {
    let members = Members::of(&world.state);
    let own = world.state.tasks().filter(|task| members.owner(task) == Some(OWN));
    own.map(|task| task.live.name.to_string()).collect()
}

#[test]
fn only_the_tasks_that_move_here_are_assessed() {
    let mut world = EngineWorld::default();
    play(&mut world, &["at 12:00:00.000", "up n1", "up n2", "up n3", "register"]);
    play(&mut world, &["working n1", "working n2", "working n3"]);
    for number in 0..TASKS {
        world.line(&format!("add t{number} every {}s", 600 + number));
    }
    for (change, moves) in [
        ("down n3", true),
        ("slots n2 7", false),
        ("intent n3 draining", false),
        ("working n3", false),
        ("intent n3 none", true),
        ("strategy hash_slot", true),
        ("strategy round_robin", true),
        ("weight n2 0", true),
        ("weight n2 3", true),
        ("working n2", false),
    ] {
        let before = owned(&world);
        let alarms = world.alarms.len();
        world.assessed = 0;
        world.line(change);
        let after = owned(&world);
        let gained: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
        assert_eq!(world.assessed, gained.len(), "{change}");
        assert!(world.alarms.len() <= alarms + gained.len(), "{change}");
        assert_eq!(before != after, moves, "{change}");
        assert!(gained.len() < TASKS, "{change}");
        // Each task that it owns has an alarm, whatever moved it here.
        for name in &after {
            let key = world.task(name);
            assert!(world.alarms.iter().any(|(_, task)| *task == key), "{change}: {name}");
        }
    }
    assert_eq!(Members::of(&world.state).eligible().count(), 3);
    assert_eq!(world.sessions.keys().copied().collect::<Vec<NodeId>>().len(), 3);
}
