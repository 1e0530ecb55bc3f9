//! `shipctl` ships an app to Fly.io through flyctl, looks at what serves, and says the truth about it.
//!
//! Data flows one way: arguments → settings → plan → phases → events → readers. Decisions are pure functions;
//! children, HTTP and the clock sit behind [`effect`]. `docs/architecture.md` draws the map.

mod cli;
mod command;
mod deployment;
mod effect;
mod error;
mod git;
mod instance;
mod output;
mod project;
mod provider;
mod release;
mod rollback;
mod sandbox;
mod secret;
mod session;
mod state;
mod verification;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as ClapErrorKind;

use cli::{Cli, ColorChoice, Globals};
use error::Error;
use output::Printer;

/// Runs one command line, the program's name included, and answers with its exit code (DESIGN 9).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let world = std::env::var_os(sandbox::WORLD_VARIABLE);
    if sandbox::is_stand_in(args.first().map(OsString::as_os_str), world.as_deref()) {
        return sandbox::stand_in(args);
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    let printer = Printer::new(&cli.globals);
    if let Err(error) = cli.globals.check() {
        printer.error(&error);
        return ExitCode::from(error.kind.exit_code());
    }
    if let Err(error) = enter(cli.globals.directory.as_deref()) {
        printer.error(&error);
        return ExitCode::from(error.kind.exit_code());
    }
    diagnostics();
    let result = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => {
            let result = runtime.block_on(cli.command.run(&cli.globals, printer));
            // A child's pipe that nobody closes must not keep the answer back.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Error::internal("cannot start").cause(error)),
    };
    match (result, Printer::lost()) {
        (Ok(code), None) => ExitCode::from(code),
        (Ok(code), Some(lost)) => {
            printer.error_as_text(&lost);
            // What was deployed, rolled back or verified is so, whether or not it could be told.
            let is_told_by_code = cli.command.answers_by_exit_code();
            ExitCode::from(if code == 0 && !is_told_by_code {
                lost.kind.exit_code()
            } else {
                code
            })
        }
        (Err(error), _) => {
            printer.error(&error);
            if Printer::lost().is_some() {
                printer.error_as_text(&error);
            }
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// `-C DIR` is `cd DIR`: everything that is relative, files, `.env` and places for state, is so from there.
fn enter(folder: Option<&Path>) -> Result<(), Error> {
    let Some(folder) = folder else { return Ok(()) };
    std::env::set_current_dir(folder)
        .map_err(|error| Error::usage(format!("cannot go to `-C {}`", folder.display())).cause(error))
}

/// `SHIPCTL_LOG` is for finding faults in shipctl; nothing that a user must read goes there alone.
fn diagnostics() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("SHIPCTL_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
}

/// Help and version are answers; anything else is a wrong command line, with `--json` as a document.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let json = args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json");
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ if json => {
            let globals = Globals {
                json,
                color: ColorChoice::Never,
                ..Globals::default()
            };
            let own = usage_error(&error.render().to_string());
            Printer::new(&globals).error(&own);
            ExitCode::from(own.kind.exit_code())
        }
        _ => {
            let _ = error.print();
            ExitCode::from(2)
        }
    }
}

/// What clap says in paragraphs: the error, tips, the usage, and where help is.
fn usage_error(text: &str) -> Error {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    });
    // Where a subcommand is missing, clap shows its help in place of an error.
    let mut message = "the command line is not complete".to_owned();
    let mut hints = Vec::new();
    for paragraph in paragraphs.filter(|paragraph| !paragraph.is_empty()) {
        if let Some(error) = paragraph.strip_prefix("error: ") {
            error.clone_into(&mut message);
        } else if let Some(tip) = paragraph.strip_prefix("tip: ") {
            hints.extend(tip.split(" tip: ").map(str::to_owned));
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            hints.push(format!("usage: {usage}"));
        }
    }
    hints.push("shipctl --help".to_owned());
    hints.into_iter().fold(Error::usage(message), Error::hint)
}

/// Gives an order to a sandbox's world, and answers as its control does; for tests, which read the truth from it.
#[doc(hidden)]
pub fn sandbox_order(world: &Path, order: serde_json::Value) -> serde_json::Value {
    sandbox::order(world, order)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Cli, usage_error};

    #[test]
    fn all_that_is_wrong_with_a_command_line_is_in_its_document() {
        for (line, message, hints) in [
            (
                "shipctl freeze staging",
                "the following required arguments were not provided: --reason <TEXT>",
                &["usage: shipctl freeze --reason <TEXT> <ENV>", "shipctl --help"][..],
            ),
            (
                "shipctl deploy --dry-rum staging",
                "unexpected argument '--dry-rum' found",
                &[
                    "a similar argument exists: '--dry-run'",
                    "to pass '--dry-rum' as a value, use '-- --dry-rum'",
                    "usage: shipctl deploy --dry-run [ENV] [-- <ARGS>...]",
                    "shipctl --help",
                ],
            ),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let own = usage_error(&error.render().to_string());
            assert_eq!(own.message, message);
            assert_eq!(own.hints, hints);
        }
    }
}
