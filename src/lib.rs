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
    let args: Vec<OsString> = args.into_iter().collect();
    let world = std::env::var_os(sandbox::WORLD_VARIABLE);
    if sandbox::is_stand_in(args.first().map(OsString::as_os_str), world.as_deref()) {
        return sandbox::stand_in(args);
    }
    ExitCode::SUCCESS
}

/// Gives an order to a sandbox's world, for tests: see `sandbox::control` for the orders.
#[doc(hidden)]
pub fn sandbox_order(world: &std::path::Path, order: serde_json::Value) -> serde_json::Value {
    sandbox::order(world, order)
}
