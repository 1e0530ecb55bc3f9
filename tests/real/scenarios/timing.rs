//! Faults that begin late, end in time, come and go; and how many machines there are when they do.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::{Ended, Running};
use crate::support::stage::{Fly, PLAIN, QUICK, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_time_one_machine_good", &[0], |stage| counted(stage, 1, "v2")).alone(),
    Scenario::new("odd_time_one_machine_unhealthy", &[7], |stage| {
        counted(stage, 1, "v2-unhealthy")
    })
    .alone(),
    Scenario::new("odd_time_one_machine_crash", &[7], |stage| {
        counted(stage, 1, "v2-crash")
    })
    .alone(),
    Scenario::new("odd_time_one_machine_partial_is_good", &[0], |stage| {
        counted(stage, 1, "v2-partial")
    })
    .alone(),
    Scenario::new("odd_time_six_machines_crash", &[7], |stage| {
        counted(stage, 6, "v2-crash")
    })
    .alone(),
    Scenario::new("odd_time_six_machines_immediate_partial", &[7], |stage| {
        seeded(stage, 6);
        let call = stage.deploy("v2-partial");
        call.both(&["--strategy", "immediate"]).run()
    })
    .alone(),
    Scenario::new("odd_time_heals_just_in_time", &[0], |stage| {
        stage.settings(&json!({"slow_health_seconds": 7.5}));
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").run()
    })
    .alone(),
    Scenario::new("odd_time_heals_just_in_time_three_in_turn", &[0], |stage| {
        stage.settings(&json!({"slow_health_seconds": 7}));
        counted(stage, 3, "v2-slow")
    })
    .alone(),
    Scenario::new("odd_time_slow_to_start", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.settings(&json!({"start_seconds": 4}));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_time_never_starts", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.settings(&json!({"start_seconds": 60}));
        stage.deploy("v2").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                running.stage.settings(&json!({"start_seconds": 0.2}));
            }
        })
    })
    .alone(),
    Scenario::new("odd_time_first_slow_second_crashes", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("all are on v2", |stage| stage.tags() == ["v2-slow"]);
            let id = running.stage.machines()[1].clone();
            behaves(running.stage, Some(&id), "crash");
            // The one that is up already is started again, so that it comes to crash.
            machine(running.stage, &id, "start");
        })
    })
    .alone(),
    Scenario::new("odd_time_crashes_once_and_is_good", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                let moved = |machine: &&crate::support::truth::Machine| machine.tag == "v2";
                let machines = running.stage.glance().machines;
                let id = machines.iter().find(moved).map(|machine| machine.id.clone());
                behaves(running.stage, id.as_deref(), "crash");
                running.until("it has crashed once", |stage| {
                    let machines = stage.glance().machines;
                    machines
                        .iter()
                        .any(|machine| machine.tag == "v2" && machine.state == "stopped")
                });
                behaves(running.stage, id.as_deref(), "");
            }
        })
    })
    .alone(),
    Scenario::new("odd_time_flapping_and_bad_in_the_end", &[7], |stage| {
        flapping(stage, "unhealthy")
    })
    .alone(),
    Scenario::new("odd_time_flapping_in_the_bake", &[7], |stage| {
        stage.trusted_with("12s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            for turn in 0..6 {
                let stage = running.stage;
                if stage.tags() != ["v2"] {
                    break;
                }
                let id = stage.machines()[0].clone();
                behaves(stage, Some(&id), if turn % 2 == 0 { "unhealthy" } else { "" });
                sleep(Duration::from_millis(1500));
            }
        })
    })
    .alone(),
    Scenario::new("odd_time_database_down_for_good", &[8], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            behaves(running.stage, None, "unhealthy");
        })
    })
    .alone(),
    Scenario::new("odd_time_database_down_for_a_while", &[7], |stage| {
        // Down past the deadline of what was shipped, back before that of the return.
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            behaves(running.stage, None, "unhealthy");
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            sleep(Duration::from_secs(3));
            behaves(running.stage, None, "");
        })
    })
    .alone(),
    Scenario::new("odd_time_all_die_in_the_bake", &[8], |stage| {
        stage.trusted_with("10s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            behaves(running.stage, None, "unhealthy");
        })
    })
    .alone(),
    Scenario::new("odd_time_crash_in_the_bake", &[7], |stage| {
        stage.trusted_with("10s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let id = running.stage.machines()[1].clone();
            behaves(running.stage, Some(&id), "crash");
            machine(running.stage, &id, "start");
        })
    })
    .alone(),
    Scenario::new("odd_time_stopped_in_the_bake", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("10s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let id = running.stage.machines()[1].clone();
            machine(running.stage, &id, "stop");
        })
    })
    .alone(),
    Scenario::new("odd_time_a_good_one_is_bad_before_ours", &[6], |stage| {
        // One machine of v1 turns bad while the image cannot be found, and is well again at once.
        stage.trusted(PLAIN);
        let id = stage.machines()[0].clone();
        behaves(stage, Some(&id), "unhealthy");
        stage.deploy("v2-missing").meanwhile(|running| {
            sleep(Duration::from_millis(3500));
            behaves(running.stage, Some(&id), "");
        })
    })
    .alone(),
    Scenario::new("odd_time_short_timeout_six_slow", &[7], |stage| {
        seeded(stage, 6);
        stage.deploy("v2-slow").args(&["--timeout", "14s"]).run()
    })
    .alone(),
    Scenario::new("odd_time_short_timeout_release_command", &[6], |stage| {
        stage.settings(&json!({"release_seconds": 60}));
        stage.trusted(crate::support::stage::MIGRATING);
        let ended = stage.deploy("v2").args(&["--timeout", "10s"]).run();
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
    Scenario::new("odd_time_long_bake_good", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").args(&["--bake", "20s"]).run()
    })
    .alone(),
    Scenario::new("odd_time_no_bake_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").args(&["--bake", "0s"]).run()
    })
    .alone(),
    Scenario::new("odd_time_min_running_asleep", &[0], |stage| {
        sleepy(stage, 1);
        stage.stop_all();
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_time_min_running_all_crash", &[7], |stage| {
        sleepy(stage, 2);
        stage.stop_all();
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("odd_time_sleepy_partial", &[7], |stage| {
        // Awake at the baseline: both are asked, and one of them never turns good.
        sleepy(stage, 2);
        stage.deploy("v2-partial").run()
    })
    .alone(),
];

fn seeded(stage: &Stage, count: usize) {
    stage.seed(&json!({"per_region": count}));
    stage.write("fly.production.toml", &PLAIN.text());
    stage.trust();
}

fn counted(stage: &Stage, count: usize, tag: &str) -> Ended {
    seeded(stage, count);
    stage.deploy(tag).run()
}

/// Machines that may sleep, so many of which must not.
fn sleepy(stage: &Stage, running: usize) {
    stage.seed(&json!({"autostop": true, "min_running": running}));
    let service = format!("  auto_stop_machines = true\n  min_machines_running = {running}\n");
    let fly = Fly {
        service: &service,
        ..PLAIN
    };
    stage.write("fly.production.toml", &fly.text());
    stage.write("shipctl.toml", QUICK);
    stage.trust();
}

/// How the app behaves from now on, or one machine of it; empty for what its tag says.
fn behaves(stage: &Stage, id: Option<&str>, behaviour: &str) {
    let machine: Value = id.into();
    let order = json!({"do": "behaviour", "app": "shop", "machine": machine, "behaviour": behaviour});
    stage.double.order(&order);
}

fn machine(stage: &Stage, id: &str, action: &str) {
    let order = json!({"do": "machine", "app": "shop", "machine": id, "action": action});
    stage.double.order(&order);
}

fn complete(running: &mut Running<'_>) {
    running.until("ours is complete", |stage| {
        stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
    });
    sleep(Duration::from_millis(1500));
}

/// One machine is good and bad by turns, and ends as this.
fn flapping(stage: &Stage, end: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy("v2").meanwhile(|running| {
        if !running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
            return;
        }
        let stage = running.stage;
        let machines = stage.glance().machines;
        let Some(moved) = machines.iter().find(|machine| machine.tag == "v2") else {
            return;
        };
        for _ in 0..4 {
            for behaviour in ["unhealthy", ""] {
                behaves(stage, Some(&moved.id), behaviour);
                sleep(Duration::from_millis(300));
            }
        }
        behaves(stage, Some(&moved.id), end);
    })
}
