//! The model of lines in unoptimised code, as far as a test has time to look. `chaos model` looks at
//! all of it, and takes out each guard.

use super::guards::{LineGuard, LineGuards};
use super::machine::{LineEntry, LineMachine, LineStatus};
use super::{LineOutcome, look, tell};

/// Those of which the time of silences matters: without them promises break after more steps.
const LONG: [LineGuard; 4] =
    [LineGuard::LostAfter, LineGuard::Silence, LineGuard::Ttl, LineGuard::Kill];

#[test]
fn each_guard_of_lines_is_needed() {
    for guard in LineGuard::ALL.into_iter().filter(|guard| !LONG.contains(guard)) {
        let LineOutcome { unique, broken, .. } = look(LineGuards::without(guard), 2, true);
        let (promise, way) = broken.first().unwrap_or_else(|| {
            panic!("without \"{}\" nothing breaks in {unique} states", guard.words())
        });
        println!("without \"{}\":\n{}", guard.words(), tell(*promise, way));
    }
}

#[test]
fn a_line_of_one_has_one_place() {
    let mut machine = LineMachine::new();
    let mut apply = |number, entry| machine.apply(entry, number, LineGuards::ALL);
    let start = |session, execution| LineEntry::Start { session, execution };
    assert_eq!(apply(3, LineEntry::Create), Some(0));
    assert_eq!(apply(4, start(2, 0)), Some(0));
    assert_eq!(apply(5, start(1, 1)), None);
    assert_eq!(apply(5, LineEntry::Finish { execution: 0, fence: 3 }), None);
    assert_eq!(apply(5, LineEntry::Finish { execution: 0, fence: 4 }), Some(0));
    assert_eq!(apply(6, start(1, 1)), Some(0));
    assert_eq!(machine.executions, [LineStatus::Over, LineStatus::Runs { fence: 6, session: 1 }]);
}
