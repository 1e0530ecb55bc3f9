//! What the app answers is the fault.

use serde_json::{Value, json};

use super::tools::{Events, every_machine, holds, phase, reasons, warnings};
use crate::support::{FLY_TOML, FLY_TOML_NO_CHECKS, Scene};

/// Lays what v2 answers over its usual answer, and asserts that bare flyctl calls that complete.
#[track_caller]
fn answering(scene: &Scene, mut rule: Value) {
    rule["do"] = json!("rule");
    rule["app"] = json!("shop");
    rule["image"] = json!("v2");
    scene.order(rule);
    let (bare, truth) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    assert_eq!(truth.newest("shop").status, "complete");
}

/// v2 answers by the rule: it is refuted with these words, and v1 serves again.
#[track_caller]
fn refuted(rule: Value, words: &[&str]) {
    let scene = Scene::builder().timeout("7s").ready();
    answering(&scene, rule);
    let document = scene.deploy("v2").run().concludes("rolled_back", 7);
    holds(&reasons(&document), words);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_44_answer_of_10_mb() {
    refuted(json!({"size": 10_000_000}), &["1 MiB"]);
}

#[test]
fn fault_44_endless_answer() {
    refuted(json!({"endless": true}), &["1 MiB"]);
}

#[test]
fn fault_44_one_byte_per_second() {
    refuted(json!({"drip_seconds": 1}), &["5s"]);
}

#[test]
fn fault_44_cut_in_the_middle() {
    refuted(json!({"cut": "within"}), &["cut"]);
}

#[test]
fn fault_44_an_answer_just_within_the_limits_is_good() {
    let scene = Scene::builder().verify("identity = \"off\"").ready();
    answering(&scene, json!({"size": 1_000_000}));
    scene.ship("v2");
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_46_dies_in_the_bake() {
    let scene = Scene::builder().bake("20s").ready();
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "bake");
    scene.order(json!({"do": "behaviour", "app": "shop", "behaviour": "crash"}));
    every_machine(&scene, "exit");
    running.wait_until("the return", || events.hold("rollback.started", None));
    scene.order(json!({"do": "behaviour", "app": "shop", "behaviour": ""}));
    let document = running.wait().concludes("rolled_back", 7);
    assert!(phase(&document, "bake", "failed"), "{document:#}");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_46_answers_503_in_the_bake() {
    let scene = Scene::builder().bake("20s").timeout("6s").ready();
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "bake");
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "status": 503}));
    let document = running.wait().concludes("rolled_back", 7);
    assert!(phase(&document, "bake", "failed"), "{document:#}");
    holds(&reasons(&document), &["503"]);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_46_dies_by_itself_a_few_seconds_later() {
    let scene = Scene::builder().bake("20s").ready();
    scene.order(
        json!({"do": "rule", "app": "shop", "image": "v2", "dies_after_seconds": 80, "restarts": false}),
    );
    let (bare, _) = scene.bare_deploy("v2", &["--smoke-checks=false"]);
    bare.exits(0);
    scene.deploy("v2").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_47_every_second_answer_is_503() {
    refuted(json!({"every": 2, "status": 503}), &["503"]);
}

#[test]
fn fault_48_200_while_the_body_says_unhealthy() {
    let body =
        json!({"status": "unhealthy", "checks": {"database": "error: connection refused", "cache": "ok"}});
    refuted(
        json!({"status": 200, "fields": body}),
        &["unhealthy", "database", "connection refused"],
    );
}

#[test]
fn fault_48_200_while_the_body_says_fail() {
    let checks = json!({"queue": {"status": "fail", "output": "no consumer"}, "disk": {"status": "pass"}});
    refuted(
        json!({"status": 200, "fields": {"status": "fail", "checks": checks}}),
        &["fail", "queue", "no consumer"],
    );
}

#[test]
fn fault_48_degraded_passes_with_a_warning() {
    let scene = Scene::builder().ready();
    answering(
        &scene,
        json!({"status": 200, "fields": {"status": "degraded", "checks": {"cache": "slow"}}}),
    );
    let document = scene.ship("v2");
    holds(&warnings(&document), &["degraded"]);
    scene.truth().serves("shop", "v2", 2);
}

/// A check that asks for no path of its own is no HTTP check; `/` is asked, by default.
fn nothing_named(rule: Value) -> Scene {
    let mut rule = rule;
    rule["do"] = json!("rule");
    rule["app"] = json!("shop");
    rule["path"] = json!("/");
    Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("12s")
        .order(rule)
        .unverified()
        .ready()
}

#[test]
fn fault_54_the_root_redirects() {
    let scene = nothing_named(json!({"status": 302, "headers": {"location": "/login"}}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let document = scene.ship("v2");
    assert_eq!(document["services"][0]["evidence"], "state");
    holds(&warnings(&document), &["302"]);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_54_the_root_is_not_there() {
    let scene = nothing_named(json!({"status": 404}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let document = scene.ship("v2");
    assert_eq!(document["services"][0]["evidence"], "state");
    holds(&warnings(&document), &["404"]);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_54_the_root_is_not_there_and_more_is_asked_for() {
    let rule = json!({"do": "rule", "app": "shop", "path": "/", "status": 404});
    let builder = Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("12s")
        .order(rule)
        .unverified();
    let scene = builder.verify("min_evidence = \"http\"").ready();
    let document = scene.deploy("v2").run().concludes("inconclusive", 9);
    holds(&reasons(&document), &["min_evidence"]);
    // Nothing is returned: what serves is not known to be bad.
    scene.truth().serves("shop", "v2", 2);
    assert_eq!(scene.deploys(), 1);
}

/// v2 is verified, then its answers turn to 503, and so are those of v3.
fn failing_before(verified: bool) -> Scene {
    let builder = Scene::builder().fly_toml(FLY_TOML_NO_CHECKS).timeout("4s");
    let scene = if verified {
        builder.ready()
    } else {
        builder.unverified().ready()
    };
    // By bare flyctl, so that no ledger holds it.
    let bare = [
        "deploy",
        "-a",
        "shop",
        "-c",
        "fly.staging.toml",
        "--image",
        "registry.fly.io/shop:v2",
    ];
    scene.flyctl(bare).run().exits(0);
    for image in ["v2", "v3"] {
        scene.order(json!({"do": "rule", "app": "shop", "image": image, "status": 503}));
    }
    let (bare, _) = scene.bare_deploy("v3", &[]);
    bare.exits(0);
    scene
}

#[test]
fn fault_54_503_before_and_after_returns_to_the_last_verified() {
    let scene = failing_before(true);
    let document = scene.deploy("v3").run().concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    holds(&reasons(&document), &["503"]);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_54_503_before_and_after_and_nothing_verified() {
    let scene = failing_before(false);
    let document = scene.deploy("v3").run().concludes("broken", 8);
    holds(&reasons(&document), &["503", "nothing is known to be verified"]);
    // Not back to the failing baseline, either.
    assert_eq!(scene.truth().tags("shop"), ["v3", "v3"]);
    assert_eq!(scene.deploys(), 2);
    assert!(document["hints"].to_string().contains("rollback"), "{document:#}");
}

#[test]
fn fault_54_a_check_that_asks_for_a_path_still_counts() {
    let scene = Scene::builder().fly_toml(FLY_TOML).timeout("5s").ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "path": "/health", "status": 404}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    scene.deploy("v2").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn a_release_that_the_ledger_has_never_seen_names_itself() {
    let scene = Scene::builder()
        .verify("min_evidence = \"app\"")
        .unverified()
        .ready();
    let ended = scene.shipctl(["verify", "staging", "--json"]).run();
    let document = ended.concludes("verified", 0);
    assert_eq!(document["services"][0]["evidence"], "app");
}
