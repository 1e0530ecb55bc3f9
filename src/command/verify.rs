//! `shipctl verify`: looks at what is live now.

use std::time::Duration;

use clap::Args;

use crate::command::duration;
use crate::deployment::live::{self, Request};
use crate::error::Result;
use crate::release::ReleaseNumber;
use crate::session::Session;

/// Verify what is live now; changes nothing but the ledger
///
/// Asks every instance and exits 0 only when all of them are good on one release. A release that it verified is a
/// candidate for a rollback like any other.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl verify production
  shipctl verify production --release 41
  shipctl verify -a my-app --json | jq .exit_code")]
pub(crate) struct VerifyArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// The release that must serve: 41 or v41
    #[arg(long, value_name = "N", value_parser = release)]
    release: Option<ReleaseNumber>,
    /// For an instance to turn good
    #[arg(long, value_name = "D", value_parser = duration)]
    timeout: Option<Duration>,
}

fn release(text: &str) -> Result<ReleaseNumber, String> {
    text.trim_start_matches('v')
        .parse()
        .map(ReleaseNumber)
        .map_err(|_| "a release is a number such as 41 or v41".to_owned())
}

pub(crate) async fn run(args: &VerifyArgs, session: &Session) -> Result<u8> {
    let request = Request {
        environment: args.environment.clone(),
        release: args.release,
        timeout: args.timeout,
    };
    live::verify(session, &request).await
}
