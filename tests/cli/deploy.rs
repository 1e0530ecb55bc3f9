//! `shipctl deploy`: what is refused, what is shipped, and what is said.

use serde_json::json;

use crate::support::{TestEnv, fly_toml};

const IMAGE: &str = "registry.fly.io/shop:v3";

#[test]
fn an_unknown_environment_is_answered_with_the_nearest_one() {
    TestEnv::shop().shipctl(["deploy", "stagng"]).is(
        4,
        "",
        "error: there is no environment `stagng`\n\
         hint: did you mean `staging`?\n\
         hint: environments are `production` and `staging`\n",
    );
}

#[test]
fn a_protected_environment_needs_its_file_named() {
    TestEnv::shop().shipctl(["deploy", "production"]).is(
        3,
        "",
        "error: the protected environment `production` needs its config named\n\
         hint: run `shipctl deploy production --config fly.production.toml`\n",
    );
}

#[test]
fn no_environment_is_refused() {
    TestEnv::shop().shipctl(["deploy"]).is(
        3,
        "",
        "error: it is not said which environment to deploy\n\
         hint: environments are `production` and `staging`\n\
         hint: for example `shipctl deploy staging`\n",
    );
}

#[test]
fn the_file_of_another_environment_is_refused() {
    TestEnv::shop()
        .shipctl(["deploy", "staging", "--config", "fly.production.toml"])
        .is(
            3,
            "",
            "error: `fly.production.toml` belongs to the environment `production`, not to `staging`\n\
             hint: run `shipctl deploy staging`\n\
             hint: run `shipctl deploy production --config fly.production.toml`\n",
        );
}

#[test]
fn another_app_than_the_one_bound_is_refused() {
    let env = TestEnv::sandbox().file("shipctl.toml", "[environments.staging]\napp = \"shop-other\"\n");
    let ran = env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE]);
    ran.exits(3).says("`shop-other`").says("`shop-staging`");
    assert_eq!(env.releases("shop-staging"), 2);
}

#[test]
fn the_wrong_app_is_refused_before_flyctl_is_looked_for() {
    TestEnv::shop()
        .file("shipctl.toml", "[environments.staging]\napp = \"shop-other\"\n")
        .shipctl(["deploy", "staging", "--image", IMAGE])
        .exits(3)
        .says("`shop-other`");
}

#[test]
fn an_app_of_another_organisation_is_refused() {
    let env = TestEnv::sandbox().file("shipctl.toml", "[environments.staging]\norg = \"acme\"\n");
    let ran = env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE]);
    ran.exits(3)
        .says("`acme`")
        .says("`personal`")
        .says("`shop-staging`");
    assert_eq!(env.releases("shop-staging"), 2);
    env.file("shipctl.toml", "[environments.staging]\norg = \"personal\"\n")
        .shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE])
        .exits(0);
}

/// The terminal is gone: nobody reads, and the answer is recorded all the same.
#[test]
fn a_lost_terminal_ends_as_a_signal_does() {
    let env = TestEnv::sandbox();
    let args = [
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3-hang",
        "--json",
    ];
    let child = env.start(args);
    TestEnv::until("the release was made", || env.releases("shop-staging") == 3);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(129), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["outcome"], "interrupted", "{document:#}");
    env.shipctl(["--sandbox", "history", "staging"])
        .succeeds()
        .says("interrupted");
}

#[test]
fn without_flyctl_nothing_is_done() {
    let ran = TestEnv::shop().shipctl(["deploy", "staging", "--image", IMAGE]);
    ran.exits(10);
    let (progress, error) = ran.stderr.split_once('\n').unwrap();
    assert!(progress.starts_with("✖ prepare "), "{progress}");
    assert_eq!(
        error,
        "error: neither `flyctl` nor `fly` is on `PATH`\n\
         hint: install flyctl (https://fly.io/docs/flyctl/install/), or set `SHIPCTL_FLYCTL` to its path\n"
    );
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_good_release_is_shipped_and_verified() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE]);
    ran.succeeds();
    assert_eq!(
        ran.stdout,
        "✔ staging is serving v3 (shop:v3), verified: 2 instances answer as v3\n"
    );
    for line in ran.stderr.lines() {
        assert!(line.starts_with("SANDBOX "), "{line:?} is not marked");
    }
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
}

#[test]
fn a_bad_release_is_returned_from_and_the_answer_comes_first() {
    let env = TestEnv::sandbox();
    env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE])
        .succeeds();
    let bad = "registry.fly.io/shop:v4-unhealthy";
    let ran = env.shipctl(["--sandbox", "deploy", "staging", "--image", bad]);
    ran.exits(7);
    assert_eq!(
        ran.answer(),
        "↩ staging is serving v5 (shop:v3), verified; v4 (shop:v4-unhealthy) was refuted"
    );
    ran.says("answers 503")
        .says("next: mend it and ship again: shipctl --sandbox deploy staging --image <REF>\n")
        .says("exit 7 (rolled_back)");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start_matches([' ', '-']);
        assert!(
            text.len() < 40 || !lines[at + 1..].iter().any(|other| other.contains(text)),
            "said twice: {line}\n{}",
            ran.stdout
        );
    }
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
}

#[test]
fn a_plan_changes_nothing() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE, "--dry-run"]);
    ran.succeeds();
    assert_eq!(
        ran.stdout,
        "deploy staging: nothing has been changed, this is the plan\n\
         \x20 ship     ship shop:v3 to shop-staging\n\
         \x20 with     fly.staging.toml\n\
         \x20 over     v2 (shop-staging:v2)\n\
         \x20 verify   2 instances, then bake 0 ms\n\
         \x20 return   to shop-staging:v2 if it is refuted\n"
    );
    assert_eq!(env.releases("shop-staging"), 2);
    assert_eq!(env.tags("shop-staging"), ["v2", "v2"]);
}

#[test]
fn what_is_frozen_is_refused_and_the_thaw_is_named() {
    let env = TestEnv::sandbox();
    env.shipctl([
        "--sandbox",
        "rollback",
        "production",
        "--yes",
        "--reason",
        "too slow",
    ])
    .succeeds();
    let deploy = [
        "--sandbox",
        "deploy",
        "production",
        "--config",
        "fly.production.toml",
        "--image",
        IMAGE,
    ];
    let ran = env.shipctl(deploy);
    ran.exits(3)
        .says("error: `production` is frozen since ")
        .says(" by dev: too slow\n")
        .says("hint: run `shipctl --sandbox unfreeze production`, or deploy with `--unfreeze`\n");
    assert_eq!(ran.stdout, "");
    env.shipctl(deploy.into_iter().chain(["--unfreeze"])).succeeds();
    assert_eq!(env.tags("shop"), ["v3", "v3"]);
}

#[test]
fn a_second_deploy_is_locked_out_and_told_by_whom() {
    let env = TestEnv::sandbox().variable("SHIPCTL_VERIFY_TIMEOUT", "90s");
    let hang = "registry.fly.io/shop:v3-hang";
    let mut first = env.start(["--sandbox", "deploy", "staging", "--image", hang]);
    TestEnv::until("the lock is held", || {
        let status = env.shipctl(["--sandbox", "status", "staging", "--json"]).json();
        status["environments"][0]["lock"] != json!(null)
    });
    let second = env.shipctl(["--sandbox", "deploy", "staging", "--image", IMAGE]);
    first.kill().unwrap();
    first.wait().unwrap();
    second.exits(5).says("is locked by dev since ");
    assert_eq!(second.stdout, "");
}

#[test]
fn an_image_that_does_not_exist_moves_nothing() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:missing",
    ]);
    // flyctl ran and made no release: that is a failed deploy, and the baseline is verified once more (DESIGN 9).
    ran.exits(6)
        .says("could not find image \"registry.fly.io/shop:missing\"")
        .says("next: mend it and ship again: shipctl --sandbox deploy staging --image <REF>\n");
    assert_eq!(
        ran.answer(),
        "✖ staging still serves v2 (shop-staging:v2), verified; the deploy failed"
    );
    assert_eq!(env.releases("shop-staging"), 2, "no release was made");
    assert_eq!(env.tags("shop-staging"), ["v2", "v2"]);
}

#[test]
fn a_file_alone_is_one_environment() {
    let env = TestEnv::new().file("fly.toml", &fly_toml("shop"));
    env.shipctl(["--sandbox", "status"])
        .succeeds()
        .says("default: v2 (shop:v2), never verified here, 2/2 up");
}

#[test]
fn quiet_says_the_answer_alone() {
    let env = TestEnv::sandbox();
    env.shipctl(["--sandbox", "-q", "deploy", "staging", "--image", IMAGE])
        .is(
            0,
            "✔ staging is serving v3 (shop:v3), verified: 2 instances answer as v3\n",
            "",
        );
}

#[test]
fn a_flyctl_that_is_too_old_is_refused() {
    let script = "#!/bin/sh\necho '{\"Name\":\"flyctl\",\"Version\":\"0.1.100\",\"Commit\":\"x\",\"BuildDate\":\"2023-01-01T00:00:00Z\"}'\n";
    let env = TestEnv::shop().program("flyctl", script);
    let ran = env.shipctl(["deploy", "staging", "--image", IMAGE]);
    ran.exits(10).says("0.1.100").says("0.2.4");
    assert_eq!(ran.stdout, "");
}
