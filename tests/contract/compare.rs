//! What the stand-in printed beside what flyctl printed, with identifiers and times out of the way.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::deviations::{self, Instead};
use super::scene::Played;

/// Values that differ from run to run, by the key that they stand under.
const CHANCE: [&str; 16] = [
    "instance_id",
    "private_ip",
    "created_at",
    "updated_at",
    "fly_release_id",
    "fly_flyctl_version",
    "name",
    "timestamp",
    "exited_at",
    "volume",
    "ID",
    "CreatedAt",
    "AllocatedAt",
    "Name",
    "Version_of_build",
    "expires_at",
];

/// Everything that differs, in words.
pub(crate) fn differences(played: &Played) -> Vec<String> {
    let mut found = Vec::new();
    let recorded = &played.recorded;
    if recorded["exit_code"] != json!(played.exit_code) {
        found.push(format!(
            "exit code {}, recorded {}\nstderr {}",
            played.exit_code, recorded["exit_code"], played.stderr
        ));
    }
    let instead = deviations::of(&played.name);
    let text = |stream: &str| recorded[stream].as_str().unwrap_or_default().to_owned();
    streams(played, instead, &text("stdout"), &text("stderr"), &mut found);
    if let Some(after) = &played.after {
        ends(recorded, after, instead, &mut found);
    }
    found
}

fn streams(played: &Played, instead: Option<Instead>, stdout: &str, stderr: &str, found: &mut Vec<String>) {
    match instead {
        Some(Instead::Flags) => {
            differ("flags", &flags(&played.stdout), &flags(stdout), found);
            differ("stderr", &played.stderr, &stderr.to_owned(), found);
        }
        Some(Instead::Version) => differ("version", &version(&played.stdout), &version(stdout), found),
        Some(Instead::FirstLine) => {
            let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            differ("stderr", &first(&played.stderr), &first(stderr), found);
            differ("stdout", &played.stdout, &stdout.to_owned(), found);
        }
        Some(Instead::SpoiledJson) => {
            for text in [played.stdout.as_str(), stdout] {
                if serde_json::from_str::<Value>(text).is_ok() || !text.contains("\"AppURL\"") {
                    found.push(format!("stdout is no spoiled document: {text}"));
                }
            }
        }
        Some(Instead::AnyOrder) => {
            let any = |text: &str| sorted(&unnumbered(&lines(played, text)));
            differ("stdout", &any(&played.stdout), &any(stdout), found);
            differ(
                "stderr",
                &lines(played, &played.stderr),
                &lines(played, stderr),
                found,
            );
        }
        Some(Instead::MachineStates) | None => {
            let read = |text: &str| serde_json::from_str::<Value>(text);
            if let (Ok(expected), Ok(value)) = (read(stdout), read(&played.stdout)) {
                documents("", &value, &expected, found);
            } else {
                // The immediate strategy tells its machines' ends in any order.
                let order = |text: &str| {
                    let all = lines(played, text);
                    if instead.is_some() { sorted(&all) } else { all }
                };
                differ("stdout", &order(&played.stdout), &order(stdout), found);
            }
            differ(
                "stderr",
                &lines(played, &played.stderr),
                &lines(played, stderr),
                found,
            );
        }
    }
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, value: &T, expected: &T, found: &mut Vec<String>) {
    if value != expected {
        found.push(format!("{what}\n   is       {value:?}\n   recorded {expected:?}"));
    }
}

/// `[3/4]` as `[4]`: which machine has which number is chance too.
fn unnumbered(lines: &[String]) -> Vec<String> {
    let plain = |word: &str| match word.strip_prefix('[').and_then(|rest| rest.split_once('/')) {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("[{rest}"),
        _ => word.to_owned(),
    };
    lines
        .iter()
        .map(|line| line.split(' ').map(plain).collect::<Vec<_>>().join(" "))
        .collect()
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

/// Two documents, value by value; those of chance by their kind alone.
fn documents(at: &str, value: &Value, expected: &Value, found: &mut Vec<String>) {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            if keys(value) != keys(expected) {
                differ(&format!("keys of {at}"), &keys(value), &keys(expected), found);
            }
            for (key, value) in value {
                let Some(expected) = expected.get(key) else {
                    continue;
                };
                let at = format!("{at}/{key}");
                let by_chance = CHANCE.contains(&key.as_str()) && !(at.ends_with("/checks/name"));
                let named = expected
                    .as_str()
                    .is_some_and(|name| matches!(name, "shop" | "fresh" | "sick" | ""));
                if by_chance && !named && (value.is_string() || value.is_number()) {
                    let kind = |value: &Value| value.is_string();
                    differ(&at, &kind(value), &kind(expected), found);
                } else {
                    documents(&at, value, expected, found);
                }
            }
        }
        (Value::Array(value), Value::Array(expected)) => {
            differ(&format!("length of {at}"), &value.len(), &expected.len(), found);
            for (value, expected) in value.iter().zip(expected) {
                documents(at, value, expected, found);
            }
        }
        _ => differ(at, value, expected, found),
    }
}

/// The lines of a text, hosts, folders, times, identifiers and the padding of tables made alike.
fn lines(played: &Played, text: &str) -> Vec<String> {
    let work = played.folder.display().to_string();
    let text = text
        .replace(&work, "$WORKDIR")
        .replace("http://127.0.0.1:$API_PORT/graphql", "https://api.fly.io/graphql")
        .replace("http://127.0.0.1:$API_PORT/v1", "https://api.machines.dev/v1");
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("goroutine ") {
            break; // The addresses and files of a panic.
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let alike = |(at, one): (usize, &&str)| match words.get(at + 1) {
            Some(&"ago") => "<AGE>".to_owned(),
            _ => word(one),
        };
        found.push(words.iter().enumerate().map(alike).collect::<Vec<_>>().join(" "));
    }
    // Empty lines are kept where they stand between others: parsers go by lines.
    while found.last().is_some_and(String::is_empty) {
        found.pop();
    }
    let joined = found.join("\n");
    let joined = joined.replace(" ago", "").replace("just now", "<AGE>");
    cut_queries(&joined).lines().map(str::to_owned).collect()
}

/// The query of a waiting call names the version of a machine; it is nobody's concern.
fn cut_queries(text: &str) -> String {
    let mut found = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/wait?") {
        found.push_str(before);
        found.push_str("/wait");
        rest = after.find('"').map_or("", |end| &after[end..]);
    }
    found + rest
}

fn word(word: &str) -> String {
    let plain = strip_colour(word);
    let inner = plain.trim_matches(|letter: char| !letter.is_alphanumeric());
    if is_time(inner) {
        return plain.replace(inner, "<TIME>");
    }
    if inner.starts_with("01DOUBLE") || inner.starts_with("01SANDBOX") {
        return plain.replace(inner, "<REQUEST>");
    }
    if is_age(inner) {
        return plain.replace(inner, "<AGE>");
    }
    if inner.starts_with("vol_") {
        return plain.replace(inner, "<VOLUME>");
    }
    if inner.starts_with("fdaa:") {
        return plain.replace(inner, "<ADDRESS>");
    }
    let name = inner.split('-').collect::<Vec<_>>();
    if let [first, second, number] = name[..]
        && ["calm", "dark", "still", "wild"].contains(&first)
        && ["river", "leaf", "moon", "pine"].contains(&second)
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return plain.replace(inner, "<NAME>");
    }
    // Colour is compared too: parsers must live with it where flyctl prints it.
    word.to_owned()
}

fn strip_colour(text: &str) -> String {
    let mut found = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        found.push_str(before);
        rest = after.find('m').map_or("", |end| &after[end + 1..]);
    }
    found + rest
}

/// `2026-11-21T03:57:54.100Z`, and the date and time of a log line.
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    (word.len() >= 20 && word.ends_with('Z') && bytes[4] == b'-' && bytes[10] == b'T')
        || (word.len() == 10 && bytes[4] == b'/' && bytes[7] == b'/')
        || (word.len() == 8 && bytes[2] == b':' && bytes[5] == b':')
}

/// `10m8s`, `14s`.
fn is_age(word: &str) -> bool {
    word.ends_with('s')
        && word.len() > 1
        && word.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'm' || byte == b's' || byte == b'h')
        && word != "15s"
        && word != "13s"
        && word != "12s"
        && word != "4s"
}

/// Each flag of a help text: short form, name, kind.
fn flags(text: &str) -> BTreeSet<(String, String, String)> {
    text.lines()
        .filter(|line| line.starts_with("  ") && line.trim_start().starts_with('-'))
        .filter(|line| line.len() - line.trim_start().len() <= 6)
        .map(|line| {
            let mut words = line.split_whitespace().peekable();
            let mut short = String::new();
            if words.peek().is_some_and(|word| !word.starts_with("--")) {
                words
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(',')
                    .clone_into(&mut short);
            }
            let long = words.next().unwrap_or_default().to_owned();
            let kinds = ["string", "strings", "stringArray", "int", "float"];
            let kind = words
                .next()
                .filter(|word| kinds.contains(word))
                .unwrap_or_default();
            (short, long, kind.to_owned())
        })
        .collect()
}

/// The keys of the document, or the words around the values.
fn version(text: &str) -> Vec<String> {
    if let Ok(Value::Object(document)) = serde_json::from_str(text) {
        assert!(!text.trim_end().contains('\n'), "the document is one line");
        return document.keys().cloned().collect();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words[1].starts_with('v'), "{text}");
    let mut found = vec![words[0].to_owned(), words[2].to_owned()];
    found.extend(
        ["Commit:", "BuildDate:"]
            .iter()
            .filter(|word| words.contains(word))
            .map(|word| (*word).to_owned()),
    );
    found
}

/// Releases, machines and leases when the call had ended.
fn ends(recorded: &Value, after: &Value, instead: Option<Instead>, found: &mut Vec<String>) {
    let empty = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let releases: Vec<Value> = list(&after["releases"])
        .iter()
        .map(|release| json!([release["version"], release["status"], release["image"]]))
        .collect();
    differ(
        "releases after",
        &json!(releases),
        &recorded["after"]["releases"],
        found,
    );
    let machines: Vec<Value> = list(&after["machines"])
        .iter()
        .map(|machine| {
            // Between two crashes it stands still for a moment.
            let loops = machine["restarts"].as_u64().is_some_and(|restarts| restarts > 0);
            let loops = loops && instead == Some(Instead::MachineStates);
            let state = if loops {
                &json!("starting")
            } else {
                &machine["state"]
            };
            json!([machine["id"], state, machine["tag"]])
        })
        .collect();
    let states = |all: &[Value]| -> Vec<Value> {
        let ahead = |one: &Value| {
            let state = one[1].as_str().unwrap_or_default();
            let running = matches!(state, "created" | "starting" | "started");
            let shown = if running && instead == Some(Instead::MachineStates) {
                "runs"
            } else {
                state
            };
            json!([one[0], shown, one[2]])
        };
        all.iter().map(ahead).collect()
    };
    let expected = recorded["after"]["machines"].as_array().unwrap_or(&empty);
    differ("machines after", &states(&machines), &states(expected), found);
    let leases: BTreeSet<&str> = after["leases"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, _)| id.as_str())
        .collect();
    let held = recorded["after"]["leases_held"].as_array().unwrap_or(&empty);
    let held: BTreeSet<&str> = held.iter().filter_map(Value::as_str).collect();
    differ("leases after", &leases, &held, found);
}
