//! Process groups and routes: who is asked at all, and what a changed file means.

use serde_json::{Value, json};

use super::tools::{FLY_TOML_SLEEPY, every_machine, holds, raw_machines, warnings};
use crate::support::Scene;

/// A web group with HTTP, and a worker group that nothing leads to.
const WEB_AND_WORKER: &str = r#"app = "shop"
primary_region = "iad"

[processes]
web = "serve"
worker = "work"

[http_service]
internal_port = 8080
auto_stop_machines = false
auto_start_machines = false
processes = ["web"]

[[http_service.checks]]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
timeout = "2s"
"#;

const WEB: &str = r#"app = "shop"
primary_region = "iad"

[processes]
web = "serve"

[http_service]
internal_port = 8080
auto_stop_machines = false
auto_start_machines = false
processes = ["web"]

[[http_service.checks]]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
timeout = "2s"
"#;

/// How many machines a group has, all of them good on this tag.
#[track_caller]
fn good_in(scene: &Scene, group: &str, tag: &str) -> usize {
    let machines: Vec<_> = scene
        .truth()
        .machines("shop")
        .into_iter()
        .filter(|machine| machine.group == group)
        .collect();
    assert!(
        machines.iter().all(|machine| machine.good && machine.tag == tag),
        "{machines:#?}"
    );
    machines.len()
}

#[test]
fn fault_61_a_removed_group_comes_back_smaller() {
    let scene = Scene::builder().fly_toml(WEB_AND_WORKER).timeout("25s").ready();
    assert_eq!(
        (good_in(&scene, "web", "v1"), good_in(&scene, "worker", "v1")),
        (2, 2)
    );
    scene.write("fly.staging.toml", WEB);
    scene.ship("v2");
    assert_eq!(
        (good_in(&scene, "web", "v2"), good_in(&scene, "worker", "v2")),
        (2, 0)
    );

    let document = scene.rollback().run().concludes("verified", 0);
    holds(&warnings(&document), &["worker", "fly scale count worker=2"]);
    assert_eq!(
        (good_in(&scene, "web", "v1"), good_in(&scene, "worker", "v1")),
        (2, 1)
    );
}

#[test]
fn fault_61_an_added_group_goes_away() {
    let scene = Scene::builder().fly_toml(WEB).timeout("25s").ready();
    scene.write("fly.staging.toml", WEB_AND_WORKER);
    scene.ship("v2");
    assert!(good_in(&scene, "worker", "v2") >= 1);
    scene.rollback().run().concludes("verified", 0);
    assert_eq!(
        (good_in(&scene, "web", "v1"), good_in(&scene, "worker", "v1")),
        (2, 0)
    );
}

#[test]
fn fault_61_a_return_across_a_removed_group() {
    let scene = Scene::builder().fly_toml(WEB_AND_WORKER).timeout("15s").ready();
    scene.write("fly.staging.toml", WEB);
    let document = scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    holds(&warnings(&document), &["fly scale count worker=2"]);
    assert_eq!(
        (good_in(&scene, "web", "v1"), good_in(&scene, "worker", "v1")),
        (2, 1)
    );
}

#[test]
fn fault_62_no_route_to_the_app() {
    let scene = Scene::builder()
        .order(json!({"do": "route", "up": false}))
        .unverified()
        .ready();
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let document = scene.ship("v2");
    assert_eq!(document["services"][0]["evidence"], "checks");
    holds(&warnings(&document), &["no connection"]);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_62_no_route_and_bad_checks_are_still_bad() {
    let scene = Scene::builder()
        .order(json!({"do": "route", "up": false}))
        .unverified()
        .timeout("4s")
        .ready();
    scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_62_asleep_before_and_no_route() {
    let scene = Scene::builder().fly_toml(FLY_TOML_SLEEPY).unverified().ready();
    every_machine(&scene, "stop");
    scene.order(json!({"do": "route", "up": false}));
    let (bare, _) = scene.bare_deploy("v2", &[]);
    bare.exits(0);
    let document = scene.ship("v2");
    assert_eq!(document["services"][0]["evidence"], "checks");
    let machines = scene.truth().machines("shop");
    assert!(
        machines.iter().all(|machine| machine.tag == "v2"),
        "{machines:#?}"
    );
    // One was woken, and seen good.
    assert!(machines.iter().any(|machine| machine.good), "{machines:#?}");
}

#[test]
fn fault_64_only_the_web_group_is_asked() {
    let scene = Scene::builder().fly_toml(WEB_AND_WORKER).timeout("25s").ready();
    let document = scene.ship("v2");
    assert_eq!(
        (good_in(&scene, "web", "v2"), good_in(&scene, "worker", "v2")),
        (2, 2)
    );
    let instances = document["services"][0]["instances"]
        .as_array()
        .expect("instances");
    assert_eq!(instances.len(), 4, "{document:#}");
    let probes = |instance: &Value| {
        let probes = &instance["probes"];
        probes["good"].as_u64().unwrap_or_default() + probes["bad"].as_u64().unwrap_or_default()
    };
    for instance in instances {
        assert_eq!(probes(instance) > 0, instance["group"] == "web", "{instance:#}");
    }
    for machine in raw_machines(&scene.truth(), "shop") {
        let web = scene
            .truth()
            .machines("shop")
            .iter()
            .any(|one| machine["id"] == one.id && one.group == "web");
        assert_eq!(machine["answered"].as_u64() > Some(0), web, "{machine:#}");
    }
}

#[test]
fn fault_64_a_bad_worker_is_not_overlooked() {
    let scene = Scene::builder().fly_toml(WEB_AND_WORKER).timeout("15s").ready();
    scene.order(
        json!({"do": "rule", "app": "shop", "image": "v2", "group": "worker", "dies_after_seconds": 0.4}),
    );
    let (bare, _) = scene.bare_deploy("v2", &["--smoke-checks=false"]);
    bare.exits(0);
    scene.deploy("v2").run().concludes("rolled_back", 7);
    assert_eq!(
        (good_in(&scene, "web", "v1"), good_in(&scene, "worker", "v1")),
        (2, 2)
    );
}

/// What served before is known by its own groups where the file of today names none of them.
#[test]
fn fault_83_the_only_group_gets_another_name() {
    let scene = Scene::builder().timeout("6s").ready();
    scene.write("fly.staging.toml", WEB);
    let document = scene.deploy("v2-missing").run().concludes("failed", 6);
    assert_eq!(document["services"][0]["previous"]["release"], 1, "{document:#}");
    scene.truth().serves("shop", "v1", 2);

    scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(good_in(&scene, "app", "v1"), 2);

    scene.deploy("v3").run().concludes("verified", 0);
    assert_eq!(good_in(&scene, "web", "v3"), 2);
}
