//! Others at work meanwhile: a second shipctl, a colleague with bare flyctl, somebody who sets a secret.

use serde_json::json;

use super::tools::{Events, holds, phase, warnings};
use crate::support::{Scene, image};

/// New machines take 3 s each to turn good.
fn slow() -> Scene {
    let loading = json!({"do": "rule", "app": "shop", "image": "v*", "health_seconds": 6});
    let scene = Scene::builder().speed(2.0).timeout("30s").ready();
    scene.order(loading);
    scene
}

#[test]
fn fault_37_a_second_deploy_while_one_ships() {
    let scene = slow();
    let mut first = scene.deploy("v2").start();
    first.wait_until("its release", || scene.truth().newest("shop").version == 2);
    let second = scene.deploy("v3").run();
    let refusal = second.refuses("locked", 5);
    holds(&refusal["message"].to_string(), &["shop"]);
    second.says(["deploy", "since"]);
    first.wait().concludes("verified", 0);
    let truth = scene.truth();
    truth.serves("shop", "v2", 2);
    assert_eq!(truth.releases("shop").len(), 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_37_two_deploys_at_once() {
    let scene = slow();
    let started = ["v2", "v3"].map(|tag| (tag, scene.deploy(tag).start()));
    let ended = started.map(|(tag, running)| (tag, running.wait()));
    let shipped: Vec<_> = ended.iter().filter(|(_, ended)| ended.code == Some(0)).collect();
    let locked: Vec<_> = ended.iter().filter(|(_, ended)| ended.code == Some(5)).collect();
    assert_eq!((shipped.len(), locked.len()), (1, 1), "{ended:#?}");
    shipped[0].1.concludes("verified", 0);
    locked[0].1.refuses("locked", 5);
    let truth = scene.truth();
    truth.serves("shop", shipped[0].0, 2);
    assert_eq!(truth.releases("shop").len(), 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_37_one_that_waits_sees_what_the_other_left() {
    let scene = slow();
    let mut first = scene.deploy("v2").start();
    first.wait_until("its release", || scene.truth().newest("shop").version == 2);
    let second = scene.deploy("v3").args(["--lock-wait", "60s"]).start();
    first.wait().concludes("verified", 0);
    let document = second.wait().concludes("verified", 0);
    assert_eq!(document["services"][0]["previous"]["image"], image("v2"));
    scene.truth().serves("shop", "v3", 2);
}

/// What the rollback was to leave is gone when its turn comes; the next target would be one too far.
#[test]
fn fault_82_a_rollback_waits_for_a_deploy_that_returns_by_itself() {
    let scene = Scene::builder().speed(4.0).timeout("8s").ready();
    scene.ship("v2");
    let mut bad = scene.deploy("v3-unhealthy").start();
    bad.wait_until("a machine moves", || {
        scene.truth().tags("shop").contains(&"v3-unhealthy".to_owned())
    });
    let waiting = scene.rollback().args(["--lock-wait", "60s"]).start();
    bad.wait().concludes("rolled_back", 7);
    let ended = waiting.wait();
    let refusal = ended.refuses("refused", 3);
    holds(
        &refusal["message"].to_string(),
        &[
            "somebody was faster: ",
            "would go to v1 (shop:v1), and no longer to v2 (shop:v2)",
        ],
    );
    scene.truth().serves("shop", "v2", 2);
}

/// It is still what was meant: the deploy that was waited for left what the rollback goes away from.
#[test]
fn fault_82_a_rollback_waits_for_a_deploy_that_stays() {
    let scene = slow();
    let mut running = scene.deploy("v2").start();
    running.wait_until("a machine moves", || {
        scene.truth().tags("shop").contains(&"v2".to_owned())
    });
    let waiting = scene.rollback().args(["--lock-wait", "60s"]).start();
    running.wait().concludes("verified", 0);
    waiting.wait().concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
}

/// What is half done is nobody's fault yet, and whoever deploys will say what became of it.
#[test]
fn fault_79_looked_at_while_somebody_deploys() {
    let scene = slow();
    let mut running = scene.deploy("v2").start();
    running.wait_until("a machine moves", || {
        scene.truth().tags("shop").contains(&"v2".to_owned())
    });
    let looked = scene.shipctl(["verify", "staging", "--json"]).run();
    let document = looked.concludes("inconclusive", 9);
    let reasons = document["services"][0]["reasons"].to_string();
    holds(&reasons, &["a deployment is under way, by"]);
    running.wait().concludes("verified", 0);
    scene.truth().serves("shop", "v2", 2);
    assert_eq!(
        scene.outcomes(),
        ["verified", "verified"],
        "the one before and this one alone"
    );
}

/// A good word from within the bake would outlive the verdict that comes after it.
#[test]
fn fault_79_a_release_that_is_refuted_later_was_good_in_between() {
    let scene = Scene::builder().bake("20s").timeout("6s").ready();
    scene.deploy("v0").run().concludes("verified", 0);
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "bake");
    let looked = scene.shipctl(["verify", "staging", "--json"]).run();
    let document = looked.concludes("verified", 0);
    holds(&warnings(&document), &["a deployment is under way, by"]);
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "status": 503}));
    running.wait().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v0", 2);
    let releases = scene.shipctl(["releases", "staging", "--json"]).run().json();
    let judged = &releases["services"][0]["releases"];
    let of = |tag: &str| {
        let list = judged.as_array().unwrap().iter();
        let mut found = list.filter(|release| release["image"] == image(tag));
        found.next().unwrap()["verdict"].clone()
    };
    assert_eq!(of("v2"), "refuted", "{releases:#}");
    assert_eq!(of("v0"), "verified", "{releases:#}");
}

#[test]
fn fault_59_secrets_set_during_the_bake() {
    let scene = Scene::builder().bake("4s").timeout("30s").ready();
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "bake");
    scene.order(
        json!({"do": "secrets_set", "app": "shop", "name": "KEY", "value": "1", "user": "other@example.com"}),
    );
    let document = running.wait().concludes("verified", 0);
    holds(&warnings(&document), &["newer release v3"]);
    let truth = scene.truth();
    truth.serves("shop", "v2", 2);
    assert!(truth.machines("shop").iter().all(|machine| machine.release == 3));
}

#[test]
fn fault_59_secrets_set_that_break_the_app_are_no_excuse() {
    let scene = Scene::builder().bake("6s").timeout("4s").ready();
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "bake");
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "status": 503, "checks": "critical"}));
    scene.order(
        json!({"do": "secrets_set", "app": "shop", "name": "KEY", "value": "1", "user": "other@example.com"}),
    );
    let document = running.wait().concludes("rolled_back", 7);
    assert!(phase(&document, "bake", "failed"), "{document:#}");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_66_a_colleagues_deploy_fails_on_our_lease() {
    let scene = Scene::builder().timeout("4s").ready();
    let (bare, _) = scene.bare_deploy("v2-unhealthy", &["--wait-timeout", "20s"]);
    bare.exits(1);
    let events = Events::of(&scene);
    let mut ours = scene.deploy("v2-unhealthy").args([events.flag()]).start();
    ours.wait_until("our leases", || !scene.truth().leases("shop").is_empty());
    let theirs = scene
        .flyctl([
            "deploy",
            "-a",
            "shop",
            "-c",
            "fly.staging.toml",
            "--image",
            &image("v9"),
        ])
        .run();
    theirs.exits(1).says(["lease"]);
    let document = ours.wait().concludes("rolled_back", 7);
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    let failed = truth
        .releases("shop")
        .into_iter()
        .find(|release| release.image == image("v9"));
    assert_eq!(failed.expect("their release").status, "failed");
    holds(&warnings(&document), &["v9"]);
}
