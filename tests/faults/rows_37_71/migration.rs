//! A release command that runs on after its deployer was interrupted.

use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::tools::holds;
use crate::support::{FLY_TOML, Scene, Truth};

const RELEASE_GROUP: &str = "fly_app_release_command";

/// When each release command was launched and when it ended, by the events of its machine; the end is absent while
/// it runs.
fn migrations(truth: &Truth) -> Vec<(Timestamp, Option<Timestamp>)> {
    let all = truth.0["apps"]["shop"]["machines"].as_array().expect("machines");
    let at = |event: &Value| {
        Timestamp::from_millisecond(event["timestamp"].as_i64().expect("a time")).expect("a time")
    };
    let mut found: Vec<_> = all
        .iter()
        .filter(|machine| machine["group"] == RELEASE_GROUP)
        .map(|machine| {
            let events = machine["events"].as_array().expect("events");
            let of = |kind: &str| events.iter().find(|event| event["type"] == kind).map(at);
            (of("launch").expect("a launch"), of("exit"))
        })
        .collect();
    found.sort();
    found
}

fn overlap(migrations: &[(Timestamp, Option<Timestamp>)]) -> bool {
    migrations
        .windows(2)
        .any(|pair| pair[0].1.is_none_or(|end| end > pair[1].0))
}

/// The release command of v2 takes 20 s, longer than the leases of a flyctl that was ended; its deployer is
/// interrupted while it runs.
fn interrupted() -> Scene {
    let file = format!("{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\n");
    let scene = Scene::builder().fly_toml(&file).timeout("30s").ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "release_seconds": 400}));
    let mut first = scene.deploy("v2").start();
    first.wait_until("its release command", || {
        let machines = scene.truth().all_machines("shop");
        machines
            .iter()
            .any(|machine| machine.group == RELEASE_GROUP && machine.state == "started")
    });
    first.signal(Signal::SIGINT);
    let ended = first.wait();
    ended.concludes("interrupted", 130);
    scene
}

#[test]
fn fault_70_a_second_migration_never_starts_beside_the_first() {
    let scene = interrupted();
    let running = scene.truth().all_machines("shop");
    assert!(
        running
            .iter()
            .any(|machine| machine.group == RELEASE_GROUP && machine.state == "started"),
        "{running:#?}"
    );
    // Bare flyctl starts a second one beside it.
    let (bare, truth) = scene.bare_deploy("v3", &[]);
    bare.exits(0);
    assert!(overlap(&migrations(&truth)), "{:#?}", migrations(&truth));

    let document = scene.deploy("v3").run();
    document.concludes("verified", 0);
    let truth = scene.truth();
    truth.serves("shop", "v3", 2);
    let all = migrations(&truth);
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(!overlap(&all), "two migrations at once: {all:#?}");
    holds(&document.stderr, &["release command"]);
}

#[test]
fn fault_70_one_that_outlasts_the_deadline_is_not_joined_by_a_second() {
    let scene = interrupted();
    let before = scene.deploys();
    let ended = scene.deploy("v3").args(["--timeout", "2s"]).run();
    ended.refuses("inconclusive", 9);
    ended.says(["release command still runs", "--timeout"]);
    assert_eq!(scene.deploys(), before, "flyctl was not called");
    assert_eq!(migrations(&scene.truth()).len(), 1);
}

#[test]
fn fault_70_a_rollback_runs_no_migration_and_waits_for_none() {
    let scene = interrupted();
    let ended = scene.rollback().args(["--to", "v1"]).run();
    ended.concludes("verified", 0);
    ended.never_says("release command still runs");
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    assert_eq!(migrations(&truth).len(), 1);
}

#[test]
fn fault_70_a_rollback_names_the_migrations_whose_work_stays() {
    let file =
        format!("{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\nrelease_command_timeout = \"1m\"\n");
    let scene = Scene::builder().fly_toml(&file).ready();
    scene.ship("v2");
    assert_eq!(migrations(&scene.truth()).len(), 1);
    let ended = scene.rollback().run();
    let document = ended.concludes("verified", 0);
    holds(
        &document["warnings"].to_string(),
        &["a release command ran with shop:v2", "the database stays"],
    );
    assert_eq!(migrations(&scene.truth()).len(), 1, "none ran on the way back");
}

#[test]
fn fault_70_nothing_has_moved_by_then() {
    let scene = interrupted();
    scene.truth().serves("shop", "v1", 2);
}
