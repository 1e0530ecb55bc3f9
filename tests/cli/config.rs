//! `config show`, `config check`, and mistakes in files.

use crate::support::{QUICK, TestEnv, fly_toml};

#[test]
fn a_typo_names_file_line_and_the_nearest_key() {
    let env = TestEnv::shop().file("shipctl.toml", "[verify]\nbaek = \"1s\"\n");
    for command in [
        ["deploy", "staging"].as_slice(),
        &["config", "check"],
        &["config", "show"],
    ] {
        let ran = env.shipctl(command.iter().copied());
        ran.exits(4).says("shipctl.toml:2").says("bake");
        assert_eq!(ran.stdout, "");
    }
}

/// Neither is the cause of the other, and each is mended by itself.
#[test]
fn two_typos_are_two_errors_each_with_its_hint() {
    let env = TestEnv::shop().file(
        "shipctl.toml",
        "[verify]\nbaek = \"1s\"\n[rollback]\nfreze = \"never\"\n",
    );
    let ran = env.shipctl(["config", "check"]);
    ran.exits(4);
    assert!(!ran.stderr.contains("caused by"), "{}", ran.stderr);
    let errors: Vec<&str> = ran.stderr.split("error: ").skip(1).collect();
    assert_eq!(errors.len(), 2, "{}", ran.stderr);
    for (error, place, hint) in [
        (errors[0], "shipctl.toml:2:", "`bake`"),
        (errors[1], "shipctl.toml:4:", "`freeze`"),
    ] {
        assert!(error.starts_with(place), "{error}");
        let last = error.trim_end().lines().last().unwrap();
        assert!(last.starts_with("hint: ") && last.contains(hint), "{error}");
    }
    let document = env.shipctl(["config", "check", "--json"]).json();
    assert_eq!(document["others"].as_array().unwrap().len(), 1, "{document}");
    assert!(
        document["others"][0]["hints"][0]
            .as_str()
            .unwrap()
            .contains("`freeze`")
    );
}

#[test]
fn at_three_in_the_morning_a_typo_is_a_warning() {
    let env = TestEnv::sandbox().file("shipctl.toml", "[verify]\nbaek = \"1s\"\n");
    env.shipctl(["--sandbox", "status"])
        .succeeds()
        .says("shipctl.toml:2");
    env.shipctl(["--sandbox", "rollback", "production", "--dry-run"])
        .succeeds()
        .says("warning: ");
}

#[test]
fn a_place_for_state_that_only_a_later_version_knows_stops_no_rollback() {
    let env = TestEnv::sandbox().file("shipctl.toml", &format!("{QUICK}[state]\nurl = \"git+origin\"\n"));
    for command in [
        ["deploy", "staging", "--dry-run"].as_slice(),
        &["config", "check"],
    ] {
        let ran = env.shipctl(command.iter().copied());
        ran.exits(4)
            .says("shipctl.toml:5:7")
            .says("this version keeps state in a folder alone, not at `git+origin`");
        assert_eq!(ran.stdout, "");
    }
    env.shipctl(["--sandbox", "rollback", "staging", "--yes"])
        .succeeds()
        .says("warning: shipctl.toml:5: `state.url`");
    // What was left out is said by every command that goes on without it.
    for command in [
        ["history"].as_slice(),
        &["history", "staging", "--json"],
        &["lock", "status", "staging"],
        &["freeze", "staging", "--reason", "incident"],
        &["unfreeze", "staging"],
    ] {
        let ran = env.shipctl(command.iter().copied());
        ran.succeeds();
        assert!(
            ran.stderr.starts_with("warning: shipctl.toml:5: `state.url`"),
            "{ran:?}"
        );
    }
    env.shipctl(["--sandbox", "releases", "staging"])
        .succeeds()
        .says("warning: shipctl.toml:5: `state.url`");
}

#[test]
fn no_project_says_what_makes_one() {
    let ran = TestEnv::new().shipctl(["deploy", "staging"]);
    ran.exits(4).says("fly.");
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

#[test]
fn two_environments_with_one_app_are_a_mistake() {
    let env = TestEnv::new()
        .file("fly.staging.toml", &fly_toml("shop"))
        .file("fly.production.toml", &fly_toml("shop"));
    env.shipctl(["deploy", "staging"])
        .exits(4)
        .says("fly.staging.toml")
        .says("fly.production.toml");
}

#[test]
fn values_are_shown_with_their_source() {
    let env = TestEnv::shop().variable("SHIPCTL_VERIFY_SUCCESSES", "5");
    let ran = env.shipctl(["config", "show", "staging"]);
    ran.succeeds();
    let lines: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "verify.bake 0s shipctl.toml:3",
        "verify.path /health fly.staging.toml",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "{line}\n{}", ran.stdout);
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("verify.successes 5 ") && line.contains("SHIPCTL_VERIFY_SUCCESSES")),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_good_project_has_nothing_to_mend() {
    TestEnv::new()
        .file("fly.staging.toml", &fly_toml("shop-staging"))
        .file("shipctl.toml", QUICK)
        .shipctl(["config", "check"])
        .is(0, "nothing to say of fly.staging.toml, shipctl.toml\n", "");
}

#[test]
fn what_a_variable_names_has_to_be_there_too() {
    let env = TestEnv::sandbox();
    for (variable, value, cause) in [
        (
            "SHIPCTL_ENVIRONMENTS_STAGING_AFTER",
            "ghost",
            "it names `ghost`, which is no environment",
        ),
        (
            "SHIPCTL_ENVIRONMENTS_STAGING_AFTER",
            "staging",
            "it names `staging` itself",
        ),
        (
            "SHIPCTL_SERVICES_WEB_NEEDS",
            "ghost",
            "it names `ghost`, which is no service",
        ),
    ] {
        let env = TestEnv::sandbox().variable(variable, value);
        let ran = env.shipctl([
            "--sandbox",
            "deploy",
            "staging",
            "--dry-run",
            "--image",
            "registry.fly.io/shop:v3",
        ]);
        ran.exits(4).says(&format!("`{variable}`: {cause}"));
        env.shipctl(["config", "check"]).exits(4).says(cause);
    }
    let env = env.variable("SHIPCTL_ENVIRONMENTS_STAGING_AFTER", "production");
    env.shipctl(["config", "check"]).succeeds();
}

#[test]
fn the_variable_of_the_token_is_shown_where_nothing_names_one() {
    let ran = TestEnv::sandbox();
    let ran = ran.shipctl(["config", "show", "staging"]);
    let line = ran
        .stdout
        .lines()
        .find(|line| line.contains("environments.staging.token"))
        .unwrap();
    assert!(
        line.contains("FLY_API_TOKEN_STAGING") && line.contains("default"),
        "{line:?}"
    );
}
