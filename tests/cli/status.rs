//! `shipctl status`: what runs, first.

use std::io::{BufRead, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::TestEnv;

#[test]
fn every_environment_is_a_line() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "status"]);
    ran.succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(
        lines[0].starts_with("production: v2 (shop:v2), never verified here, 2/2 up"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("staging: v2 (shop-staging:v2), never verified here, 2/2 up"),
        "{lines:?}"
    );
    assert_eq!(ran.stderr, "");
}

#[test]
fn one_environment_shows_its_instances() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "status", "staging"]);
    ran.succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    for line in &lines[1..] {
        assert!(
            line.contains(" fra ") && line.contains(" started ") && line.contains(" passing "),
            "{line}"
        );
    }
}

#[test]
fn watching_ends_with_the_interrupt_whenever_it_comes() {
    let env = TestEnv::sandbox();
    let mut watching = env.start(["--sandbox", "status", "--watch", "--interval", "1s"]);
    let pid = Pid::from_raw(watching.id().try_into().unwrap());
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    // With its first line a look is over, and what would wait for the next one has not begun.
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("production: v2 (shop:v2)"), "{first}");
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}

#[test]
fn nothing_is_asked_of_an_app() {
    let env = TestEnv::sandbox();
    env.order(json!({"do": "route", "up": false}));
    env.shipctl(["--sandbox", "status"]).succeeds();
}

#[test]
fn one_that_cannot_be_asked_exits_10_and_all_others_are_shown() {
    let env = TestEnv::sandbox();
    env.order(json!({"do": "fault", "kind": "unreachable", "match": "shop-staging", "count": 50}));
    env.shipctl(["--sandbox", "status"])
        .succeeds()
        .says("production: v2")
        .says("staging: cannot be asked:");
    env.shipctl(["--sandbox", "status", "staging"]).exits(10);
}
