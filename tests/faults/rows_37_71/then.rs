//! What served then is judged as it was then: by its own path, its own groups, its own words.

use serde_json::json;

use super::tools::{holds, reasons};
use crate::support::{FLY_TOML, Scene};

/// The check of the file asks `path`.
fn asking(path: &str) -> String {
    FLY_TOML.replace("/health", path)
}

#[test]
fn fault_72_a_word_that_every_release_answers_names_none() {
    let scene = Scene::builder()
        .timeout("6s")
        .order(json!({"do": "rule", "app": "shop", "version": "1.0.0"}))
        .ready();
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    for tag in ["v2", "v3"] {
        let document = scene.ship(tag);
        assert_eq!(document["services"][0]["evidence"], "http", "{document:#}");
    }
    let document = scene.rollback().run().concludes("verified", 0);
    assert_eq!(document["services"][0]["evidence"], "http", "{document:#}");
    scene.verify();
    scene.ship("v4");
    scene.truth().serves("shop", "v4", 2);
}

/// `/ready` is new in v2: v1 answers 404 there, and v2 and its successors at the old one.
fn moved_path(tag: &str, bare_exit: i32) -> Scene {
    let scene = Scene::builder()
        .timeout("6s")
        .fly_toml(&asking("/healthz"))
        .ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v1", "path": "/ready", "status": 404}));
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2*", "path": "/healthz", "status": 404}));
    scene.write("fly.staging.toml", &asking("/ready"));
    let (bare, _) = scene.bare_deploy(tag, &[]);
    bare.exits(bare_exit);
    scene
}

#[test]
fn fault_73_a_rollback_asks_the_path_of_then() {
    let scene = moved_path("v2", 0);
    scene.ship("v2");
    scene.rollback().run().concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_73_a_return_asks_the_path_of_then() {
    let scene = moved_path("v2-unhealthy", 1);
    scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_73_what_serves_is_not_held_to_a_path_that_is_not_deployed_yet() {
    let scene = moved_path("v2", 0);
    scene.verify();
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_74_the_file_adds_a_group_that_does_not_come_to_be() {
    let more = "\n[processes]\napp = \"serve\"\nworker = \"work\"\n\n[deploy]\nrelease_command = \"migrate\"\nrelease_command_timeout = \"1m\"\n";
    let scene = Scene::builder().timeout("6s").ready();
    let file = FLY_TOML.replace("internal_port", "processes = [\"app\"]\ninternal_port");
    scene.write("fly.staging.toml", &format!("{file}{more}"));
    let (bare, _) = scene.bare_deploy("v2-relfail", &[]);
    bare.exits(1);
    let document = scene.deploy("v2-relfail").run().concludes("failed", 6);
    holds(&reasons(&document), &["release command"]);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_74_what_serves_needs_no_better_evidence_than_it_had() {
    let release = "\n[deploy]\nrelease_command = \"migrate\"\nrelease_command_timeout = \"1m\"\n";
    let scene = Scene::builder()
        .timeout("6s")
        .fly_toml(&format!("{FLY_TOML}{release}"))
        .verify("min_evidence = \"app\"")
        .ready();
    let (bare, _) = scene.bare_deploy("v2-relfail", &[]);
    bare.exits(1);
    scene.deploy("v2-relfail").run().concludes("failed", 6);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_76_the_image_of_a_return_is_gone() {
    let scene = Scene::builder().timeout("6s").ready();
    scene.ship("v2");
    scene.order(json!({"do": "image", "image": "registry.fly.io/shop:v2", "gone": true}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(1);
    let document = scene.deploy("v3-unhealthy").run().concludes("rolled_back", 7);
    holds(&document["warnings"].to_string(), &["shop:v2 is gone"]);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_77_a_bad_rollback_from_what_was_bad_goes_to_the_last_verified() {
    let scene = Scene::builder().timeout("6s").ready();
    scene.ship("v2");
    let shipped = scene.flyctl([
        "deploy",
        "-c",
        "fly.staging.toml",
        "--image",
        "registry.fly.io/shop:v3-unhealthy",
        "--wait-timeout",
        "5",
    ]);
    shipped.run().exits(1);
    let document = scene
        .rollback()
        .args(["--to", "image:registry.fly.io/shop:v9-unhealthy"])
        .run();
    document.concludes("rolled_back", 7);
    scene.truth().serves("shop", "v2", 2);
}
