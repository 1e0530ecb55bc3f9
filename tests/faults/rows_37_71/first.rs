//! Apps that were never deployed, that do not exist, or that nothing is left of.

use serde_json::{Value, json};

use super::tools::{FLY_TOML_INSIDE, holds, reasons, scripted, warnings};
use crate::support::{Builder, FLY_TOML_NO_CHECKS, Scene};

/// An app that exists and was never deployed.
fn never_deployed() -> Builder {
    Scene::builder()
        .seed(Value::Null)
        .order(json!({"do": "create_app", "app": "shop"}))
        .unverified()
}

#[test]
fn fault_38_unknown_app() {
    let scene = Scene::builder().seed(Value::Null).unverified().ready();
    let elsewhere = scene.elsewhere();
    elsewhere.deploy("v2", &[]).exits(1);
    let flyctl = scripted(&scene, "");
    let deploy = [
        "deploy",
        "staging",
        "--json",
        "--image",
        "registry.fly.io/shop:v2",
    ];
    let ended = scene.bare_shipctl(deploy).env("SHIPCTL_FLYCTL", flyctl).run();
    let refusal = ended.refuses("provider", 10);
    holds(&refusal.to_string(), &["shop"]);
    assert_eq!(scene.deploys(), 0);
}

#[test]
fn fault_38_first_deploy_is_good() {
    let scene = never_deployed().ready();
    let (bare, truth) = scene.bare_deploy("v1", &[]);
    bare.exits(0);
    truth.serves("shop", "v1", 2);
    let document = scene.ship("v1");
    assert!(document["services"][0]["previous"].is_null(), "{document:#}");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_38_first_deploy_is_refuted() {
    let scene = never_deployed().timeout("4s").ready();
    let document = scene.deploy("v1-unhealthy").run().concludes("broken", 8);
    holds(&reasons(&document), &["nothing served before"]);
    let truth = scene.truth();
    assert_eq!(truth.releases("shop").len(), 1);
    assert!(
        truth
            .machines("shop")
            .iter()
            .all(|machine| machine.tag == "v1-unhealthy" && !machine.good)
    );
}

#[test]
fn fault_38_first_deploy_of_an_image_that_is_not_there() {
    // Nothing serves, so it is not the release from before that does.
    let scene = never_deployed().timeout("4s").ready();
    let document = scene.deploy("v1-missing").run().concludes("broken", 8);
    holds(
        &reasons(&document),
        &["nothing served before, and nothing serves now"],
    );
    assert!(scene.truth().machines("shop").is_empty());
}

#[test]
fn fault_69_first_deploy_gets_its_addresses_and_answers_503() {
    let scene = never_deployed()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("4s")
        .ready();
    assert_eq!(scene.truth().0["apps"]["shop"]["addresses"], json!([]));
    let (bare, _) = scene.bare_deploy("v1-unhealthy", &[]);
    bare.exits(0);
    let document = scene.deploy("v1-unhealthy").run().concludes("broken", 8);
    assert_eq!(document["services"][0]["verdict"], "refuted");
    holds(&reasons(&document), &["503"]);
    assert_ne!(scene.truth().0["apps"]["shop"]["addresses"], json!([]));
}

#[test]
fn fault_69_first_deploy_gets_its_addresses_and_answers_well() {
    let scene = never_deployed().fly_toml(FLY_TOML_NO_CHECKS).ready();
    let document = scene.ship("v1");
    let evidence = document["services"][0]["evidence"].as_str().expect("evidence");
    assert!(matches!(evidence, "app" | "http"), "{document:#}");
    scene.truth().serves("shop", "v1", 2);
}

/// Nothing runs any more.
fn scaled_to_nothing() -> Scene {
    let scene = Scene::builder().timeout("10s").ready();
    scene.order(json!({"do": "scale", "app": "shop", "group": "app", "count": 0}));
    assert!(scene.truth().machines("shop").is_empty());
    scene
}

#[test]
fn fault_71_no_machine_is_left_verify() {
    let scene = scaled_to_nothing();
    scene.flyctl(["status", "-a", "shop"]).run().exits(0);
    let ended = scene
        .shipctl(["verify", "staging", "--json", "--timeout", "3s"])
        .run();
    let document = ended.concludes("broken", 8);
    assert_eq!(document["services"][0]["verdict"], "refuted");
}

#[test]
fn fault_71_no_machine_is_left_deploy_refills() {
    let scene = scaled_to_nothing();
    let (bare, truth) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    truth.serves("shop", "v2", 2);
    let document = scene.ship("v2");
    holds(&warnings(&document), &["empty before"]);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_71_no_machine_is_left_and_the_new_ones_are_bad() {
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_INSIDE)
        .seed(json!({"shared_ip": false}))
        .timeout("4s")
        .ready();
    scene.order(json!({"do": "scale", "app": "shop", "group": "app", "count": 0}));
    let ended = scene.deploy("v2-unhealthy").run();
    // The last verified release is what is returned to: nothing served at the baseline.
    ended.concludes("rolled_back", 7);
    let machines = scene.truth().machines("shop");
    assert!(
        !machines.is_empty() && machines.iter().all(|machine| machine.tag == "v1" && machine.good),
        "{machines:#?}"
    );
}
