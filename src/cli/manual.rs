//! Shell completions and manual pages, generated from the command definitions.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::CliArgs;
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};

/// The name of the program.
const NAME: &str = "punctual";

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder [default: print the first page]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints completions for a shell.
pub fn completions(args: &CompletionsArgs, context: &mut CliContext) -> CommandResult {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut CliArgs::command(), NAME, &mut text);
    context.out.bytes(&text)?;
    Ok(Exit::Ok)
}

/// Prints the first manual page, or writes all of them.
pub fn man(args: &ManArgs, context: &mut CliContext) -> CommandResult {
    let Some(folder) = &args.folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(CliArgs::command()).render(&mut text)?;
        context.out.bytes(&text)?;
        return Ok(Exit::Ok);
    };
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(CliArgs::command(), folder));
    written.map_err(|error| {
        let message = format!("DIR {}: the pages cannot be written: {error}", folder.display());
        Failure { exit: Exit::No, message }
    })?;
    let shown = folder.display();
    context.out.say(&format!("{shown}: written; `man -l {shown}/{NAME}.1` shows the first page"));
    Ok(Exit::Ok)
}
