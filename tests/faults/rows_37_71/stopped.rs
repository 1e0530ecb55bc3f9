//! Machines that flyctl leaves stopped, and that somebody has to start.

use serde_json::json;

use super::tools::{FLY_TOML_AWAKE, FLY_TOML_SLEEPY, every_machine, raw_machines};
use crate::support::{Elsewhere, Scene, Truth};

/// Waits until the crash loop has ended, as the platform ends it after ten times.
#[track_caller]
fn all_stopped(look: impl Fn() -> Truth) {
    let mut truth = look();
    for _ in 0..400 {
        if truth
            .machines("shop")
            .iter()
            .all(|machine| machine.state == "stopped")
        {
            // A crash loop rests in `stopped`, too, until the next start.
            std::thread::sleep(std::time::Duration::from_millis(150));
            truth = look();
            if truth
                .machines("shop")
                .iter()
                .all(|machine| machine.state == "stopped")
            {
                return;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
        truth = look();
    }
    panic!("not all machines stop: {:#?}", truth.machines("shop"));
}

/// Each machine on this tag crashes once and stays stopped.
fn crashing_for_good(tag: &str) -> serde_json::Value {
    json!({"do": "rule", "app": "shop", "image": tag, "dies_after_seconds": 0.4, "restarts": false})
}

/// What bare flyctl does where machines have crashed: exit 0, and nothing runs.
#[track_caller]
fn bare_leaves_them_stopped(elsewhere: &Elsewhere<'_>, tag: &str) {
    elsewhere.deploy(tag, &["--smoke-checks=false"]).exits(0);
    let machines = elsewhere.truth().machines("shop");
    assert!(
        machines
            .iter()
            .all(|machine| machine.state == "stopped" && machine.tag == tag),
        "{machines:#?}"
    );
}

#[test]
fn fault_45_the_return_starts_what_a_crash_left_stopped() {
    let scene = Scene::builder().fly_toml(FLY_TOML_AWAKE).timeout("20s").ready();
    scene.order(crashing_for_good("v2"));
    let elsewhere = scene.elsewhere();
    elsewhere
        .deploy("v2", &["--smoke-checks=false", "--wait-timeout", "10s"])
        .exits(1);
    elsewhere.deploy("v2", &["--strategy", "immediate"]).exits(0);
    all_stopped(|| elsewhere.truth());
    bare_leaves_them_stopped(&elsewhere, "v1");

    scene
        .deploy("v2")
        .args(["--strategy", "immediate"])
        .run()
        .concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_45_a_crash_loop_that_the_platform_gave_up() {
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_AWAKE)
        .speed(60.0)
        .timeout("20s")
        .ready();
    scene
        .deploy("v2-crash")
        .args(["--strategy", "immediate"])
        .run()
        .concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

/// A bare deploy has left everything crashed and stopped; v1 was verified before.
fn left_down() -> Scene {
    let scene = Scene::builder().fly_toml(FLY_TOML_AWAKE).timeout("20s").ready();
    scene.order(crashing_for_good("v2"));
    let bare = [
        "deploy",
        "-a",
        "shop",
        "-c",
        "fly.staging.toml",
        "--strategy",
        "immediate",
        "--image",
    ];
    scene
        .flyctl(bare)
        .args(["registry.fly.io/shop:v2"])
        .run()
        .exits(0);
    all_stopped(|| scene.truth());
    scene
}

#[test]
fn fault_57_a_good_deploy_starts_them() {
    let scene = left_down();
    bare_leaves_them_stopped(&scene.elsewhere(), "v3");
    scene.ship("v3");
    scene.truth().serves("shop", "v3", 2);
}

#[test]
fn fault_57_a_rollback_starts_them() {
    let scene = left_down();
    bare_leaves_them_stopped(&scene.elsewhere(), "v1");
    scene.rollback().run().concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_68_asleep_before_and_woken_for_a_release_that_crashes() {
    let scene = Scene::builder().fly_toml(FLY_TOML_SLEEPY).timeout("15s").ready();
    every_machine(&scene, "stop");
    let (bare, truth) = scene.bare_deploy("v2-crash", &[]);
    bare.exits(0);
    assert!(
        truth
            .machines("shop")
            .iter()
            .all(|machine| machine.state == "stopped")
    );

    scene.deploy("v2-crash").run().concludes("rolled_back", 7);
    let truth = scene.truth();
    let machines = truth.machines("shop");
    assert!(
        machines.iter().all(|machine| machine.tag == "v1"),
        "{machines:#?}"
    );
    // The one that was woken crashed on v2, and that is no sleep: it was started again.
    assert!(machines.iter().any(|machine| machine.good), "{machines:#?}");
    let crashed: Vec<_> = raw_machines(&truth, "shop")
        .into_iter()
        .filter(|machine| machine["events"].to_string().contains("exit_code"))
        .collect();
    assert!(
        !crashed.is_empty() && crashed.iter().all(|machine| machine["state"] == "started"),
        "{crashed:#?}"
    );
}
