//! Announcements, and who answers where.

use super::*;

const NODE: u64 = 3 << 16 | 1;

fn at(peer: &str) -> RaftMember {
    RaftMember { peer: peer.to_owned(), http: String::new() }
}

#[test]
fn a_process_is_believed_only_where_no_other_one_answers() {
    use AddressVerdict::{Believed, Copy, NotYet, TooSoon};
    let (nobody, process) = (AnswersThere::Nobody, |boot| AnswersThere::Process(Some(boot)));
    let untold = AnswersThere::Process(None);
    let (own, first) = (Some(7), None);
    for (boot, known, told, verdict) in [
        (own, nobody, process(7), Believed),
        (own, process(7), process(7), Believed),
        (own, nobody, nobody, NotYet),
        (own, process(7), nobody, NotYet),
        // Another process than the one that announces it.
        (own, nobody, process(8), NotYet),
        (own, nobody, untold, NotYet),
        // The known address still answers.
        (own, process(8), process(7), Copy),
        (own, process(8), nobody, Copy),
        // A version without numbers moves once its former address is silent.
        (first, nobody, untold, Believed),
        (first, untold, untold, NotYet),
        (own, untold, process(7), NotYet),
        (first, process(8), untold, NotYet),
        // Something is at the known address that may be the node.
        (own, AnswersThere::Unclear, process(7), NotYet),
        (first, AnswersThere::Unclear, untold, NotYet),
    ] {
        assert_eq!(judge(boot, known, told, true), verdict, "{boot:?} {known:?} {told:?}");
        // Another process was heard shortly before: a move waits, and nothing else changes.
        let shortly_after = if verdict == Believed { TooSoon } else { verdict };
        assert_eq!(judge(boot, known, told, false), shortly_after, "{boot:?} {known:?} {told:?}");
    }
}

#[test]
fn only_a_node_that_is_not_there_makes_room_for_another_process() {
    use AnswersThere::{Nobody, Unclear};
    let (addr, reason) = (|| "n3:7070".to_owned(), || "why".to_owned());
    let refused = |code| DialError::Refused { addr: addr(), code, reason: reason() };
    let untrusted = |code| DialError::Untrusted { addr: addr(), code, reason: reason() };
    for (error, shows) in [
        (DialError::Unreachable { addr: addr(), reason: reason() }, Nobody),
        // The stream was opened: a stopped process, or one that is ending.
        (DialError::Broken { addr: addr(), reason: reason() }, Unclear),
        (refused(PeerRefusalCode::BUSY), Unclear),
        (refused(PeerRefusalCode::PROTOCOL), Unclear),
        (untrusted(PeerRefusalCode::PROTOCOL), Unclear),
        (untrusted(PeerRefusalCode::PROOF_WRONG), Unclear),
        // The node there believes that this one is a copy.
        (refused(PeerRefusalCode(100)), Unclear),
        // The address is that of somebody else now.
        (untrusted(PeerRefusalCode::MAGIC), Nobody),
        (refused(PeerRefusalCode::CLUSTER_NAME), Nobody),
        (untrusted(PeerRefusalCode::CLUSTER_ID), Nobody),
        (refused(PeerRefusalCode::ADDRESSEE), Nobody),
        (untrusted(PeerRefusalCode::ADDRESSEE), Nobody),
    ] {
        assert_eq!(AnswersThere::after(&error), shows, "{error:?}");
    }
}

#[test]
fn an_address_that_is_given_up_gives_way_to_the_next() {
    let mut known = KnownAddresses::default();
    let others = [at("file"), at("log")];
    let choose = |known: &KnownAddresses| known.choose(NODE, &others).peer;
    assert_eq!(choose(&known), "file");
    known.reached.insert(NODE, at("reached"));
    assert_eq!(choose(&known), "reached");
    // Another member's address, and a former one of its own.
    known.give_up(4, "reached");
    known.give_up(3, "former");
    assert_eq!(choose(&known), "reached");
    known.give_up(3, "reached");
    assert_eq!(choose(&known), "file");
    known.give_up(3, "file");
    assert_eq!(choose(&known), "log");
    known.give_up(3, "log");
    assert_eq!(choose(&known), "file");
    assert_eq!(known.choose(NODE, &others[..1]).peer, "file");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_given_up_after_some_time_and_each_further_one_later() {
    let mut dials = FailedDials::new("a", Instant::now());
    let mut given_up = async |addr: &str| {
        let begun = Instant::now();
        while !dials.note(addr, Instant::now()) {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    };
    assert_eq!(given_up("a").await, ADDRESS_SILENCE);
    assert_eq!(given_up("b").await, ADDRESS_SILENCE * 2);
    assert_eq!(given_up("a").await, ADDRESS_SILENCE * 4);
    for _ in 0..3 {
        given_up("b").await;
    }
    assert_eq!(given_up("b").await, ADDRESS_SILENCE * 16, "the longest");
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_is_not_believed_is_looked_into_less_and_less_often() {
    let mut heard = Announcements::default();
    let process = (NODE, Some(1));
    let mut dials = 0;
    for _ in 0..600 {
        if heard.due(process, &at("a"), Instant::now()) {
            dials += 1;
            assert!(!heard.due(process, &at("a"), Instant::now()), "it is dialled");
            assert!(!heard.due(process, &at("b"), Instant::now()), "one at a time");
            assert_eq!(heard.wait(process, Instant::now()), dials == 1);
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    // At 0, 1, 3, 7, 15 and 31 s.
    assert_eq!(dials, 6);
    assert!(heard.due(process, &at("b"), Instant::now()), "another address");
}

/// A node that runs and a copy of it announce themselves in turn.
#[tokio::test(start_paused = true)]
async fn two_processes_do_not_disturb_each_others_announcements() {
    let mut heard = Announcements::default();
    let (runs, copy) = ((NODE, Some(1)), (NODE, Some(2)));
    let mut dials = [0, 0];
    for _ in 0..600 {
        for (number, (process, place)) in [(runs, "a"), (copy, "b")].into_iter().enumerate() {
            if heard.due(process, &at(place), Instant::now()) {
                dials[number] += 1;
                heard.wait(process, Instant::now());
            }
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(dials, [6, 6], "each as if it were alone");
    // One that ended is forgotten.
    for _ in 0..900 {
        heard.due(runs, &at("a"), Instant::now());
        heard.wait(runs, Instant::now());
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(heard.0.keys().collect::<Vec<_>>(), [&runs]);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_came_too_soon_is_looked_into_as_soon_as_it_can_be_believed() {
    let mut heard = Announcements::default();
    let process = (NODE, Some(1));
    let begun = Instant::now();
    assert!(heard.due(process, &at("a"), begun));
    heard.wait_until(process, begun + ADDRESS_SILENCE);
    while !heard.due(process, &at("a"), Instant::now()) {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(begun.elapsed(), ADDRESS_SILENCE);
}

#[test]
fn an_address_that_cannot_be_dialled_is_none() {
    let told = |peer: &str, http: &str| {
        fault(&RaftMember { peer: peer.to_owned(), http: http.to_owned() })
    };
    assert_eq!(told("n3:7070", ""), None);
    assert_eq!(told("10.0.0.3:7070", "http://10.0.0.3:8080"), None);
    for (peer, http) in [("", ""), ("n3", ""), ("n3:0", ""), ("n3:7070", "n3:8080")] {
        assert!(told(peer, http).is_some(), "{peer} {http}");
    }
}

#[test]
fn a_node_without_an_address_announces_none() {
    assert!(AnnouncedAddresses::new(RaftMember::default()).announcement().is_empty());
    let own = RaftMember { peer: "n3:7070".to_owned(), http: String::new() };
    let announced = AnnouncedAddresses::new(own.clone()).announcement();
    assert_eq!(read(announced), Ok(own));
}

#[tokio::test(start_paused = true)]
async fn only_a_dial_that_fails_gives_an_address_up() {
    let failed_for = async |errors: &[CallError]| {
        let announced = AnnouncedAddresses::new(RaftMember::default());
        announced.known.send_modify(|known| {
            known.reached.insert(NODE, at("reached"));
        });
        for error in errors.iter().cycle().take(50) {
            announced.failed(3, "reached", error);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        announced.known.borrow().reached.is_empty()
    };
    let why = || "why".to_owned();
    let (dial, late) = (CallError::NoConnection(why()), CallError::Unknown(why()));
    let unsent = CallError::NotSent(why());
    let busy = CallError::Refused { code: PeerRefusalCode::BUSY, reason: why() };
    assert!(failed_for(std::slice::from_ref(&dial)).await);
    assert!(failed_for(&[busy]).await);
    // A connection that takes no bytes, or one that ended before the first answer.
    assert!(!failed_for(std::slice::from_ref(&unsent)).await);
    assert!(failed_for(&[dial.clone(), unsent]).await, "it says nothing of the dials");
    assert!(!failed_for(&[dial, late]).await, "it is there");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_say_who_it_is_counts_as_the_node_for_a_limited_time() {
    use AnswersThere::{Nobody, Process, Unclear};
    let mut answers = UnclearAnswers::default();
    let begun = Instant::now();
    let mut warned = 0;
    // The looks at an announcement, with their pauses.
    let mut note = |after: u64, there| {
        let now = begun + Duration::from_secs(after);
        let taken = answers.note(NODE, "n3:7070", there, now);
        warned += usize::from(answers.warn(NODE, now));
        (taken, warned)
    };
    assert_eq!(note(0, Unclear), (Unclear, 0));
    assert_eq!(note(1, Unclear), (Unclear, 0), "it may be ending");
    assert_eq!(note(3, Unclear), (Unclear, 1));
    assert_eq!(note(31, Unclear), (Unclear, 1), "the operator is told once");
    assert_eq!(note(59, Unclear), (Unclear, 1));
    assert_eq!(note(60, Unclear), (Nobody, 1));
    assert_eq!(note(90, Unclear), (Nobody, 1));
    // It says who it is, so it is asked for as long again.
    assert_eq!(note(91, Process(Some(8))), (Process(Some(8)), 1));
    assert_eq!(note(92, Unclear), (Unclear, 1));
    assert_eq!(note(120, Nobody), (Nobody, 1));
    assert_eq!(note(121, Unclear), (Unclear, 1));
    // Long after, nobody knows what was there in between.
    assert_eq!(note(900, Unclear), (Unclear, 1));
    assert_eq!(note(950, Unclear), (Unclear, 2));
    assert_eq!(note(960, Unclear), (Nobody, 2));
    // Another address, and another node.
    let now = begun + Duration::from_secs(970);
    assert_eq!(answers.note(NODE, "n3:7071", Unclear, now), Unclear);
    assert_eq!(answers.note(NODE + 1, "n3:7071", Unclear, now), Unclear);
    // A moved member is believed then, and a process that was refused is so no longer.
    assert_eq!(judge(Some(7), Nobody, Process(Some(7)), true), AddressVerdict::Believed);
    let told = unclear(3, "n3:7070", "other:7071");
    for part in ["at other:7071", "at n3:7070", "60 s", "stop one of the two"] {
        assert!(told.contains(part), "{told}");
    }
}
