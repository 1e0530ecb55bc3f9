//! Files that are missing or wrong, and what a return does about a configuration that was.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{Fly, PLAIN, QUICK, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_26_config_missing", &[2, 4], |stage| {
        stage.trusted(PLAIN);
        stage
            .shipctl(&[
                "deploy",
                "production",
                "--config",
                "nowhere.toml",
                "--image",
                "registry.fly.io/shop:v2",
            ])
            .wants("v2")
            .run()
    })
    .alone(),
    Scenario::new("fault_39_syntax", &[4], |stage| {
        broken(stage, "app = \"shop\n[broken\n")
    })
    .bare(&[1]),
    Scenario::new("fault_39_empty", &[4], |stage| broken(stage, "")).bare(&[1]),
    Scenario::new("fault_39_no_app", &[4], |stage| {
        broken(stage, &PLAIN.text().replace("app = \"shop\"\n", ""))
    })
    .bare(&[1]),
    Scenario::new("fault_39_wrong_type", &[4], |stage| {
        broken(
            stage,
            &PLAIN
                .text()
                .replace("internal_port = 8080", "internal_port = \"many\""),
        )
    })
    .bare(&[1]),
    Scenario::new("fault_39_unknown_strategy", &[4], |stage| {
        let fly = Fly {
            top: "[deploy]\n  strategy = \"yolo\"\n",
            ..PLAIN
        };
        broken(stage, &fly.text())
    })
    .bare(&[1]),
    Scenario::new("fault_55_typo_then_deploy", &[4], |stage| {
        stage.trusted(PLAIN);
        stage.write("shipctl.toml", &format!("{QUICK}typo = 1\n"));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("fault_55_typo_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        stage.write("shipctl.toml", &format!("{QUICK}typo = 1\n"));
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_67_bad_env_without_a_ledger", &[7], |stage| {
        stage.seed(&json!({}));
        env_file(stage, "good");
        stage.bare_deploy("v2", &["--smoke-checks=false"]);
        env_file(stage, "bad");
        let ended = stage.deploy("v3-unhealthy").run();
        mode(stage, "good");
        ended
    })
    .alone(),
    Scenario::new("more_changed_env_is_returned_with_a_ledger", &[7], |stage| {
        stage.seed(&json!({}));
        env_file(stage, "good");
        stage.deployed("v2", 0);
        env_file(stage, "bad");
        let ended = stage.deploy("v3-unhealthy").run();
        mode(stage, "good");
        ended
    })
    .alone(),
    Scenario::new("more_env_of_the_command_line_is_returned", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").flyctl_flags(&["-e", "MODE=good"]).run();
        let ended = stage
            .deploy("v3-unhealthy")
            .flyctl_flags(&["-e", "MODE=bad"])
            .run();
        mode(stage, "good");
        ended
    })
    .alone(),
    Scenario::new("fault_50_file_changes_meanwhile", &[7], |stage| {
        stage.seed(&json!({}));
        env_file(stage, "good");
        stage.deployed("v2", 0);
        let ended = stage.deploy("v3-unhealthy").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v2"]);
            env_file(stage, "bad");
        });
        mode(stage, "good");
        ended
    })
    .alone(),
    Scenario::new("fault_53_the_same_again_by_tag", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2-unhealthy", 7);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("fault_53_the_same_again_by_digest", &[3], |stage| {
        stage.trusted(PLAIN);
        let first = stage.deploy("v2-unhealthy").run();
        stage.insist(first.code == 7, "returned from at first");
        let digest = first.json()["services"][0]["digest"].clone();
        let digest = digest.as_str().unwrap_or_default().to_owned();
        stage.insist(digest.starts_with("sha256:"), "its digest is known");
        stage
            .deploy(&format!("v2-unhealthy@{digest}"))
            .wants("v2-unhealthy")
            .run()
    })
    .alone(),
];

fn broken(stage: &Stage, text: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.write("fly.production.toml", text);
    let before = stage.double.journal().len();
    let ended = stage.deploy("v2").run();
    if !stage.is_bare() {
        let calls = stage.double.journal()[before..]
            .iter()
            .filter(|entry| entry["api"] != "proxy")
            .count();
        stage.insist(calls == 0, "flyctl is not called");
    }
    ended
}

fn env_file(stage: &Stage, mode: &str) {
    let top = format!("[env]\n  MODE = \"{mode}\"\n");
    let fly = Fly { top: &top, ..PLAIN };
    stage.write("fly.production.toml", &fly.text());
}

/// What the machines have in their environment afterwards.
fn mode(stage: &Stage, expected: &str) {
    let machines = stage.glance().machines;
    let all = machines
        .iter()
        .all(|machine| machine.env.get("MODE").is_some_and(|mode| mode == expected));
    stage.insist(all, &format!("every machine has MODE={expected} again"));
}
