//! `shipctl freeze`: holds forward deploys off.

use clap::Args;
use serde::Serialize;

use crate::command::view::FreezeView;
use crate::effect::clock;
use crate::error::Result;
use crate::session::Session;
use crate::state::freeze::{Freeze, LOCAL};

/// Hold forward deploys off, until `unfreeze`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl freeze production --reason \"incident 42\"")]
pub(crate) struct FreezeArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// Why; shown to everybody whose deploy is refused
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `shipctl/freeze/1`.
#[derive(Serialize)]
pub(super) struct Document {
    pub(super) schema: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) sandbox: bool,
    pub(super) environment: String,
    pub(super) frozen: Option<FreezeView>,
    /// What was lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifted: Option<FreezeView>,
    /// The freeze that this one takes the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<FreezeView>,
}

pub(crate) async fn run(args: &FreezeArgs, session: &Session) -> Result<u8> {
    let environment = session.environment(args.environment.as_deref())?;
    let by = session.actor_here().await;
    let freeze = Freeze {
        reason: args.reason.clone(),
        by,
        since: clock::stamp(),
    };
    let replaced: Option<FreezeView> = session.set_freeze(environment, &freeze)?.map(Into::into);
    let view = Document {
        schema: "shipctl/freeze/1",
        sandbox: session.printer.sandbox,
        environment: environment.name.clone(),
        frozen: Some(freeze.into()),
        lifted: None,
        replaced,
    };
    if session.printer.json {
        session.printer.document(&view);
    } else {
        session.printer.answer(&format!(
            "{} is frozen: deploys are refused, rollbacks are not",
            environment.name
        ));
        if let Some(before) = &view.replaced {
            let words = before.words(clock::now());
            session.printer.remark(&format!(
                "it was frozen already, {words}; the new reason takes its place"
            ));
        }
    }
    if session.is_local(environment) {
        session.printer.remark(&format!("it {LOCAL}"));
    }
    Ok(0)
}
