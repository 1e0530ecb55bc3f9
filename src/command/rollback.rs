//! `shipctl rollback`: back to the last verified release.

use std::time::Duration;

use clap::Args;

use crate::command::duration;
use crate::deployment::backward::{self, Request};
use crate::error::Result;
use crate::session::Session;

/// Return to the last verified release before the one serving
///
/// Needs no version, no checkout and no build: the ledger, else flyctl's list of releases, says what to return to.
/// It is shipped with the configuration of then, and verified like a deploy.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl rollback production
  shipctl rollback production --to v41
  shipctl rollback production --dry-run
  shipctl rollback -a my-app --yes")]
pub(crate) struct RollbackArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// A release (41, v41), an image or a version; `release:`, `image:` or `version:` where that is ambiguous
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Run the release command of the target, too
    #[arg(long)]
    with_release_command: bool,
    /// Answer every question with yes
    #[arg(long, short)]
    yes: bool,
    /// Show the plan; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why; kept in the ledger and shown by the freeze
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// For everything from the first look to the verdict
    #[arg(long, value_name = "D", value_parser = duration)]
    timeout: Option<Duration>,
    /// Keep watching this long after the verdict is good
    #[arg(long, value_name = "D", value_parser = duration)]
    bake: Option<Duration>,
    /// Wait this long for another deployment to end
    #[arg(long, value_name = "D", value_parser = duration, default_value = "0s")]
    lock_wait: Duration,
}

pub(crate) async fn run(args: &RollbackArgs, session: &Session) -> Result<u8> {
    let request = Request {
        environment: args.environment.clone(),
        to: args.to.clone(),
        with_release_command: args.with_release_command,
        yes: args.yes,
        dry_run: args.dry_run,
        reason: args.reason.clone(),
        timeout: args.timeout,
        bake: args.bake,
        lock_wait: args.lock_wait,
    };
    backward::rollback(session, &request).await
}
