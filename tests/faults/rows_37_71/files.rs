//! Files that are wrong, and files that change while a deployment runs.

use serde_json::json;

use super::tools::{Events, holds, raw_machines, warnings};
use crate::support::{FLY_TOML, Scene};

/// A mistake in `fly.staging.toml` that shipctl can see: flyctl's exit code, then shipctl's answer, which names the
/// file and calls nobody.
#[track_caller]
fn bad_file(text: &str, flyctl_says: &str, words: &[&str]) {
    let scene = Scene::builder().ready();
    scene.write("fly.staging.toml", text);
    let elsewhere = scene.elsewhere();
    let bare = elsewhere
        .flyctl([
            "deploy",
            "-c",
            "fly.staging.toml",
            "--image",
            "registry.fly.io/shop:v2",
        ])
        .run();
    bare.exits(1).says([flyctl_says]);
    let before = scene.journal();
    let refusal = scene.deploy("v2").run().refuses("config", 4);
    holds(&refusal.to_string(), &["fly.staging.toml"]);
    holds(&refusal.to_string(), words);
    assert_eq!(scene.journal(), before, "flyctl was called");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_39_syntax() {
    bad_file("app = \"shop\n[broken\n", "failed loading app config", &["1"]);
}

#[test]
fn fault_39_empty() {
    bad_file("", "missing an app name", &["app"]);
}

#[test]
fn fault_39_wrong_type() {
    let text = FLY_TOML.replace("internal_port = 8080", "internal_port = \"many\"");
    bad_file(&text, "App configuration is not valid", &["internal_port", "5"]);
}

#[test]
fn fault_39_no_app() {
    bad_file(
        &FLY_TOML.replace("app = \"shop\"\n", ""),
        "missing an app name",
        &["app"],
    );
}

#[test]
fn fault_39_unknown_strategy() {
    let text = format!("{FLY_TOML}\n[deploy]\nstrategy = \"yolo\"\n");
    bad_file(&text, "unsupported deployment strategy", &["yolo", "rolling"]);
}

#[test]
fn fault_39_the_words_for_people_show_the_line() {
    let scene = Scene::builder().ready();
    scene.write(
        "fly.staging.toml",
        &FLY_TOML.replace("internal_port = 8080", "internal_port = \"many\""),
    );
    let ended = scene
        .shipctl(["deploy", "staging", "--image", "registry.fly.io/shop:v2"])
        .run();
    ended
        .exits(4)
        .says(["fly.staging.toml:5", "internal_port = \"many\""]);
}

/// What a file says that must not be read any more.
const CHANGED: &str = "app = \"elsewhere\"\n[env]\nCOLOUR = \"red\"\n[broken\n";

fn coloured(colour: &str) -> String {
    format!("{FLY_TOML}\n[env]\nCOLOUR = \"{colour}\"\n")
}

#[track_caller]
fn assert_colour(scene: &Scene, colour: &str) {
    let machines = raw_machines(&scene.truth(), "shop");
    assert!(
        machines.iter().all(|machine| machine["env"]["COLOUR"] == colour),
        "not {colour}: {machines:#?}"
    );
}

#[test]
fn fault_50_files_change_while_a_good_deploy_runs() {
    let scene = Scene::builder()
        .fly_toml(&coloured("blue"))
        .speed(4.0)
        .timeout("30s")
        .ready();
    scene.write("fly.staging.toml", &coloured("green"));
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "health_seconds": 8}));
    let events = Events::of(&scene);
    let mut running = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut running, "ship");
    scene.write("fly.staging.toml", CHANGED);
    scene.write("shipctl.toml", "[verify]\ntimeout = 3\n");
    running.wait().concludes("verified", 0);
    scene.truth().serves("shop", "v2", 2);
    assert_colour(&scene, "green");

    // The ledger holds what was read: a later deployment is returned from to it.
    scene.write(
        "shipctl.toml",
        "[project]\nname = \"shop\"\n[verify]\ntimeout = \"20s\"\nsuccesses = 2\nbake = \"100ms\"\n",
    );
    scene.write("fly.staging.toml", &coloured("yellow"));
    scene.ship("v3");
    assert_colour(&scene, "yellow");
    scene.rollback().run().concludes("verified", 0);
    scene.truth().serves("shop", "v2", 2);
    assert_colour(&scene, "green");
}

#[test]
fn fault_50_files_change_while_a_bad_deploy_runs() {
    let scene = Scene::builder().fly_toml(&coloured("blue")).timeout("5s").ready();
    scene.ship("v2");
    scene.write("fly.staging.toml", &coloured("green"));
    let events = Events::of(&scene);
    let mut running = scene.deploy("v3-unhealthy").args([events.flag()]).start();
    events.wait_for(&mut running, "ship");
    scene.write("fly.staging.toml", CHANGED);
    scene.write("shipctl.toml", "[verify]\ntimeout = 3\n");
    running.wait().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v2", 2);
    assert_colour(&scene, "blue");
}

/// A scene on v2 after v1, whose `shipctl.toml` then gets a typo.
fn with_a_typo() -> Scene {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    scene.write(
        "shipctl.toml",
        "[project]\nname = \"shop\"\n\n[verify]\ntimeuot = \"20s\"\nsuccesses = 2\nbake = \"100ms\"\n",
    );
    scene
}

#[test]
fn fault_55_a_typo_stops_a_deploy() {
    let scene = with_a_typo();
    let (bare, _) = scene.bare_deploy("v3", &[]);
    bare.exits(0);
    let refusal = scene.deploy("v3").run().refuses("config", 4);
    holds(&refusal.to_string(), &["shipctl.toml", "timeuot", "timeout"]);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_55_a_typo_does_not_stop_a_rollback() {
    let scene = with_a_typo();
    let document = scene.rollback().run().concludes("verified", 0);
    holds(&warnings(&document), &["timeuot"]);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_55_a_typo_does_not_stop_status_and_verify() {
    let scene = with_a_typo();
    let status = scene.shipctl(["status", "staging", "--json"]).run();
    status.exits(0).says(["timeuot"]);
    assert_eq!(status.json()["environments"][0]["environment"], "staging");
    let document = scene
        .shipctl(["verify", "staging", "--json"])
        .run()
        .concludes("verified", 0);
    holds(&warnings(&document), &["timeuot"]);
}

#[test]
fn fault_55_not_even_a_file_without_sense_stops_a_rollback() {
    let scene = with_a_typo();
    scene.write("shipctl.toml", "[verify\ntimeout =\n");
    scene.write("fly.staging.toml", "app = \"shop\"\n[http_service\n");
    // Without a name in the file the project goes by its folder, and its sandbox lies elsewhere: it is named instead.
    let ended = scene.rollback().env("SHIPCTL_PROJECT_NAME", "shop").run();
    ended.concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
}
