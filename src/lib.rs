//! `shipctl` ships an app to Fly.io through flyctl, looks at what serves, and says the truth about it.
//!
//! Data flows one way: arguments → settings → plan → phases → events → readers. Decisions are pure functions;
//! children, HTTP and the clock sit behind [`effect`].

#![allow(dead_code)]

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
use std::process::ExitCode;

/// Runs one command line, the program's name included, and answers with its exit code (DESIGN 9).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = args.into_iter();
    ExitCode::SUCCESS
}
