//! Returns that the platform does not take at once, and what they return with.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::tools::{holds, raw_machines, reasons};
use crate::support::{FLY_TOML, Scene, Truth};

/// World seconds of the scenes here, for real ones.
const SPEED: f64 = 20.0;

/// From the moment that the first machine got the new release on, every call fails for so many real seconds.
fn api_fails_after_the_first_machine(kind: &str, seconds: f64) -> Value {
    // Both machines' leases are taken before the first of them is updated.
    json!({
        "do": "fault", "kind": kind, "match": "", "for_seconds": seconds * SPEED,
        "on_call": "flaps POST /v1/apps/shop/machines/", "skip": 2,
    })
}

fn is_mixed(truth: &Truth) -> bool {
    truth.tags("shop") == ["v1", "v2-unhealthy"]
}

/// A scene where the API goes away in the middle of a bad deploy, and what bare flyctl makes of that.
#[track_caller]
fn api_goes_away(kind: &str, seconds: f64) -> Scene {
    let scene = Scene::builder().speed(SPEED).timeout("5s").ready();
    scene.order(api_fails_after_the_first_machine(kind, seconds));
    let (bare, truth) = scene.bare_deploy("v2-unhealthy", &["--wait-timeout", "10s"]);
    bare.exits(1);
    assert!(is_mixed(&truth), "{:?}", truth.tags("shop"));
    scene
}

#[track_caller]
fn returns_in_the_end(kind: &str) {
    let scene = api_goes_away(kind, 12.0);
    let document = scene
        .deploy("v2-unhealthy")
        .args(["--timeout", "40s"])
        .run()
        .concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_51_token_refused_for_a_while() {
    returns_in_the_end("401");
}

#[test]
fn fault_51_api_gone_for_a_while() {
    returns_in_the_end("unreachable");
}

#[test]
fn fault_51_api_failing_for_a_while() {
    returns_in_the_end("500");
}

/// What serves is a mix that nobody can look at: that is not known to be anything.
#[track_caller]
fn never_back(kind: &str) {
    let scene = api_goes_away(kind, 100_000.0);
    let ended = scene.deploy("v2-unhealthy").args(["--timeout", "10s"]).run();
    let document = ended.concludes("inconclusive", 9);
    assert!(
        document["hints"].to_string().contains("verify staging"),
        "{document:#}"
    );
    let truth = scene.truth();
    assert!(is_mixed(&truth), "{:?}", truth.tags("shop"));
}

#[test]
fn fault_51_token_never_accepted_again() {
    never_back("401");
}

#[test]
fn fault_51_api_never_back() {
    never_back("unreachable");
}

/// From the moment that the return's own flyctl has made its release on, every call fails.
fn api_fails_during_the_return(seconds: f64) -> Scene {
    let scene = Scene::builder().speed(SPEED).timeout("5s").ready();
    scene.order(json!({
        "do": "fault", "kind": "unreachable", "match": "", "for_seconds": seconds * SPEED,
        "on_call": "createRelease", "skip": 1,
    }));
    scene
}

#[test]
fn fault_51_api_gone_for_a_while_during_the_return() {
    let scene = api_fails_during_the_return(12.0);
    scene
        .deploy("v2-unhealthy")
        .args(["--timeout", "60s"])
        .run()
        .concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_51_api_never_back_during_the_return() {
    let scene = api_fails_during_the_return(100_000.0);
    let ended = scene.deploy("v2-unhealthy").args(["--timeout", "12s"]).run();
    match ended.code {
        Some(8) => ended.concludes("broken", 8),
        _ => ended.concludes("inconclusive", 9),
    };
    let truth = scene.truth();
    assert!(is_mixed(&truth), "{:?}", truth.tags("shop"));
}

/// Killed when everything was back and nothing verified: a plain rollback would go past what was restored.
#[test]
fn fault_80_killed_in_the_return() {
    let scene = Scene::builder().speed(2.0).timeout("8s").ready();
    let mut running = scene.deploy("v2-unhealthy").start();
    running.wait_until("the return", || {
        let truth = scene.truth();
        truth.newest("shop").version == 3 && truth.tags("shop").iter().all(|tag| tag == "v1")
    });
    running.signal(Signal::SIGKILL);
    running.wait();

    let status = scene.shipctl(["status", "staging", "--json"]).run();
    let staging = &status.json()["environments"][0];
    assert_eq!(staging["services"][0]["verdict"], Value::Null, "{staging:#}");
    assert_eq!(
        staging["unfinished"]["hints"],
        json!([
            "to finish the return: shipctl --sandbox rollback staging --to v1",
            "if it is back already: shipctl --sandbox verify staging"
        ])
    );
    let looked = scene.shipctl(["verify", "staging", "--json"]).run();
    looked.concludes("verified", 0);
    let rollback = ["rollback", "staging", "--to", "v1", "--yes", "--json"];
    scene.shipctl(rollback).run().concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_56_somebody_elses_lease_while_returning() {
    let scene = Scene::builder().speed(SPEED).timeout("5s").ready();
    let lease =
        json!({"do": "lease", "app": "shop", "seconds": 5.0 * SPEED, "owner": "colleague@example.com"});
    let elsewhere = scene.elsewhere();
    elsewhere.order(lease.clone());
    elsewhere.deploy("v1", &[]).exits(1).says(["lease"]);

    // Taken in the moment that the return's own flyctl has made its release.
    let mut taken = lease;
    taken["on_call"] = json!("createRelease");
    taken["skip"] = json!(1);
    scene.order(taken);
    let document = scene
        .deploy("v2-unhealthy")
        .args(["--timeout", "60s"])
        .run()
        .concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    // The first try of the return found the lease; a later one came through.
    let statuses: Vec<_> = truth
        .releases("shop")
        .into_iter()
        .map(|release| release.status)
        .collect();
    assert!(statuses.len() >= 4 && statuses[2] == "failed", "{statuses:?}");
    assert_eq!(statuses.last().map(String::as_str), Some("complete"));
}

/// The file with an `[env]` that makes the app answer badly, whatever its image.
fn bad_env() -> String {
    format!("{FLY_TOML}\n[env]\nSANDBOX_BEHAVIOUR = \"unhealthy\"\n")
}

/// v1 with its good file serves and no ledger knows it; now the file is bad.
#[track_caller]
fn refuted_by_its_env(tag: &str) {
    let good = format!("{FLY_TOML}\n[env]\nCOLOUR = \"blue\"\n");
    let scene = Scene::builder()
        .fly_toml(&good)
        .timeout("5s")
        .unverified()
        .ready();
    scene.write("fly.staging.toml", &bad_env());
    let (bare, _) = scene.bare_deploy(tag, &["--wait-timeout", "10s"]);
    bare.exits(1);
    let document = scene.deploy(tag).run().concludes("rolled_back", 7);
    holds(&reasons(&document), &["instance"]);
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    for machine in raw_machines(&truth, "shop") {
        assert_eq!(machine["env"]["COLOUR"], "blue", "{machine:#}");
        assert!(machine["env"]["SANDBOX_BEHAVIOUR"].is_null(), "{machine:#}");
    }
}

#[test]
fn fault_67_refuted_by_its_env_with_another_image() {
    refuted_by_its_env("v2");
}

#[test]
fn fault_67_refuted_by_its_env_with_the_same_image() {
    refuted_by_its_env("v1");
}
