//! How flyctl prints what it read: machines and releases as JSON, and its text tables.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::machine::{Event, Machine};
use super::super::world::{App, Millis, Release, World, short_stamp, stamp};

/// A machine as `machine list --json` and `status --json` print it; empty and zero fields are absent.
pub(super) fn machine(world: &World, app: &App, machine: &Machine, now: Millis) -> Value {
    let image = &machine.image_ref;
    let checks: Vec<_> = world
        .checks(app, machine, now)
        .into_iter()
        .map(|check| {
            json!({
                "name": check.name, "status": check.status, "output": check.output,
                "updated_at": short_stamp(check.updated_at),
            })
        })
        .collect();
    let events: Vec<_> = machine.events.iter().map(Event::to_json).collect();
    let mut found = json!({
        "id": machine.id, "name": machine.name, "state": machine.state, "region": machine.region,
        "image_ref": {
            "registry": image.registry, "repository": image.repository, "tag": image.tag, "digest": image.digest,
        },
        "instance_id": machine.instance_id, "private_ip": machine.private_ip,
        "created_at": stamp(machine.created_at), "updated_at": stamp(machine.updated_at),
        "config": machine.config, "events": events,
    });
    if !checks.is_empty() {
        found["checks"] = checks.into();
    }
    if world.settings.host_status {
        let status = if machine.reachable { "ok" } else { "unreachable" };
        found["host_status"] = json!(status);
        found["cordoned"] = json!(machine.cordoned);
    }
    found
}

/// A release as `releases --json` prints it.
pub(super) fn release(world: &World, release: &Release) -> Value {
    let user = &world.user;
    let (id, name) = if release.user == user.email {
        (user.id.as_str(), user.name.as_str())
    } else {
        ("u5erSomeoneElse", "Someone Else")
    };
    json!({
        "ID": release.id, "Version": release.version, "Stable": release.status == "complete", "InProgress": false,
        "Reason": "", "Description": "Release", "Status": release.status, "DeploymentStrategy": "",
        "User": {"ID": id, "Name": name, "Email": release.user, "EnablePaidHobby": false},
        "EvaluationID": "", "CreatedAt": stamp(release.created_at), "ImageRef": release.image,
    })
}

/// `{"Name": …}` of `status --json`, its keys in alphabetical order.
pub(super) fn status(world: &World, app: &App, machines: Vec<Value>) -> Value {
    let id = world
        .organizations
        .get(&app.org)
        .map_or("", |org| org.id.as_str());
    let mut found = Map::new();
    found.insert("AppURL".to_owned(), json!(format!("https://{}", app.hostname())));
    found.insert("Deployed".to_owned(), json!(app.deployed()));
    found.insert("Hostname".to_owned(), json!(app.hostname()));
    found.insert("ID".to_owned(), json!(app.name));
    found.insert("Machines".to_owned(), machines.into());
    found.insert("Name".to_owned(), json!(app.name));
    found.insert(
        "Organization".to_owned(),
        json!({"ID": id, "Name": "", "Slug": app.org, "RawSlug": "", "PaidPlan": false}),
    );
    found.insert("PlatformVersion".to_owned(), json!("machines"));
    found.insert("Status".to_owned(), json!(app.status()));
    found.insert(
        "Version".to_owned(),
        json!(app.releases.last().map_or(0, |last| last.version)),
    );
    Value::Object(found)
}

/// JSON with an indent of so many blanks, as flyctl's two printers do; HTML characters are escaped.
pub(super) fn indented(value: &Value, blanks: usize) -> String {
    let indent = " ".repeat(blanks);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    let _ = serde::Serialize::serialize(value, &mut serializer);
    escaped(&String::from_utf8_lossy(&text))
}

/// Go's JSON escapes `<`, `>` and `&`.
pub(super) fn escaped(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// A table: cells padded to their column, with a tab after each; an empty line follows.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let pad = |cell: &str, column: usize| {
        let blanks = widths[column].saturating_sub(cell.chars().count());
        format!("{cell}{}", " ".repeat(blanks))
    };
    let head: Vec<_> = head
        .iter()
        .enumerate()
        .map(|(column, cell)| pad(cell, column))
        .collect();
    let mut text = format!("{} \n", head.join("\t"));
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(&pad(cell, column));
            text.push('\t');
        }
        text.push('\n');
    }
    text
}

/// The `App` block of `status`.
pub(super) fn facts(title: &str, facts: &[(&str, String)]) -> String {
    let names = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let values = facts
        .iter()
        .map(|(_, value)| value.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = format!("\u{1b}[1m{title}\u{1b}[0m\n");
    for (name, value) in facts {
        let blanks = " ".repeat(values.saturating_sub(value.chars().count()));
        let _ = writeln!(text, "  {name:names$} = {value}{blanks}  ");
    }
    text
}

/// `10m8s ago`, as flyctl says it of a day's worth of time.
pub(super) fn ago(at: Millis, now: Millis) -> String {
    let seconds = ((now - at) / 1000).max(0);
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m{}s ago", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m ago", seconds / 3600, seconds / 60 % 60),
        _ => {
            let stamp = stamp(at);
            format!("{} {}", &stamp[..10], &stamp[11..16])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, facts, table};

    #[test]
    fn tables_look_like_those_of_the_captures() {
        let rows = vec![vec![
            "v4".to_owned(),
            "complete".to_owned(),
            "10m8s ago".to_owned(),
        ]];
        assert_eq!(
            table(&["VERSION", "STATUS", "DATE"], &rows),
            "VERSION\tSTATUS  \tDATE      \nv4     \tcomplete\t10m8s ago\t\n"
        );
        assert_eq!(table(&["VERSION", "DATE"], &[]), "VERSION\tDATE \n");
        assert_eq!(
            facts(
                "App",
                &[
                    ("Name", "shop".to_owned()),
                    ("Hostname", "shop.fly.dev".to_owned())
                ]
            ),
            "\u{1b}[1mApp\u{1b}[0m\n  Name     = shop          \n  Hostname = shop.fly.dev  \n"
        );
    }

    #[test]
    fn ages_are_said_in_two_units() {
        assert_eq!(ago(0, 608_000), "10m8s ago");
        assert_eq!(ago(0, 14_000), "14s ago");
        assert_eq!(ago(0, 500), "just now");
    }
}
