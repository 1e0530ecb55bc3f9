//! Clocks that jump, and machines that take their time.

use std::fs;

use serde_json::json;

use super::tools::{Events, holds, reasons};
use crate::support::{Scene, image};

/// Moves shipctl's clock by some hours while it deploys, and answers with its document.
#[track_caller]
fn with_a_jump(scene: &Scene, tag: &str, hours: i64, outcome: &str, code: i32) {
    let clock = scene.path("output").join("clock");
    fs::write(&clock, "0").expect("a clock");
    let events = Events::of(scene);
    let call = scene
        .deploy(tag)
        .args([events.flag()])
        .env("SHIPCTL_TEST_CLOCK", &clock);
    let mut running = call.start();
    running.wait_until("its release", || scene.truth().newest("shop").image == image(tag));
    fs::write(&clock, (hours * 3600).to_string()).expect("a clock");
    events.wait_for(&mut running, "verify");
    fs::write(&clock, (hours * 7200).to_string()).expect("a clock");
    let ended = running.wait();
    let document = ended.concludes(outcome, code);
    let told = document["duration_ms"].as_u64().expect("a duration");
    let took = u64::try_from(ended.took.as_millis()).expect("a duration");
    assert!(told > 0 && told <= took, "{told} ms told, {took} ms taken");
    for phase in document["phases"].as_array().expect("phases") {
        assert!(
            phase["duration_ms"].as_u64().expect("a duration") <= took,
            "{phase}"
        );
    }
    if !cfg!(debug_assertions) {
        return skipped("fault_49");
    }
    // The clock was really another one.
    let text = fs::read_to_string(scene.path("output").join("events.jsonl")).expect("events");
    let times: Vec<jiff::Timestamp> = text
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok()?["time"]
                .as_str()?
                .parse()
                .ok()
        })
        .collect();
    let (first, last) = (times.first().expect("a time"), times.last().expect("a time"));
    assert!(
        last.duration_since(*first).as_hours().abs() >= hours.abs(),
        "{first} {last}"
    );
}

#[expect(clippy::print_stdout, reason = "a test that could not be run says so")]
fn skipped(what: &str) {
    println!("count: skipped: {what}: a release build has one clock only");
}

/// Each machine of v2 takes 2 s to turn good.
fn steady() -> Scene {
    let scene = Scene::builder().speed(4.0).timeout("20s").ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "health_seconds": 8}));
    scene
}

#[test]
fn fault_49_the_clock_jumps_forward() {
    let scene = steady();
    with_a_jump(&scene, "v2", 5, "verified", 0);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_49_the_clock_jumps_back() {
    let scene = steady();
    with_a_jump(&scene, "v2", -5, "verified", 0);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_49_the_clock_jumps_while_a_bad_release_is_looked_at() {
    for hours in [5, -5] {
        let scene = Scene::builder().timeout("6s").ready();
        with_a_jump(&scene, "v2-unhealthy", hours, "rolled_back", 7);
        scene.truth().serves("shop", "v1", 2);
        // The next one stands by its own clock.
        scene.ship("v3");
    }
}

#[test]
fn fault_58_each_machine_has_its_own_deadline() {
    // Three machines of 3.5 s each, one after another: longer than the timeout, which each of them keeps.
    let scene = Scene::builder()
        .seed(json!({"count": 3}))
        .speed(1.0)
        .timeout("8s")
        .ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "health_seconds": 3.5}));
    let ended = scene.deploy("v2").run();
    ended.concludes("verified", 0);
    assert!(
        ended.took.as_secs() >= 9,
        "the machines were not updated one after another: {:?}",
        ended.took
    );
    scene.truth().serves("shop", "v2", 3);
}

#[test]
fn fault_58_and_none_has_another_ones() {
    let scene = Scene::builder()
        .seed(json!({"count": 3}))
        .speed(4.0)
        .timeout("5s")
        .ready();
    let machines = scene.truth().machines("shop").into_iter();
    let last = machines.map(|machine| machine.id).max().expect("a machine");
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "machine": last, "health_seconds": 6000}));
    let document = scene.deploy("v2").run().concludes("rolled_back", 7);
    holds(&reasons(&document), &[&last]);
    scene.truth().serves("shop", "v1", 3);
}
