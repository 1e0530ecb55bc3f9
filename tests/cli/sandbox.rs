//! The sandbox as a newcomer meets it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::TestEnv;

#[test]
fn reset_begins_anew() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    env.shipctl(["sandbox", "reset"])
        .is(0, "", "SANDBOX the sandbox of `shop` begins anew\n");
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says("staging: v2 (shop-staging:v2), never verified here");
}

#[test]
fn a_world_that_is_in_use_is_not_forgotten() {
    let env = TestEnv::sandbox();
    let image = "registry.fly.io/shop:v3-hang";
    let mut deploy = env.start(["--sandbox", "deploy", "staging", "--image", image]);
    TestEnv::until("the release was made", || env.releases("shop-staging") == 3);
    env.shipctl(["sandbox", "reset"])
        .exits(5)
        .says("error: the sandbox is in use: `shop-staging` is held by a deployment that runs: dev since ");
    let pid = Pid::from_raw(deploy.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(deploy.wait().unwrap().code(), Some(130));
    env.shipctl(["sandbox", "reset"]).succeeds();
}

/// Without the checkout, too, it is the environment whose ledger names the app.
#[test]
fn an_app_stands_for_its_environment() {
    let env = TestEnv::sandbox();
    let image = "registry.fly.io/shop:v3";
    env.shipctl(["--sandbox", "deploy", "staging", "--image", image])
        .succeeds();
    let elsewhere = env.path("home");
    env.shipctl_in(&elsewhere, ["--sandbox", "status", "-a", "shop-staging"])
        .succeeds()
        .says("staging: v3 (shop:v3), verified, 2/2 up");
    let bad = env.shipctl_in(
        &elsewhere,
        [
            "--sandbox",
            "verify",
            "-a",
            "shop-staging",
            "--release",
            "2",
            "--timeout",
            "2s",
        ],
    );
    bad.exits(8)
        .says("next: whether what serves is good: shipctl --sandbox verify -a shop-staging\n");
    env.order(serde_json::json!({"do": "rule", "app": "shop-staging", "status": 503}));
    let args = ["--sandbox", "verify", "-a", "shop-staging", "--timeout", "2s"];
    env.shipctl_in(&elsewhere, args)
        .exits(8)
        .says("shipctl --sandbox -a shop-staging history show ");
}

#[test]
fn nothing_of_it_reaches_the_real_state() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    let entries: Vec<String> = std::fs::read_dir(env.path("state/shipctl"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(entries, ["sandbox"]);
}

#[test]
fn the_demo_plays_to_its_end_without_a_project_and_fits_80_columns() {
    let env = TestEnv::new().variable("COLUMNS", "80");
    let ran = env.shipctl_in(&env.path("home"), ["sandbox", "demo"]);
    ran.succeeds();
    for text in ["deploy", "↩ ", "rollback", "status"] {
        assert!(ran.stdout.contains(text), "{text}\n{}", ran.stdout);
    }
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        // A command is never broken, so that it can be pasted.
        let is_command = line.trim_start().starts_with("$ ");
        assert!(line.chars().count() <= 80 || is_command, "{line}");
    }
    let left: Vec<_> = std::fs::read_dir(env.path("state")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demo_is_no_document() {
    let ran = TestEnv::new().shipctl(["sandbox", "demo", "--json"]);
    ran.exits(2);
    let document = ran.json();
    assert_eq!(document["name"], "usage");
    assert_eq!(
        document["message"],
        "the demo is played for people: it has no document"
    );
    assert_eq!(
        document["hints"][0],
        "play it without `--json`: shipctl sandbox demo"
    );
}
