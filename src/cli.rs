//! The command line: global flags and one variant per command.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command;

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 refused, 4 config, 5 locked, 6 failed (nothing moved), 7 rolled back,
8 broken (a person is needed), 9 inconclusive, 10 provider (no release was made), 128+n interrupted by signal n.

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
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Name the Fly app instead of a checkout (rollback, status, verify, releases)
    #[arg(short = 'a', long = "app", value_name = "APP", global = true)]
    pub(crate) app: Option<String>,
    /// Only this service; may be given again
    #[arg(long = "service", value_name = "NAME", global = true)]
    pub(crate) services: Vec<String>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write events as JSON Lines to FILE, or to stdout with `-`
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
    // History(command::history::HistoryArgs),
    // Freeze(command::freeze::FreezeArgs),
    // Unfreeze(command::unfreeze::UnfreezeArgs),
    // Lock(command::lock::LockArgs),
    Config(command::config::ConfigArgs),
    Sandbox(command::sandbox::SandboxArgs),
    Completions(command::completions::CompletionsArgs),
    Man(command::man::ManArgs),
}
