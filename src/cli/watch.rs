//! `--watch`: repeats a command and replaces its previous output.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use crate::clock::own_time;

/// Options for repeated output.
#[derive(Clone, Copy, Debug, Args)]
pub struct WatchArgs {
    /// Repeat every SECONDS seconds [default without a value: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    watch: Option<u32>,
}

impl WatchArgs {
    /// Runs a command once, or repeatedly until it fails. "Not accepted" does not end the
    /// repetition, because there may be a leader the next time.
    ///
    /// # Errors
    /// Those of the command.
    pub async fn repeat(
        self,
        context: &mut CliContext,
        mut look: impl AsyncFnMut(&mut CliContext) -> CommandResult,
    ) -> CommandResult {
        let Some(seconds) = self.watch else { return look(context).await };
        loop {
            context.out.redraw(own_time());
            match look(context).await {
                Err(failure) if failure.exit == Exit::NotAccepted => {
                    context.out.say(&format!("error: {}", failure.message));
                }
                Err(failure) => return Err(failure),
                Ok(_) => {}
            }
            sleep(Duration::from_secs(u64::from(seconds))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::exit::Failure;
    use crate::cli::local::LocalClock;
    use crate::cli::output::{Format, Output};
    use crate::cli::tests::CapturedOutput;
    use crate::domain::time::Timestamp;

    #[derive(Parser)]
    struct WatchOnly {
        #[command(flatten)]
        watch: WatchArgs,
    }

    /// The output of a command that fails the third time, and where the failure is printed.
    async fn shown(line: &[&str], terminal: bool) -> (usize, String, CommandResult) {
        let (data, talk) = (CapturedOutput::default(), CapturedOutput::default());
        let clock = LocalClock::new("UTC", Timestamp(0));
        let (out, err) = (Box::new(data.clone()), Box::new(talk.clone()));
        let mut out = Output::to(Format::Table, clock, out, err);
        if terminal {
            out.on_terminal();
        }
        let mut context = CliContext::with(out, Vec::new(), false);
        let mut times = 0;
        let look = async |context: &mut CliContext| {
            times += 1;
            let failure = |exit| Failure { exit, message: "no".to_owned() };
            match times {
                1 => context.out.bytes(b"shown\n")?,
                2 => return Err(failure(Exit::NotAccepted)),
                3 => context.out.bytes(b"shown\n")?,
                _ => return Err(failure(Exit::NotAllowed)),
            }
            Ok(Exit::No)
        };
        let watch = WatchOnly::parse_from([&["x"], line].concat()).watch;
        let ended = watch.repeat(&mut context, look).await;
        (times, format!("{}{}", data.text(), talk.text()), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_command_goes_on_until_it_is_refused() {
        let (times, printed, ended) = shown(&[], false).await;
        assert_eq!((times, printed.as_str(), ended), (1, "shown\n", Ok(Exit::No)));
        for line in [&["--watch"][..], &["--watch", "60"]] {
            let (times, printed, ended) = shown(line, false).await;
            assert_eq!((times, printed.as_str()), (4, "shown\nshown\nerror: no\n"));
            assert_eq!(ended.map_err(|failure| failure.exit), Err(Exit::NotAllowed));
        }
        let (_, printed, _) = shown(&["--watch"], true).await;
        let clear = "\u{1b}[H\u{1b}[2J\u{1b}[3J";
        assert_eq!(printed, format!("{clear}shown\n{clear}{clear}shown\nerror: no\n"));
        assert!(WatchOnly::try_parse_from(["x", "--watch", "0"]).is_err());
    }
}
