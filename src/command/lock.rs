//! `shipctl lock`: who deploys, and keeping others off by hand.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::command::view::LockView;
use crate::effect::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::project::Environment;
use crate::session::Session;
use crate::state::lock::{Claim, Released};

/// Show, take or give back the deployment lock
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl lock status production
  shipctl lock acquire production --reason \"restoring the database\"
  shipctl lock release production")]
pub(crate) struct LockArgs {
    #[command(subcommand)]
    command: LockCommand,
}

#[derive(Debug, Subcommand)]
enum LockCommand {
    /// Say who holds it
    Status(Place),
    /// Take it by hand: it stays until it is released
    Acquire {
        #[command(flatten)]
        place: Place,
        /// Why; shown to everybody who waits
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Give it back
    Release {
        #[command(flatten)]
        place: Place,
        /// Take it away from a deployment that runs
        #[arg(long)]
        force: bool,
    },
}

#[derive(Args, Debug)]
struct Place {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
}

/// `shipctl/lock/1`.
#[derive(Serialize)]
struct View {
    schema: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sandbox: bool,
    environment: String,
    locks: Vec<LockView>,
}

pub(crate) async fn run(args: &LockArgs, session: &Session) -> Result<u8> {
    let place = match &args.command {
        LockCommand::Status(place)
        | LockCommand::Acquire { place, .. }
        | LockCommand::Release { place, .. } => place,
    };
    let environment = session.environment(place.environment.as_deref())?;
    match &args.command {
        LockCommand::Status(_) => {}
        LockCommand::Acquire { reason, .. } => acquire(session, environment, reason.clone()).await?,
        LockCommand::Release { force, .. } => release(session, environment, *force)?,
    }
    let mut locks: Vec<LockView> = Vec::new();
    for service in session.services(environment)? {
        locks.extend(session.lock_holder(&service.app)?.map(LockView::from));
    }
    if session.printer.json {
        session.printer.document(&View {
            schema: "shipctl/lock/1",
            sandbox: session.printer.sandbox,
            environment: environment.name.clone(),
            locks,
        });
        return Ok(0);
    }
    let now = clock::now();
    if locks.is_empty() {
        session
            .printer
            .answer(&format!("{} is not locked", environment.name));
    }
    for lock in &locks {
        session
            .printer
            .answer(&format!("{} is locked {}", environment.name, lock.words(now)));
    }
    Ok(0)
}

async fn acquire(session: &Session, environment: &Environment, reason: Option<String>) -> Result<()> {
    let claim = Claim {
        owner: session.actor_here().await,
        reason,
        environment: environment.name.clone(),
        deployment: None,
        deployer: session.this_process(),
        since: clock::stamp(),
    };
    let mut taken: Vec<&str> = Vec::new();
    for service in session.services(environment)? {
        if let Err(error) = session.locks().acquire_manually(&service.app, &claim) {
            for app in taken {
                session.locks().release(app, false)?;
            }
            return Err(error);
        }
        taken.push(&service.app);
    }
    // Wherever the ledger lies: two projects can name one app.
    session.printer.remark("it holds on this machine only");
    Ok(())
}

fn release(session: &Session, environment: &Environment, force: bool) -> Result<()> {
    for service in session.services(environment)? {
        if let Released::Alive(holder) = session.locks().release(&service.app, force)? {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "`{}` is held by a deployment that runs: {}",
                    service.app,
                    holder.sentence()
                ),
            )
            .hint(format!(
                "shipctl lock release {} --force (the deployment then stops changing anything)",
                environment.name
            )));
        }
    }
    Ok(())
}
