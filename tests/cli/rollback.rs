//! `shipctl rollback`: one word undoes it.

use crate::support::TestEnv;

#[test]
fn nobody_can_be_asked_without_a_terminal() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "rollback", "production"]);
    ran.exits(3)
        .says(
            "error: to roll back production: shop to v1 (shop:v1), which nobody verified \
             needs a yes, and nobody can be asked here\n",
        )
        .says("hint: shipctl --sandbox rollback production --yes\n");
    assert_eq!(ran.stdout, "");
    assert_eq!(env.releases("shop"), 2, "nothing was released");
}

#[test]
fn yes_goes_back_freezes_and_says_so() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "rollback", "production", "--yes"]);
    ran.succeeds();
    assert_eq!(
        ran.stdout,
        "✔ production is serving v3 (shop:v1), verified: 2 instances answer well\n"
    );
    ran.says("production is frozen for deploys: shipctl --sandbox unfreeze production");
    assert_eq!(env.tags("shop"), ["v1", "v1"]);
}

#[test]
fn what_is_named_is_what_is_shipped() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    env.shipctl(["--sandbox", "rollback", "staging", "--to", "v1", "--yes"])
        .succeeds();
    assert_eq!(env.tags("shop-staging"), ["v1", "v1"]);
    let ran = env.shipctl(["--sandbox", "rollback", "staging", "--to", "v99", "--yes"]);
    ran.exits(3)
        .says("`v99` names no release, image or version of `shop-staging`");
    assert_eq!(env.tags("shop-staging"), ["v1", "v1"]);
}

#[test]
fn a_plan_changes_nothing() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "rollback", "production", "--dry-run"]);
    ran.succeeds();
    assert_eq!(
        ran.answer(),
        "rollback production: nothing has been changed, this is the plan"
    );
    ran.says("  ship     ship shop:v1 to shop\n")
        .says("  over     v2 (shop:v2)\n");
    assert_eq!(env.releases("shop"), 2);
}

#[test]
fn an_unknown_environment_is_answered_with_the_nearest_one() {
    let ran = TestEnv::sandbox().shipctl(["--sandbox", "rollback", "prodution"]);
    ran.exits(4)
        .says("error: there is no environment `prodution`\n")
        .says("hint: did you mean `production`?\n");
}

#[test]
fn an_image_is_named_as_every_table_prints_it() {
    let env = TestEnv::sandbox();
    for tag in ["v3", "v4"] {
        let image = format!("registry.fly.io/shop:{tag}");
        env.shipctl(["--sandbox", "deploy", "staging", "--image", &image])
            .succeeds();
    }
    env.shipctl(["--sandbox", "rollback", "staging", "--to", "shop:v3", "--yes"])
        .succeeds();
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
    env.shipctl([
        "--sandbox",
        "rollback",
        "staging",
        "--to",
        "shop-staging:v1",
        "--yes",
    ])
    .succeeds();
    assert_eq!(env.tags("shop-staging"), ["v1", "v1"]);
}

#[test]
fn what_names_nothing_is_answered_with_what_exists_on_one_screen() {
    let env = TestEnv::sandbox();
    env.shipctl(["--sandbox", "-q", "rollback", "staging", "--to", "v99"])
        .is(
            3,
            "",
            "SANDBOX error: `v99` names no release, image or version of `shop-staging`\n\
         SANDBOX release:2  complete  shop-staging:v2  serving\n\
         SANDBOX release:1  complete  shop-staging:v1\n\
         SANDBOX hint: ship one of these with `shipctl --sandbox rollback staging --to release:1`\n\
         SANDBOX hint: more of each: `shipctl --sandbox releases staging`\n",
        );
}

#[test]
fn an_app_that_the_file_has_lost_is_that_of_the_last_record() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3",
    ])
    .succeeds();
    env.write("fly.staging.toml", "app =\n");
    let going_by = "`fly.staging.toml` names no app: going by `shop-staging`, which the last record names";
    env.shipctl(["--sandbox", "status", "staging"])
        .succeeds()
        .says(going_by);
    env.shipctl(["--sandbox", "verify", "staging"])
        .succeeds()
        .says(going_by);
    let ran = env.shipctl(["--sandbox", "rollback", "staging", "--yes"]);
    ran.succeeds().says(going_by);
    assert_eq!(env.tags("shop-staging"), ["v2", "v2"]);
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v4",
    ])
    .exits(4);
}
