//! The stand-in for flyctl v0.2.4: it takes its arguments and prints what it prints, held to the captures by
//! `tests/captures.rs`; what it does, it does to the world file.

mod act;
mod arguments;
mod bluegreen;
mod canary;
mod conclusion;
mod deploy;
mod failure;
mod flags;
mod image;
mod launch;
mod leases;
mod project;
mod read;
mod release_command;
mod rolling;
mod session;
mod shipping;
mod update;
mod view;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::file::{self, WorldFile};
use super::world::short_stamp;
use arguments::Arguments;
use failure::Failure;
use flags::Command;
use session::Session;

/// An unreachable telemetry collector costs this long (capture `trace_collector_unreachable`).
const COLLECTOR: f64 = 10.0;

/// Runs one command line, without the program's name.
pub(super) fn run(world: WorldFile, args: &[String], variables: BTreeMap<String, String>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(command(world, args, variables)),
        Err(error) => {
            say(&mut std::io::stderr().lock(), &format!("Error: sandbox: {error}"));
            1
        }
    };
    ExitCode::from(code)
}

fn say(stream: &mut dyn Write, line: &str) {
    let _ = stream.write_all(format!("{line}\n").as_bytes());
    let _ = stream.flush();
}

async fn command(world: WorldFile, args: &[String], variables: BTreeMap<String, String>) -> u8 {
    let out = |line: &str| say(&mut std::io::stdout().lock(), line);
    let err = |line: &str| say(&mut std::io::stderr().lock(), line);
    let words: Vec<&str> = args
        .iter()
        .take_while(|word| !word.starts_with('-'))
        .map(String::as_str)
        .collect();
    let Some((command, length)) = Command::find(&words) else {
        let word = words.first().copied().unwrap_or_default();
        out("Run 'flyctl --help' for usage.\n");
        err(&format!("Error: unknown command \"{word}\" for \"flyctl\""));
        return 1;
    };
    let arguments = match Arguments::parse(command, &args[length..]) {
        Ok(arguments) if arguments.help => {
            out(&format!(
                "{}\n\n{}",
                command.about,
                command.usage_text().trim_end()
            ));
            return 0;
        }
        Ok(arguments) => arguments,
        Err(why) => {
            out(&command.usage_text());
            err(&format!("Error: {why}"));
            return 1;
        }
    };
    if let Some((folder, why)) = unusable_config_folder(&variables) {
        out(&format!("Error accessing config directory at {folder} {why}"));
        err(&format!(
            "Error: failed stat-ing config directory: stat {folder}: not a directory"
        ));
        return 1;
    }
    let annotates = ["GITHUB_ACTIONS", "FLY_GHA_ERROR_ANNOTATION"].iter().all(|name| {
        variables
            .get(*name)
            .is_some_and(|value| matches!(value.as_str(), "1" | "true"))
    });
    let result = match Session::open(world, variables, arguments, args) {
        Ok(mut session) => {
            session.log("DEBUG", "Loaded flyctl config");
            let result = perform(&mut session, &command.words()).await;
            trace(&session, &command.words()).await;
            result
        }
        Err(failure) => Err(failure),
    };
    let Err(failure) = result else { return 0 };
    if !failure.silent {
        err(&format!("Error: {}", failure.message));
        if let Some(suggestion) = &failure.suggestion {
            err(suggestion);
        }
        if annotates {
            out(&format!(
                "::error title=flyctl error::{}",
                failure.message.replace('\n', "⏎")
            ));
        }
    }
    failure.code
}

async fn perform(session: &mut Session, command: &str) -> Result<(), Failure> {
    match command {
        "version" => version(session),
        "deploy" => deploy::run(session).await,
        "status" => read::status(session).await,
        "releases" => read::releases(session).await,
        "machine list" => read::machine_list(session).await,
        "machine start" => act::machine(session, "start").await,
        "machine stop" => act::machine(session, "stop").await,
        "machine uncordon" => act::machine(session, "uncordon").await,
        "machine destroy" => act::machine(session, "destroy").await,
        "ips list" => read::ips_list(session).await,
        "config show" => read::config_show(session).await,
        "logs" => read::logs(session).await,
        "auth whoami" => read::whoami(session).await,
        "secrets list" => read::secrets_list(session).await,
        "secrets set" => act::secrets(session, true).await,
        "secrets unset" => act::secrets(session, false).await,
        other => Err(Failure::new(format!(
            "unknown command \"{other}\" for \"flyctl\""
        ))),
    }
}

/// A released flyctl's words, not those of the development build in the captures.
fn version(session: &Session) -> Result<(), Failure> {
    let version = session
        .world
        .look(|world, _| world.settings.flyctl_version.clone())?;
    let (os, architecture) = ("linux", "amd64");
    let (commit, date) = ("5a2e1f0", "2024-02-08T16:50:51Z");
    if session.wants_json() {
        let document = json!({
            "Name": "flyctl", "Version": version, "Commit": commit, "BranchName": "", "BuildDate": date,
            "OS": os, "Architecture": architecture, "Environment": "production",
        });
        session.out(&view::escaped(&document.to_string()));
    } else {
        session.out(&format!(
            "flyctl v{version} {os}/{architecture} Commit: {commit} BuildDate: {date}"
        ));
    }
    Ok(())
}

/// The folder that `FLY_CONFIG_DIR` names must be one, or be such that it can be made; it is never made here.
fn unusable_config_folder(variables: &BTreeMap<String, String>) -> Option<(String, String)> {
    let folder = variables
        .get("FLY_CONFIG_DIR")
        .filter(|folder| !folder.is_empty())?;
    let path = PathBuf::from(folder);
    let existing = path.ancestors().find(|parent| parent.exists())?;
    if existing.is_dir() {
        return None;
    }
    let shown: &Path = existing;
    Some((
        folder.clone(),
        format!("mkdir {}: not a directory", shown.display()),
    ))
}

/// Spans are sent at the end; where nobody takes them, that costs ten seconds and a line.
async fn trace(session: &Session, command: &str) {
    let Some(host) = session
        .variable("FLY_TRACE_COLLECTOR_URL")
        .filter(|host| !host.is_empty())
    else {
        return;
    };
    if matches!(command, "version") || session.is_canceled() {
        return;
    }
    session.pause(COLLECTOR).await;
    let at = short_stamp(file::now() / 1000 * 1000);
    let at = at.trim_end_matches('Z').replace('-', "/").replace('T', " ");
    session.err(&format!(
        "{at} traces export: context deadline exceeded: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {host}: connect: connection refused\""
    ));
}
