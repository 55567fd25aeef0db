//! How often a process that leaves looks through all live executions.

use super::world::EngineWorld;
use crate::domain::ids::ExecutionId;
use crate::engine::left::GrantsLeft;
use crate::stories::StoryWorld;

fn live(world: &EngineWorld, task: &str) -> Vec<ExecutionId> {
    let task = world.state.named(task).expect("a task");
    task.live_executions().map(|one| one.id).collect()
}

#[test]
fn what_others_run_is_looked_at_once_and_once_more_at_the_end() {
    let mut world = EngineWorld::default();
    let lines = ["at 12:00:00.000", "up n1", "up n2", "register", "working n1", "working n2"];
    lines.iter().for_each(|line| drop(world.line(line)));
    // What waits on the other node is no reason to stay.
    let lines = ["add b manual on=n1", "add c manual on=n2", "trigger b", "trigger b", "trigger c"];
    lines.iter().chain(&["apply"]).for_each(|line| drop(world.line(line)));
    let granted = live(&world, "b");
    assert_eq!((granted.len(), live(&world, "c").len()), (2, 1));

    let mut left = GrantsLeft::default();
    let mut any = |world: &EngineWorld| (left.any(&world.state, world.session), left.walks);
    assert!((0..100).all(|_| any(&world) == (true, 1)));
    world.line(&format!("finish b e=e{}", granted[0]));
    assert_eq!(any(&world), (true, 1));
    // A grant that came meanwhile is found at the end.
    world.line("trigger b");
    world.line("apply");
    world.line(&format!("finish b e=e{}", granted[1]));
    assert_eq!(any(&world), (true, 2));
    let last = live(&world, "b");
    world.line(&format!("finish b e=e{}", last[0]));
    assert_eq!((last.len(), any(&world)), (1, (false, 3)));
}
