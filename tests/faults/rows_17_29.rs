//! Rows 17 to 29: what stops a deployment before or beside the machines.

use serde_json::{Value, json};

use crate::support::{Builder, Ended, FLY_TOML, Scene};

const WAIT: [&str; 2] = ["--wait-timeout", "15"];

fn reasons(document: &Value) -> String {
    document["services"][0]["reasons"].to_string()
}

/// Warnings of the only service and of the deployment, and the hints.
fn said(document: &Value) -> String {
    let service = &document["services"][0];
    format!(
        "{}{}{}",
        service["warnings"], document["warnings"], document["hints"]
    )
}

/// The launches of the counted machines: the same ones mean that no machine was touched.
fn launches(scene: &Scene) -> Vec<String> {
    let truth = scene.truth();
    let all = truth.0["apps"]["shop"]["machines"]
        .as_array()
        .expect("machines")
        .clone();
    let live = all
        .iter()
        .filter(|machine| machine["group"] == "app" && machine["state"] != "destroyed");
    live.map(|machine| format!("{} {}", machine["id"], machine["instance_id"]))
        .collect()
}

fn with_release_command(timeout: &str) -> Builder {
    let text = format!(
        "{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\nrelease_command_timeout = \"{timeout}\"\n"
    );
    Scene::builder().fly_toml(&text)
}

#[test]
fn fault_17_release_command_fails() {
    let scene = with_release_command("5m").ready();
    let (bare, then) = scene.bare_deploy("v2-relfail", &WAIT);
    bare.exits(1);
    assert_eq!(then.newest("shop").status, "failed");

    let before = launches(&scene);
    let document = scene.deploy("v2-relfail").run().concludes("failed", 6);
    assert!(reasons(&document).contains("release command"), "{document:#}");
    assert_eq!(
        document["services"][0]["provider"]["release_status"], "failed",
        "{document:#}"
    );
    assert_eq!(
        document["services"][0]["serving"]["image"], "registry.fly.io/shop:v1",
        "{document:#}"
    );
    assert_eq!(
        document["services"][0]["serving"]["verdict"], "verified",
        "{document:#}"
    );
    assert_eq!(launches(&scene), before, "no machine was touched");
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 1, "there is nothing to return");
}

#[test]
fn fault_18_release_command_times_out() {
    let scene = with_release_command("4s")
        .order(json!({"do": "rule", "app": "shop", "image": "v2", "release_seconds": 100_000}))
        .ready();
    let (bare, then) = scene.bare_deploy("v2", &WAIT);
    bare.exits(1);
    assert!(
        then.all_machines("shop").len() == 3,
        "its machine is left running"
    );

    let before = launches(&scene);
    let document = scene.deploy("v2").run().concludes("failed", 6);
    let truth = scene.truth();
    let left = truth
        .all_machines("shop")
        .into_iter()
        .find(|machine| machine.group == "fly_app_release_command");
    let left = left.expect("the machine of the release command");
    assert_eq!(left.state, "started");
    let said = said(&document);
    assert!(said.contains(&left.id), "{document:#}");
    assert!(said.contains("machine destroy"), "{document:#}");
    assert_eq!(launches(&scene), before, "no machine was touched");
    truth.serves("shop", "v1", 2);
}

#[test]
fn fault_19_final_status_gets_500() {
    let scene = Scene::builder().ready();
    let fault = json!({"do": "fault", "kind": "500", "match": "updateRelease", "after": 1});
    let elsewhere = scene.elsewhere();
    elsewhere.order(fault.clone());
    elsewhere.deploy("v2", &WAIT).exits(1);
    assert_eq!(elsewhere.truth().newest("shop").status, "running");
    elsewhere.truth().serves("shop", "v2", 2);

    scene.order(fault);
    let document = scene.deploy("v2").run().concludes("verified", 0);
    let provider = &document["services"][0]["provider"];
    assert_eq!(
        (&provider["exit_code"], &provider["release_status"]),
        (&json!(1), &json!("running")),
        "{document:#}"
    );
    let said = said(&document);
    assert!(
        said.contains("flyctl") && said.contains("running"),
        "{document:#}"
    );
    scene.truth().serves("shop", "v2", 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_20_dns_question_fails() {
    let scene = Scene::builder()
        .order(json!({"do": "settings", "hide_ips_after_deploy": false}))
        .ready();
    let (bare, then) = scene.bare_deploy("v2", &WAIT);
    bare.exits(1);
    then.serves("shop", "v2", 2);

    let document = scene.deploy("v2").run().concludes("verified", 0);
    let said = said(&document);
    assert!(
        said.contains("flyctl ended with 1") || said.contains("DNS") || said.contains("A records"),
        "{document:#}"
    );
    scene.truth().serves("shop", "v2", 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_21_lease_held_by_another() {
    let scene = Scene::builder().ready();
    scene.order(json!({"do": "lease", "app": "shop", "seconds": 100_000, "owner": "colleague@example.com"}));
    let (bare, then) = scene.bare_deploy("v2", &WAIT);
    bare.exits(1);
    assert_eq!(then.newest("shop").status, "failed");

    let document = scene.deploy("v2").run().concludes("failed", 6);
    assert_eq!(
        document["services"][0]["provider"]["error_class"], "lease_held",
        "{document:#}"
    );
    assert!(
        reasons(&document).contains("colleague@example.com"),
        "{document:#}"
    );
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 1);
}

/// A fault before a release was made: 10, nothing released, v1 serves. `early`: shipctl's own questions meet it first.
#[track_caller]
fn provider(scene: &Scene, fault: &Value, early: bool) -> Ended {
    let elsewhere = scene.elsewhere();
    elsewhere.order(fault.clone());
    elsewhere.deploy("v2", &WAIT).exits(1);
    assert_eq!(
        elsewhere.truth().releases("shop").len(),
        1,
        "bare flyctl makes no release"
    );

    scene.order(fault.clone());
    let ended = scene.deploy("v2").run();
    ended.exits(10);
    let document = ended.json();
    assert_eq!(
        (&document["exit_code"], &document["name"]),
        (&json!(10), &json!("provider")),
        "{}",
        ended.told()
    );
    assert_eq!(scene.deploys(), usize::from(!early), "{}", ended.told());
    let truth = scene.truth();
    assert_eq!(truth.releases("shop").len(), 1, "no release was made");
    truth.serves("shop", "v1", 2);
    ended
}

#[test]
fn fault_22_whoami_gets_500() {
    let scene = Scene::builder().ready();
    provider(
        &scene,
        &json!({"do": "fault", "kind": "500", "match": "query viewer"}),
        false,
    )
    .says(["500"]);
}

#[test]
fn fault_22_machine_list_gets_500_at_once() {
    let scene = Scene::builder().ready();
    let list = "flaps GET /v1/apps/shop/machines";
    let ended = provider(
        &scene,
        &json!({"do": "fault", "kind": "500", "match": list, "count": 1000}),
        true,
    );
    ended.says(["internal server error"]);
}

#[test]
fn fault_22_machine_list_gets_500_in_the_deploy() {
    let scene = Scene::builder().timeout("5s").ready();
    let list = "flaps GET /v1/apps/shop/machines";
    // A second of real time from flyctl's first question of a deploy on: its own list falls into it.
    provider(
        &scene,
        &json!({"do": "fault", "kind": "500", "match": list, "for_seconds": 20, "on_call": "query viewer"}),
        false,
    );
}

#[test]
fn fault_22_create_release_fails() {
    for kind in ["500", "429", "drop"] {
        let scene = Scene::builder().timeout("5s").ready();
        provider(
            &scene,
            &json!({"do": "fault", "kind": kind, "match": "createRelease"}),
            false,
        );
    }
}

#[test]
fn fault_23_token_refused_for_a_moment() {
    let scene = Scene::builder().timeout("5s").ready();
    let list = "flaps GET /v1/apps/shop/machines";
    provider(
        &scene,
        &json!({"do": "fault", "kind": "401", "match": list, "for_seconds": 20, "on_call": "query viewer"}),
        false,
    );
}

#[test]
fn fault_23_token_refused_from_then_on() {
    let scene = Scene::builder().timeout("5s").ready();
    // As the capture: from the list of machines on, and for good.
    provider(
        &scene,
        &json!({"do": "token", "token": "fo1_all", "orgs": [], "on_call": "query viewer"}),
        false,
    );
}

/// A token that opens nothing here: 10, with its variable and never its value.
#[track_caller]
fn refused_token(builder: Builder, variable: &str, value: &str) {
    let scene = builder.ready();
    let elsewhere = scene.elsewhere();
    let args = [
        "deploy",
        "-c",
        "fly.staging.toml",
        "--image",
        "registry.fly.io/shop:v2",
    ];
    elsewhere.flyctl(args).env("FLY_API_TOKEN", value).run().exits(1);

    let ended = scene.deploy("v2").env(variable, value).run();
    ended.refuses("provider", 10);
    ended.says([variable]).never_says(value);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 0);
}

#[test]
fn fault_24_wrong_token() {
    refused_token(Scene::builder(), "FLY_API_TOKEN", "fo1_no_such_token");
}

#[test]
fn fault_24_token_of_another_organisation() {
    refused_token(Scene::builder(), "FLY_API_TOKEN_STAGING", "fo1_globex");
}

#[test]
fn fault_24_token_in_a_variable_of_ones_own() {
    let builder = Scene::builder().shipctl_toml("[environments.staging]\ntoken = \"SHOP_TOKEN\"");
    refused_token(builder, "SHOP_TOKEN", "fo1_globex");
}

#[test]
fn fault_24_no_token() {
    let scene = Scene::builder().ready();
    scene.order(json!({"do": "login", "token": null}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(1);

    let ended = scene.deploy("v2").run();
    ended.refuses("provider", 10);
    ended.says(["FLY_API_TOKEN"]);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 0);
}

#[test]
fn fault_25_api_unreachable() {
    let scene = Scene::builder().ready();
    provider(
        &scene,
        &json!({"do": "fault", "kind": "unreachable", "count": 100_000}),
        true,
    );
}

#[test]
fn fault_25_api_unreachable_from_the_deploy_on() {
    let scene = Scene::builder().timeout("5s").ready();
    let gone = json!({"do": "fault", "kind": "unreachable", "count": 100_000, "on_call": "query viewer"});
    provider(&scene, &gone, false);
}

#[test]
fn fault_26_config_names_a_missing_file() {
    let scene = Scene::builder().ready();
    let elsewhere = scene.elsewhere();
    let args = [
        "deploy",
        "-c",
        "nowhere.toml",
        "-a",
        "shop",
        "--image",
        "registry.fly.io/shop:v2",
    ];
    elsewhere.flyctl(args).run().exits(0);
    elsewhere.truth().serves("shop", "v2", 2);

    scene.order(json!({"do": "clear", "what": "journal"}));
    let ended = scene.deploy("v2").args(["--config", "nowhere.toml"]).run();
    ended.refuses("config", 4);
    ended.says(["nowhere.toml"]);
    assert_eq!(scene.journal(), Vec::<Value>::new(), "flyctl is not called");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_27_image_does_not_exist() {
    let scene = Scene::builder().ready();
    let (bare, then) = scene.bare_deploy("v2-missing", &WAIT);
    bare.exits(1);
    assert_eq!(then.releases("shop").len(), 1);

    let before = launches(&scene);
    let document = scene.deploy("v2-missing").run().concludes("failed", 6);
    assert!(reasons(&document).contains("v2-missing"), "{document:#}");
    assert_eq!(document["services"][0]["release"], Value::Null, "{document:#}");
    assert_eq!(
        document["services"][0]["serving"]["verdict"], "verified",
        "{document:#}"
    );
    assert_eq!(scene.truth().releases("shop").len(), 1, "no release was made");
    assert_eq!(launches(&scene), before);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_28_bluegreen_unhealthy() {
    let scene = Scene::builder().timeout("5s").ready();
    let (bare, then) = scene.bare_deploy(
        "v2-unhealthy",
        &["--strategy", "bluegreen", "--wait-timeout", "15"],
    );
    bare.exits(1);
    then.serves("shop", "v1", 2);

    let before = launches(&scene);
    let document = scene
        .deploy("v2-unhealthy")
        .args(["--strategy", "bluegreen"])
        .run()
        .concludes("failed", 6);
    assert_eq!(
        document["services"][0]["serving"]["image"], "registry.fly.io/shop:v1",
        "{document:#}"
    );
    let truth = scene.truth();
    assert_eq!(truth.all_machines("shop").len(), 2, "green is gone");
    assert_eq!(launches(&scene), before, "blue was not touched");
    truth.serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_29_canary_unhealthy() {
    let scene = Scene::builder().timeout("5s").ready();
    let (bare, then) = scene.bare_deploy("v2-unhealthy", &["--strategy", "canary", "--wait-timeout", "15"]);
    bare.exits(1);
    assert_eq!(
        then.all_machines("shop").len(),
        3,
        "the canary machine is left behind"
    );

    let known: Vec<_> = scene
        .truth()
        .all_machines("shop")
        .into_iter()
        .map(|machine| machine.id)
        .collect();
    let document = scene
        .deploy("v2-unhealthy")
        .args(["--strategy", "canary"])
        .run()
        .concludes("failed", 6);
    let truth = scene.truth();
    let all = truth.all_machines("shop");
    let canary = all
        .iter()
        .find(|machine| !known.contains(&machine.id))
        .expect("the canary");
    let said = said(&document);
    assert!(said.contains(&canary.id), "{document:#}");
    assert!(
        said.contains(&format!("machine destroy --force {}", canary.id)),
        "{document:#}"
    );
    let others: Vec<_> = all.iter().filter(|machine| known.contains(&machine.id)).collect();
    assert!(
        others.len() == 2 && others.iter().all(|machine| machine.good && machine.tag == "v1"),
        "{all:#?}"
    );
    assert_eq!(scene.deploys(), 1);
}
