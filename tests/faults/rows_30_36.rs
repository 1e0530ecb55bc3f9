//! Rows 30 to 36: deployments that were cut off, rollbacks, and somebody else's flyctl.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::rows_37_71::tools::Events;
use crate::support::{Builder, Ended, FLY_TOML, Scene, image};

const WAIT: [&str; 2] = ["--wait-timeout", "15"];

fn mixed(scene: &Scene) -> bool {
    let tags = scene.truth().tags("shop");
    tags.iter().any(|tag| tag == "v1") && tags.iter().any(|tag| tag != "v1")
}

/// Everything that a deployment's document says to people.
fn said(document: &Value) -> String {
    let service = &document["services"][0];
    format!(
        "{}{}{}{}",
        service["reasons"], service["warnings"], document["warnings"], document["hints"]
    )
}

/// Starts a deployment of a bad image and cuts it off while flyctl waits for the first machine.
fn cut_off(scene: &Scene) -> Ended {
    let mut deploy = scene.deploy("v2-unhealthy").start();
    deploy.wait_until("a machine moves", || mixed(scene));
    deploy.signal(Signal::SIGINT);
    deploy.wait()
}

/// The same with bare flyctl, in a copy of the world: its exit code.
fn bare_cut_off(scene: &Scene) -> Option<i32> {
    let elsewhere = scene.elsewhere();
    let bad = image("v2-unhealthy");
    let args = [
        "deploy",
        "-c",
        "fly.staging.toml",
        "--smoke-checks=false",
        "--image",
        &bad,
    ];
    let mut bare = elsewhere.flyctl(args).start();
    bare.wait_until("a machine moves", || {
        elsewhere.truth().tags("shop") == ["v1", "v2-unhealthy"]
    });
    bare.signal(Signal::SIGINT);
    let ended = bare.wait();
    assert_eq!(
        elsewhere.truth().tags("shop"),
        ["v1", "v2-unhealthy"],
        "{}",
        ended.told()
    );
    ended.code
}

#[test]
fn fault_30_interrupted_while_waiting_for_health() {
    // Sixty seconds of flyctl's patience are twelve real ones: enough to interrupt it.
    let scene = Scene::builder().timeout("60s").speed(5.0).ready();
    assert_eq!(bare_cut_off(&scene), Some(2));

    let document = cut_off(&scene).concludes("interrupted", 130);
    let said = said(&document);
    assert!(said.contains("mixed"), "{document:#}");
    let service = &document["services"][0];
    assert_eq!(
        service["instances"].as_array().map(Vec::len),
        Some(2),
        "{document:#}"
    );
    let serving = &service["serving"];
    assert_eq!(serving["image"], Value::Null, "a mix has no image of its own");
    assert_eq!(serving["verdict"], "inconclusive");
    let parts = serving["releases"].as_array().unwrap().iter();
    let parts: Vec<_> = parts.map(|part| (&part["image"], &part["instances"])).collect();
    let (old, new) = (json!(image("v1")), json!(image("v2-unhealthy")));
    assert_eq!(parts, [(&old, &json!(1)), (&new, &json!(1))], "{document:#}");
    // The command that goes on from here.
    assert!(document["hints"].to_string().contains("shipctl"), "{document:#}");
    assert_eq!(scene.truth().tags("shop"), ["v1", "v2-unhealthy"]);
    let status = scene.shipctl(["status", "staging", "--json"]).run();
    status.exits(0);
    assert_eq!(
        status.json()["environments"][0]["lock"],
        Value::Null,
        "the lock is released: {}",
        status.told()
    );
    assert_eq!(scene.outcomes(), ["verified", "interrupted"]);
}

/// Everything is on the new release, and nobody watched it long enough.
#[test]
fn fault_30_interrupted_in_the_bake() {
    let scene = Scene::builder().bake("100s").speed(2.0).ready();
    let events = Events::of(&scene);
    let mut deploy = scene.deploy("v2").args([events.flag()]).start();
    events.wait_for(&mut deploy, "bake");
    deploy.signal(Signal::SIGINT);
    let document = deploy.wait().concludes("interrupted", 130);
    let serving = &document["services"][0]["serving"];
    assert_eq!(serving["image"], image("v2"));
    assert_eq!(serving["verdict"], "inconclusive", "{document:#}");

    let status = scene.shipctl(["status", "staging"]).run();
    status.exits(0).says(["not verified: its deployment was cut off"]);
    let next = scene.deploy("v3").args(["--bake", "0s"]).run();
    next.concludes("verified", 0);
    assert!(
        !next.told().contains("leases"),
        "flyctl had given them back: {}",
        next.told()
    );
    scene.truth().serves("shop", "v3", 2);
}

#[test]
fn fault_31_right_after_an_interrupted_deploy() {
    // At real speed, for the leases live thirteen seconds.
    let scene = Scene::builder().timeout("20s").speed(1.0).ready();
    cut_off(&scene).concludes("interrupted", 130);
    assert!(
        !scene.truth().leases("shop").is_empty(),
        "flyctl did not give its leases back"
    );
    let (bare, _) = scene.bare_deploy("v3", &["--smoke-checks=false"]);
    bare.exits(1);

    let document = scene.deploy("v3").run().concludes("verified", 0);
    assert_eq!(
        document["services"][0]["provider"]["exit_code"], 0,
        "{document:#}"
    );
    scene.truth().serves("shop", "v3", 2);
    assert_eq!(scene.deploys(), 2, "it waited before it shipped");
}

/// Kills shipctl as soon as `moment` has come; `status` shows it, and the next deploy takes its place.
///
/// Not row 32 itself, which asks for `resume`.
fn killed(builder: Builder, tag: &str, moment: impl Fn(&Scene) -> bool) {
    let scene = builder.ready();
    // What bare flyctl leaves when it is killed: a release that stays `running`.
    let elsewhere = scene.elsewhere();
    let slow = json!({"do": "rule", "app": "shop", "image": tag, "start_seconds": 100_000, "release_seconds": 100_000});
    elsewhere.order(slow);
    let reference = image(tag);
    let args = ["deploy", "-c", "fly.staging.toml", "--image", &reference];
    let mut bare = elsewhere.flyctl(args).start();
    let running = || elsewhere.truth().newest("shop").status == "running";
    bare.wait_until("the release is made", running);
    bare.signal(Signal::SIGKILL);
    assert_eq!(bare.wait().signal, Some(9));
    assert!(running(), "nobody ends it");

    let mut deploy = scene.deploy(tag).start();
    deploy.wait_until("its moment", || moment(&scene));
    deploy.signal(Signal::SIGKILL);
    assert_eq!(deploy.wait().signal, Some(9));

    let unfinished = || {
        let status = scene.shipctl(["status", "staging", "--json"]).run();
        status.exits(0);
        status.json()["environments"][0]["unfinished"].clone()
    };
    assert_ne!(unfinished(), Value::Null, "it is shown as unfinished");
    let document = scene.deploy("v3").run().concludes("verified", 0);
    assert!(said(&document).contains("cut off"), "{document:#}");
    scene.truth().serves("shop", "v3", 2);
    assert_eq!(unfinished(), Value::Null);
    assert_eq!(scene.outcomes(), ["verified", "abandoned", "verified"]);
}

#[test]
fn killed_in_the_release_command_and_deployed_again() {
    let text = format!("{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\n");
    let slow = json!({"do": "rule", "app": "shop", "image": "v2", "release_seconds": 100});
    let builder = Scene::builder().fly_toml(&text).order(slow);
    killed(builder, "v2", |scene| {
        scene.truth().all_machines("shop").len() == 3
    });
}

#[test]
fn killed_between_two_machines_and_deployed_again() {
    killed(Scene::builder().speed(1.0), "v2", mixed);
}

#[test]
fn killed_in_the_return_and_deployed_again() {
    let slow = json!({"do": "rule", "app": "shop", "image": "v1", "health_seconds": 20});
    let builder = Scene::builder().timeout("4s").order(slow);
    killed(builder, "v2-unhealthy", |scene| {
        scene.truth().releases("shop").len() == 3
    });
}

#[test]
fn killed_before_requests_reached_what_it_made_and_deployed_again() {
    // As bluegreen leaves its green machines: they run, and the proxy sends nothing there.
    let scene = Scene::builder().speed(1.0).timeout("20s").ready();
    let new = || {
        let machines = scene.truth().machines("shop");
        let on_new = machines.into_iter().find(|machine| machine.tag == "v2");
        on_new.filter(|machine| machine.state == "started")
    };
    let mut deploy = scene.deploy("v2").start();
    deploy.wait_until("a machine is started on v2", || new().is_some());
    deploy.signal(Signal::SIGKILL);
    assert_eq!(deploy.wait().signal, Some(9));
    let id = new().expect("a machine on v2").id;
    scene.order(json!({"do": "machine", "app": "shop", "machine": id, "action": "cordon"}));
    let document = scene.deploy("v3").run().concludes("verified", 0);
    assert!(
        said(&document).contains("requests reach it again"),
        "{document:#}"
    );
    scene.truth().serves("shop", "v3", 2);
}

/// Bare flyctl on the scene's own world: a colleague.
fn colleague(scene: &Scene, tag: &str, code: i32) {
    let reference = image(tag);
    let mut args = vec![
        "deploy",
        "-c",
        "fly.staging.toml",
        "--smoke-checks=false",
        "--image",
        &reference,
    ];
    args.extend(WAIT);
    scene.flyctl(args).run().exits(code);
}

#[track_caller]
fn rolls_back(scene: &Scene, to: &str) -> Value {
    let before = scene.deploys();
    let document = scene.rollback().run().concludes("verified", 0);
    assert_eq!(document["kind"], "rollback", "{document:#}");
    assert_eq!(
        document["services"][0]["image"],
        image(to).as_str(),
        "{document:#}"
    );
    scene.truth().serves("shop", to, 2);
    assert_eq!(scene.deploys(), before + 1);
    document
}

#[test]
fn fault_33_secrets_set_after_a_failed_deploy() {
    let scene = Scene::builder().ready();
    colleague(&scene, "v2-unhealthy", 1);
    scene.order(json!({"do": "secrets_set", "app": "shop", "name": "A", "value": "1"}));
    let newest = scene.truth().newest("shop");
    assert_eq!(
        (newest.status.as_str(), newest.image),
        ("complete", image("v2-unhealthy")),
        "which was never good"
    );
    rolls_back(&scene, "v1");
}

#[test]
fn fault_33_secrets_set_after_a_failed_release_command() {
    // As the capture: the machines were never touched by the failed image.
    let text = format!("{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\n");
    let scene = Scene::builder().fly_toml(&text).ready();
    scene.ship("v2");
    colleague(&scene, "v3-relfail", 1);
    scene
        .flyctl(["secrets", "set", "A=1", "-a", "shop"])
        .run()
        .exits(0);
    let newest = scene.truth().newest("shop");
    assert_eq!(
        (newest.status.as_str(), newest.image),
        ("complete", image("v3-relfail")),
        "which runs nowhere"
    );
    scene.truth().serves("shop", "v2", 2);
    rolls_back(&scene, "v1");
}

#[test]
fn fault_34_the_newest_release_failed() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    colleague(&scene, "v3-unhealthy", 1);
    assert_eq!(scene.truth().newest("shop").status, "failed");
    assert_eq!(scene.truth().tags("shop"), ["v2", "v3-unhealthy"]);
    rolls_back(&scene, "v2");
}

#[test]
fn fault_34_a_failed_release_that_runs_nowhere() {
    let text = format!("{FLY_TOML}\n[deploy]\nrelease_command = \"migrate\"\n");
    let scene = Scene::builder().fly_toml(&text).ready();
    scene.ship("v2");
    colleague(&scene, "v3-relfail", 1);
    assert_eq!(scene.truth().newest("shop").status, "failed");
    scene.truth().serves("shop", "v2", 2);
    rolls_back(&scene, "v1");
}

#[test]
fn fault_35_nothing_older() {
    let scene = Scene::builder().ready();
    let ended = scene.rollback().run();
    ended.refuses("refused", 3);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(scene.deploys(), 0);
}

#[test]
fn fault_35_the_image_is_gone() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    scene.ship("v3");
    scene.order(json!({"do": "image", "image": image("v2"), "gone": true}));
    let (bare, _) = scene.bare_deploy("v2", &WAIT);
    bare.exits(1);

    let document = scene.rollback().run().concludes("verified", 0);
    let said = said(&document);
    assert!(said.contains("shop:v2") && said.contains("gone"), "{document:#}");
    assert_eq!(
        document["services"][0]["image"],
        image("v1").as_str(),
        "{document:#}"
    );
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_76_what_was_shipped_instead_is_remembered_with_its_own_configuration() {
    let coloured = |colour: &str| format!("{FLY_TOML}\n[env]\nCOLOUR = \"{colour}\"\n");
    let scene = Scene::builder().fly_toml(&coloured("one")).ready();
    for (tag, colour) in [("v2", "two"), ("v3", "three")] {
        scene.write("fly.staging.toml", &coloured(colour));
        scene.ship(tag);
    }
    scene.order(json!({"do": "image", "image": image("v2"), "gone": true}));
    scene.rollback().run().concludes("verified", 0);
    scene.write("fly.staging.toml", &coloured("four"));
    scene
        .deploy("v4")
        .args(["--unfreeze"])
        .run()
        .concludes("verified", 0);

    // The newest entry of v1 is the rollback that first tried v2.
    scene.rollback().run().concludes("verified", 0);
    let truth = scene.truth();
    truth.serves("shop", "v1", 2);
    for machine in truth.0["apps"]["shop"]["machines"].as_array().expect("machines") {
        assert_eq!(machine["env"]["COLOUR"], "one", "{machine:#}");
    }
}

#[test]
fn fault_35_no_image_is_left() {
    let scene = Scene::builder().ready();
    scene.ship("v2");
    scene.order(json!({"do": "image", "image": image("v1"), "gone": true}));
    let (bare, _) = scene.bare_deploy("v1", &WAIT);
    bare.exits(1);

    let document = scene.rollback().run().concludes("failed", 6);
    assert!(said(&document).contains("shop:v1"), "{document:#}");
    assert_eq!(
        document["services"][0]["serving"]["image"],
        image("v2").as_str(),
        "{document:#}"
    );
    assert_eq!(
        document["services"][0]["serving"]["verdict"], "verified",
        "{document:#}"
    );
    scene.truth().serves("shop", "v2", 2);
}

/// Two bare deployments at once: one fails by the leases of the other, and both made a release.
fn bare_concurrent(scene: &Scene) {
    let elsewhere = scene.elsewhere();
    elsewhere.order(json!({"do": "rule", "app": "shop", "health_seconds": 60}));
    let first = image("v2");
    let mut first = elsewhere
        .flyctl(["deploy", "-c", "fly.staging.toml", "--image", &first])
        .start();
    first.wait_until("it holds leases", || !elsewhere.truth().leases("shop").is_empty());
    elsewhere.deploy("v9", &WAIT).exits(1);
    first.wait().exits(0);
    assert_eq!(elsewhere.truth().releases("shop").len(), 3);
}

#[test]
fn fault_36_somebody_elses_release_supersedes_ours() {
    let scene = Scene::builder().ready();
    bare_concurrent(&scene);
    // Right after our second machine got our release, all of them get another one.
    let mut ids: Vec<_> = scene
        .truth()
        .machines("shop")
        .into_iter()
        .map(|machine| machine.id)
        .collect();
    ids.sort();
    let update = format!("flaps POST /v1/apps/shop/machines/{}", ids[1]);
    scene.order(json!({
        "do": "new_release", "app": "shop", "image": image("v9"), "user": "colleague@example.com", "moves": true,
        "on_call": update, "skip": 1,
    }));
    let document = scene.deploy("v2").run().concludes("broken", 8);
    let said = said(&document);
    assert!(
        said.contains("colleague@example.com") && said.contains("v3"),
        "{document:#}"
    );
    let truth = scene.truth();
    assert_eq!(truth.newest("shop").user, "colleague@example.com");
    truth.serves("shop", "v9", 2);
    assert_eq!(scene.deploys(), 1, "nothing is returned over theirs");
}

/// A tag that is used again names their image as well as ours; the digest tells them apart.
#[test]
fn fault_75_somebody_else_uses_our_tag_again() {
    let scene = Scene::builder().ready();
    bare_concurrent(&scene);
    // When ours has run for a while, and right before flyctl ends.
    let update = "mutation updateRelease";
    let digest = format!("sha256:{}", "ab".repeat(32));
    for order in [
        json!({"do": "image", "image": image("v2"), "digest": digest, "on_call": update, "skip": 1}),
        json!({
            "do": "new_release", "app": "shop", "image": image("v2"), "user": "colleague@example.com", "moves": true,
            "on_call": update, "skip": 1,
        }),
    ] {
        scene.order(order);
    }
    let document = scene.deploy("v2").run().concludes("broken", 8);
    assert!(said(&document).contains("colleague@example.com"), "{document:#}");
    let serves = scene.truth().machines("shop");
    assert!(
        serves.iter().all(|machine| machine.digest == digest),
        "{serves:#?}"
    );
    assert_eq!(scene.deploys(), 1, "nothing is returned over theirs");
}

#[test]
fn fault_36_somebody_elses_deploy_fails_on_our_lease() {
    let scene = Scene::builder()
        .order(json!({"do": "rule", "app": "shop", "image": "v2", "health_seconds": 10}))
        .ready();
    bare_concurrent(&scene);
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "start_seconds": 18}));
    let mut deploy = scene.deploy("v2").start();
    deploy.wait_until("our flyctl holds leases", || {
        !scene.truth().leases("shop").is_empty()
    });
    colleague(&scene, "v9", 1);
    assert!(deploy.runs(), "theirs came in the middle of ours");
    let document = deploy.wait().concludes("verified", 0);
    let said = said(&document);
    assert!(said.contains("not ours") && said.contains("v3"), "{document:#}");
    scene.truth().serves("shop", "v2", 2);
    let theirs: Vec<_> = scene
        .truth()
        .releases("shop")
        .into_iter()
        .filter(|release| release.image == image("v9"))
        .collect();
    assert!(theirs.len() == 1 && theirs[0].status == "failed", "{theirs:#?}");
}
