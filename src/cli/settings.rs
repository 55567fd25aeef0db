//! `config`: checks and shows the settings of a node.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use crate::config::{Config, Sources};

/// What can be done with a node's settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the settings are right
    Check(FileArgs),
    /// Print the settings in force
    Show(ConfigShowArgs),
    /// Print a file with every setting and its default, or write it
    Init(InitArgs),
}

/// Where the settings are.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The settings file [default: none, only the environment and the defaults]
    #[arg(long = "config", value_name = "FILE")]
    named: Option<PathBuf>,
    /// The same, without --config
    #[arg(value_name = "FILE", conflicts_with = "named")]
    file: Option<PathBuf>,
}

/// Options of `config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Options of `config init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Written if there is no such file yet
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
