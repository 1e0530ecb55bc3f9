//! What shipctl.toml and the command line ask for, strategies beside faults, first deploys.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{Fly, MIGRATING, PLAIN, QUICK, Stage, UNCHECKED};

const TCP: &str = "app = \"shop\"\nprimary_region = \"fra\"\n\n[[services]]\n  internal_port = 8080\n  protocol = \"tcp\"\n\n  \
                   [[services.ports]]\n    port = 5432\n\n  [[services.tcp_checks]]\n    interval = \"10s\"\n    \
                   timeout = \"2s\"\n    grace_period = \"1s\"\n";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_rule_min_instances_lacking_before", &[0], |stage| {
        ruled(stage, "min_instances = 3", &json!({}));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_rule_min_instances_lacking_then_verify", &[8], |stage| {
        ruled(stage, "min_instances = 3", &json!({}));
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_rule_regions_lacking_then_verify", &[8], |stage| {
        ruled(stage, "regions = [\"fra\", \"ams\"]", &json!({}));
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_rule_regions_there", &[0], |stage| {
        let regions = json!({"regions": ["fra", "ams"], "per_region": 1});
        ruled(stage, "regions = [\"fra\", \"ams\"]", &regions);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_rule_a_region_is_lost_in_the_bake", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        let regions = json!({"regions": ["fra", "ams"], "per_region": 2});
        ruled(stage, "regions = [\"fra\", \"ams\"]", &regions);
        stage.set("SHIPCTL_VERIFY_BAKE", Some("8s"));
        stage.deploy("v2").meanwhile(|running| {
            running.until("ours is complete", |stage| {
                stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
            });
            std::thread::sleep(std::time::Duration::from_secs(1));
            let stage = running.stage;
            let state = stage.double.state();
            let machines = state["apps"]["shop"]["machines"].as_array().cloned();
            for machine in machines.unwrap_or_default() {
                if machine["region"] == "ams" {
                    let order = json!({"do": "machine", "app": "shop", "machine": machine["id"], "action": "destroy"});
                    stage.double.order(&order);
                }
            }
        })
    })
    .alone(),
    Scenario::new("odd_rule_identity_required_by_variable", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_VERIFY_IDENTITY", Some("required"));
        stage.deploy("v2-oldversion").run()
    })
    .alone(),
    Scenario::new("odd_rule_bad_variable", &[4], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_VERIFY_TIMEOUT", Some("soon"));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_rule_ten_in_a_row", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_VERIFY_SUCCESSES", Some("10"));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_rule_dry_run", &[0], |stage| {
        stage.trusted(PLAIN);
        let ended = stage.deploy("v2").wants("v1").args(&["--dry-run"]).run();
        stage.insist(!stage.asked("mutation createRelease"), "nothing is changed");
        ended
    })
    .alone(),
    Scenario::new("odd_rule_tcp_checks_good", &[0], |stage| {
        stage.seed(&json!({}));
        stage.write("fly.production.toml", TCP);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_rule_tcp_checks_unhealthy", &[7], |stage| {
        stage.seed(&json!({}));
        stage.write("fly.production.toml", TCP);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_rule_flags_of_the_vm_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        let ended = stage.deploy("v2-unhealthy").flyctl_flags(&["--vm-memory", "512"]).run();
        let state = stage.double.state();
        let machines = state["apps"]["shop"]["machines"].as_array().cloned().unwrap_or_default();
        let small = machines.iter().all(|machine| {
            machine["state"] == "destroyed" || machine.pointer("/config/guest/memory_mb") == Some(&json!(256))
        });
        stage.insist(small, "every machine has its memory again");
        ended
    })
    .alone(),
    Scenario::new("odd_ship_no_return_crash", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-crash").args(&["--no-rollback"]).run()
    })
    .alone(),
    Scenario::new("odd_ship_no_return_release_command_fails", &[6], |stage| {
        stage.trusted(MIGRATING);
        stage.deploy("v2-relfail").args(&["--no-rollback"]).run()
    })
    .alone(),
    Scenario::new("odd_ship_no_return_bluegreen_unhealthy", &[6], |stage| {
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-unhealthy").args(&["--no-rollback"]);
        call.both(&["--strategy", "bluegreen"]).run()
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_partial", &[6], |stage| {
        strategy(stage, "bluegreen", "v2-partial")
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_slow", &[0], |stage| {
        // flyctl looks at green machines once in the interval of their checks.
        stage.write("shipctl.toml", "[verify]\ntimeout = \"30s\"\nbake = \"1s\"\n");
        strategy(stage, "bluegreen", "v2-slow")
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_unhealthy_then_good", &[0], |stage| {
        strategy(stage, "bluegreen", "v2-unhealthy");
        stage.deploy("v3").both(&["--strategy", "bluegreen"]).run()
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_without_checks", &[0, 6], |stage| {
        stage.trusted(UNCHECKED);
        stage.deploy("v2").both(&["--strategy", "bluegreen"]).run()
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_sigterm_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-slow").both(&["--strategy", "bluegreen"]);
        let first = call.meanwhile(|running| {
            running.until("a green machine is there", |stage| stage.machines().len() > 2);
            running.signal(Signal::SIGTERM);
        });
        stage.insist(first.code == 143, &format!("the first is interrupted, not {}", first.code));
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_killed_then_good", &[0], |stage| {
        bluegreen_killed(stage);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_ship_bluegreen_killed_then_rollback", &[0], |stage| {
        bluegreen_killed(stage);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_ship_canary_crash", &[6], |stage| {
        strategy(stage, "canary", "v2-crash")
    })
    .alone(),
    Scenario::new("odd_ship_canary_unhealthy_then_good", &[0], |stage| {
        strategy(stage, "canary", "v2-unhealthy");
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_ship_immediate_partial", &[7], |stage| {
        strategy(stage, "immediate", "v2-partial")
    })
    .alone(),
    Scenario::new("odd_ship_immediate_hang", &[7], |stage| {
        strategy(stage, "immediate", "v2-hang")
    })
    .alone(),
    Scenario::new("odd_ship_release_command_then_crash", &[7], |stage| {
        stage.trusted(MIGRATING);
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("odd_ship_release_command_fails_then_good", &[0], |stage| {
        stage.trusted(MIGRATING);
        stage.deployed("v2-relfail", 6);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_ship_release_command_sigterm", &[143], |stage| {
        stage.settings(&json!({"release_seconds": 20}));
        stage.trusted(MIGRATING);
        let ended = stage.deploy("v2").meanwhile(|running| {
            running.until("the release command runs", |stage| {
                stage.glance().aside.iter().any(|what| what.ends_with("(started)"))
            });
            running.signal(Signal::SIGTERM);
        });
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
    Scenario::new("odd_ship_target_gone_when_returning", &[8], |stage| {
        // One release was ever good, and nobody can ship it today.
        stage.seed(&json!({"images": ["registry.fly.io/shop:v1-missing"]}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_ship_target_gone_next_older_when_returning", &[7, 8], |stage| {
        stage.trusted_on(&["v0"]);
        stage.trusted_on(&["v0", "v1-missing"]);
        stage.deploy("v2-unhealthy").old("v0").run()
    })
    .alone(),
    Scenario::new("odd_first_crash", &[8], |stage| first(stage, PLAIN, "v1-crash")).alone(),
    Scenario::new("odd_first_partial", &[8], |stage| first(stage, PLAIN, "v1-partial")).alone(),
    Scenario::new("odd_first_release_command_fails", &[6, 8], |stage| {
        first(stage, MIGRATING, "v1-relfail")
    })
    .alone(),
    Scenario::new("odd_first_image_missing", &[6, 8], |stage| {
        first(stage, PLAIN, "v1-missing")
    })
    .alone(),
    Scenario::new("odd_first_slow", &[0], |stage| first(stage, PLAIN, "v1-slow")).alone(),
    Scenario::new("odd_first_killed_then_good", &[0], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v1-slow").meanwhile(|running| {
            running.until("a machine is there", |stage| !stage.machines().is_empty());
            running.signal(Signal::SIGKILL);
        });
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_first_bad_then_good", &[0], |stage| {
        first(stage, PLAIN, "v1-unhealthy");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_first_bad_then_bad", &[8], |stage| {
        first(stage, PLAIN, "v1-unhealthy");
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
];

fn ruled(stage: &Stage, rule: &str, seed: &serde_json::Value) {
    stage.write(
        "shipctl.toml",
        &format!("{QUICK}\n[environments.production]\n{rule}\n"),
    );
    stage.seed(seed);
    stage.write("fly.production.toml", &PLAIN.text());
}

fn strategy(stage: &Stage, name: &str, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).both(&["--strategy", name]).run()
}

fn bluegreen_killed(stage: &Stage) {
    stage.trusted(PLAIN);
    let call = stage.deploy("v2-slow").both(&["--strategy", "bluegreen"]);
    call.meanwhile(|running| {
        running.until("a green machine is there", |stage| stage.machines().len() > 2);
        running.signal(Signal::SIGKILL);
    });
}

/// An app that exists and was never deployed.
fn first(stage: &Stage, fly: Fly<'_>, tag: &str) -> Ended {
    stage.bare(&["apps", "create", "shop", "-o", "personal"]);
    stage.write("fly.production.toml", &fly.text());
    stage.deploy(tag).run()
}
