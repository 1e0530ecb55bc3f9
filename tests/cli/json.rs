//! `--json`: one document on stdout and nothing else, whatever happens; its schema says what it is.

use std::io::{BufRead, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::TestEnv;

const IMAGE: &str = "registry.fly.io/shop:v3";

/// Each field of it, and its schema, stands in the page on documents.
fn is_documented(document: &Value) {
    let page = include_str!("../../docs/json.md");
    let said = |word: &str| {
        assert!(
            page.contains(&format!("`{word}`")),
            "docs/json.md has no `{word}`"
        );
    };
    match document {
        Value::Array(items) => items.iter().for_each(is_documented),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "sandbox" => {}
                    "schema" => said(value.as_str().unwrap()),
                    // What a file is named, and what a person wrote, is theirs.
                    "bundle" | "value" => said(name),
                    _ => {
                        said(name);
                        is_documented(value);
                    }
                }
            }
        }
        _ => {}
    }
}

fn document(env: &TestEnv, args: &[&str], code: i32, schema: &str) -> Value {
    let ran = env.shipctl(["--sandbox", "--json"].iter().chain(args).copied());
    ran.exits(code);
    let document = ran.json();
    assert_eq!(document["schema"], schema, "{args:?}");
    is_documented(&document);
    assert!(!ran.stdout.contains('\u{1b}'), "{args:?}");
    document
}

#[test]
fn every_command_answers_with_a_document_of_its_schema() {
    let env = TestEnv::sandbox();
    let plan = document(
        &env,
        &["deploy", "staging", "--image", IMAGE, "--dry-run"],
        0,
        "shipctl/plan/1",
    );
    assert_eq!(plan["services"][0]["image"], IMAGE);
    let serving = &plan["services"][0]["serving"];
    assert_eq!(serving["release"], 2, "{plan}");
    assert_eq!(serving["image"], "registry.fly.io/shop-staging:v2", "{plan}");
    let deployed = document(
        &env,
        &["deploy", "staging", "--image", IMAGE],
        0,
        "shipctl/deployment/1",
    );
    assert_eq!(deployed["outcome"], "verified");
    assert_eq!(deployed["exit_code"], 0);
    assert_eq!(deployed["sandbox"], true);
    assert_eq!(deployed["services"][0]["serving"]["image"], IMAGE);
    let names: Vec<&str> = deployed["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["prepare", "lock", "ship", "verify", "conclude"]);
    let verified = document(&env, &["verify", "staging"], 0, "shipctl/deployment/1");
    assert_eq!(verified["kind"], "verify");
    let status = document(&env, &["status"], 0, "shipctl/status/1");
    assert_eq!(status["environments"].as_array().unwrap().len(), 2);
    let releases = document(&env, &["releases", "staging"], 0, "shipctl/releases/1");
    assert_eq!(releases["services"][0]["releases"][0]["serving"], true);
    let back = document(&env, &["rollback", "staging", "--yes"], 0, "shipctl/deployment/1");
    assert_eq!(back["kind"], "rollback");
    let history = document(&env, &["history"], 0, "shipctl/history/1");
    let attempts = history["deployments"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    for attempt in attempts {
        for time in ["started_at", "ended_at"] {
            assert_eq!(
                attempt[time].as_str().map(str::len),
                Some("2026-01-28T10:00:00Z".len())
            );
        }
    }
    let id = attempts[0]["id"].as_str().unwrap();
    let shown = document(&env, &["history", "show", id], 0, "shipctl/history/1");
    assert_eq!(shown["deployments"][0]["report"]["kind"], "rollback");
    let config = document(&env, &["config", "show"], 0, "shipctl/config/1");
    assert_eq!(config["environments"].as_array().unwrap().len(), 2);
    let one = document(&env, &["config", "show", "staging"], 0, "shipctl/config/1");
    assert_eq!(one["environments"].as_array().unwrap().len(), 1);
    let check = document(&env, &["config", "check"], 0, "shipctl/config/1");
    assert_eq!(check["findings"], serde_json::json!([]));
    let reset = document(&env, &["sandbox", "reset"], 0, "shipctl/sandbox/1");
    assert_eq!(reset["apps"].as_array().unwrap().len(), 2);
}

#[test]
fn what_holds_deploys_off_is_told_with_documents() {
    let env = TestEnv::sandbox();
    let lock = "shipctl/lock/1";
    for (command, held) in [("status", 0), ("acquire", 1), ("status", 1), ("release", 0)] {
        let told = document(&env, &["lock", command, "staging"], 0, lock);
        assert_eq!(told["locks"].as_array().unwrap().len(), held, "{command}");
    }
    let freeze = ["freeze", "staging", "--reason", "incident"];
    let frozen = document(&env, &freeze, 0, "shipctl/freeze/1");
    assert_eq!(frozen["frozen"]["reason"], "incident");
    let refused = document(
        &env,
        &["deploy", "staging", "--image", IMAGE],
        3,
        "shipctl/error/1",
    );
    assert_eq!(refused["name"], "refused");
    let lifted = document(&env, &["unfreeze", "staging"], 0, "shipctl/freeze/1");
    assert_eq!(lifted["frozen"], Value::Null);
    assert_eq!(lifted["lifted"]["reason"], "incident");
}

/// It goes on until it is interrupted; its document comes first, so that a script learns where the apps answer.
#[test]
fn what_the_sandbox_serves_is_a_document_before_it_is_interrupted() {
    let env = TestEnv::sandbox();
    let mut up = env.start(["--json", "sandbox", "up"]);
    let mut text = String::new();
    for line in BufReader::new(up.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        text += &line;
        if line == "}" {
            let pid = Pid::from_raw(up.id().try_into().unwrap());
            kill(pid, Signal::SIGINT).unwrap();
        }
    }
    assert!(up.wait().unwrap().success());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "shipctl/sandbox/1");
    assert_eq!(document["apps"], serde_json::json!(["shop", "shop-staging"]));
    assert!(
        document["url"].as_str().is_some_and(|url| url.contains("{app}")),
        "{document}"
    );
}

#[test]
fn what_is_refused_is_a_document_too() {
    let env = TestEnv::sandbox();
    let refused = document(&env, &["deploy", "production"], 3, "shipctl/error/1");
    assert_eq!(refused["name"], "refused");
    assert_eq!(
        refused["message"],
        "the protected environment `production` needs its config named"
    );
    assert_eq!(
        refused["hints"][0],
        "run `shipctl --sandbox deploy production --config fly.production.toml`"
    );
    document(&env, &["deploy", "nowhere"], 4, "shipctl/error/1");
    document(&env, &["rollback", "production"], 3, "shipctl/error/1");
}

#[test]
fn what_was_returned_from_is_told_whole() {
    let env = TestEnv::sandbox();
    let bad = "registry.fly.io/shop:v4-unhealthy";
    let answer = document(
        &env,
        &["deploy", "staging", "--image", bad],
        7,
        "shipctl/deployment/1",
    );
    assert_eq!(answer["outcome"], "rolled_back");
    assert_eq!(answer["exit_code"], 7);
    let service = &answer["services"][0];
    assert_eq!(service["verdict"], "refuted");
    assert_eq!(service["previous"]["release"], 2);
    assert_eq!(service["serving"]["verdict"], "verified");
    assert_eq!(service["instances"][0]["probes"]["last_status"], 503);
}

#[test]
fn events_are_json_lines_and_the_answer_stands_beside_them() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl([
        "--sandbox",
        "--events",
        "-",
        "-q",
        "deploy",
        "staging",
        "--image",
        IMAGE,
    ]);
    ran.exits(0)
        .says("SANDBOX ✔ staging is serving v3 (shop:v3), verified");
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(names.first(), Some(&"phase.started"));
    assert!(
        names.contains(&"deployment.started") && names.contains(&"probe.changed"),
        "{names:?}"
    );
    assert!(names.contains(&"deployment.completed"), "{names:?}");
    for event in &events {
        is_documented(event);
        let name = event["event"].as_str().unwrap();
        assert!(
            include_str!("../../docs/json.md").contains(&format!("`{name}`")),
            "{name}"
        );
        assert_eq!(event["environment"], "staging", "{event}");
        assert!(event["id"].is_string() && event["time"].is_string(), "{event}");
    }
}

/// Whatever is asked for: what reads the events must not meet a word.
#[test]
fn stdout_is_the_events_alone() {
    let env = TestEnv::sandbox();
    for (args, said) in [
        (&["verify", "staging"][..], "SANDBOX ✔ staging is serving v2"),
        (&["status", "staging"], "SANDBOX staging: "),
        (
            &["rollback", "staging", "--dry-run"],
            "SANDBOX rollback staging: nothing",
        ),
    ] {
        let ran = env.shipctl(["--sandbox", "--events", "-"].iter().chain(args).copied());
        ran.succeeds();
        for line in ran.stdout.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert!(event["event"].is_string(), "{event}");
        }
        assert!(ran.stderr.contains(said), "{args:?}\n{}", ran.stderr);
    }
}
