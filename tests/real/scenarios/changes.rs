//! The file changes from one release to the next: services, groups, sizes, volumes, sleep, images by other names.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::{Call, Ended};
use crate::support::stage::{Fly, MIGRATING, PLAIN, SLEEPY, Stage};

const BARE: &str = "app = \"shop\"\nprimary_region = \"fra\"\n";
const LARGE: Fly<'static> = Fly {
    top: "[[vm]]\n  memory = \"512mb\"\n",
    ..PLAIN
};
const MOUNTED: Fly<'static> = Fly {
    top: "[[mounts]]\n  source = \"data\"\n  destination = \"/data\"\n",
    ..PLAIN
};
const RENAMED: Fly<'static> = Fly {
    top: "[processes]\n  web = \"serve\"\n",
    service: "  processes = [\"web\"]\n",
    ..PLAIN
};
const ELSEWHERE: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("story_services_are_removed", &[0], |stage| {
        stage.write("shipctl.toml", "[verify]\ntimeout = \"15s\"\nbake = \"1s\"\n");
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", BARE);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_services_are_removed_and_it_crashes", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", BARE);
        let ended = stage.deploy("v2-crash").run();
        let served = each(stage, "/config/services", |services| {
            services.as_array().is_some_and(|list| !list.is_empty())
        });
        stage.insist(served, "the services are there again");
        ended
    })
    .alone(),
    Scenario::new("story_services_are_removed_then_rollback", &[0], |stage| {
        stage.write("shipctl.toml", "[verify]\ntimeout = \"15s\"\nbake = \"1s\"\n");
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", BARE);
        stage.deployed("v2", 0);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_a_service_is_added_and_unhealthy", &[7], |stage| {
        stage.write("shipctl.toml", "[verify]\ntimeout = \"15s\"\nbake = \"1s\"\n");
        stage.seed(&json!({"services": false}));
        stage.write("fly.production.toml", BARE);
        stage.trust();
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("story_a_service_is_added", &[0], |stage| {
        stage.seed(&json!({"services": false}));
        stage.write("fly.production.toml", BARE);
        stage.trust();
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_larger_machines", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &LARGE.text());
        let ended = stage.deploy("v2").run();
        stage.insist(memory(stage, 512), "they are larger");
        ended
    })
    .alone(),
    Scenario::new("story_larger_machines_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &LARGE.text());
        let ended = stage.deploy("v2-unhealthy").run();
        stage.insist(memory(stage, 256), "they are as small as before");
        ended
    })
    .alone(),
    Scenario::new("story_larger_machines_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        stage.write("fly.production.toml", &LARGE.text());
        stage.deployed("v3", 0);
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("story_a_mount_without_volumes", &[4, 6], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &MOUNTED.text());
        let ended = stage.deploy("v2").run();
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
    Scenario::new("story_a_mount_is_removed", &[0, 6], |stage| {
        unmounted(stage, "v2")
    })
    .alone(),
    Scenario::new("story_a_mount_is_removed_unhealthy", &[6, 7], |stage| {
        unmounted(stage, "v2-unhealthy")
    })
    .alone(),
    Scenario::new("story_first_deploy_with_a_volume", &[0], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &MOUNTED.text());
        stage.deploy("v1").run()
    })
    .alone(),
    Scenario::new("story_bluegreen_with_a_volume", &[0, 4, 6], |stage| {
        stage.seed(&json!({"volume": "data"}));
        stage.write("fly.production.toml", &MOUNTED.text());
        stage.trust();
        stage.deploy("v2").both(&["--strategy", "bluegreen"]).run()
    })
    .alone(),
    // 6 and 7: flyctl v0.2.4 now and then meets its own lease where it destroys the machines of a removed group.
    Scenario::new("story_the_group_gets_a_name", &[0, 6, 7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &RENAMED.text());
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_the_group_gets_a_name_unhealthy", &[6, 7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &RENAMED.text());
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("story_the_group_gets_a_name_crash", &[6, 7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &RENAMED.text());
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("story_the_group_gets_a_name_then_rollback", &[0, 6, 7], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &RENAMED.text());
        stage.deployed_at_last("v2");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_sleep_is_switched_off", &[0], |stage| {
        asleep(stage);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_sleep_is_switched_off_and_it_is_bad", &[7], |stage| {
        asleep(stage);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("story_sleep_is_switched_on_and_it_is_bad", &[7], |stage| {
        stage.settings(&json!({"idle_seconds": 1.5}));
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &SLEEPY.text());
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("story_asleep_and_back_to_an_older_one", &[0], |stage| {
        stage.settings(&json!({"idle_seconds": 1.5}));
        stage.seed(&json!({"autostop": true}));
        stage.write("fly.production.toml", &SLEEPY.text());
        stage.trust();
        stage.deployed("v2", 0);
        stage.deployed("v3", 0);
        stage.stop_all();
        stage.rollback("v1").args(&["--to", "v1"]).run()
    })
    .alone(),
    Scenario::new("story_all_stopped_by_hand_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.stop_all();
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_all_stopped_by_hand_then_bad", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        stage.stop_all();
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("story_the_migration_is_new_and_fails", &[6], |stage| {
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &MIGRATING.text());
        stage.deploy("v2-relfail").run()
    })
    .alone(),
    Scenario::new("story_back_with_a_migration_that_fails", &[6], |stage| {
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1-relfail", "registry.fly.io/shop:v2"]}));
        stage.write("fly.production.toml", &MIGRATING.text());
        stage.trust();
        let target = [
            "--to",
            "image:registry.fly.io/shop:v1-relfail",
            "--with-release-command",
        ];
        stage.rollback("v1-relfail").args(&target).run()
    })
    .alone(),
    Scenario::new("story_the_same_image_with_other_settings", &[0], |stage| {
        stage.trusted(PLAIN);
        let fly = Fly {
            top: "[env]\n  MODE = \"new\"\n",
            ..PLAIN
        };
        stage.write("fly.production.toml", &fly.text());
        let ended = stage.deploy("v1").run();
        let set = stage
            .glance()
            .machines
            .iter()
            .all(|machine| machine.env.contains_key("MODE"));
        stage.insist(set, "the settings are there");
        ended
    })
    .alone(),
    Scenario::new("story_the_same_image_then_rollback", &[0], |stage| {
        // The settings are the release: going back means the settings from before.
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        let fly = Fly {
            top: "[env]\n  MODE = \"new\"\n",
            ..PLAIN
        };
        stage.write("fly.production.toml", &fly.text());
        stage.deployed("v2", 0);
        let ended = stage.rollback("v2").run();
        let set = stage
            .glance()
            .machines
            .iter()
            .any(|machine| machine.env.contains_key("MODE"));
        stage.insist(!set, "the settings are gone again");
        ended
    })
    .alone(),
    Scenario::new("story_the_same_tag_with_another_digest", &[0], |stage| {
        stage.trusted(PLAIN);
        let image = format!("registry.fly.io/shop:v1@{ELSEWHERE}");
        let ended = of_image(stage, &image).wants("v1").run();
        let moved = each(stage, "/image_ref/digest", |digest| digest == ELSEWHERE);
        stage.insist(moved, "it is the other one");
        ended
    })
    .alone(),
    Scenario::new(
        "story_the_same_tag_with_another_digest_then_rollback",
        &[0],
        |stage| {
            stage.trusted(PLAIN);
            let image = format!("registry.fly.io/shop:v1@{ELSEWHERE}");
            let first = of_image(stage, &image).run();
            stage.insist(first.code == 0, "it is shipped");
            let ended = stage.rollback("v1").run();
            let there = each(stage, "/image_ref/digest", |digest| digest == ELSEWHERE);
            stage.insist(!there, "it is the one from before");
            ended
        },
    )
    .alone(),
    Scenario::new("story_an_image_by_its_digest_alone", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.named.set(false);
        let image = format!("registry.fly.io/shop@{ELSEWHERE}");
        of_image(stage, &image).wants("latest").run()
    })
    .alone(),
    Scenario::new("story_an_image_of_the_hub", &[0], |stage| {
        stage.trusted(PLAIN);
        of_image(stage, "nginx:1.25").wants("1.25").run()
    })
    .alone(),
    Scenario::new("story_an_image_of_the_hub_then_rollback_and_on", &[0], |stage| {
        stage.trusted(PLAIN);
        let first = of_image(stage, "nginx:1.25").run();
        stage.insist(first.code == 0, "it is shipped");
        let back = stage.rollback("v1").run();
        stage.insist(back.code == 0 && stage.tags() == ["v1"], "v1 is back");
        stage.rollback("1.25").args(&["--to", "image:nginx:1.25"]).run()
    })
    .alone(),
    Scenario::new("story_an_image_of_the_hub_is_bad", &[7], |stage| {
        stage.trusted(PLAIN);
        of_image(stage, "acme/shop:2-unhealthy")
            .wants("2-unhealthy")
            .run()
    })
    .alone(),
    Scenario::new("story_the_state_is_deleted_meanwhile", &[0], |stage| {
        deleted(stage, "v2-slow")
    })
    .alone(),
    Scenario::new(
        "story_the_state_is_deleted_meanwhile_and_it_is_bad",
        &[7],
        |stage| deleted(stage, "v2-unhealthy"),
    )
    .alone(),
    Scenario::new("story_the_checkout_is_deleted_meanwhile", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            fs::remove_dir_all(running.stage.work()).unwrap();
        })
    })
    .alone(),
];

fn each(stage: &Stage, pointer: &str, holds: impl Fn(&Value) -> bool) -> bool {
    let state = stage.double.state();
    let machines = state["apps"]["shop"]["machines"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    machines
        .iter()
        .filter(|machine| machine["state"] != "destroyed")
        .all(|machine| machine.pointer(pointer).is_some_and(&holds))
}

fn memory(stage: &Stage, megabytes: u32) -> bool {
    each(stage, "/config/guest/memory_mb", |memory| {
        memory == &json!(megabytes)
    })
}

fn of_image<'s>(stage: &'s Stage, image: &str) -> Call<'s> {
    let file = "fly.production.toml";
    stage.shipctl(&["deploy", "production", "--config", file, "--image", image])
}

fn unmounted(stage: &Stage, tag: &str) -> Ended {
    stage.seed(&json!({"volume": "data"}));
    stage.write("fly.production.toml", &MOUNTED.text());
    stage.trust();
    stage.deployed("v1", 0);
    stage.write("fly.production.toml", &PLAIN.text());
    stage.deploy(tag).run()
}

fn asleep(stage: &Stage) {
    stage.seed(&json!({"autostop": true}));
    stage.write("fly.production.toml", &SLEEPY.text());
    stage.trust();
    stage.stop_all();
    sleep(Duration::from_millis(300));
}

/// Somebody cleans up where this machine remembers deployments.
fn deleted(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).meanwhile(|running| {
        running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
        let _ = fs::remove_dir_all(running.stage.path("state"));
    })
}
