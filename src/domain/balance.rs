//! The choice of an executor for one attempt: a function of the candidates and of what the task did
//! last. A further strategy is one more line of [`STRATEGIES`] and its function; a test asks for its
//! word on the command line.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// An executor that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorCandidate<'a> {
    /// Its id; candidates come in the order of their ids.
    pub id: &'a str,
    /// Its share of work; 0: none.
    pub weight: u32,
    /// Executions that it has.
    pub in_flight: u32,
    /// Executions at once; 0: no limit.
    pub capacity: u32,
}

impl ExecutorCandidate<'_> {
    const fn has_room(&self) -> bool {
        self.weight > 0 && (self.capacity == 0 || self.in_flight < self.capacity)
    }
}

/// What a choice is made of.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Those with room, in the order of their ids; at least one.
    pub candidates: &'a [ExecutorCandidate<'a>],
    /// The executor that the task used last.
    pub last: Option<&'a str>,
    /// How many times the task was dispatched.
    pub count: u64,
    /// A number that differs between attempts.
    pub seed: u64,
}

/// A strategy: it gives the place of a candidate.
type Choose = fn(&Choice<'_>) -> Option<usize>;

/// Every strategy under its word.
pub const STRATEGIES: [(&str, Choose); 5] = [
    ("round_robin", round_robin),
    ("weighted_round_robin", weighted_round_robin),
    ("random", random),
    ("sticky", sticky),
    ("least_loaded", least_loaded),
];

/// The words of the strategies.
pub const WORDS: [&str; STRATEGIES.len()] = {
    let mut words = [""; STRATEGIES.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = STRATEGIES[at].0;
        at += 1;
    }
    words
};

/// The place of the executor that is chosen; none: none has room. An executor of weight 0, or one
/// that has as many executions as it takes, is not chosen. `candidates` are in the order of their ids.
#[must_use]
pub fn choose(
    strategy: &str,
    candidates: &[ExecutorCandidate<'_>],
    last: Option<&str>,
    count: u64,
    seed: u64,
) -> Option<usize> {
    let found = STRATEGIES.iter().find(|(word, _)| *word == strategy);
    let choose = found.map_or(round_robin as Choose, |(_, choose)| *choose);
    let places = candidates.iter().enumerate().filter(|(_, candidate)| candidate.has_room());
    let (places, free): (Vec<usize>, Vec<ExecutorCandidate<'_>>) =
        places.map(|(place, candidate)| (place, *candidate)).unzip();
    let choice = Choice { candidates: &free, last, count, seed };
    places.get(choose(&choice)?).copied()
}

/// The one whose id follows that of the last one.
fn round_robin(choice: &Choice<'_>) -> Option<usize> {
    let after = choice
        .last
        .and_then(|last| choice.candidates.iter().position(|candidate| candidate.id > last));
    (!choice.candidates.is_empty()).then(|| after.unwrap_or(0))
}

/// Each in proportion to its weight, spread evenly: of `W` dispatches, where `W` is the sum of the
/// weights, one of weight `w` has its `k`-th at the time `(2k + 1) ÷ 2w` of the round. The times of all
/// are one sequence, and the number of the dispatch is the place in it. So after any number of
/// dispatches, the share of each is as near to its proportion as whole numbers allow.
fn weighted_round_robin(choice: &Choice<'_>) -> Option<usize> {
    const SCALE: u64 = 1 << 40;
    let total: u64 = choice.candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
    let place = choice.count.checked_rem(total)?;
    // How many times of one lie before a time, in parts of `1 ÷ SCALE` of the round.
    let before = |weight: u32, time: u64| -> u64 {
        let doubled = u128::from(time) * u128::from(weight) * 2;
        let count = doubled.div_ceil(u128::from(SCALE)) / 2;
        u64::try_from(count).unwrap_or(u64::MAX)
    };
    let all_before = |time: u64| -> u64 {
        choice.candidates.iter().map(|candidate| before(candidate.weight, time)).sum()
    };
    // The last time before which no more than `place` of them lie.
    let (mut low, mut high) = (0, SCALE);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if all_before(middle) <= place {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    // Those at this time, in the order of ids.
    let mut rest = place - all_before(low);
    for (at, candidate) in choice.candidates.iter().enumerate() {
        let here = before(candidate.weight, low + 1) - before(candidate.weight, low);
        if rest < here {
            return Some(at);
        }
        rest -= here;
    }
    None
}

/// Any of them, by the hash of the attempt.
fn random(choice: &Choice<'_>) -> Option<usize> {
    let many = u64::try_from(choice.candidates.len()).ok().filter(|many| *many > 0)?;
    let hash = xxh3_64_with_seed(&choice.seed.to_be_bytes(), 0);
    usize::try_from((u128::from(hash) * u128::from(many)) >> 64).ok()
}

/// The last one; if it cannot be chosen, the least loaded.
fn sticky(choice: &Choice<'_>) -> Option<usize> {
    let last = choice.candidates.iter().position(|candidate| choice.last == Some(candidate.id));
    last.or_else(|| least_loaded(choice))
}

/// The one with the fewest executions for its weight; of equals the first.
fn least_loaded(choice: &Choice<'_>) -> Option<usize> {
    // a ÷ v < b ÷ w, in whole numbers: the larger of two shares is the one whose cross product is.
    let fewest = choice.candidates.iter().enumerate().min_by(|(_, one), (_, other)| {
        let of = |this: &ExecutorCandidate<'_>, that: &ExecutorCandidate<'_>| {
            u64::from(this.in_flight) * u64::from(that.weight)
        };
        of(one, other).cmp(&of(other, one))
    });
    fewest.map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
