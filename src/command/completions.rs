//! `shipctl completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::Printer;

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl completions bash > ~/.local/share/bash-completion/completions/shipctl
  shipctl completions fish > ~/.config/fish/completions/shipctl.fish")]
pub(crate) struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, printer: Printer) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shipctl", &mut script);
    printer.data(&String::from_utf8_lossy(&script));
}
