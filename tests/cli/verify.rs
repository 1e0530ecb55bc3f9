//! `shipctl verify`: what is live now, by looking.

use serde_json::json;

use crate::support::TestEnv;

#[test]
fn what_is_good_exits_0() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "verify", "staging"]);
    ran.succeeds();
    assert_eq!(
        ran.stdout,
        "✔ staging is serving v2 (shop-staging:v2), verified: 2 instances answer as v2\n"
    );
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says("staging: v2 (shop-staging:v2), verified, 2/2 up");
}

#[test]
fn what_is_bad_exits_8_and_names_what_serves() {
    let env = TestEnv::sandbox();
    env.order(json!({"do": "behaviour", "app": "shop-staging", "behaviour": "unhealthy"}));
    let ran = env.shipctl(["--sandbox", "verify", "staging"]);
    ran.exits(8).says("answers 503").says("next: ");
    assert_eq!(ran.answer(), "✖ staging is broken, serving v2 (shop-staging:v2)");
}

#[test]
fn another_release_than_the_one_named_is_not_good() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "verify",
        "staging",
        "--release",
        "1",
        "--timeout",
        "2s",
    ])
    .exits(8);
}

/// A question about another release says nothing of the one that serves, and the ledger does not hear of it.
#[test]
fn a_release_that_does_not_serve_is_told_apart_from_one_that_is_bad() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    let ran = env.shipctl([
        "--sandbox",
        "verify",
        "staging",
        "--release",
        "2",
        "--timeout",
        "2s",
    ]);
    ran.exits(8)
        .says("it runs release v3")
        .says("next: whether what serves is good: shipctl --sandbox verify staging");
    assert_eq!(ran.answer(), "✖ staging serves v3 (shop:v3), not v2");
    assert!(!ran.stdout.contains("history show"), "{}", ran.stdout);
    let document = env
        .shipctl([
            "--sandbox",
            "verify",
            "staging",
            "--release",
            "2",
            "--timeout",
            "2s",
            "--json",
        ])
        .json();
    let service = &document["services"][0];
    assert_eq!(service["image"], "registry.fly.io/shop-staging:v2", "{service:#}");
    assert_eq!(
        service["serving"]["image"], "registry.fly.io/shop:v3",
        "{service:#}"
    );
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says("staging: v3 (shop:v3), verified, 2/2 up");
}
