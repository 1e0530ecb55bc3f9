//! Which release a rollback goes to, and what it expects of it.

use serde_json::{Value, json};

use super::tools::{holds, reasons, warnings, without_ledger};
use crate::support::{FLY_TOML_NO_CHECKS, Scene, image};

/// A rollback ends verified, on this tag.
#[track_caller]
fn goes_to(scene: &Scene, tag: &str) -> Value {
    let document = scene.rollback().run().concludes("verified", 0);
    scene.truth().serves("shop", tag, 2);
    document
}

/// A rollback is refused, and what served serves on.
#[track_caller]
fn refused_on(scene: &Scene, tag: &str) -> Value {
    let before = scene.deploys();
    let refusal = scene.rollback().run().refuses("refused", 3);
    assert_eq!(scene.deploys(), before);
    scene.truth().serves("shop", tag, 2);
    refusal
}

#[test]
fn fault_52_a_second_rollback_goes_further_back() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    scene.ship("v3");
    goes_to(&scene, "v2");
    goes_to(&scene, "v1");
    let refusal = refused_on(&scene, "v1");
    // It says what there is.
    holds(&refusal.to_string(), &["v3"]);
}

#[test]
fn fault_52_never_to_what_was_rolled_back_from() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    scene.ship("v3");
    goes_to(&scene, "v2");
    scene.ship("v4");
    goes_to(&scene, "v2");
    goes_to(&scene, "v1");
}

#[test]
fn fault_52_what_was_deployed_again_on_purpose_counts_again() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    goes_to(&scene, "v1");
    scene.ship("v2");
    scene.ship("v3");
    goes_to(&scene, "v2");
}

#[test]
fn fault_52_what_flyctl_knows_is_asked_about() {
    let scene = Scene::builder()
        .seed(json!({"images": [image("v0"), image("v1")]}))
        .ready();
    scene.ship("v2");
    goes_to(&scene, "v1");
    let without_yes = scene.shipctl(["rollback", "staging", "--json"]).run();
    let refusal = without_yes.refuses("refused", 3);
    holds(&refusal.to_string(), &["v0", "--yes"]);
    scene.truth().serves("shop", "v1", 2);
    let document = goes_to(&scene, "v0");
    holds(&warnings(&document), &["unverified"]);
}

/// v1 and v2 each answer the commit that they were made of.
fn answering_shas() -> Scene {
    let sha = |tag: &str, sha: &str| json!({"do": "rule", "app": "shop", "image": tag, "version": sha});
    let scene = Scene::builder()
        .timeout("8s")
        .order(sha("v1", "1a2b3c4d5e6f"))
        .order(sha("v2", "f6e5d4c3b2a1"))
        .ready();
    scene.ship("v2");
    scene
}

#[test]
fn fault_60_the_app_answers_its_git_sha() {
    let scene = answering_shas();
    let document = goes_to(&scene, "v1");
    assert_eq!(document["services"][0]["evidence"], "app");
    assert_eq!(document["services"][0]["version"], "1a2b3c4d5e6f");
}

#[test]
fn fault_60_the_sha_of_the_release_that_was_rolled_back_from_refutes() {
    let scene = answering_shas();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v1", "version": "f6e5d4c3b2a1"}));
    // The target answers with the name of what was rolled back from: refuted, and that is back.
    let document = scene.rollback().run().concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    holds(&reasons(&document), &["f6e5d4c3b2a1"]);
    scene.truth().serves("shop", "v2", 2);
}

/// Somebody else ships with bare flyctl, from another machine.
fn colleague_ships(scene: &Scene, tag: &str) {
    scene.order(
        json!({"do": "new_release", "app": "shop", "image": image(tag), "user": "colleague@example.com"}),
    );
    for _ in 0..400 {
        if scene.truth().machines("shop").iter().all(|machine| machine.good) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{tag} does not get well: {:#?}", scene.truth().machines("shop"));
}

#[test]
fn fault_63_colleagues_shipped_since() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    colleague_ships(&scene, "v3");
    colleague_ships(&scene, "v4");
    let without_yes = scene.shipctl(["rollback", "staging", "--json"]).run();
    let refusal = without_yes.refuses("refused", 3);
    holds(&refusal.to_string(), &["v3", "--yes"]);
    scene.truth().serves("shop", "v4", 2);
    let document = goes_to(&scene, "v3");
    holds(&warnings(&document), &["unverified", "v2"]);
}

#[test]
fn fault_63_colleagues_shipped_between_two_of_ours() {
    let scene = Scene::builder().ready();
    colleague_ships(&scene, "v2");
    colleague_ships(&scene, "v3");
    // The record of this one names v3 as what served before it, and nothing names v2.
    scene.ship("v4");
    let document = goes_to(&scene, "v3");
    holds(&warnings(&document), &["unverified"]);
}

#[test]
fn fault_63_a_failed_release_of_a_colleague_is_no_target() {
    let scene = Scene::builder().ready();
    scene.order(json!({
        "do": "new_release", "app": "shop", "image": image("v2"), "status": "failed", "moves": false,
        "user": "colleague@example.com",
    }));
    colleague_ships(&scene, "v3");
    goes_to(&scene, "v1");
}

/// v1 serves; v2 was refuted though flyctl calls its release complete, and v1 returned; no ledger here knows that.
fn refuted_elsewhere(images: &[&str]) -> Scene {
    let images: Vec<_> = images.iter().map(|tag| image(tag)).collect();
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .seed(json!({"images": images}))
        .timeout("6s")
        .ready();
    let (bare, _) = scene.bare_deploy("v2-unhealthy", &[]);
    bare.exits(0);
    scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    let releases = scene.truth().releases("shop");
    let bad = releases
        .iter()
        .find(|release| release.image == image("v2-unhealthy"))
        .expect("a release");
    assert_eq!(bad.status, "complete");
    scene.truth().serves("shop", "v1", 2);
    without_ledger(&scene);
    scene
}

#[test]
fn fault_65_something_older_than_the_first_release_of_what_serves() {
    let scene = refuted_elsewhere(&["v0", "v1"]);
    let document = goes_to(&scene, "v0");
    holds(&warnings(&document), &["unverified"]);
}

#[test]
fn fault_65_nothing_older() {
    let scene = refuted_elsewhere(&["v1"]);
    let refusal = refused_on(&scene, "v1");
    holds(&refusal.to_string(), &["v2-unhealthy"]);
}

#[test]
fn fault_65_the_machine_with_the_ledger_never_goes_there_either() {
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("6s")
        .ready();
    scene.ship("v2");
    scene.deploy("v3-unhealthy").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v2", 2);
    goes_to(&scene, "v1");
}

/// Sets a secret without a release; the next deploy brings it to the machines.
fn set_secret(scene: &Scene, pair: &str) {
    let staged = scene.flyctl(["secrets", "set", pair, "--stage", "-a", "shop"]);
    staged.run().exits(0);
}

#[test]
fn fault_81_secrets_that_were_set_since_are_named() {
    let scene = Scene::builder().ready();
    set_secret(&scene, "OLD_KEY=correct-horse");
    scene.ship("v2");
    set_secret(&scene, "API_KEY=battery-staple");
    scene.ship("v3");
    let warning = "the secret `API_KEY` was set after v2 (shop:v2): a rollback leaves it as it is";

    let plan = scene.rollback().args(["--dry-run"]).run();
    plan.exits(0);
    assert_eq!(plan.json()["schema"], "shipctl/plan/1");
    holds(&plan.json()["warnings"].to_string(), &[warning]);

    let ended = scene.rollback().run();
    holds(&warnings(&ended.concludes("verified", 0)), &[warning]);
    scene.truth().serves("shop", "v2", 2);
    let listed = scene.flyctl(["secrets", "list", "--json", "-a", "shop"]).run();
    for secret in listed.json().as_array().expect("a list") {
        ended.never_says(secret["Digest"].as_str().expect("a digest"));
    }
    for hidden in ["OLD_KEY", "correct-horse", "battery-staple"] {
        ended.never_says(hidden);
    }
}

/// What was staged comes with the bad release, and stays when that is left.
#[test]
fn fault_81_secrets_that_a_return_leaves_are_named() {
    let scene = Scene::builder().timeout("5s").ready();
    set_secret(&scene, "OLD_KEY=correct-horse");
    scene.ship("v2");
    set_secret(&scene, "API_KEY=battery-staple");
    let ended = scene.deploy("v3-unhealthy").run();
    let warning = "the secret `API_KEY` was set after v2 (shop:v2): a return leaves it as it is";
    holds(&warnings(&ended.concludes("rolled_back", 7)), &[warning]);
    ended.never_says("battery-staple");
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_81_secrets_that_cannot_be_listed_stop_nothing() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    let warning = "whether secrets were set after v1 (shop:v1) is not known, for they could not be listed";
    let fails = |kind: &str| json!({"do": "fault", "kind": kind, "match": "query app secrets", "count": 1000, "seconds": 100_000});

    scene.order(fails("500"));
    let plan = scene.rollback().args(["--dry-run"]).run();
    plan.exits(0);
    holds(&plan.json()["warnings"].to_string(), &[warning]);

    scene.order(json!({"do": "clear", "what": "faults"}));
    scene.order(fails("delay"));
    holds(&warnings(&goes_to(&scene, "v1")), &[warning]);
}
