//! Limits the warnings and errors logged by one place in the code to a number of lines per minute.
//! Further lines are counted, and the next line of that place contains the number of omitted lines.
//!
//! Without this limit, an error that recurs with every request or retry would fill the disk and
//! hide other messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Length of the interval in which lines are counted.
const EVERY: Duration = Duration::from_secs(60);
/// Maximum number of lines of one place per interval.
const LINES_MAX: u32 = 30;

/// Admits or counts log lines.
#[derive(Clone, Default)]
pub(super) struct Flood {
    places: Arc<Mutex<HashMap<Identifier, SourcePlace>>>,
}

struct SourcePlace {
    since: Instant,
    told: u32,
    left_out: u64,
}

impl Flood {
    /// Whether another line of a place may be logged.
    fn admit(&self, place: Identifier, now: Instant) -> bool {
        let mut places = self.places.lock();
        let place = places.entry(place).or_insert(SourcePlace { since: now, told: 0, left_out: 0 });
        if now.duration_since(place.since) >= EVERY {
            place.since = now;
            place.told = 0;
        }
        let room = place.told < LINES_MAX;
        if room {
            place.told += 1;
        } else {
            place.left_out += 1;
        }
        room
    }

    /// The number of omitted lines of a place since the last call.
    pub(super) fn left_out(&self, of: &Metadata<'_>) -> u64 {
        let mut places = self.places.lock();
        places.get_mut(&of.callsite()).map_or(0, |place| std::mem::take(&mut place.left_out))
    }
}

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let of = event.metadata();
        *of.level() > Level::WARN || self.admit(of.callsite(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_some_lines_a_minute_and_then_how_many_it_left_out() {
        let flood = Flood::default();
        let event = tracing::callsite!(name: "x", kind: tracing::metadata::Kind::EVENT, fields: );
        let metadata = tracing::callsite::Callsite::metadata(event);
        let begun = Instant::now();
        let told = (0..100).filter(|_| flood.admit(metadata.callsite(), begun)).count();
        assert_eq!(told, 30);
        assert!(flood.admit(metadata.callsite(), begun + EVERY));
        assert_eq!(flood.left_out(metadata), 70);
        assert_eq!(flood.left_out(metadata), 0);
    }
}
