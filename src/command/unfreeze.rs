//! `shipctl unfreeze`: lets forward deploys pass again.

use clap::Args;

use crate::command::freeze::FreezeView;
use crate::effect::clock;
use crate::error::Result;
use crate::output::text::ago;
use crate::session::Session;

/// Let forward deploys pass again
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl unfreeze production")]
pub(crate) struct UnfreezeArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
}

pub(crate) fn run(args: &UnfreezeArgs, session: &Session) -> Result<u8> {
    let environment = session.environment(args.environment.as_deref())?;
    let lifted = session.freeze_file(environment)?.clear()?;
    if session.printer.json {
        session.printer.document(&FreezeView {
            schema: "shipctl/freeze/1",
            sandbox: session.printer.sandbox,
            environment: environment.name.clone(),
            frozen: None,
            lifted: lifted.map(Into::into),
        });
        return Ok(0);
    }
    session.printer.data(&match lifted {
        Some(freeze) => format!(
            "{} takes deploys again; it was frozen by {}, {}: {}\n",
            environment.name,
            freeze.by,
            ago(&freeze.since, clock::now()),
            freeze.reason
        ),
        None => format!("{} was not frozen\n", environment.name),
    });
    Ok(0)
}
