//! How many machines there are, where, and in which groups.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{Fly, PLAIN, Stage, UNCHECKED};

const GROUPS: Fly<'static> = Fly {
    top: "[processes]\n  web = \"serve\"\n  worker = \"work\"\n",
    service: "  processes = [\"web\"]\n",
    ..PLAIN
};
const WEB_ALONE: Fly<'static> = Fly {
    top: "[processes]\n  web = \"serve\"\n",
    service: "  processes = [\"web\"]\n",
    ..PLAIN
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_14_filter_refused", &[3], |stage| {
        two_regions(stage);
        stage.deploy("v2").flyctl_flags(&["--only-regions", "fra"]).run()
    })
    .bare(&[0]),
    Scenario::new("fault_14_filter_without_rollback", &[8], |stage| {
        two_regions(stage);
        let call = stage.deploy("v2").args(&["--no-rollback"]);
        call.flyctl_flags(&["--only-regions", "fra"]).run()
    })
    .alone(),
    Scenario::new("more_two_regions_unhealthy", &[7], |stage| {
        two_regions(stage);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("more_six_machines", &[0], |stage| {
        stage.seed(&json!({"per_region": 6}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2").run()
    })
    .bare(&[0]),
    Scenario::new("fault_38_first_deploy", &[0], |stage| first(stage, PLAIN, "v1")).bare(&[0]),
    Scenario::new("fault_38_first_deploy_unhealthy", &[8], |stage| {
        first(stage, PLAIN, "v1-unhealthy")
    })
    .bare(&[1]),
    Scenario::new("fault_69_first_deploy_unhealthy_without_checks", &[8], |stage| {
        first(stage, UNCHECKED, "v1-unhealthy")
    })
    .bare(&[0]),
    Scenario::new("fault_71_scaled_to_none_then_verify", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.each_machine("destroy");
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("fault_71_scaled_to_none_then_deploy", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.each_machine("destroy");
        stage.deploy("v2").run()
    })
    .bare(&[0]),
    Scenario::new("more_scaled_to_none_then_unhealthy", &[8, 7], |stage| {
        stage.trusted(PLAIN);
        stage.each_machine("destroy");
        stage.deploy("v2-unhealthy").old("v1").run()
    })
    .alone(),
    Scenario::new("fault_64_web_and_worker_first", &[0], |stage| {
        first(stage, GROUPS, "v1")
    })
    .bare(&[0]),
    Scenario::new("fault_64_web_and_worker", &[0], |stage| {
        grouped(stage);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_web_and_worker_crash", &[7], |stage| {
        grouped(stage);
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("fault_61_group_removed", &[0], |stage| {
        grouped(stage);
        stage.write("fly.production.toml", &WEB_ALONE.text());
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("fault_61_group_removed_then_rollback", &[0], |stage| {
        grouped(stage);
        stage.write("fly.production.toml", &WEB_ALONE.text());
        stage.deployed_at_last("v2");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_61_group_added_unhealthy", &[7], |stage| {
        first(stage, WEB_ALONE, "v1");
        stage.write("fly.production.toml", &GROUPS.text());
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("more_app_without_services", &[0], |stage| {
        stage.write("shipctl.toml", "[verify]\ntimeout = \"15s\"\nbake = \"0s\"\n");
        unserved(stage);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_app_without_services_crash", &[7], |stage| {
        unserved(stage);
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("more_a_machine_vanishes_meanwhile", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.write("shipctl.toml", "[verify]\ntimeout = \"10s\"\nbake = \"6s\"\n");
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            running.until("the release is complete", |stage| {
                stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
            });
            sleep(Duration::from_secs(1));
            let id = stage.machines()[0].clone();
            stage
                .double
                .order(&json!({"do": "machine", "app": "shop", "machine": id, "action": "destroy"}));
        })
    })
    .alone(),
    Scenario::new("more_with_a_volume", &[7], |stage| {
        stage.seed(&json!({"volume": "data"}));
        let fly = Fly {
            top: "[[mounts]]\n  source = \"data\"\n  destination = \"/data\"\n",
            ..PLAIN
        };
        stage.write("fly.production.toml", &fly.text());
        stage.deployed("v2", 0);
        stage.deploy("v3-unhealthy").run()
    })
    .alone(),
    Scenario::new("more_references_with_digest", &[7], |stage| {
        stage.settings(&json!({"ref_with_digest": true}));
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        stage.deploy("v3-unhealthy").run()
    })
    .alone(),
];

fn two_regions(stage: &Stage) {
    stage.seed(&json!({"regions": ["fra", "ams"], "per_region": 1}));
    stage.write("fly.production.toml", &PLAIN.text());
    stage.trust();
}

/// An app that exists and was never deployed.
fn first(stage: &Stage, fly: Fly<'_>, tag: &str) -> Ended {
    stage.bare(&["apps", "create", "shop", "-o", "personal"]);
    stage.write("fly.production.toml", &fly.text());
    stage.deploy(tag).run()
}

/// Two groups, shipped by whoever plays.
fn grouped(stage: &Stage) {
    let ended = first(stage, GROUPS, "v1");
    stage.insist(
        ended.code == 0,
        &format!("v1 is shipped first, not {}", ended.code),
    );
}

fn unserved(stage: &Stage) {
    stage.seed(&json!({"services": false}));
    stage.write(
        "fly.production.toml",
        "app = \"shop\"\nprimary_region = \"fra\"\n",
    );
    stage.trust();
}
