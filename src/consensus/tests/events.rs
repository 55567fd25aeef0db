//! Events as a reader gets them from a node.

use super::*;
use crate::consensus::events::EVENTS_MAX;
use crate::domain::machine::envelope::EntryHead;
use crate::domain::machine::{Applied, Event, EventObject, Loader};
use crate::domain::time::Timestamp;

fn told(replica: &Replica, after: EventId) -> Vec<Event> {
    match replica.events_after(after, EVENTS_MAX) {
        EventsAfter::Events { events, next } => {
            assert_eq!(events.last().map_or(after, |last| last.id), next);
            events
        }
        other => panic!("{other:?}"),
    }
}

fn replica(state: State) -> Replica {
    Replica::new(1, state, Formats::SOFTWARE, Metrics::new("test"))
}

/// Adds a task with its own entry.
fn apply(replica: &Replica, index: u64, name: &str) {
    let head = EntryHead { stamp: Timestamp(1_000), origin: 2, seq: index };
    replica.apply(index, &envelope::entry(head, &add(name)), &mut Applied::default()).unwrap();
}

#[test]
fn a_loaded_state_tells_what_comes_after_it() {
    let first = replica(State::default());
    apply(&first, 1, "a");
    apply(&first, 2, "b");
    let [a, b] = &told(&first, EventId(0))[..] else { panic!("one event per task") };
    assert_eq!(a.object, EventObject::Task("a".into()));

    let mut loader = Loader::default();
    for (key, value) in first.frozen().all_rows() {
        loader.row(&key, &value).unwrap();
    }
    let second = replica(loader.finish().unwrap());
    assert_eq!(second.events_after(a.id, 9), EventsAfter::Reset { next: second.newest_event() });
    for replica in [&first, &second] {
        apply(replica, 3, "c");
    }
    assert_eq!(told(&second, second.newest_event()), []);
    assert_eq!(told(&second, b.id), told(&first, b.id));
    assert_eq!(told(&second, b.id)[0].object, EventObject::Task("c".into()));
    let ahead = EventId(first.read().cluster().counter + 1);
    assert_eq!(first.events_after(ahead, 9), EventsAfter::Ahead);

    second.replace(first.frozen());
    assert_eq!(second.events_after(b.id, 9), EventsAfter::Reset { next: second.newest_event() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_the_same_events_and_whoever_waits_is_woken() {
    let (addresses, disks, nodes) = three(1_000).await;
    let reader = nodes[1].consensus.replica();
    // Other commands may precede the first command of the cluster, and are events too.
    named(reader).await;
    submit(&nodes[0], add("before")).await.1.unwrap();
    let (index, _) = submit(&nodes[0], add("known")).await;
    assert!(reader.reach(index, LIMIT).await);
    let last = reader.newest_event();
    let (woken, _) = tokio::join!(
        tokio::time::timeout(LIMIT, reader.event_after(last)),
        submit(&nodes[2], add("awaited")),
    );
    woken.unwrap();
    let awaited = told(reader, last);
    assert_eq!(awaited[0].object, EventObject::Task("awaited".into()));
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    let all = told(reader, EventId(0));
    assert!(all.is_sorted_by(|one, next| one.id < next.id));
    for node in &nodes {
        assert_eq!(told(node.consensus.replica(), EventId(0)), all);
        node.consensus.stop().await;
    }
    drop(nodes);
    let nodes = begin_all(&addresses, &disks, 1_000).await;
    let (index, _) = submit(&nodes[2], add("after")).await;
    for node in &nodes {
        // After a replay of the log, the events are the same as before.
        assert!(node.consensus.replica().reach(index, LIMIT).await);
        let after = told(node.consensus.replica(), awaited[0].id);
        assert_eq!(after.last().unwrap().object, EventObject::Task("after".into()));
        node.consensus.stop().await;
    }
}
