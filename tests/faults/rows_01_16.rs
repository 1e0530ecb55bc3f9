//! Rows 1 to 16: what flyctl calls deployed, and what really serves.

use serde_json::{Value, json};

use crate::support::{FLY_TOML, FLY_TOML_NO_CHECKS, Machine, Scene};

/// What bare flyctl waits for a machine where a row does not speak of that; world seconds.
const WAIT: [&str; 2] = ["--wait-timeout", "15"];

/// The reasons of the only service, in one text.
fn reasons(document: &Value) -> String {
    document["services"][0]["reasons"].to_string()
}

/// The duration of a phase in milliseconds.
fn took(document: &Value, phase: &str) -> u64 {
    let phases = document["phases"].as_array().expect("phases");
    let found = phases.iter().find(|found| found["name"] == phase);
    found.unwrap_or_else(|| panic!("no phase `{phase}`: {document:#}"))["duration_ms"]
        .as_u64()
        .expect("a duration")
}

/// A bad image: bare flyctl exits with `bare`, shipctl returns to v1, and both machines serve it.
#[track_caller]
fn returns(scene: &Scene, tag: &str, passed: &[&str], bare: (&[&str], i32)) -> (Value, Vec<Machine>) {
    let (ended, then) = scene.bare_deploy(tag, bare.0);
    ended.exits(bare.1);
    if bare.1 == 0 {
        assert_eq!(then.newest("shop").status, "complete", "bare flyctl believes it");
    }
    let document = scene.deploy(tag).args(passed).run().concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted", "{document:#}");
    let serving = &document["services"][0]["serving"];
    assert_eq!(serving["image"], "registry.fly.io/shop:v1", "{document:#}");
    assert_eq!(serving["verdict"], "verified", "{document:#}");
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    assert_eq!(
        serving["digest"],
        truth.machines("shop")[0].digest.as_str(),
        "{document:#}"
    );
    assert_eq!(scene.deploys(), 2, "one deploy there, one back");
    (document, then.machines("shop"))
}

#[test]
fn fault_01_good_release() {
    let scene = Scene::builder().ready();
    let (bare, then) = scene.bare_deploy("v2", &WAIT);
    bare.exits(0);
    then.serves("shop", "v2", 2);

    let document = scene.deploy("v2").run().concludes("verified", 0);
    let service = &document["services"][0];
    assert_eq!(service["verdict"], "verified", "{document:#}");
    assert_eq!(service["evidence"], "app", "{document:#}");
    assert_eq!(service["release"], 2, "{document:#}");
    assert_eq!(service["provider"]["exit_code"], 0, "{document:#}");
    assert_eq!(
        service["instances"].as_array().map(Vec::len),
        Some(2),
        "{document:#}"
    );
    let truth = scene.truth();
    truth.serves("shop", "v2", 2);
    assert_eq!(
        service["digest"],
        truth.machines("shop")[0].digest.as_str(),
        "{document:#}"
    );
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_02_healthy_after_five_seconds() {
    // Half of five real seconds for each machine: far longer than a look, far shorter than the deadline.
    let scene = Scene::builder().speed(2.0).ready();
    let elsewhere = scene.elsewhere();
    let (bare, then) = (
        elsewhere.deploy("v2-slow", &["--smoke-checks=false"]),
        elsewhere.truth(),
    );
    bare.exits(0);
    then.serves("shop", "v2-slow", 2);

    let document = scene.deploy("v2-slow").run().concludes("verified", 0);
    assert!(took(&document, "ship") >= 5000, "{document:#}");
    scene.truth().serves("shop", "v2-slow", 2);
    assert_eq!(scene.deploys(), 1);
}

#[test]
fn fault_03_unhealthy() {
    let scene = Scene::builder().timeout("4s").ready();
    let (document, bare) = returns(&scene, "v2-unhealthy", &[], (&WAIT, 1));
    let mut tags: Vec<_> = bare.into_iter().map(|machine| machine.tag).collect();
    tags.sort();
    assert_eq!(
        tags,
        ["v1", "v2-unhealthy"],
        "bare flyctl leaves one machine on each release"
    );
    let reasons = reasons(&document);
    let named = scene
        .truth()
        .machines("shop")
        .iter()
        .any(|machine| reasons.contains(&machine.id));
    assert!(named, "{reasons}");
    assert!(
        reasons.contains("503") || reasons.contains("critical"),
        "{reasons}"
    );
}

#[test]
fn fault_04_unhealthy_with_default_wait() {
    // At real speed, so that flyctl's own five minutes would not end within this test.
    let scene = Scene::builder().timeout("4s").speed(1.0).ready();
    let elsewhere = scene.elsewhere();
    elsewhere.order(json!({"do": "settings", "speed": 200}));
    let bare = elsewhere.deploy("v2-unhealthy", &[]);
    bare.exits(1);
    assert!(bare.took.as_millis() >= 310_000 / 200, "{}", bare.told());
    assert_eq!(elsewhere.truth().tags("shop"), ["v1", "v2-unhealthy"]);

    let document = scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    assert!(took(&document, "ship") < 40_000, "{document:#}");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_05_no_checks_unhealthy() {
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("4s")
        .ready();
    let (document, _) = returns(&scene, "v2-unhealthy", &[], (&[], 0));
    assert!(reasons(&document).contains("503"), "{document:#}");
}

#[test]
fn fault_06_immediate_unhealthy() {
    let scene = Scene::builder().timeout("4s").ready();
    let immediate = ["--strategy", "immediate"];
    returns(&scene, "v2-unhealthy", &immediate, (&immediate, 0));
}

#[test]
fn fault_07_detach_unhealthy() {
    let scene = Scene::builder().timeout("4s").ready();
    returns(&scene, "v2-unhealthy", &["--", "--detach"], (&["--detach"], 0));
}

/// A crash loop is a verdict by itself: it is not waited for that the deadline passes.
fn crash(passed: &[&str], bare: &[&str]) {
    let scene = Scene::builder().timeout("60s").ready();
    let (document, _) = returns(&scene, "v2-crash", passed, (bare, 1));
    assert!(took(&document, "ship") < 30_000, "{document:#}");
    assert!(reasons(&document).contains("crash"), "{document:#}");
}

#[test]
fn fault_08_crash_with_smoke_checks() {
    crash(&["--", "--smoke-checks=true"], &["--wait-timeout", "15"]);
}

#[test]
fn fault_08_crash_without_smoke_checks() {
    crash(&[], &["--wait-timeout", "15", "--smoke-checks=false"]);
}

#[test]
fn fault_09_first_healthy_second_not() {
    let scene = Scene::builder().timeout("6s").ready();
    let (_, bare) = returns(&scene, "v2-partial", &[], (&WAIT, 1));
    let good: Vec<_> = bare.iter().map(|machine| machine.good).collect();
    assert_eq!(
        good,
        [true, false],
        "the first is good, the second is not: {bare:#?}"
    );
}

#[test]
fn fault_10_accepts_and_never_answers() {
    let scene = Scene::builder().timeout("6s").ready();
    returns(&scene, "v2-hang", &[], (&WAIT, 1));
}

#[test]
fn fault_10_accepts_and_never_answers_without_checks() {
    let scene = Scene::builder()
        .fly_toml(FLY_TOML_NO_CHECKS)
        .timeout("6s")
        .ready();
    returns(&scene, "v2-hang", &[], (&[], 0));
}

#[test]
fn fault_11_html_where_a_version_was() {
    let scene = Scene::builder().timeout("6s").ready();
    let (document, _) = returns(&scene, "v2-garbage", &[], (&WAIT, 0));
    assert!(reasons(&document).contains("version"), "{document:#}");
}

#[test]
fn fault_11_html_where_identity_is_off() {
    let scene = Scene::builder().verify("identity = \"off\"").ready();
    let (bare, _) = scene.bare_deploy("v2-garbage", &WAIT);
    bare.exits(0);
    let document = scene.deploy("v2-garbage").run().concludes("verified", 0);
    assert_eq!(document["services"][0]["evidence"], "http", "{document:#}");
    scene.truth().serves("shop", "v2-garbage", 2);
}

#[test]
fn fault_12_answers_with_the_version_from_before() {
    let scene = Scene::builder()
        .timeout("6s")
        .order(json!({"do": "rule", "app": "shop", "image": "v2", "version": "v1"}))
        .ready();
    let (document, _) = returns(&scene, "v2", &[], (&WAIT, 0));
    assert!(reasons(&document).contains("v1"), "{document:#}");
}

fn redirect() -> Value {
    json!({"do": "rule", "app": "shop", "image": "v2", "status": 302, "headers": {"location": "/login"}})
}

#[test]
fn fault_13_redirect_on_a_named_path() {
    let scene = Scene::builder()
        .timeout("6s")
        .fly_toml(FLY_TOML_NO_CHECKS)
        .verify("path = \"/health\"")
        .order(redirect())
        .ready();
    let (document, _) = returns(&scene, "v2", &[], (&WAIT, 0));
    assert!(reasons(&document).contains("/login"), "{document:#}");
}

#[test]
fn fault_13_redirect_on_the_path_of_a_check() {
    let scene = Scene::builder().timeout("6s").order(redirect()).ready();
    let (document, _) = returns(&scene, "v2", &[], (&WAIT, 0));
    assert!(reasons(&document).contains("/login"), "{document:#}");
}

/// One machine in each of two regions.
fn two_regions() -> Scene {
    Scene::builder()
        .timeout("5s")
        .seed(json!({"regions": ["iad", "sjc"], "count": 1}))
        .ready()
}

#[test]
fn fault_14_a_region_keeps_the_old_image() {
    let scene = two_regions();
    let lost = scene
        .truth()
        .machines("shop")
        .into_iter()
        .find(|machine| machine.region == "sjc");
    let lost = lost.expect("a machine in sjc");
    scene.order(json!({"do": "host", "app": "shop", "machine": lost.id, "reachable": false, "serves": true}));
    let (document, bare) = returns(&scene, "v2", &[], (&WAIT, 0));
    let mut tags: Vec<_> = bare.into_iter().map(|machine| machine.tag).collect();
    tags.sort();
    assert_eq!(tags, ["v1", "v2"], "a region keeps the old image");
    let reasons = reasons(&document);
    assert!(reasons.contains(&lost.id) && reasons.contains("sjc"), "{reasons}");
}

/// The host of the machine in `sjc` is lost as a deploy begins: flyctl passes over it, and nothing answers for it.
fn lose_host(scene: &Scene) -> Machine {
    let machines = scene.truth().machines("shop");
    let lost = machines.into_iter().find(|machine| machine.region == "sjc");
    let lost = lost.expect("a machine in sjc");
    let order = json!({
        "do": "host", "app": "shop", "machine": lost.id, "reachable": false, "serves": false, "on_call": "query viewer",
    });
    let elsewhere = scene.elsewhere();
    elsewhere.order(order.clone());
    elsewhere.deploy("v2", &WAIT).exits(0);
    let then = elsewhere.truth();
    assert_eq!(then.newest("shop").status, "complete");
    assert_eq!(then.tags("shop"), ["v1", "v2"]);
    scene.order(order);
    lost
}

#[test]
fn fault_14_a_host_that_flyctl_says_is_lost() {
    // A flyctl that prints `host_status`: the return goes on without that machine.
    let scene = two_regions();
    scene.order(json!({"do": "settings", "host_status": true}));
    let lost = lose_host(&scene);
    let document = scene.deploy("v2").run().concludes("rolled_back", 7);
    assert!(reasons(&document).contains(&lost.id), "{document:#}");
    assert_eq!(scene.truth().tags("shop"), ["v1", "v1"]);
}

#[test]
fn fault_14_a_host_that_is_lost_in_silence() {
    // This flyctl does not say it: whether the machine still serves cannot be told, and it is named.
    let scene = two_regions();
    let lost = lose_host(&scene);
    let document = scene.deploy("v2").run().concludes("inconclusive", 9);
    assert!(reasons(&document).contains(&lost.id), "{document:#}");
    assert_eq!(document["services"][0]["verdict"], "refuted", "{document:#}");
    assert_eq!(scene.truth().tags("shop"), ["v1", "v1"]);
}

#[test]
fn fault_14_a_filter_is_refused() {
    let scene = two_regions();
    let (bare, then) = scene.bare_deploy("v2", &["--only-regions", "iad", "--wait-timeout", "15"]);
    bare.exits(0);
    assert_eq!(then.tags("shop"), ["v1", "v2"]);
    assert_eq!(then.newest("shop").status, "complete");

    let filter = ["--", "--only-regions", "iad"];
    let ended = scene.deploy("v2").args(filter).run();
    ended.refuses("refused", 3);
    ended.says(["--only-regions"]);
    assert_eq!(scene.deploys(), 0, "nothing was shipped");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_14_a_filter_without_rollback_is_broken() {
    let scene = two_regions();
    let (bare, _) = scene.bare_deploy("v2", &["--only-regions", "iad", "--wait-timeout", "15"]);
    bare.exits(0);
    let args = ["--no-rollback", "--", "--only-regions", "iad"];
    let document = scene.deploy("v2").args(args).run().concludes("broken", 8);
    assert!(reasons(&document).contains("sjc"), "{document:#}");
    assert_eq!(
        document["services"][0]["serving"]["verdict"], "refuted",
        "{document:#}"
    );
    assert_eq!(scene.truth().tags("shop"), ["v1", "v2"]);
    assert_eq!(scene.deploys(), 1, "nothing was returned");
}

/// Two machines that autostop has stopped; the proxy starts them on demand.
fn asleep() -> crate::support::Builder {
    let text = FLY_TOML
        .replace("auto_stop_machines = false", "auto_stop_machines = true")
        .replace(
            "auto_start_machines = false",
            "auto_start_machines = true\nmin_machines_running = 0",
        );
    Scene::builder().fly_toml(&text)
}

fn stop_all(scene: &Scene) {
    scene.order(json!({"do": "machine", "app": "shop", "action": "stop"}));
    let machines = scene.truth().machines("shop");
    assert!(
        machines.iter().all(|machine| machine.state == "stopped"),
        "{machines:#?}"
    );
}

#[test]
fn fault_15_asleep_and_the_new_image_cannot_start() {
    let scene = asleep().timeout("8s").ready();
    stop_all(&scene);
    let (bare, then) = scene.bare_deploy("v2-crash", &["--smoke-checks=false", "--wait-timeout", "15"]);
    bare.exits(0);
    assert_eq!(then.newest("shop").status, "complete");
    assert_eq!(then.tags("shop"), ["v2-crash", "v2-crash"]);

    let document = scene.deploy("v2-crash").run().concludes("rolled_back", 7);
    assert_eq!(document["services"][0]["verdict"], "refuted", "{document:#}");
    let truth = scene.truth();
    assert_eq!(truth.tags("shop"), ["v1", "v1"]);
    assert!(
        truth.machines("shop").iter().any(|machine| machine.good),
        "{truth:#?}"
    );
    assert_eq!(scene.deploys(), 2);
}

#[test]
fn fault_16_asleep_and_a_cold_start_of_five_seconds() {
    let scene = asleep()
        .order(json!({"do": "rule", "app": "shop", "image": "v2", "wake_seconds": 100}))
        .ready();
    stop_all(&scene);
    let (bare, then) = scene.bare_deploy("v2", &["--smoke-checks=false"]);
    bare.exits(0);
    assert!(
        then.machines("shop")
            .iter()
            .all(|machine| machine.state == "stopped" && machine.tag == "v2")
    );

    let started = std::time::Instant::now();
    let document = scene.deploy("v2").run().concludes("verified", 0);
    assert!(
        started.elapsed().as_secs() >= 5,
        "a hundred world seconds at speed 20"
    );
    assert_eq!(document["services"][0]["evidence"], "app", "{document:#}");
    let truth = scene.truth();
    assert_eq!(truth.tags("shop"), ["v2", "v2"]);
    assert!(
        truth.machines("shop").iter().any(|machine| machine.good),
        "{truth:#?}"
    );
    for machine in truth.0["apps"]["shop"]["machines"].as_array().expect("machines") {
        let events = machine["events"].as_array().expect("events");
        let launched = events
            .iter()
            .position(|event| event["type"] == "launch")
            .expect("the update");
        let woken = events[..launched]
            .iter()
            .filter(|event| event["status"] == "starting")
            .count();
        assert!(woken <= 1, "woken once: {events:#?}");
    }
    assert_eq!(scene.deploys(), 1);
}
