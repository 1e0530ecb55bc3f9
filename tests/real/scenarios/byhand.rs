//! Somebody changed what serves by hand, with a bare flyctl or a click; then a deploy, a rollback or a look.

use std::fs;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, QUICK, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_hand_one_updated_then_verify", &[8], |stage| {
        stage.trusted(PLAIN);
        updated(stage, "v9");
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_one_updated_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        updated(stage, "v9");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_one_updated_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        updated(stage, "v9");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_one_updated_then_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        updated(stage, "v9");
        stage.deploy("v2-unhealthy").old("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_one_updated_then_image_missing", &[8], |stage| {
        // Nothing of this deploy moved, and what serves is a mix: no release from before is verified.
        stage.trusted(PLAIN);
        updated(stage, "v9");
        stage.deploy("v2-missing").run()
    })
    .alone(),
    Scenario::new("odd_hand_stopped_then_rollback", &[0], |stage| {
        chain(stage);
        let id = stage.machines()[0].clone();
        let stopped = stage.bare(&["machine", "stop", &id, "-a", "shop"]);
        stage.insist(stopped.code == 0, "one is stopped");
        let mut ended = stage.rollback("v1").run();
        spare(&mut ended, &id);
        ended
    })
    .alone(),
    Scenario::new("odd_hand_stopped_then_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[0].clone();
        stage.bare(&["machine", "stop", &id, "-a", "shop"]);
        let mut ended = stage.deploy("v2-unhealthy").run();
        spare(&mut ended, &id);
        ended
    })
    .alone(),
    Scenario::new("odd_hand_all_stopped_then_verify", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.stop_all();
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_all_stopped_then_rollback", &[0], |stage| {
        // What all of them run does not serve: the one before it, started.
        chain(stage);
        stage.stop_all();
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_destroyed_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[0].clone();
        let gone = stage.bare(&["machine", "destroy", "--force", &id, "-a", "shop"]);
        stage.insist(gone.code == 0, "one is destroyed");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_destroyed_then_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[1].clone();
        stage.bare(&["machine", "destroy", "--force", &id, "-a", "shop"]);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_hand_all_destroyed_then_rollback", &[0], |stage| {
        chain(stage);
        stage.each_machine("destroy");
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_scaled_up_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        scaled(stage, 4);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_scaled_up_then_rollback", &[0], |stage| {
        chain(stage);
        scaled(stage, 4);
        let ended = stage.rollback("v1").run();
        stage.insist(stage.machines().len() == 4, "four are still there");
        ended
    })
    .alone(),
    Scenario::new("odd_hand_scaled_down_then_verify", &[0], |stage| {
        stage.trusted(PLAIN);
        scaled(stage, 1);
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_scaled_in_the_bake", &[0], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("8s");
        stage.deploy("v2").meanwhile(|running| {
            running.until("ours is complete", |stage| {
                stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
            });
            scaled(running.stage, 3);
        })
    })
    .alone(),
    Scenario::new("odd_hand_secrets_then_rollback", &[0], |stage| {
        chain(stage);
        let set = stage.bare(&["secrets", "set", "A=1", "-a", "shop"]);
        stage.insist(set.code == 0, "the secret is set");
        let ended = stage.rollback("v1").run();
        stage.insist(
            ended.says("the secret `A` was set after v1"),
            "it names what it does not bring back",
        );
        ended
    })
    .alone(),
    Scenario::new("odd_hand_secrets_then_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.bare(&["secrets", "set", "A=1", "-a", "shop"]);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_hand_env_changed_then_verify", &[0], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[0].clone();
        let args = ["machine", "update", &id, "-e", "MODE=hand", "--yes", "-a", "shop"];
        let changed = stage.bare(&args);
        stage.insist(changed.code == 0, "one is changed");
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_bare_release_then_rollback", &[0], |stage| {
        chain(stage);
        stage.bare_deploy("v3", &["--smoke-checks=false"]);
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_bare_release_then_unhealthy", &[7], |stage| {
        chain(stage);
        stage.bare_deploy("v3", &["--smoke-checks=false"]);
        stage.deploy("v4-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_hand_bare_bad_release_then_bad", &[7], |stage| {
        // What served before ours was bad already: the last that was verified comes back.
        stage.trusted(PLAIN);
        let flags = ["--strategy", "immediate", "--smoke-checks=false"];
        stage.bare_deploy("v2-unhealthy", &flags);
        stage.deploy("v3-unhealthy").old("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_bare_bad_release_then_relfail", &[6, 8], |stage| {
        // Nothing of ours moved; what serves is bad and was so.
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        let flags = ["--strategy", "immediate", "--smoke-checks=false"];
        stage.bare_deploy("v2-unhealthy", &flags);
        let ended = stage.deploy("v3-missing").run();
        stage.insist(ended.code != 6 || stage.is_bare(), "what serves is bad: not 6");
        ended
    })
    .alone(),
    Scenario::new("odd_hand_ledger_gone_then_rollback", &[0], |stage| {
        chain(stage);
        forget(stage);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_ledger_gone_then_unhealthy", &[7], |stage| {
        chain(stage);
        forget(stage);
        stage.deploy("v3-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_hand_ledger_cut_short_then_rollback", &[0], |stage| {
        chain(stage);
        // The last line was half written when the power went.
        for file in ledgers(stage) {
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, &text[..text.len().saturating_sub(40)]).unwrap();
        }
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_frozen_then_deploy", &[3], |stage| {
        stage.trusted(PLAIN);
        if !stage.is_bare() {
            let frozen = stage
                .shipctl(&["freeze", "production", "--reason", "audit"])
                .run();
            stage.insist(frozen.code == 0, "it is frozen");
        }
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_frozen_then_rollback", &[0], |stage| {
        chain(stage);
        stage
            .shipctl(&["freeze", "production", "--reason", "audit"])
            .run();
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_cordoned_then_verify", &[8], |stage| {
        stage.trusted(PLAIN);
        cordon(stage);
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_hand_cordoned_then_deploy", &[8], |stage| {
        // No answer gets through to it before, during and after: nothing can be good.
        stage.trusted(PLAIN);
        cordon(stage);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_with_a_volume_then_rollback", &[0], |stage| {
        stage.seed(&json!({"volume": "data"}));
        let top = "[[mounts]]\n  source = \"data\"\n  destination = \"/data\"\n";
        let fly = crate::support::stage::Fly { top, ..PLAIN };
        stage.write("fly.production.toml", &fly.text());
        // What the platform holds of the first release knows nothing of the volume; the second's file does.
        stage.trust();
        stage.deployed("v2", 0);
        stage.deployed("v3", 0);
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("odd_hand_target_that_is_not", &[3], |stage| {
        chain(stage);
        stage.rollback("v1").args(&["--to", "release:99"]).run()
    })
    .alone(),
    Scenario::new("odd_hand_three_down_to_one_good_then_unhealthy", &[7], |stage| {
        stage.seed(&json!({"per_region": 3}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.write("shipctl.toml", &format!("{QUICK}successes = 5\n"));
        stage.trust();
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
];

fn chain(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deployed("v2", 0);
}

/// One machine gets another image by hand.
fn updated(stage: &Stage, tag: &str) {
    let id = stage.machines()[0].clone();
    let image = format!("registry.fly.io/shop:{tag}");
    let args = ["machine", "update", &id, "--image", &image, "--yes", "-a", "shop"];
    let ended = stage.bare(&args);
    stage.insist(
        ended.code == 0 && stage.tags().len() == 2,
        "one is updated by hand",
    );
}

fn scaled(stage: &Stage, count: usize) {
    let count = count.to_string();
    let args = [
        "scale",
        "count",
        &count,
        "--yes",
        "-a",
        "shop",
        "-c",
        "fly.production.toml",
    ];
    let ended = stage.bare(&args);
    stage.insist(
        ended.code == 0 && stage.machines().len().to_string() == count,
        "it is scaled by hand",
    );
    // A machine that is new passes its checks a moment later.
    std::thread::sleep(std::time::Duration::from_secs(1));
}

fn cordon(stage: &Stage) {
    let id = stage.machines()[0].clone();
    let ended = stage.bare(&["machine", "cordon", &id, "-a", "shop"]);
    stage.insist(ended.code == 0, "one is cordoned");
}

/// One stopped on request before is named, not counted.
fn spare(ended: &mut Ended, id: &str) {
    for case in &mut ended.cases {
        case.after.machines.retain(|machine| machine.id != id);
        case.before.machines.retain(|machine| machine.id != id);
    }
}

/// The files that this machine remembers deployments by.
fn ledgers(stage: &Stage) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![stage.path("state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "jsonl") {
                found.push(path);
            }
        }
    }
    found
}

fn forget(stage: &Stage) {
    fs::remove_dir_all(stage.path("state")).unwrap();
    fs::create_dir(stage.path("state")).unwrap();
}
