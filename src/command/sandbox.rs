//! `shipctl sandbox`: Fly without Fly, for exploring, demos and tests.

mod demo;

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::Globals;
use crate::error::{Error, ErrorKind, Result};
use crate::output::Printer;
use crate::output::{BOLD, paint};
use crate::sandbox::Sandbox;
use crate::session::{Session, Strictness, seeds};
use crate::state::home::Home;

/// Play without an account, a network, flyctl or Docker
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl sandbox demo
  shipctl --sandbox deploy staging --image registry.fly.io/shop:v3
  shipctl --sandbox deploy staging --image registry.fly.io/shop:v4-unhealthy")]
pub(crate) struct SandboxArgs {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    /// Keep the sandbox's apps answering in the foreground, for exploring
    Up,
    /// Forget everything that happened in this project's sandbox
    Reset,
    /// Show a good deploy, a bad one that returns by itself, and a rollback
    Demo,
}

/// `shipctl/sandbox/1`.
#[derive(Serialize)]
struct SandboxView {
    schema: &'static str,
    sandbox: bool,
    world: String,
    /// With `{app}` in place of an app's name.
    url: Option<String>,
    apps: Vec<String>,
}

pub(crate) async fn run(args: &SandboxArgs, globals: &Globals, printer: Printer) -> Result<u8> {
    let mut printer = printer;
    printer.sandbox = true;
    if matches!(args.command, SandboxCommand::Demo) {
        if printer.json {
            return Err(Error::usage("the demo is played for people: it has no document")
                .hint("play it without `--json`: shipctl sandbox demo")
                .hint("what a program reads: shipctl --sandbox deploy ENV --image <REF> --json"));
        }
        return demo::run(&printer).await;
    }
    let session = Session::open(
        &Globals {
            sandbox: false,
            ..globals.clone()
        },
        printer,
        Strictness::Tolerant,
    )
    .await?;
    let root = Home::sandbox_folder(&session.project.name, |name| std::env::var_os(name))?;
    let unusable =
        |error| Error::internal(format!("the sandbox in `{}` cannot be used", root.display())).cause(error);
    let apps = seeds(&session.project);
    let names: Vec<String> = apps.iter().map(|one| one.app.clone()).collect();
    if matches!(args.command, SandboxCommand::Reset) {
        unused(&root, &names)?;
        Sandbox::reset(&root).map_err(unusable)?;
        if root.exists() {
            std::fs::remove_dir_all(&root).map_err(unusable)?;
        }
        let view = SandboxView {
            schema: "shipctl/sandbox/1",
            sandbox: true,
            world: root.display().to_string(),
            url: None,
            apps: names,
        };
        if printer.json {
            printer.document(&view);
        } else {
            printer.say(&format!("the sandbox of `{}` begins anew", session.project.name));
        }
        return Ok(0);
    }
    let sandbox = Sandbox::open(&root, &apps).map_err(unusable)?;
    let served = sandbox.serve().map_err(unusable)?;
    let interrupted = crate::command::interrupted();
    let view = SandboxView {
        schema: "shipctl/sandbox/1",
        sandbox: true,
        world: sandbox.world().display().to_string(),
        url: Some(served.base_url.clone()),
        apps: names,
    };
    if printer.json {
        printer.document(&view);
    } else {
        for app in &view.apps {
            printer.data(&format!(
                "{} {}\n",
                paint(BOLD, app),
                served.base_url.replace("{app}", app)
            ));
        }
        printer.say("serving until Ctrl-C; deploy to it from another terminal: shipctl --sandbox deploy ENV --image …");
    }
    interrupted.await;
    Ok(0)
}

/// A deployment that runs would go on in a world that is gone.
fn unused(root: &Path, apps: &[String]) -> Result<()> {
    let locks = Home::sandbox(root).locks();
    for app in apps {
        if let Some(holder) = locks.holder(app)?.filter(|holder| holder.alive) {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "the sandbox is in use: `{app}` is held by a deployment that runs: {}",
                    holder.sentence()
                ),
            )
            .hint("wait for it to end, or interrupt it"));
        }
    }
    Ok(())
}
