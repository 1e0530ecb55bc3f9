//! `shipctl lock`: who deploys, and keeping others off by hand.

use serde_json::json;

use crate::support::{Ran, TestEnv};

const ACQUIRE: [&str; 6] = [
    "--sandbox",
    "lock",
    "acquire",
    "staging",
    "--reason",
    "restoring data",
];
const DEPLOY: [&str; 5] = [
    "--sandbox",
    "deploy",
    "staging",
    "--image",
    "registry.fly.io/shop:v3",
];

fn lock(env: &TestEnv, args: &[&str]) -> Ran {
    env.shipctl(["--sandbox", "lock"].iter().chain(args).copied())
}

#[test]
fn a_persons_lock_keeps_everybody_off_until_it_is_released() {
    let env = TestEnv::sandbox();
    lock(&env, &["status", "staging"]).is(0, "staging is not locked\n", "");
    env.shipctl(ACQUIRE).is_but_for_times(
        0,
        "staging is locked by dev, [AGO]: restoring data\n",
        "SANDBOX it holds on this machine only\n",
    );
    lock(&env, &["status", "staging"]).is_but_for_times(
        0,
        "staging is locked by dev, [AGO]: restoring data\n",
        "",
    );
    let refusal = "SANDBOX error: `shop-staging` is locked by dev since [TIME]: restoring data\n\
                   SANDBOX hint: run `shipctl --sandbox lock release staging` once that is over\n";
    lock(&env, &["acquire", "staging"]).is_but_for_times(5, "", refusal);
    for command in [
        DEPLOY.as_slice(),
        &["--sandbox", "-q", "rollback", "staging", "--yes"],
    ] {
        let ran = env.shipctl(command.iter().copied());
        ran.exits(5)
            .says("is locked by dev since ")
            .says("lock release staging");
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(env.releases("shop-staging"), 2, "nothing was released");
    lock(&env, &["status", "production"]).is(0, "production is not locked\n", "");
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says("  locked by dev, ");
    lock(&env, &["release", "staging"]).is(0, "staging is not locked\n", "");
    lock(&env, &["release", "staging"]).is(0, "staging is not locked\n", "");
    env.shipctl(DEPLOY).succeeds();
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
}

#[test]
fn one_that_is_alive_is_released_by_force_alone() {
    let env = TestEnv::sandbox().variable("SHIPCTL_VERIFY_TIMEOUT", "90s");
    let hang = "registry.fly.io/shop:v3-hang";
    let mut first = env.start(["--sandbox", "deploy", "staging", "--image", hang]);
    TestEnv::until("the lock is held", || {
        lock(&env, &["status", "staging", "--json"]).json()["locks"] != json!([])
    });
    let status = lock(&env, &["status", "staging"]);
    let refused = lock(&env, &["release", "staging"]);
    let still = lock(&env, &["status", "staging"]);
    let forced = lock(&env, &["release", "staging", "--force"]);
    first.kill().unwrap();
    first.wait().unwrap();
    status.is_but_for_times(0, "staging is locked by dev, [AGO]: deploy\n", "");
    refused.is_but_for_times(
        5,
        "",
        "SANDBOX error: `shop-staging` is held by a deployment that runs: dev since [TIME]: deploy\n\
         SANDBOX hint: shipctl --sandbox lock release staging --force (the deployment then stops changing anything)\n",
    );
    still.is_but_for_times(0, "staging is locked by dev, [AGO]: deploy\n", "");
    forced.is(0, "staging is not locked\n", "");
}

#[test]
fn it_is_told_as_a_document() {
    let env = TestEnv::sandbox();
    let free = json!({"schema": "shipctl/lock/1", "sandbox": true, "environment": "staging", "locks": []});
    let mut taken = env.shipctl(ACQUIRE.into_iter().chain(["--json"])).json();
    assert!(
        taken["locks"][0]["since"]
            .as_str()
            .is_some_and(|since| since.ends_with('Z')),
        "{taken}"
    );
    taken["locks"][0]["since"] = json!("then");
    let held = json!({
        "schema": "shipctl/lock/1", "sandbox": true, "environment": "staging",
        "locks": [{
            "app": "shop-staging", "owner": "dev", "reason": "restoring data", "since": "then",
            "run_url": null, "manual": true,
        }],
    });
    assert_eq!(taken, held);
    let refused = lock(&env, &["acquire", "staging", "--json"]);
    refused.exits(5);
    assert_eq!(refused.json()["name"], "locked");
    assert_eq!(lock(&env, &["release", "staging", "--json"]).json(), free);
    assert_eq!(lock(&env, &["status", "staging", "--json"]).json(), free);
}

#[test]
fn an_environment_must_be_named_and_known() {
    let env = TestEnv::shop();
    env.shipctl(["lock", "status"]).is(
        2,
        "",
        "error: no environment is named\n\
         hint: name one of: production, staging\n\
         hint: or the app, where there is no checkout: `-a APP`\n",
    );
    env.shipctl(["lock", "acquire", "nowhere"]).is(
        4,
        "",
        "error: there is no environment `nowhere`\n\
         hint: environments are `production` and `staging`\n",
    );
}
