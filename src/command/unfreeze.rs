//! `shipctl unfreeze`: lets forward deploys pass again.

use clap::Args;

use crate::command::freeze::Document;
use crate::command::view::FreezeView;
use crate::effect::clock;
use crate::error::Result;
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
    let lifted: Option<FreezeView> = session.lift_freeze(environment)?.map(Into::into);
    if session.printer.json {
        session.printer.document(&Document {
            schema: "shipctl/freeze/1",
            sandbox: session.printer.sandbox,
            environment: environment.name.clone(),
            frozen: None,
            lifted,
            replaced: None,
        });
        return Ok(0);
    }
    session.printer.answer(&match lifted {
        Some(freeze) => format!(
            "{} takes deploys again; it was frozen {}",
            environment.name,
            freeze.words(clock::now())
        ),
        None => format!("{} was not frozen", environment.name),
    });
    Ok(0)
}
