//! What a return meets: everything at once, a second fault on the way, somebody else in between.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::{Ended, Running};
use crate::support::stage::{Fly, MIGRATING, PLAIN, SLEEPY, Stage, UNCHECKED};
use crate::support::truth;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_return_the_old_one_is_bad_at_first", &[7], |stage| {
        // The database is slow to come back: what is returned to turns good within its time.
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            returning(running);
            behaves(running.stage, "unhealthy");
            sleep(Duration::from_secs(4));
            behaves(running.stage, "");
        })
    })
    .alone(),
    Scenario::new("odd_return_the_old_one_crashes_now", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            returning(running);
            behaves(running.stage, "crash");
        })
    })
    .alone(),
    Scenario::new("odd_return_crash_and_lease", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-crash").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                let order = json!({"do": "lease", "app": "shop", "seconds": 25});
                running.stage.double.order(&order);
            }
        })
    })
    .alone(),
    Scenario::new("odd_return_secrets_meanwhile", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        let mut ended = stage.deploy("v2-unhealthy").meanwhile(|running| {
            returning(running);
            sleep(Duration::from_secs(2));
            running.stage.bare(&["secrets", "set", "A=1", "-a", "shop"]);
        });
        // Theirs restarts what has just returned.
        truth::settle();
        for case in &mut ended.cases {
            case.after = truth::look(&stage.double, "shop", true);
        }
        ended
    })
    .alone(),
    Scenario::new("odd_return_a_machine_is_destroyed_meanwhile", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.seed(&json!({"per_region": 3}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            returning(running);
            let id = running.stage.machines()[2].clone();
            let order = json!({"do": "machine", "app": "shop", "machine": id, "action": "destroy"});
            running.stage.double.order(&order);
        })
    })
    .alone(),
    Scenario::new("odd_return_slow_api_and_drops", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                sleep(Duration::from_secs(3));
                let faults = json!([
                    {"do": "fault", "kind": "delay", "match": "", "count": 40, "seconds": 0.4},
                    {"do": "fault", "kind": "drop", "match": "createRelease", "count": 1},
                ]);
                running.stage.double.order(&faults);
            }
        })
    })
    .alone(),
    Scenario::new("odd_return_of_six_with_a_500", &[7], |stage| {
        stage.seed(&json!({"per_region": 6}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        let call = stage.deploy("v2-unhealthy").both(&["--strategy", "immediate"]);
        call.meanwhile(|running| {
            returning(running);
            running.stage.double.fault(500, "POST /v1/apps/shop/machines", 2);
        })
    })
    .alone(),
    Scenario::new("odd_return_to_sleepers", &[7], |stage| {
        stage.settings(&json!({"idle_seconds": 1.0}));
        stage.seed(&json!({"autostop": true}));
        stage.write("fly.production.toml", &SLEEPY.text());
        stage.trust();
        sleep(Duration::from_secs(3));
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_return_without_checks_immediate_crash", &[7], |stage| {
        stage.trusted(UNCHECKED);
        stage.deploy("v2-crash").both(&["--strategy", "immediate"]).run()
    })
    .alone(),
    Scenario::new("odd_return_two_regions_partial", &[7], |stage| {
        stage.seed(&json!({"regions": ["fra", "ams", "iad"], "per_region": 1}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2-partial").run()
    })
    .alone(),
    Scenario::new("odd_return_after_a_release_command_with_lease", &[7], |stage| {
        stage.trusted(MIGRATING);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                sleep(Duration::from_secs(4));
                let order = json!({"do": "lease", "app": "shop", "seconds": 15});
                running.stage.double.order(&order);
            }
        })
    })
    .alone(),
    Scenario::new("odd_return_of_a_rollback", &[7], |stage| {
        chain(stage);
        bad_now(stage, "v1", |stage| stage.rollback("v1").run())
    })
    .alone(),
    Scenario::new("odd_return_of_a_rollback_everything_bad", &[8], |stage| {
        chain(stage);
        stage.rollback("v1").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v2"]);
            behaves(running.stage, "unhealthy");
        })
    })
    .alone(),
    Scenario::new("odd_return_then_the_next_is_good", &[0], |stage| {
        chain(stage);
        stage.deployed("v3-unhealthy", 7);
        stage.deployed("v4-crash", 7);
        stage.deploy("v5").run()
    })
    .alone(),
    Scenario::new("odd_return_then_rollback_goes_further_back", &[0], |stage| {
        chain(stage);
        stage.deployed("v3-unhealthy", 7);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_return_to_what_bare_flyctl_shipped_with_env", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.bare_deploy("v2", &["--smoke-checks=false", "-e", "MODE=hand"]);
        let ended = stage.deploy("v3-unhealthy").run();
        let kept = |name: &str| {
            let machines = stage.glance().machines;
            machines.iter().all(|machine| machine.env.contains_key(name))
        };
        stage.insist(kept("MODE"), "what the colleague set is there again");
        ended
    })
    .alone(),
    Scenario::new("odd_return_group_without_service_hangs", &[7], |stage| {
        let fly = Fly {
            top: "[processes]\n  web = \"serve\"\n  worker = \"work\"\n",
            service: "  processes = [\"web\"]\n",
            ..PLAIN
        };
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &fly.text());
        stage.deployed("v1", 0);
        stage.deploy("v2").meanwhile(|running| {
            // Only the worker dies, again and again.
            let worker = |stage: &Stage| {
                let state = stage.double.state();
                let machines = state["apps"]["shop"]["machines"].as_array().cloned();
                let group = "/config/metadata/fly_process_group";
                machines.unwrap_or_default().into_iter().find(|machine| {
                    machine.pointer(group) == Some(&json!("worker"))
                        && machine.pointer("/image_ref/tag") == Some(&json!("v2"))
                        && machine["state"] == "started"
                })
            };
            if running.until("the worker runs v2", |stage| worker(stage).is_some()) {
                let id = worker(running.stage).unwrap_or_default()["id"].clone();
                let orders = json!([
                    {"do": "behaviour", "app": "shop", "machine": id, "behaviour": "crash"},
                    {"do": "machine", "app": "shop", "machine": id, "action": "start"},
                ]);
                running.stage.double.order(&orders);
            }
        })
    })
    .alone(),
];

fn chain(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deployed("v2", 0);
}

fn returning(running: &mut Running<'_>) {
    running.until("the return makes its release", |stage| {
        stage.calls("mutation createRelease") > 1
    });
}

fn behaves(stage: &Stage, behaviour: &str) {
    let order = json!({"do": "behaviour", "app": "shop", "machine": Value::Null, "behaviour": behaviour});
    stage.double.order(&order);
}

/// Every machine that gets this tag turns bad.
fn bad_now(stage: &Stage, tag: &str, play: fn(&Stage) -> Ended) -> Ended {
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let double = &stage.double;
        let done = &ended;
        scope.spawn(move || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for machine in truth::glance(double, "shop").machines {
                    if machine.tag == tag {
                        let order = json!({"do": "behaviour", "app": "shop", "machine": machine.id, "behaviour": "unhealthy"});
                        double.order(&order);
                    }
                }
                sleep(Duration::from_millis(100));
            }
        });
        let played = play(stage);
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        played
    })
}
