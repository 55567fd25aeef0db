//! What a node's settings declare, proposed until the cluster has it or says why not.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use super::shared::PROPOSAL_LIMIT;
use crate::consensus::Consensus;
use crate::domain::machine::command::PutCalendar;
use crate::domain::machine::{Answer, Command, envelope};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::write_calendar;
use crate::life;

/// Before the next try.
const PAUSE: Duration = Duration::from_millis(500);

/// Proposes calendars: what somebody made or changed otherwise stays as it is.
pub fn declare(consensus: Consensus, calendars: Vec<Calendar>) {
    life::spawn(async move {
        for calendar in calendars {
            let name = calendar.name.clone();
            let source = xxh3_128(write_calendar(&calendar).to_string().as_bytes());
            let put = PutCalendar { calendar, if_match: None, source: Some(source) };
            let mut commands = Vec::new();
            envelope::pack(&mut commands, &Command::PutCalendar(Box::new(put)), "settings", None);
            let commands = bytes::Bytes::from(commands);
            loop {
                let outcome = consensus.submit(commands.clone(), 1, PROPOSAL_LIMIT).await;
                let answer =
                    outcome.ok().and_then(|answered| answered.responses.into_iter().next());
                match answer {
                    Some(Ok(Answer::Calendar { revision, .. })) => {
                        tracing::info!(calendar = name, %revision, "calendar declared by settings");
                        break;
                    }
                    Some(Ok(_)) => break,
                    Some(Err(refusal)) => {
                        tracing::error!(calendar = name, refusal = refusal.code(), "not declared");
                        break;
                    }
                    None => tokio::time::sleep(PAUSE).await,
                }
            }
        }
    });
}
