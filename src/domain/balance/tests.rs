//! Examples and properties of the strategies.

use proptest::prelude::*;

use super::*;

fn candidate(id: &'static str, weight: u32, in_flight: u32) -> ExecutorCandidate<'static> {
    ExecutorCandidate { id, weight, in_flight, capacity: 0 }
}

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn of_weights(weights: &[u32]) -> Vec<ExecutorCandidate<'static>> {
    IDS.iter().zip(weights).map(|(id, weight)| candidate(id, *weight, 0)).collect()
}

/// The ids of so many choices in a row, each with the one before it as the last.
fn choices(strategy: &str, all: &[ExecutorCandidate<'static>], many: u64) -> Vec<&'static str> {
    let mut last = None;
    let mut chosen = Vec::new();
    for count in 0..many {
        let at = choose(strategy, all, last, count, count).expect("one has room");
        last = Some(all[at].id);
        chosen.push(all[at].id);
    }
    chosen
}

#[test]
fn round_robin_goes_by_ids_after_the_last_one() {
    let all = of_weights(&[1, 1, 1]);
    assert_eq!(choices("round_robin", &all, 7).concat(), "abcabca");
    assert_eq!(choose("round_robin", &all, Some("bb"), 0, 0), Some(2), "the last one is gone");
    assert_eq!(choose("round_robin", &all, Some("z"), 0, 0), Some(0));
}

#[test]
fn weights_are_spread_evenly() {
    let all = of_weights(&[5, 1, 1]);
    assert_eq!(choices("weighted_round_robin", &all, 14).concat(), "aaabcaaaaabcaa");
}

#[test]
fn sticky_stays_while_it_can_and_then_takes_the_least_loaded() {
    let mut all = vec![candidate("a", 1, 9), candidate("b", 1, 2), candidate("c", 1, 1)];
    assert_eq!(choose("sticky", &all, Some("a"), 0, 0), Some(0));
    assert_eq!(choose("sticky", &all, None, 0, 0), Some(2));
    all[0].capacity = 9;
    assert_eq!(choose("sticky", &all, Some("a"), 0, 0), Some(2), "it is full");
}

#[test]
fn nobody_is_chosen_who_is_full_or_weighs_nothing() {
    let full = ExecutorCandidate { capacity: 3, ..candidate("a", 1, 3) };
    for (word, _) in STRATEGIES {
        assert_eq!(choose(word, &[], None, 0, 0), None, "{word}");
        assert_eq!(choose(word, &[full, candidate("b", 0, 0)], None, 5, 9), None, "{word}");
        let place = choose(word, &[full, candidate("b", 0, 0), candidate("c", 1, 7)], None, 5, 9);
        assert_eq!(place, Some(2), "{word}");
    }
}

fn candidates() -> impl Strategy<Value = Vec<ExecutorCandidate<'static>>> {
    let one = (0_u32..9, 0_u32..6, prop_oneof![Just(0_u32), 1_u32..6]);
    prop::collection::vec(one, 1..8).prop_map(|all| {
        let all = IDS.iter().zip(all);
        let of = |(id, (weight, in_flight, capacity)): (&&'static str, (u32, u32, u32))| {
            ExecutorCandidate { id, weight, in_flight, capacity }
        };
        all.map(of).collect()
    })
}

proptest! {
    #[test]
    fn a_choice_has_room_and_is_the_same_again(
        all in candidates(),
        last in prop::option::of(0_usize..8),
        count: u64,
        seed: u64,
    ) {
        let last = last.map(|at| IDS[at]);
        for (word, _) in STRATEGIES {
            let chosen = choose(word, &all, last, count, seed);
            prop_assert_eq!(chosen, choose(word, &all, last, count, seed));
            prop_assert_eq!(chosen.is_some(), all.iter().any(ExecutorCandidate::has_room), "{}", word);
            if let Some(at) = chosen {
                prop_assert!(all[at].has_room(), "{}", word);
            }
        }
    }

    #[test]
    fn the_least_loaded_really_is(all in candidates()) {
        let Some(at) = choose("least_loaded", &all, None, 0, 0) else { return Ok(()) };
        let load = |one: &ExecutorCandidate<'_>| f64::from(one.in_flight) / f64::from(one.weight);
        for (place, other) in all.iter().enumerate().filter(|(_, one)| one.has_room()) {
            prop_assert!(load(&all[at]) <= load(other));
            prop_assert!(load(&all[at]) < load(other) || at <= place, "of equals the first");
        }
    }

    /// After any number of dispatches a share is off by less than one dispatch more than half of what
    /// the others may be ahead.
    #[test]
    fn weighted_shares_are_smooth(weights in prop::collection::vec(1_u32..50, 1..8), rounds in 1_u64..4) {
        let all = of_weights(&weights);
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut counts = vec![0_u64; all.len()];
        for count in 0..total * rounds {
            let at = choose("weighted_round_robin", &all, None, count, 0).unwrap();
            counts[at] += 1;
            let made = count + 1;
            for (weight, had) in weights.iter().zip(&counts) {
                // |had − made·w÷W| ≤ ½ + n÷2·w÷W, times 2W.
                let fair = made * u64::from(*weight) * 2;
                let off = (had * total * 2).abs_diff(fair);
                let bound = total + u64::try_from(all.len()).unwrap() * u64::from(*weight);
                prop_assert!(off <= bound, "{weights:?} {counts:?}");
            }
            if made % total == 0 {
                let exact = weights.iter().map(|weight| u64::from(*weight) * (made / total));
                prop_assert!(exact.eq(counts.iter().copied()), "a round is exact");
            }
        }
    }

    #[test]
    fn weights_of_any_size_have_a_choice(weights in prop::collection::vec(1_u32.., 1..8), count: u64) {
        prop_assert!(choose("weighted_round_robin", &of_weights(&weights), None, count, 0).is_some());
    }

    #[test]
    fn random_reaches_everybody(many in 1_usize..8, seed: u32) {
        let all = of_weights(&vec![1; many]);
        let chosen: std::collections::BTreeSet<usize> = (0..400)
            .filter_map(|at| choose("random", &all, None, 0, u64::from(seed) + at))
            .collect();
        prop_assert_eq!(chosen.len(), many);
    }
}
