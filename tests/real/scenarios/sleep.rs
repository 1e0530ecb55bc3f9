//! Machines that sleep, were stopped, or were left stopped by a crash.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, SLEEPY, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_15_asleep_and_cannot_start", &[7], |stage| {
        asleep(stage, "v2-crash")
    })
    .bare(&[0]),
    Scenario::new("more_asleep_and_unhealthy", &[7], |stage| {
        asleep(stage, "v2-unhealthy")
    })
    .bare(&[0]),
    Scenario::new("fault_16_asleep_and_good", &[0], |stage| asleep(stage, "v2-slow")).bare(&[0]),
    Scenario::new("fault_68_awake_at_first_then_asleep", &[7], |stage| {
        sleepy(stage);
        stage.trust();
        stage.stop_all();
        stage.deploy("v2-crash").run()
    })
    .alone(),
    Scenario::new("fault_57_left_crashed_then_good_deploy", &[0], |stage| {
        left_crashed(stage);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("fault_57_left_crashed_then_rollback", &[0], |stage| {
        left_crashed(stage);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_45_crash_leaves_it_stopped", &[7], |stage| {
        // Ten restarts take the double seven seconds: the machine is down for good before the verdict.
        stage.write("shipctl.toml", "[verify]\ntimeout = \"12s\"\nbake = \"0s\"\n");
        stage.trusted(PLAIN);
        stage.deploy("v2-crash").both(&["--strategy", "immediate"]).run()
    })
    .alone(),
    Scenario::new("more_one_asleep_one_awake", &[0], |stage| {
        sleepy(stage);
        stage.trust();
        let id = &stage.machines()[0];
        stage
            .double
            .order(&json!({"do": "machine", "app": "shop", "machine": id, "action": "stop"}));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_falls_asleep_in_the_bake", &[0], |stage| {
        stage.settings(&json!({"idle_seconds": 1.0}));
        stage.write("shipctl.toml", "[verify]\ntimeout = \"10s\"\nbake = \"4s\"\n");
        sleepy(stage);
        stage.trust();
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_stopped_by_a_person_without_autostop", &[0, 8], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[0].clone();
        stage
            .double
            .order(&json!({"do": "machine", "app": "shop", "machine": id, "action": "stop"}));
        let mut ended = stage.deploy("v2").run();
        // One stopped on request before is named, not counted.
        for case in &mut ended.cases {
            case.after.machines.retain(|machine| machine.id != id);
        }
        ended
    })
    .alone(),
    Scenario::new("more_asleep_then_rollback", &[0], |stage| {
        sleepy(stage);
        stage.trust();
        stage.deployed("v2", 0);
        stage.stop_all();
        stage.rollback("v1").run()
    })
    .alone(),
];

fn sleepy(stage: &Stage) {
    stage.seed(&json!({"autostop": true}));
    stage.write("fly.production.toml", &SLEEPY.text());
}

fn asleep(stage: &Stage, tag: &str) -> Ended {
    sleepy(stage);
    stage.trust();
    stage.stop_all();
    stage.deploy(tag).run()
}

/// A bare deploy of a crashing image: its machines stop for good.
fn left_crashed(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.bare_deploy("v2-crash", &["--strategy", "immediate", "--smoke-checks=false"]);
    let down = |stage: &Stage| {
        let look = stage.glance();
        let exits = |id: &str| {
            let state = stage.double.state();
            let machines = state["apps"]["shop"]["machines"].as_array().cloned();
            let machine = machines.unwrap_or_default().into_iter().find(|m| m["id"] == id);
            let events = machine.and_then(|machine| machine["events"].as_array().cloned());
            let newest = events.unwrap_or_default().into_iter().next().unwrap_or_default();
            newest.pointer("/request/exit_event/restarting") == Some(&json!(false))
        };
        look.machines
            .iter()
            .all(|machine| machine.state == "stopped" && exits(&machine.id))
    };
    let limit = std::time::Duration::from_secs(30);
    stage.insist(stage.until(limit, down), "the machines stop for good");
}
