//! Proposes the calendars of the settings until the cluster has accepted or refused them.

use xxhash_rust::xxh3::xxh3_128;

use super::limits::{DECLARE_PAUSE, PROPOSAL_LIMIT};
use crate::consensus::{Consensus, ProposeError};
use crate::domain::machine::command::PutCalendar;
use crate::domain::machine::{Answer, Command, envelope};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::spec::write_calendar;

/// Proposes calendars. A calendar that was created or changed in another way is left alone.
pub(super) async fn declare(consensus: Consensus, calendars: Vec<Calendar>) {
    for calendar in calendars {
        let name = calendar.name.clone();
        let source = xxh3_128(write_calendar(&calendar).to_string().as_bytes());
        let put = PutCalendar { calendar, if_match: None, source: Some(source) };
        let mut commands = Vec::new();
        envelope::pack(&mut commands, &Command::PutCalendar(Box::new(put)), "settings", None);
        let commands = bytes::Bytes::from(commands);
        let mut told = false;
        loop {
            let answer = match consensus.submit(commands.clone(), 1, PROPOSAL_LIMIT).await {
                Ok(answered) => answered.responses.into_iter().next(),
                Err(ProposeError::Stopping) => return,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(calendar = name, %error, "the calendar is not declared yet");
                    }
                    tokio::time::sleep(DECLARE_PAUSE).await;
                    continue;
                }
            };
            match answer {
                Some(Ok(Answer::Calendar { revision, .. })) => {
                    tracing::info!(calendar = name, %revision, "calendar declared by settings");
                }
                Some(Err(refusal)) => {
                    tracing::error!(calendar = name, refusal = %refusal.code(), "not declared");
                }
                Some(Ok(_)) | None => {}
            }
            break;
        }
    }
}
