//! The strategies and flags of flyctl that say less than they seem to.

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{Fly, PLAIN, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_06_immediate_unhealthy", &[7], |stage| {
        strategy(stage, "immediate", "v2-unhealthy")
    })
    .bare(&[0]),
    Scenario::new("fault_07_detach_unhealthy", &[7], |stage| {
        detached(stage, "v2-unhealthy")
    })
    .bare(&[0]),
    Scenario::new("fault_28_bluegreen_unhealthy", &[6], |stage| {
        strategy(stage, "bluegreen", "v2-unhealthy")
    })
    .bare(&[1]),
    Scenario::new("fault_29_canary_unhealthy", &[6], canary_unhealthy).bare(&[1]),
    Scenario::new("more_immediate_good", &[0], |stage| {
        strategy(stage, "immediate", "v2")
    })
    .bare(&[0]),
    Scenario::new("more_immediate_crash", &[7], |stage| {
        strategy(stage, "immediate", "v2-crash")
    })
    .alone(),
    Scenario::new("more_immediate_slow", &[0], |stage| {
        strategy(stage, "immediate", "v2-slow")
    })
    .alone(),
    Scenario::new("more_detach_good", &[0], |stage| detached(stage, "v2")).bare(&[0]),
    Scenario::new("more_bluegreen_good", &[0], |stage| {
        strategy(stage, "bluegreen", "v2")
    })
    .bare(&[0]),
    Scenario::new("more_bluegreen_crash", &[6], |stage| {
        strategy(stage, "bluegreen", "v2-crash")
    })
    .alone(),
    Scenario::new("more_bluegreen_lies", &[7], |stage| {
        strategy(stage, "bluegreen", "v2-garbage")
    })
    .alone(),
    Scenario::new("more_bluegreen_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        let ended = stage.deploy("v2").both(&["--strategy", "bluegreen"]).run();
        stage.insist(ended.code == 0, "bluegreen ends with 0");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("more_canary_good", &[0], |stage| strategy(stage, "canary", "v2")).bare(&[0]),
    Scenario::new("more_canary_lies", &[7], |stage| {
        strategy(stage, "canary", "v2-garbage")
    })
    .alone(),
    Scenario::new("more_strategy_of_the_file", &[7], |stage| {
        stage.trusted(Fly {
            top: "[deploy]\n  strategy = \"immediate\"\n",
            ..PLAIN
        });
        stage.deploy("v2-unhealthy").run()
    })
    .bare(&[0]),
    Scenario::new("more_bluegreen_of_the_file_unhealthy", &[6], |stage| {
        stage.trusted(Fly {
            top: "[deploy]\n  strategy = \"bluegreen\"\n",
            ..PLAIN
        });
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("more_short_wait_of_the_file", &[0], |stage| {
        stage.trusted(Fly {
            top: "[deploy]\n  wait_timeout = \"1s\"\n",
            ..PLAIN
        });
        stage.deploy("v2-slow").run()
    })
    .alone(),
    Scenario::new("more_short_wait_of_the_caller", &[0, 7], |stage| {
        stage.trusted(PLAIN);
        stage
            .deploy("v2-slow")
            .flyctl_flags(&["--wait-timeout", "1s"])
            .run()
    })
    .alone(),
];

fn strategy(stage: &Stage, name: &str, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).both(&["--strategy", name]).run()
}

fn detached(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy(tag).flyctl_flags(&["--detach"]).run()
}

fn canary_unhealthy(stage: &Stage) -> Ended {
    let ended = strategy(stage, "canary", "v2-unhealthy");
    let left: Vec<String> = ended.cases[0].after.aside.clone();
    if !left.is_empty() && !stage.is_bare() {
        stage.insist(
            ended.says("machine destroy"),
            "says how to destroy the canary left behind",
        );
    }
    ended
}
