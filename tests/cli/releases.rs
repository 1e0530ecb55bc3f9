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
        lines[1].starts_with("v3 serving complete verified ") && lines[1].contains(" shop:v3 "),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("v2 rollback complete verified ") && lines[2].contains(" shop-staging:v2 "),
        "{lines:?}"
    );
    assert!(lines[3].starts_with("v1 complete - "), "{lines:?}");
}

/// A list of 25 would push what serves and what a rollback would pick off the screen.
#[test]
fn the_newest_are_shown_and_whatever_serves() {
    let env = TestEnv::sandbox();
    for at in 0..18 {
        env.order(serde_json::json!({
            "do": "new_release", "app": "shop-staging", "image": format!("registry.fly.io/shop:n{at}"),
            "status": "failed", "user": "dev", "moves": false,
        }));
    }
    let numbers = |args: &[&str]| -> Vec<String> {
        let ran = env.shipctl(["--sandbox", "releases", "staging"].iter().chain(args).copied());
        ran.succeeds();
        let rows = ran.stdout.lines().filter(|line| line.starts_with("  v"));
        rows.map(|row| row.split_whitespace().next().unwrap().to_owned())
            .collect()
    };
    let newest = |count: u32| (0..count).map(|at| format!("v{}", 20 - at));
    let pinned = ["v2".to_owned(), "v1".to_owned()];
    assert_eq!(numbers(&[]), newest(15).chain(pinned.clone()).collect::<Vec<_>>());
    assert_eq!(
        numbers(&["--limit", "3"]),
        newest(3).chain(pinned).collect::<Vec<_>>()
    );
    assert_eq!(numbers(&["--limit", "25"]).len(), 20);
    let ran = env.shipctl(["--sandbox", "releases", "staging"]);
    ran.says("  3 older ones are left out: shipctl --sandbox releases staging --limit 20\n");
    assert!(ran.stdout.lines().count() < 24, "{}", ran.stdout);
    let document = env.shipctl(["--sandbox", "releases", "staging", "--json"]).json();
    assert_eq!(document["services"][0]["releases"].as_array().unwrap().len(), 20);
}

#[test]
fn who_released_it_is_said_where_there_is_room() {
    let env = TestEnv::sandbox();
    let wide = env.shipctl(["--sandbox", "releases", "staging"]);
    let line = wide
        .stdout
        .lines()
        .find(|line| line.starts_with("  v2 "))
        .unwrap();
    assert!(
        line.ends_with(" shop-staging:v2  -        dev@example.com"),
        "{line:?}"
    );
    let env = env.variable("COLUMNS", "80");
    let narrow = env.shipctl(["--sandbox", "releases", "staging"]);
    let line = narrow
        .stdout
        .lines()
        .find(|line| line.starts_with("  v2 "))
        .unwrap();
    assert!(line.ends_with(" shop-staging:v2"), "{line:?}");
}
