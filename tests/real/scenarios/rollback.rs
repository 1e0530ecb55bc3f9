//! Rollbacks: what they pick, in a row, after failures, without a ledger.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::stage::{MIGRATING, PLAIN, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_33_secrets_set_after_a_failed_deploy", &[0], |stage| {
        stage.trusted(MIGRATING);
        stage.deployed("v2", 0);
        let failed = stage.bare_deploy("v3-relfail", &[]);
        stage.insist(failed.code != 0, "the bare deploy fails");
        stage.bare(&["secrets", "set", "A=1", "-a", "shop"]);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_34_a_failed_release_is_the_newest", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        let failed = stage.bare_deploy("v3-unhealthy", &["--wait-timeout", "3s"]);
        stage.insist(failed.code != 0, "the bare deploy fails");
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("fault_35_nothing_older", &[3], |stage| {
        stage.trusted(PLAIN);
        stage.rollback("v0").run()
    })
    .alone(),
    Scenario::new("fault_35_image_gone_next_older", &[0], |stage| {
        // Both were verified here; no flyctl could ship the second today.
        stage.trusted_on(&["v0"]);
        stage.trusted_on(&["v0", "v1-missing"]);
        stage.deployed("v2", 0);
        stage.rollback("v0").run()
    })
    .alone(),
    Scenario::new("fault_35_image_gone_none_left", &[6], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1-missing"]}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deployed("v2", 0);
        stage.rollback("v1-missing").run()
    })
    .alone(),
    Scenario::new("fault_52_two_in_a_row", &[0], |stage| {
        chain(stage);
        let first = stage.rollback("v2").run();
        stage.insist(first.code == 0, "the first rollback ends with 0");
        stage.insist(stage.tags() == ["v2"], "the first rollback goes to v2");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_52_three_in_a_row", &[3], |stage| {
        chain(stage);
        stage.rollback("v2").run();
        stage.rollback("v1").run();
        stage.insist(stage.tags() == ["v1"], "the second rollback goes to v1");
        stage.rollback("v0").run()
    })
    .alone(),
    Scenario::new("more_frozen_after_a_rollback", &[3], |stage| {
        chain(stage);
        stage.rollback("v2").run();
        stage.deploy("v4").run()
    })
    .alone(),
    Scenario::new("more_unfrozen_after_a_rollback", &[0], |stage| {
        chain(stage);
        stage.rollback("v2").run();
        stage.deploy("v4").args(&["--unfreeze"]).run()
    })
    .alone(),
    Scenario::new("more_rollback_to_a_number", &[0], |stage| {
        chain(stage);
        stage.rollback("v1").args(&["--to", "release:1"]).run()
    })
    .alone(),
    Scenario::new("more_rollback_to_an_image", &[0], |stage| {
        chain(stage);
        let image = "registry.fly.io/shop:v1";
        stage.rollback("v1").args(&["--to", image]).run()
    })
    .alone(),
    Scenario::new("more_rollback_to_a_bad_image", &[6, 7], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1-unhealthy", "registry.fly.io/shop:v2"]}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage
            .rollback("v1-unhealthy")
            .args(&["--to", "image:registry.fly.io/shop:v1-unhealthy"])
            .run()
    })
    .alone(),
    Scenario::new("more_rollback_without_a_ledger", &[0], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1", "registry.fly.io/shop:v2"]}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("more_rollback_by_app_alone", &[0], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1", "registry.fly.io/shop:v2"]}));
        stage
            .shipctl(&["rollback", "-a", "shop", "--yes"])
            .wants("v1")
            .run()
    })
    .alone(),
    Scenario::new("more_verify_by_app_alone", &[0], |stage| {
        stage.seed(&json!({}));
        stage.shipctl(&["verify", "-a", "shop"]).wants("v1").run()
    })
    .alone(),
    Scenario::new("fault_65_no_ledger_and_a_complete_lie", &[0], |stage| {
        lie(stage, &["registry.fly.io/shop:v0", "registry.fly.io/shop:v1"]);
        stage
            .shipctl(&["rollback", "-a", "shop", "--yes"])
            .wants("v0")
            .run()
    })
    .alone(),
    Scenario::new("fault_65_no_ledger_and_nothing_older", &[3], |stage| {
        lie(stage, &["registry.fly.io/shop:v1"]);
        stage
            .shipctl(&["rollback", "-a", "shop", "--yes"])
            .wants("v0")
            .run()
    })
    .alone(),
    Scenario::new("fault_63_colleagues_shipped_since", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        for tag in ["v3", "v4"] {
            let theirs = stage.bare_deploy(tag, &["--smoke-checks=false"]);
            stage.insist(theirs.code == 0, "a colleague ships");
        }
        stage.rollback("v3").run()
    })
    .alone(),
    Scenario::new("more_rollback_of_a_mixed_app_without_a_ledger", &[0], |stage| {
        stage.usual(PLAIN);
        let failed = stage.bare_deploy("v2-unhealthy", &["--wait-timeout", "3s"]);
        stage.insist(failed.code != 0, "the bare deploy fails");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("more_rollback_without_yes", &[3], |stage| {
        chain(stage);
        stage.shipctl(&["rollback", "production"]).wants("v2").run()
    })
    .alone(),
    Scenario::new("more_thirty_releases", &[0], |stage| {
        let images: Vec<String> = (1..=30)
            .map(|number| format!("registry.fly.io/shop:v{number}"))
            .collect();
        stage.seed(&json!({"images": images}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.rollback("v29").run()
    })
    .alone(),
    Scenario::new("more_rollback_when_the_target_turned_bad", &[7], |stage| {
        chain(stage);
        // What was good once is not any more: the database moved on, say.
        stage.rollback("v2").meanwhile(|running| {
            if running.until("a machine is on v2", |stage| stage.tags() != ["v3"]) {
                turn_bad(stage, "v2");
            }
        })
    })
    .alone(),
];

/// v1 verified, then v2 and v3 deployed and verified.
fn chain(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deployed("v2", 0);
    stage.deployed("v3", 0);
}

/// v2 was refuted though flyctl called it complete, and somebody put back what ran before.
fn lie(stage: &Stage, images: &[&str]) {
    stage.seed(&json!({"images": images}));
    stage.write("fly.production.toml", &PLAIN.text());
    let flags = ["--strategy", "immediate", "--smoke-checks=false"];
    stage.bare_deploy("v2-unhealthy", &flags);
    stage.bare_deploy("v1", &["--smoke-checks=false"]);
}

fn turn_bad(stage: &Stage, tag: &str) {
    for machine in stage.glance().machines {
        if machine.tag == tag {
            let order =
                json!({"do": "behaviour", "app": "shop", "machine": machine.id, "behaviour": "unhealthy"});
            stage.double.order(&order);
        }
    }
}
