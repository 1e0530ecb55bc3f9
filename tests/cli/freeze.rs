//! `shipctl freeze` and `unfreeze`: forward deploys are held off, the way back is not.

use serde_json::json;

use crate::support::{Ran, TestEnv};

fn freeze(env: &TestEnv, reason: &str) -> Ran {
    env.shipctl(["--sandbox", "freeze", "staging", "--reason", reason])
}

fn deploy(env: &TestEnv, more: &[&str]) -> Ran {
    let image = "registry.fly.io/shop:v3";
    let deploy = ["--sandbox", "-q", "deploy", "staging", "--image", image];
    env.shipctl(deploy.iter().chain(more).copied())
}

#[test]
fn a_deploy_is_refused_until_it_is_lifted() {
    let env = TestEnv::sandbox();
    freeze(&env, "incident 42").is(
        0,
        "staging is frozen: deploys are refused, rollbacks are not\n",
        "SANDBOX it holds on this machine only; `[state] url` in shipctl.toml names a folder that others see\n",
    );
    deploy(&env, &[]).is_but_for_times(
        3,
        "",
        "SANDBOX error: `staging` is frozen since [TIME] by dev: incident 42\n\
         SANDBOX hint: run `shipctl --sandbox unfreeze staging`, or deploy with `--unfreeze`\n\
         SANDBOX hint: or pass with `--override freeze --reason \"…\"`\n",
    );
    assert_eq!(env.releases("shop-staging"), 2, "nothing was released");
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says("  frozen by dev, ")
        .says(": incident 42\n");
    env.shipctl(["--sandbox", "unfreeze", "staging"])
        .is_but_for_times(
            0,
            "staging takes deploys again; it was frozen by dev, [AGO]: incident 42\n",
            "",
        );
    env.shipctl(["--sandbox", "unfreeze", "staging"])
        .is(0, "staging was not frozen\n", "");
    deploy(&env, &[]).succeeds();
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
}

#[test]
fn the_way_back_and_other_environments_are_free() {
    let env = TestEnv::sandbox();
    deploy(&env, &[]).succeeds();
    freeze(&env, "incident 42").succeeds();
    env.shipctl(["--sandbox", "rollback", "staging", "--yes"])
        .succeeds();
    assert_eq!(env.tags("shop-staging"), ["v2", "v2"]);
    let status = env.shipctl(["--sandbox", "status", "--json"]).json();
    assert_eq!(status["environments"][0]["environment"], "production");
    assert_eq!(status["environments"][0]["frozen"], json!(null));
    assert_eq!(status["environments"][1]["frozen"]["reason"], "incident 42");
}

#[test]
fn it_is_passed_over_with_a_reason() {
    let env = TestEnv::sandbox();
    freeze(&env, "incident 42").succeeds();
    deploy(&env, &["--override", "freeze", "--reason", "the mend"])
        .succeeds()
        .says("overridden: `staging` is frozen since ");
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
    // What was passed once holds for the next.
    deploy(&env, &[]).exits(3);
}

#[test]
fn the_newest_reason_counts_and_documents_tell_it() {
    let env = TestEnv::sandbox();
    freeze(&env, "first").succeeds();
    let mut frozen = env
        .shipctl(["--sandbox", "--json", "freeze", "staging", "--reason", "second"])
        .json();
    frozen["frozen"]["since"] = json!("then");
    frozen["replaced"]["since"] = json!("then");
    assert_eq!(
        frozen,
        json!({
            "schema": "shipctl/freeze/1", "sandbox": true, "environment": "staging",
            "frozen": {"reason": "second", "by": "dev", "since": "then"},
            "replaced": {"reason": "first", "by": "dev", "since": "then"},
        })
    );
    let mut lifted = env.shipctl(["--sandbox", "--json", "unfreeze", "staging"]).json();
    lifted["lifted"]["since"] = json!("then");
    assert_eq!(
        lifted,
        json!({
            "schema": "shipctl/freeze/1", "sandbox": true, "environment": "staging",
            "frozen": null, "lifted": {"reason": "second", "by": "dev", "since": "then"},
        })
    );
    let again = env.shipctl(["--sandbox", "--json", "unfreeze", "staging"]).json();
    assert_eq!(
        again,
        json!({"schema": "shipctl/freeze/1", "sandbox": true, "environment": "staging", "frozen": null})
    );
}

#[test]
fn an_earlier_reason_is_not_lost_in_silence() {
    let env = TestEnv::sandbox();
    freeze(&env, "incident 42").succeeds();
    freeze(&env, "database is full").succeeds().says(
        "SANDBOX it was frozen already, by dev, just now: incident 42; the new reason takes its place\n",
    );
}

/// Somebody without a checkout, and without a ledger that knows the app, freezes it for those who have one.
#[test]
fn a_freeze_of_an_app_holds_for_its_environment() {
    let env = TestEnv::shop();
    env.shipctl(["freeze", "-a", "shop-staging", "--reason", "incident 42"])
        .succeeds();
    env.shipctl(["unfreeze", "staging"])
        .succeeds()
        .says("staging takes deploys again; it was frozen by dev, just now: incident 42\n");
    env.shipctl(["unfreeze", "-a", "shop-staging"])
        .is(0, "shop-staging was not frozen\n", "");
}

/// What cannot be read is not the same as what is not there.
#[test]
fn one_that_cannot_be_read_is_said_and_holds() {
    let env = TestEnv::sandbox();
    let folder = env.path("state/shipctl/sandbox/shop/environments/staging");
    std::fs::create_dir_all(folder.join("freeze.json")).unwrap();
    std::fs::create_dir_all(folder.join("ledger.jsonl")).unwrap();
    std::fs::create_dir_all(env.path("state/shipctl/sandbox/shop/locks/shop-staging")).unwrap();
    let status = env.shipctl(["--sandbox", "status", "staging"]);
    let said = status
        .succeeds()
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for warning in [
        "warning: what was deployed to `staging` is not known: cannot use `",
        "warning: whether `staging` is frozen is not known: cannot read `",
        "warning: whether `shop-staging` is locked is not known: cannot read the lock `",
    ] {
        assert!(said.contains(warning), "{}", status.stdout);
    }
    let document = env.shipctl(["--sandbox", "--json", "status"]).json();
    assert_eq!(document["warnings"].as_array().unwrap().len(), 3, "{document}");
    assert_eq!(document["environments"][1]["frozen"], json!(null));
    env.shipctl(["--sandbox", "lock", "status", "staging"]).exits(1);
    deploy(&env, &[]).exits(1);
    assert_eq!(env.releases("shop-staging"), 2, "nothing was released");
}
