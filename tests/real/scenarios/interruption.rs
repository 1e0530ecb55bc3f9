//! Signals, kills, and what comes after them.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_30_ctrl_c_while_waiting_for_health", &[130], |stage| {
        stage.trusted(PLAIN);
        let ended = signalled(stage, "v2-unhealthy", Signal::SIGINT);
        if !stage.is_bare() {
            let again = stage.shipctl(&["status", "production"]).run();
            stage.insist(again.code == 0, "status answers afterwards");
            stage.insist(
                again.json()["environments"][0]["lock"].is_null(),
                "the lock is released",
            );
        }
        ended
    })
    .bare(&[2, 127, 130]),
    Scenario::new("more_sigterm_while_waiting_for_health", &[143], |stage| {
        stage.trusted(PLAIN);
        signalled(stage, "v2-unhealthy", Signal::SIGTERM)
    })
    .alone(),
    Scenario::new("fault_31_deploy_after_ctrl_c", &[0], |stage| {
        stage.trusted(PLAIN);
        signalled(stage, "v2-slow", Signal::SIGINT);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("more_rollback_after_ctrl_c", &[0], |stage| {
        stage.trusted(PLAIN);
        signalled(stage, "v2-slow", Signal::SIGINT);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_32_killed_while_waiting_then_deploy", &[0], |stage| {
        killed(stage);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("fault_32_killed_while_waiting_then_rollback", &[0], |stage| {
        killed(stage);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("fault_32_killed_before_the_release", &[0], |stage| {
        stage.trusted(PLAIN);
        stage
            .double
            .order(&json!({"do": "fault", "kind": "delay", "match": "createRelease", "seconds": 8}));
        stage.deploy("v2").meanwhile(|running| {
            running.until("the release is asked for", |stage| {
                stage.asked("mutation createRelease")
            });
            running.signal(Signal::SIGKILL);
        });
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("more_killed_in_the_bake_then_deploy_the_same", &[0], |stage| {
        stage.trusted_with("60s");
        stage.deploy("v2").meanwhile(|running| {
            running.until("the release is complete", |stage| {
                stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
            });
            std::thread::sleep(Duration::from_millis(1500));
            running.signal(Signal::SIGKILL);
        });
        stage.deploy("v2").args(&["--bake", "0s"]).run()
    })
    .alone(),
    Scenario::new("more_ctrl_c_during_the_return", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            running.signal(Signal::SIGINT);
        })
    })
    .alone(),
    Scenario::new("more_killed_during_the_return_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            running.signal(Signal::SIGKILL);
        });
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("more_ctrl_c_in_prepare", &[130], |stage| {
        stage.trusted(PLAIN);
        stage
            .double
            .order(&json!({"do": "fault", "kind": "delay", "match": "machines", "seconds": 6}));
        let asked = stage.calls("machines");
        let ended = stage.deploy("v2").meanwhile(|running| {
            running.until("the machines are asked for", |stage| {
                stage.calls("machines") > asked
            });
            running.signal(Signal::SIGINT);
        });
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
];

/// A deploy that gets a signal once its first machine is on the new image.
fn signalled(stage: &Stage, tag: &str, signal: Signal) -> Ended {
    stage.deploy(tag).meanwhile(|running| {
        running.until("a machine is on the new image", |stage| stage.tags() != ["v1"]);
        std::thread::sleep(Duration::from_millis(700));
        running.signal(signal);
    })
}

/// shipctl alone is killed; its flyctl lives on.
fn killed(stage: &Stage) {
    stage.trusted(PLAIN);
    let ended = signalled(stage, "v2-slow", Signal::SIGKILL);
    stage.insist(ended.code == 137, "the first is killed");
    let status = stage.shipctl(&["status", "production"]).run();
    stage.insist(
        !status.json()["environments"][0]["unfinished"].is_null(),
        "status shows it unfinished",
    );
}
