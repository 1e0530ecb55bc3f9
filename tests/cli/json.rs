//! `--json`: one document on stdout and nothing else, whatever happens; its schema says what it is.

use serde_json::Value;

use crate::support::TestEnv;

const IMAGE: &str = "registry.fly.io/shop:v3";

fn document(env: &TestEnv, args: &[&str], code: i32, schema: &str) -> Value {
    let ran = env.shipctl(["--sandbox", "--json"].iter().chain(args).copied());
    ran.exits(code);
    let document = ran.json();
    assert_eq!(document["schema"], schema, "{args:?}");
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
    document(&env, &["config", "show"], 0, "shipctl/config/1");
    document(&env, &["config", "check"], 0, "shipctl/config/1");
    document(&env, &["sandbox", "reset"], 0, "shipctl/sandbox/1");
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
fn events_are_json_lines() {
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
    ran.succeeds();
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with('{'))
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
        assert_eq!(event["environment"], "staging", "{event}");
        assert!(event["id"].is_string() && event["time"].is_string(), "{event}");
    }
}
