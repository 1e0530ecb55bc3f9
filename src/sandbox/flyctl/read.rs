//! The subcommands that only read: status, releases, machine list, ips list, secrets list, config show, logs, whoami.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::machine::Machine;
use super::super::world::{App, Log, Millis, World, short_stamp, stamp};
use super::failure::Failure;
use super::project;
use super::session::{Call, Session};
use super::view;

/// `releases` shows no more than this, newest first (capture `releases_many_json`).
const RELEASES: usize = 25;
/// The end of what `ips list` prints as text.
const IPS_NOTE: &str = "Learn more about Fly.io public, private, shared and dedicated IP addresses in our docs: https://fly.io/docs/reference/services/#ip-addresses";

/// The path of an app's machines.
pub(super) fn machines_path(app: &str) -> String {
    format!("/v1/apps/{app}/machines")
}

/// A copy of the app, under the token and the faults of a call.
fn copy_of(world: &World, app: &str) -> App {
    world
        .apps
        .get(app)
        .cloned()
        .unwrap_or_else(|| App::new(app, "personal"))
}

pub(super) async fn whoami(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let email = user(session).await?;
    if session.wants_json() {
        session.out(&view::indented(&json!({"email": email}), 4));
    } else {
        session.out(&email);
    }
    Ok(())
}

/// The first question of a deployment too.
pub(super) async fn user(session: &Session) -> Result<String, Failure> {
    session
        .call(Call::query("query viewer", None), |world, _| {
            Ok(world.user.email.clone())
        })
        .await
        .map_err(|error| error.within("failed retrieving current user"))
}

pub(super) async fn releases(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let context = format!("failed retrieving app releases {app}");
    let found = session
        .call(Call::query("query app", Some(&app)), |world, now| {
            let newest = world.apps[&app].releases.iter().rev().take(RELEASES);
            let rows: Vec<_> = newest
                .map(|release| {
                    (
                        view::release(world, release),
                        release.clone(),
                        view::ago(release.created_at, now),
                    )
                })
                .collect();
            Ok(rows)
        })
        .await
        .map_err(|error| error.within(&context))?;
    if session.wants_json() {
        let all: Value = found.into_iter().map(|(json, ..)| json).collect();
        session.out(&view::indented(&all, 4));
        return Ok(());
    }
    let images = session.arguments.switch("image", false);
    let mut head = vec!["VERSION", "STATUS", "DESCRIPTION", "USER", "DATE"];
    if images {
        head.push("DOCKER IMAGE");
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|(_, release, age)| {
            let mut row = vec![
                format!("v{}", release.version),
                release.status,
                "Release".to_owned(),
                release.user,
                age,
            ];
            if images {
                row.push(release.image);
            }
            row
        })
        .collect();
    session.out(&view::table(&head, &rows));
    Ok(())
}

/// `machine list` hides every cause behind one sentence (captures `machine_list_json_*`).
pub(super) async fn machine_list(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let path = machines_path(&app);
    let found = session
        .call(Call::machines("GET", &path, &app), |world, now| {
            let found = &world.apps[&app];
            let live = found
                .machines
                .iter()
                .filter(|machine| machine.state != "destroyed");
            Ok(live
                .map(|machine| (view::machine(world, found, machine, now), machine.clone()))
                .collect::<Vec<_>>())
        })
        .await
        .map_err(|_| Failure::new("machines could not be retrieved"))?;
    if session.wants_json() {
        let all: Value = found.into_iter().map(|(json, _)| json).collect();
        session.out(&view::indented(&all, 4));
        return Ok(());
    }
    if found.is_empty() {
        session.out(&format!("No machines are available on this app {app}"));
        return Ok(());
    }
    session.out(&format!(
        "{} machines have been retrieved from app {app}.",
        found.len()
    ));
    session.out(&format!(
        "View them in the UI here (\u{200b}https://fly.io/apps/{app}/machines/)\n"
    ));
    let rows: Vec<Vec<String>> = found.iter().map(|(_, machine)| machine_row(machine)).collect();
    session.out(&format!("\u{1b}[1m{app}\u{1b}[0m"));
    let head = [
        "ID",
        "NAME",
        "STATE",
        "REGION",
        "IMAGE",
        "IP ADDRESS",
        "VOLUME",
        "CREATED",
        "LAST UPDATED",
        "APP PLATFORM",
        "PROCESS GROUP",
        "SIZE",
    ];
    session.out(&view::table(&head, &rows));
    Ok(())
}

fn machine_row(machine: &Machine) -> Vec<String> {
    let guest = &machine.config["guest"];
    let size = format!(
        "{}-cpu-{}x:{}MB",
        guest["cpu_kind"].as_str().unwrap_or("shared"),
        guest["cpus"],
        guest["memory_mb"]
    );
    vec![
        machine.id.clone(),
        machine.name.clone(),
        machine.state.clone(),
        machine.region.clone(),
        format!("{}:{}", machine.image_ref.repository, machine.image_ref.tag),
        machine.private_ip.clone(),
        machine.config["mounts"][0]["volume"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        stamp(machine.created_at),
        stamp(machine.updated_at),
        "v2".to_owned(),
        machine.group().to_owned(),
        size,
    ]
}

pub(super) async fn status(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    session
        .call(Call::query("query app", Some(&app)), |_, _| Ok(()))
        .await
        .map_err(|error| error.within("failed to get app"))?;
    let path = machines_path(&app);
    let machines = session
        .call(Call::machines("GET", &path, &app), |world, now| {
            Ok(status_machines(world, &copy_of(world, &app), now))
        })
        .await
        .map_err(|error| error.within("failed to list VMs"))?;
    let (document, app) = session
        .call(Call::query("query app", Some(&app)), |world, _| {
            let found = copy_of(world, &app);
            let jsons = machines.iter().map(|(json, ..)| json.clone()).collect();
            Ok((view::status(world, &found, jsons), found))
        })
        .await
        .map_err(|error| error.within("failed to get app"))?;
    if session.wants_json() {
        if session.arguments.switch("watch", false) {
            return Err(Failure::new("--watch and --json are not supported together"));
        }
        session.out(&view::indented(&document, 4));
        return Ok(());
    }
    print_status(session, &app, machines);
    Ok(())
}

type StatusRow = (Value, Machine, String);

/// The machines that `status` shows: those of the app itself, ids descending.
fn status_machines(world: &World, app: &App, now: Millis) -> Vec<StatusRow> {
    let mut shown: Vec<_> = app
        .live()
        .filter(|machine| !matches!(machine.group(), "fly_app_release_command" | "fly_app_console"))
        .map(|machine| {
            let checks = world.checks(app, machine, now);
            let mut text = String::new();
            if !checks.is_empty() {
                text = format!("{} total", checks.len());
                for word in ["passing", "warning", "critical"] {
                    let count = checks.iter().filter(|check| check.status == word).count();
                    if count > 0 {
                        let _ = write!(text, ", {count} {word}");
                    }
                }
            }
            (view::machine(world, app, machine, now), machine.clone(), text)
        })
        .collect();
    shown.sort_by(|(_, left, _), (_, right, _)| right.id.cmp(&left.id));
    shown
}

fn print_status(session: &Session, app: &App, mut machines: Vec<StatusRow>) {
    let image = app.releases.last().map_or_else(
        || "-".to_owned(),
        |last| {
            let image = super::super::image::ImageRef::parse(&last.image);
            format!("{}:{}", image.repository, image.tag)
        },
    );
    let facts = [
        ("Name", app.name.clone()),
        ("Owner", app.org.clone()),
        ("Hostname", app.hostname()),
        ("Image", image),
    ];
    session.out(&view::facts("App", &facts));
    if machines.is_empty() {
        return;
    }
    machines.sort_by(|(_, left, _), (_, right, _)| (left.group(), &left.id).cmp(&(right.group(), &right.id)));
    let mut standby = false;
    let rows: Vec<Vec<String>> = machines
        .iter()
        .map(|(_, machine, checks)| {
            standby |= machine.is_standby();
            let mark = if machine.is_standby() { "†" } else { "" };
            vec![
                format!("{}{mark}", machine.group()),
                machine.id.clone(),
                machine
                    .release_version()
                    .map_or_else(String::new, |version| version.to_string()),
                machine.region.clone(),
                machine.state.clone(),
                String::new(),
                checks.clone(),
                stamp(machine.updated_at),
            ]
        })
        .collect();
    session.out("\u{1b}[1mMachines\u{1b}[0m");
    let head = [
        "PROCESS",
        "ID",
        "VERSION",
        "REGION",
        "STATE",
        "ROLE",
        "CHECKS",
        "LAST UPDATED",
    ];
    session.out(&view::table(&head, &rows));
    if standby {
        session.out("  † Standby machine (it will take over only in case of host hardware failure)");
    }
}

pub(super) async fn ips_list(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let (found, now) = session
        .call(Call::query("query app", Some(&app)), |world, now| {
            Ok((world.apps[&app].addresses.clone(), now))
        })
        .await
        .map_err(|error| error.within(""))?;
    if session.wants_json() {
        let all: Value = found
            .iter()
            .map(|address| {
                let at = address
                    .created_at
                    .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), short_stamp);
                json!({
                    "ID": address.id, "Address": address.ip, "Type": address.kind, "Region": address.region,
                    "CreatedAt": at,
                })
            })
            .collect();
        session.out(&view::indented(&all, 4));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|address| {
            let (version, kind) = match address.kind.as_str() {
                "shared_v4" => ("v4", "public (shared)"),
                "private_v6" => ("v6", "private"),
                other => (other, "public (dedicated)"),
            };
            let age = address
                .created_at
                .map_or_else(|| "Jan 1 0001 00:00".to_owned(), |at| view::ago(at, now));
            vec![
                version.to_owned(),
                address.ip.clone(),
                kind.to_owned(),
                address.region.clone(),
                age,
            ]
        })
        .collect();
    session.out(&view::table(
        &["VERSION", "IP", "TYPE", "REGION", "CREATED AT"],
        &rows,
    ));
    session.out(IPS_NOTE);
    Ok(())
}

/// By name; of a value only its digest.
pub(super) async fn secrets_list(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let (found, now) = session
        .call(Call::query("query app secrets", Some(&app)), |world, now| {
            Ok((world.apps[&app].secrets.clone(), now))
        })
        .await
        .map_err(|error| error.within(""))?;
    if session.wants_json() {
        let all: Value = found
            .iter()
            .map(|(name, secret)| {
                json!({"Name": name, "Digest": secret.digest, "CreatedAt": short_stamp(secret.created_at)})
            })
            .collect();
        session.out(&view::indented(&all, 4));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|(name, secret)| vec![name, secret.digest, view::ago(secret.created_at, now)])
        .collect();
    session.out(&view::table(&["NAME", "DIGEST", "CREATED AT"], &rows));
    Ok(())
}

pub(super) async fn config_show(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let definition = session
        .call(Call::query("query app", Some(&app)), |world, _| {
            Ok(world.apps[&app]
                .releases
                .last()
                .map(|last| last.definition.clone()))
        })
        .await
        .map_err(|error| error.within(""))?;
    session.out(&view::indented(
        &definition.unwrap_or_else(|| json!({"app": app})),
        2,
    ));
    Ok(())
}

/// With `--no-tail` it prints what is there, and waits for ever where nothing is (REFERENCE 1.8).
pub(super) async fn logs(session: &Session) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let wanted = |log: &Log| {
        session
            .arguments
            .value("instance")
            .is_none_or(|id| log.machine == id)
            && session
                .arguments
                .value("region")
                .is_none_or(|region| log.region == region)
    };
    let tails = !session.arguments.switch("no-tail", false);
    let mut shown = 0;
    loop {
        let lines: Vec<Log> = session
            .call(Call::query("logs", Some(&app)), |world, _| {
                Ok(world.apps[&app].logs.iter().cloned().collect())
            })
            .await
            .map_err(|error| error.within(""))?;
        let lines: Vec<_> = lines.into_iter().filter(|line| wanted(line)).collect();
        for line in lines.iter().skip(shown) {
            session.out(&log_line(session, line));
        }
        if !lines.is_empty() && !tails {
            return Ok(());
        }
        shown = lines.len();
        if !session.pause_until(None).await {
            return Ok(());
        }
    }
}

fn log_line(session: &Session, log: &Log) -> String {
    if session.wants_json() {
        let line = json!({
            "level": log.level, "instance": log.machine, "message": log.message, "region": log.region,
            "timestamp": short_stamp(log.at),
            "meta": {"Instance": log.machine, "Region": log.region, "Event": {"Provider": "app"}},
        });
        return view::indented(&line, 4);
    }
    let colour = if log.level == "error" { 31 } else { 34 };
    let at = short_stamp(log.at / 1000 * 1000);
    format!(
        "\u{1b}[2m{at}\u{1b}[0m app[{}] \u{1b}[32m{}\u{1b}[0m [\u{1b}[{colour}m{}\u{1b}[0m]{}",
        log.machine, log.region, log.level, log.message
    )
}
