//! The app that is shipped is good, bad, late, or pretends.

use std::time::Duration;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, QUICK, Stage, UNCHECKED};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_01_good", &[0], |stage| shipped(stage, "v2")).bare(&[0]),
    Scenario::new("fault_02_slow", &[0], |stage| shipped(stage, "v2-slow")).bare(&[0]),
    Scenario::new("fault_03_unhealthy", &[7], |stage| shipped(stage, "v2-unhealthy")).bare(&[1]),
    Scenario::new("fault_05_no_checks_unhealthy", &[7], |stage| {
        unchecked(stage, "v2-unhealthy")
    })
    .bare(&[0]),
    Scenario::new("fault_08_crash", &[7], |stage| shipped(stage, "v2-crash")).bare(&[1]),
    Scenario::new("fault_08_crash_with_smoke_checks", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-crash").flyctl_flags(&["--smoke-checks"]).run()
    })
    .bare(&[1]),
    Scenario::new("fault_08_crash_without_checks", &[7], |stage| {
        unchecked(stage, "v2-crash")
    })
    .alone(),
    Scenario::new("fault_09_partial", &[7], |stage| shipped(stage, "v2-partial")).bare(&[1]),
    Scenario::new("fault_10_hang", &[7], |stage| shipped(stage, "v2-hang")).bare(&[1]),
    Scenario::new("fault_10_hang_without_checks", &[7], |stage| {
        unchecked(stage, "v2-hang")
    })
    .bare(&[0]),
    Scenario::new("fault_11_garbage", &[7], |stage| shipped(stage, "v2-garbage")).bare(&[0]),
    Scenario::new("fault_11_garbage_identity_off", &[0], garbage_identity_off).alone(),
    Scenario::new("fault_12_old_version", &[7], old_version).bare(&[0]),
    Scenario::new("more_unknown_version", &[0], |stage| {
        stage.named.set(false);
        shipped(stage, "v2-oldversion")
    })
    .alone(),
    Scenario::new("more_unknown_version_where_identity_is_required", &[7], |stage| {
        stage.write("shipctl.toml", &format!("{QUICK}identity = \"required\"\n"));
        shipped(stage, "v2-oldversion")
    })
    .alone(),
    Scenario::new("fault_46_dies_in_the_bake", &[7], dies_in_the_bake).bare(&[0]),
    Scenario::new("fault_48_body_says_unhealthy", &[7], body_says_unhealthy).alone(),
    Scenario::new("fault_54_no_check_and_bad_before", &[8], bad_before).bare(&[0]),
    Scenario::new("more_no_return_wanted", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").args(&["--no-rollback"]).run()
    })
    .alone(),
    Scenario::new("more_bad_before_and_mended_now", &[0], mended).alone(),
    Scenario::new("more_slower_than_allowed", &[7], |stage| {
        stage.settings(&json!({"slow_health_seconds": 40}));
        shipped(stage, "v2-slow")
    })
    .alone(),
    Scenario::new("more_unhealthy_without_a_ledger", &[7], |stage| {
        stage.usual(PLAIN);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("more_same_image_again", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v1").run()
    })
    .bare(&[0]),
    Scenario::new("more_healed_after_the_return", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2-unhealthy", 7);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("more_first_machine_bad_by_chance", &[7], one_bad).alone(),
    Scenario::new("more_verify_good", &[0], |stage| {
        stage.usual(PLAIN);
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("more_verify_partly_bad", &[8], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1-partial"]}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.verify("v1-partial").run()
    })
    .alone(),
];

fn shipped(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).run()
}

fn unchecked(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(UNCHECKED);
    stage.deploy(tag).run()
}

/// Healthy, and answers as the release from before.
fn old_version(stage: &Stage) -> Ended {
    stage.trusted(PLAIN);
    let order = json!({"do": "health_body", "app": "shop", "body": {"version": "v1"}});
    stage.double.order(&order);
    stage.deploy("v2").run()
}

fn garbage_identity_off(stage: &Stage) -> Ended {
    stage.write("shipctl.toml", &format!("{QUICK}identity = \"off\"\n"));
    stage.named.set(false);
    shipped(stage, "v2-garbage")
}

/// One machine turns bad after all passed everything.
fn dies_in_the_bake(stage: &Stage) -> Ended {
    stage.write("shipctl.toml", "[verify]\ntimeout = \"10s\"\nbake = \"8s\"\n");
    stage.trusted(PLAIN);
    stage.deploy("v2").meanwhile(|running| {
        let complete = |stage: &Stage| {
            let state = stage.double.state();
            let releases = state["apps"]["shop"]["releases"].as_array().cloned();
            releases.unwrap_or_default().len() > 1
                && releases_end(&state) == "complete"
                && stage.tags() == ["v2"]
        };
        if running.until("v2 is complete", complete) {
            std::thread::sleep(Duration::from_millis(1500));
            let stage = running.stage;
            let id = &stage.machines()[0];
            stage
                .double
                .order(&json!({"do": "behaviour", "app": "shop", "machine": id, "behaviour": "unhealthy"}));
        }
    })
}

fn releases_end(state: &serde_json::Value) -> String {
    let releases = state["apps"]["shop"]["releases"].as_array().cloned();
    let newest = releases.unwrap_or_default().pop().unwrap_or_default();
    newest["status"].as_str().unwrap_or_default().to_owned()
}

/// 200 with a body that says otherwise, as long as the new release runs anywhere.
fn body_says_unhealthy(stage: &Stage) -> Ended {
    stage.trusted(PLAIN);
    let body = |status: serde_json::Value| {
        stage
            .double
            .order(&json!({"do": "health_body", "app": "shop", "body": status}));
    };
    stage.deploy("v2").meanwhile(|running| {
        if running.until("a machine is on v2", |stage| stage.tags() != ["v1"]) {
            body(json!({"status": "unhealthy", "checks": {"database": "error: refused"}}));
            running.until("a machine is back on v1", |stage| {
                stage.calls("createRelease") > 1
            });
            body(json!(null));
        }
    })
}

/// 503 before and after, and nothing that names a health path: no release to return to.
fn bad_before(stage: &Stage) -> Ended {
    stage.seed(&json!({"images": ["registry.fly.io/shop:v1-unhealthy"]}));
    stage.write("fly.production.toml", &UNCHECKED.text());
    stage.deploy("v2-unhealthy").run()
}

fn mended(stage: &Stage) -> Ended {
    stage.seed(&json!({"images": ["registry.fly.io/shop:v1-unhealthy"]}));
    stage.write("fly.production.toml", &PLAIN.text());
    stage.deploy("v2").run()
}

/// One of three machines never turns good, whatever runs first.
fn one_bad(stage: &Stage) -> Ended {
    stage.seed(&json!({"per_region": 3}));
    stage.write("fly.production.toml", &PLAIN.text());
    stage.trust();
    stage.deploy("v2-partial").run()
}
