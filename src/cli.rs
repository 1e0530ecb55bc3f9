//! The command line: global flags, one variant per command, and where each one goes.
//!
//! A new command is a file in `command/`, its line in `command/mod.rs`, and here a variant and an arm.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command;
use crate::error::{Error, Result};
use crate::output::Printer;
use crate::session::{Session, Strictness};

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

const AFTER_HELP: &str = "\
Exit codes:
  0 ok            what was asked for is serving now, and that was looked at
  1 error         a fault of shipctl itself
  2 usage         wrong command line
  3 refused       policy or a declined question; nothing changed
  4 config        a file is missing or wrong
  5 locked        another deployment is running
  6 failed        the deploy failed, no instance moved, and that is verified
  7 rolled_back   it was returned to what served before, and that is verified
  8 broken        a person is needed
  9 inconclusive  what serves could not be established
 10 provider      no release was made: flyctl or Fly cannot
128+n             interrupted by signal n

Try it without an account: shipctl sandbox demo";

/// Deploys Fly.io apps with flyctl, looks at what serves, and puts the last verified release back.
#[derive(Debug, Parser)]
#[command(name = "shipctl", version, about, styles = STYLES, after_help = AFTER_HELP)]
#[command(
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Run as if started in DIR, which holds the project
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Name the Fly app instead of a checkout (all but deploy, config, sandbox)
    #[arg(short = 'a', long = "app", value_name = "APP", global = true)]
    pub(crate) app: Option<String>,
    /// Only this service; may be given again
    #[arg(long = "service", value_name = "NAME", global = true)]
    pub(crate) services: Vec<String>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write events as JSON Lines to FILE; with `-` to stdout, and the answer to stderr
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) events: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto, global = true, hide_possible_values = true)]
    pub(crate) color: ColorChoice,
    /// Say only the answer and what is wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: every line of flyctl
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Play in the sandbox: no account, no network, no flyctl
    #[arg(long, global = true)]
    pub(crate) sandbox: bool,
}

/// auto, always or never.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// One variant per command; each is a file in `command/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Deploy(command::deploy::DeployArgs),
    Rollback(command::rollback::RollbackArgs),
    Status(command::status::StatusArgs),
    Releases(command::releases::ReleasesArgs),
    Verify(command::verify::VerifyArgs),
    History(command::history::HistoryArgs),
    Freeze(command::freeze::FreezeArgs),
    Unfreeze(command::unfreeze::UnfreezeArgs),
    Lock(command::lock::LockArgs),
    Config(command::config::ConfigArgs),
    Sandbox(command::sandbox::SandboxArgs),
    Completions(command::completions::CompletionsArgs),
    Man(command::man::ManArgs),
}

impl Command {
    /// Its exit code says what serves, and not whether something was printed.
    pub(crate) fn answers_by_exit_code(&self) -> bool {
        matches!(self, Self::Deploy(_) | Self::Rollback(_) | Self::Verify(_))
    }
}

impl Globals {
    /// Refuses what one flag alone cannot know to be wrong.
    ///
    /// # Errors
    /// A wrong command line.
    pub(crate) fn check(&self) -> Result<()> {
        if self.json && self.has_events_on_stdout() {
            return Err(
                Error::usage("`--json` and `--events -` would both write to stdout")
                    .hint("write the events elsewhere: `--events FILE`"),
            );
        }
        Ok(())
    }

    pub(crate) fn has_events_on_stdout(&self) -> bool {
        self.events.as_deref().is_some_and(|path| path == "-")
    }
}

impl Command {
    /// Does what the command says; answers with its exit code.
    pub(crate) async fn run(&self, globals: &Globals, printer: Printer) -> Result<u8> {
        let tolerant = || Session::open(globals, printer, Strictness::Tolerant);
        // The others say it themselves, at the place where it belongs.
        let warned = || async {
            let session = tolerant().await?;
            session.warn_of_files();
            Ok::<_, Error>(session)
        };
        match self {
            Self::Deploy(args) => {
                let session = Session::open(globals, printer, args.strictness()).await?;
                command::deploy::run(args, &session).await
            }
            Self::Rollback(args) => command::rollback::run(args, &tolerant().await?).await,
            Self::Status(args) => command::status::run(args, &tolerant().await?).await,
            Self::Releases(args) => command::releases::run(args, &warned().await?).await,
            Self::Verify(args) => command::verify::run(args, &tolerant().await?).await,
            Self::History(args) => command::history::run(args, &warned().await?),
            Self::Freeze(args) => command::freeze::run(args, &warned().await?).await,
            Self::Unfreeze(args) => command::unfreeze::run(args, &warned().await?),
            Self::Lock(args) => command::lock::run(args, &warned().await?).await,
            Self::Config(args) => command::config::run(args, globals, &printer).await,
            Self::Sandbox(args) => command::sandbox::run(args, globals, printer).await,
            Self::Completions(args) => {
                command::completions::run(args, printer);
                Ok(0)
            }
            Self::Man(args) => command::man::run(args, printer).map(|()| 0),
        }
    }
}
