//! Release commands: they fail, hang, and run on after whoever started them is gone.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{MIGRATING, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_17_release_command_fails", &[6], |stage| {
        stage.trusted(MIGRATING);
        stage.deploy("v2-relfail").run()
    })
    .bare(&[1]),
    Scenario::new("fault_18_release_command_times_out", &[6], |stage| {
        stage.settings(&json!({"release_seconds": 60}));
        stage.trusted(MIGRATING);
        stage
            .deploy("v2")
            .flyctl_flags(&["--release-command-timeout", "4"])
            .run()
    })
    .bare(&[1]),
    Scenario::new(
        "fault_70_interrupted_release_command_then_deploy",
        &[0],
        two_migrations,
    )
    .alone(),
    Scenario::new(
        "fault_32_killed_in_the_release_command",
        &[3, 0],
        killed_in_the_release_command,
    )
    .alone(),
    Scenario::new("more_release_command_good", &[0], |stage| {
        stage.trusted(MIGRATING);
        stage.deploy("v2").run()
    })
    .bare(&[0]),
    Scenario::new("more_release_command_good_then_unhealthy", &[7], |stage| {
        stage.trusted(MIGRATING);
        let ended = stage.deploy("v2-unhealthy").run();
        if !stage.is_bare() {
            stage.insist(migrations(stage) == 1, "the return runs no release command");
        }
        ended
    })
    .bare(&[1]),
    Scenario::new("more_rollback_runs_no_release_command", &[0], |stage| {
        stage.trusted(MIGRATING);
        stage.deployed("v2", 0);
        let before = migrations(stage);
        let ended = stage.rollback("v1").run();
        stage.insist(
            migrations(stage) == before,
            "a rollback runs no release command unless asked",
        );
        ended
    })
    .alone(),
    Scenario::new("more_rollback_with_release_command", &[0], |stage| {
        stage.trusted(MIGRATING);
        stage.deployed("v2", 0);
        stage.deployed("v3", 0);
        let before = migrations(stage);
        let ended = stage.rollback("v2").args(&["--with-release-command"]).run();
        stage.insist(migrations(stage) > before, "it runs where it is asked for");
        ended
    })
    .alone(),
];

/// How many release-command machines there were.
fn migrations(stage: &Stage) -> usize {
    let state = stage.double.state();
    let machines = state["apps"]["shop"]["machines"].as_array().cloned();
    let group = "/config/metadata/fly_process_group";
    machines
        .unwrap_or_default()
        .iter()
        .filter(|machine| {
            machine
                .pointer(group)
                .is_some_and(|name| name == "fly_app_release_command")
        })
        .count()
}

fn two_migrations(stage: &Stage) -> Ended {
    stage.settings(&json!({"release_seconds": 12}));
    stage.trusted(MIGRATING);
    let first = stage.deploy("v2").meanwhile(|running| {
        running.until("the release command runs", |stage| migrations(stage) == 1);
        running.signal(Signal::SIGINT);
    });
    stage.insist(first.code == 130, "the first is interrupted");
    stage.deploy("v3").meanwhile(|running| {
        let running_ones = |stage: &Stage| {
            let aside = stage.glance().aside;
            aside.iter().filter(|what| what.ends_with("(started)")).count()
        };
        let stage = running.stage;
        let mut most = 0;
        while !running.has_ended() {
            most = most.max(running_ones(stage));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        stage.insist(most <= 1, "two migrations never run at once");
    })
}

/// Killed after its migration began and before machines moved: refused until somebody decides.
fn killed_in_the_release_command(stage: &Stage) -> Ended {
    stage.settings(&json!({"release_seconds": 6}));
    stage.trusted(MIGRATING);
    let first = stage.deploy("v2").meanwhile(|running| {
        running.until("the release command runs", |stage| migrations(stage) == 1);
        running.signal(Signal::SIGKILL);
    });
    stage.insist(first.code == 137, "the first is killed");
    stage.deploy("v3").run()
}
