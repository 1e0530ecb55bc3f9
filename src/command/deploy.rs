//! `shipctl deploy`: ships, and looks at what serves.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::command::{duration, image_reference};
use crate::deployment::forward::{self, Request};
use crate::error::{Error, Result};
use crate::project::fly_toml::STRATEGIES;
use crate::session::{Session, Strictness};

/// Ship to an environment, and verify what serves
///
/// Builds (or takes --image), ships through flyctl, watches every instance while flyctl works, and exits 0 only when
/// what was shipped is what serves. A release that is refuted is returned from by itself.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl deploy staging
  shipctl deploy production --config fly.production.toml
  shipctl deploy staging --image registry.fly.io/shop:v2 --bake 30s
  shipctl deploy staging --dry-run
  shipctl deploy staging -- --build-arg REV=abc --strategy bluegreen")]
pub(crate) struct DeployArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// The file to ship with; a protected environment needs it named
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ship this image instead of building one
    #[arg(long, value_name = "REF", value_parser = image_reference)]
    image: Option<String>,
    /// rolling, immediate, canary or bluegreen
    #[arg(long, value_name = "S", value_parser = STRATEGIES, hide_possible_values = true)]
    strategy: Option<String>,
    /// Leave a refuted release where it is
    #[arg(long)]
    no_rollback: bool,
    /// For everything from the first look to the verdict, builds included
    #[arg(long, value_name = "D", value_parser = duration)]
    timeout: Option<Duration>,
    /// Keep watching this long after the verdict is good
    #[arg(long, value_name = "D", value_parser = duration)]
    bake: Option<Duration>,
    /// Show the plan; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Lift the freeze, or ship again what was returned from
    #[arg(long)]
    unfreeze: bool,
    /// Pass these rules: refs, after, freeze
    #[arg(
        long = "override",
        value_name = "RULES",
        value_delimiter = ',',
        requires = "reason"
    )]
    overrides: Vec<String>,
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait this long for another deployment to end
    #[arg(long, value_name = "D", value_parser = duration, default_value = "0s")]
    lock_wait: Duration,
    /// Flags for `flyctl deploy` alone
    #[arg(last = true, value_name = "ARGS")]
    passed: Vec<String>,
}

impl DeployArgs {
    /// A mistake in a file that this deploy needs stops it.
    pub(crate) fn strictness(&self) -> Strictness<'_> {
        Strictness::Strict {
            environment: self.environment.as_deref(),
            config: self.config.as_deref(),
        }
    }
}

pub(crate) async fn run(args: &DeployArgs, session: &Session) -> Result<u8> {
    if session.globals.app.is_some() {
        return Err(Error::usage(
            "`deploy` ships what a checkout says: `-a APP` stands for no environment of it",
        )
        .hint("name the environment: shipctl deploy ENV"));
    }
    let request = Request {
        environment: args.environment.clone(),
        image: args.image.clone(),
        strategy: args.strategy.clone(),
        no_rollback: args.no_rollback,
        timeout: args.timeout,
        bake: args.bake,
        dry_run: args.dry_run,
        unfreeze: args.unfreeze,
        overrides: args.overrides.clone(),
        reason: args.reason.clone(),
        lock_wait: args.lock_wait,
        passed: args.passed.clone(),
    };
    forward::deploy(session, &request).await
}
