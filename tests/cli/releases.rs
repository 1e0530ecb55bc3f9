//! `shipctl releases`: what a rollback would pick, before it is needed.

use crate::support::TestEnv;

#[test]
fn what_serves_and_what_a_rollback_would_pick_are_marked() {
    let env = TestEnv::sandbox();
    env.shipctl(["--sandbox", "verify", "staging"]).succeeds();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    let ran = env.shipctl(["--sandbox", "releases", "staging"]);
    ran.succeeds();
    let lines: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines[0], "staging (shop-staging)");
    assert!(
        lines[1].starts_with("v3 serving complete verified ") && lines[1].ends_with(" shop:v3"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("v2 rollback complete verified ") && lines[2].ends_with(" shop-staging:v2"),
        "{lines:?}"
    );
    assert!(lines[3].starts_with("v1 complete - "), "{lines:?}");
}
