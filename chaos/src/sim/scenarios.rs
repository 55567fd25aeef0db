//! Single situations that seeds seldom meet, each set up by hand.

use std::sync::Arc;
use std::time::Duration;

use punctual::domain::assign::Members;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::clients;
use super::plan::RunPlan;
use super::world::SimWorld;

/// Runs a situation in virtual time.
fn run(situation: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(situation);
}

/// A cluster of five that works, without any trouble.
async fn five() -> Arc<SimWorld> {
    let mut plan = RunPlan::of(1, Some(5), 1, false, None);
    plan.calm = true;
    (plan.shape.loss, plan.shape.twice) = (0, 0);
    plan.steady = 24;
    let world = SimWorld::new(plan);
    for index in 0..5 {
        world.start(index);
    }
    sleep(Duration::from_secs(6)).await;
    clients::set_up(&world).await;
    world
}

fn ahead(world: &SimWorld, index: usize, ms: i64) {
    let clocks = world.machines.lock()[index].clocks.clone();
    clocks.set(ms, 0);
}

/// Members may be half a second apart: the leader and two others agree on one time; an owner that is
/// cut off from these two, but not from the leader, agrees with another on a time 400 ms later. What it
/// proposes then lies ahead of the leader's stamps.
#[test]
fn an_owner_whose_time_is_ahead_of_the_leader_s_settles_all_the_same() {
    run(async {
        let world = five().await;
        let first = world.leader().unwrap();
        let others: Vec<usize> = (0..5).filter(|index| *index != first).collect();
        let [owner, friend, one, two] = others[..] else { unreachable!() };
        let cut = [(owner, one), (one, owner), (owner, two), (two, owner)];
        world.common.net.cut(&cut);
        for index in [first, one, two] {
            ahead(&world, index, -400);
        }
        for index in [owner, friend] {
            ahead(&world, index, 0);
        }
        sleep(Duration::from_secs(20)).await;
        assert_eq!(world.leader(), Some(first), "nobody else leads");
        let times = |index: usize| world.alive(index).unwrap().context.clock.now().0;
        let apart = times(owner) - times(first);
        assert!((300..=500).contains(&apart), "the owner's time is {apart} ms ahead");

        let states = world.states();
        let (_, state) = states.iter().find(|(index, _)| *index == first).unwrap();
        let members = Members::of(state);
        let id = world.alive(owner).unwrap().context.running.get().unwrap().consensus.id();
        let now = times(first);
        let mut owned = 0;
        for task in state.tasks() {
            let spec = task.spec().unwrap();
            if members.owner(spec).is_none_or(|found| found.0 != id) {
                continue;
            }
            owned += 1;
            let plan = state.plan(spec, task.live.scheduled_at).unwrap();
            let next = plan.next_after(state.settled(task));
            let late = next.map_or(0, |next| now - plan.due(next).0);
            assert!(late < 5_000, "{} is {late} ms behind", task.live.name);
        }
        assert!(owned > 0, "it owns a task");
    });
}
