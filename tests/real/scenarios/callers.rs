//! Who calls, from where, with which flags, tokens and memory.

use std::fs;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{Fly, PLAIN, QUICK, SLEEPY, Stage, UNCHECKED};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_call_detach_crash", &[7], |stage| {
        passed(stage, "v2-crash", &["--detach"])
    })
    .alone(),
    Scenario::new("odd_call_detach_without_checks_hang", &[7], |stage| {
        stage.trusted(UNCHECKED);
        stage.deploy("v2-hang").flyctl_flags(&["--detach"]).run()
    })
    .alone(),
    Scenario::new("odd_call_detach_slow", &[0], |stage| {
        passed(stage, "v2-slow", &["--detach"])
    })
    .alone(),
    Scenario::new("odd_call_short_wait_unhealthy", &[7], |stage| {
        passed(stage, "v2-unhealthy", &["--wait-timeout", "1s"])
    })
    .alone(),
    Scenario::new("odd_call_group_filter", &[3], |stage| {
        passed(stage, "v2", &["--process-groups", "worker"])
    })
    .alone(),
    Scenario::new("odd_call_excluded_region", &[3], |stage| {
        passed(stage, "v2", &["--exclude-regions", "fra"])
    })
    .alone(),
    Scenario::new("odd_call_other_app_after_the_dashes", &[2], |stage| {
        passed(stage, "v2", &["-a", "other"])
    })
    .alone(),
    Scenario::new("odd_call_unknown_flag_after_the_dashes", &[2, 4, 6, 10], |stage| {
        passed(stage, "v2", &["--no-such-flag"])
    })
    .alone(),
    Scenario::new("odd_call_wrong_digest", &[0, 6, 7], |stage| {
        stage.trusted(PLAIN);
        let image = format!("v2@sha256:{}", "ab".repeat(32));
        stage.deploy(&image).wants("v2").run()
    })
    .alone(),
    Scenario::new("odd_call_same_image_turns_bad", &[7], |stage| {
        stage.trusted(PLAIN);
        let before: Vec<String> = instances(stage);
        stage.deploy("v1").meanwhile(|running| {
            running.until("a machine has moved", |stage| instances(stage) != before);
            let stage = running.stage;
            for machine in stage.glance().machines {
                if !before.contains(&machine.instance) {
                    let order = json!({"do": "behaviour", "app": "shop", "machine": machine.id, "behaviour": "unhealthy"});
                    stage.double.order(&order);
                }
            }
        })
    })
    .alone(),
    Scenario::new("odd_call_token_of_the_environment_is_wrong", &[10], |stage| {
        stage.trusted(PLAIN);
        stage.set("FLY_API_TOKEN_PRODUCTION", Some("fo1_wrong"));
        let ended = stage.deploy("v2").run();
        stage.insist(ended.says("FLY_API_TOKEN_PRODUCTION"), "the variable used is named");
        stage.insist(!ended.says("fo1_wrong"), "a token is never printed");
        ended
    })
    .alone(),
    Scenario::new("odd_call_rollback_with_a_wrong_token", &[10], |stage| {
        chain(stage);
        stage.set("FLY_API_TOKEN", Some("fo1_wrong"));
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_verify_with_a_wrong_token", &[9, 10], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        stage.set("FLY_API_TOKEN", Some("fo1_wrong"));
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_token_dies_in_the_return", &[8, 9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-unhealthy").args(&["--timeout", "25s"]);
        let ended = call.meanwhile(|running| {
            if running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            }) {
                running.stage.double.fault(401, "", 5000);
            }
        });
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("odd_call_unknown_app_verify", &[9, 10], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_unknown_app_rollback", &[3, 10], |stage| {
        stage.write("fly.production.toml", &PLAIN.text());
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_never_deployed_verify", &[8], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_never_deployed_rollback", &[3], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_other_app_than_bound", &[3], |stage| {
        stage.trusted(PLAIN);
        stage.double.order(&json!({"do": "seed", "app": "other", "images": ["registry.fly.io/other:v1"]}));
        stage.write("fly.production.toml", &Fly { app: "other", ..PLAIN }.text());
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_call_verify_an_older_release", &[8], |stage| {
        chain(stage);
        stage.verify("v2").args(&["--release", "1"]).run()
    })
    .alone(),
    Scenario::new("odd_call_verify_a_sleeper_that_cannot_wake", &[8], |stage| {
        sleepy(stage);
        stage.trust();
        stage.stop_all();
        for id in stage.machines() {
            let order = json!({"do": "behaviour", "app": "shop", "machine": id, "behaviour": "crash"});
            stage.double.order(&order);
        }
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_verify_a_sleeper", &[0], |stage| {
        sleepy(stage);
        stage.trust();
        stage.stop_all();
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_call_from_another_machine_rollback", &[0], |stage| {
        // A colleague's machine: its own memory knows nothing of what was shipped here.
        chain(stage);
        stage.deployed("v3", 0);
        elsewhere(stage);
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("odd_call_from_another_machine_unhealthy", &[7], |stage| {
        chain(stage);
        elsewhere(stage);
        stage.deploy("v3-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_call_from_another_machine_old_memory", &[0], |stage| {
        // This machine knows v1 and v2; another one shipped v3; here v3 is left for what came before it.
        chain(stage);
        let own = fs::canonicalize(stage.path("state")).unwrap();
        elsewhere(stage);
        stage.deployed("v3", 0);
        stage.set("XDG_STATE_HOME", own.to_str());
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("odd_call_shared_folder_locks_out", &[0], |stage| {
        let folder = stage.path("shared").display().to_string();
        stage.set("SHIPCTL_STATE", Some(&folder));
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let second = running.stage.rollback("v1").run();
            let told = format!("the other is locked out, not {}", second.code);
            running.stage.insist(second.code == 5, &told);
        })
    })
    .alone(),
    Scenario::new("odd_call_waits_for_the_lock", &[0], |stage| {
        stage.trusted(PLAIN);
        let mut second = None;
        stage.deploy("v2").meanwhile(|running| {
            running.until("the first has its release", |stage| {
                stage.asked("mutation createRelease")
            });
            second = Some(running.stage.deploy("v3").args(&["--lock-wait", "60s"]).run());
        });
        second.unwrap()
    })
    .alone(),
    Scenario::new("odd_call_waits_for_the_lock_and_is_bad", &[7], |stage| {
        // What the first left is what is returned to, not what was there when it began to wait.
        stage.trusted(PLAIN);
        let mut second = None;
        stage.deploy("v2").meanwhile(|running| {
            running.until("the first has its release", |stage| {
                stage.asked("mutation createRelease")
            });
            let call = running.stage.deploy("v3-unhealthy").old("v2");
            second = Some(call.args(&["--lock-wait", "60s"]).run());
        });
        second.unwrap()
    })
    .alone(),
    Scenario::new("odd_call_after_staging_refused", &[3], |stage| {
        let rule = "[environments.production]\nafter = \"staging\"\n";
        stage.write("shipctl.toml", &format!("{QUICK}\n{rule}"));
        stage.write("fly.staging.toml", &Fly { app: "shop-staging", ..PLAIN }.text());
        stage.seed(&json!({}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2").run()
    })
    .alone(),
];

fn passed(stage: &Stage, tag: &str, flags: &[&str]) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).flyctl_flags(flags).run()
}

fn chain(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deployed("v2", 0);
}

fn sleepy(stage: &Stage) {
    stage.seed(&json!({"autostop": true}));
    stage.write("fly.production.toml", &SLEEPY.text());
}

fn instances(stage: &Stage) -> Vec<String> {
    let machines = stage.glance().machines;
    machines.into_iter().map(|machine| machine.instance).collect()
}

/// A folder of state that nothing was ever written to.
fn elsewhere(stage: &Stage) {
    let folder = stage.path("elsewhere");
    fs::create_dir_all(&folder).unwrap();
    stage.set("XDG_STATE_HOME", folder.to_str());
}
