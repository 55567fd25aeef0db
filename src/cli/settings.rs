//! `config`: checks and shows the settings of a node.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use crate::config::{Config, Sources};

/// Commands for a node's settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings
    Check(FileArgs),
    /// Print the effective settings
    Show(ConfigShowArgs),
    /// Print or write a file with every setting and its default
    Init(InitArgs),
}

/// The location of the settings.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The settings file [default: none, only the environment and the defaults]
    #[arg(long = "config", value_name = "FILE")]
    named: Option<PathBuf>,
    /// The same as --config
    #[arg(value_name = "FILE", conflicts_with = "named")]
    file: Option<PathBuf>,
}

/// Options of `config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Show the source of each value
    #[arg(long)]
    origin: bool,
}

/// Options of `config init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write; it must not exist [default: print it]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArgs {
    fn load(self) -> Result<Config, Failure> {
        let sources = Sources::of_process(self.named.or(self.file), Vec::new());
        Config::load(&sources).map_err(|errors| Failure::usage(errors.to_string()))
    }
}

/// Runs a command.
pub fn run(command: ConfigCommand, context: &mut CliContext) -> CommandResult {
    match command {
        ConfigCommand::Check(args) => {
            let config = args.load()?;
            let line = format!("the settings are right; node {}", config.node.name());
            let value = json!({"valid": true, "node": config.node.name()});
            context.out.one(&value, |_clock| line)?;
        }
        ConfigCommand::Show(args) => {
            let config = args.file.load()?;
            context.out.bytes(config.show(args.origin).as_bytes())?;
        }
        ConfigCommand::Init(InitArgs { file: None }) => {
            context.out.bytes(Config::commented_default().as_bytes())?;
        }
        ConfigCommand::Init(InitArgs { file: Some(path) }) => {
            let shown = path.display();
            let written = std::fs::File::create_new(&path)
                .and_then(|mut file| file.write_all(Config::commented_default().as_bytes()));
            match written {
                Ok(()) => context.out.say(&format!("{shown}: written")),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let message = format!(
                        "{shown} exists, and is left as it is\n  Choose another file, or remove it \
                         first."
                    );
                    return Err(Failure { exit: Exit::Conflict, message });
                }
                Err(error) => return Err(Failure::usage(format!("{shown}: {error}"))),
            }
        }
    }
    Ok(Exit::Ok)
}
