//! Data on stdout, talk on stderr, escape codes only where they are asked for or understood.

use crate::support::TestEnv;

const DEPLOY: [&str; 5] = [
    "--sandbox",
    "deploy",
    "staging",
    "--image",
    "registry.fly.io/shop:v3",
];

#[test]
fn a_pipe_gets_no_escape_code() {
    let env = TestEnv::sandbox().variable("TERM", "xterm-256color");
    let runs = [
        env.shipctl(DEPLOY),
        env.shipctl(["--sandbox", "status", "staging"]),
        env.shipctl(["--sandbox", "releases", "staging"]),
        env.shipctl(["--sandbox", "rollback", "production"]),
        env.shipctl(["--help"]),
        env.shipctl(["deploy", "--nothing"]),
    ];
    for ran in runs {
        assert!(
            !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
            "{ran:?}"
        );
    }
}

#[test]
fn colour_can_be_asked_for_and_forbidden() {
    let env = TestEnv::sandbox();
    let colourful = |env: &TestEnv, args: &[&str]| {
        let all = ["--sandbox"].iter().chain(args).copied();
        env.shipctl(all).succeeds().stdout.contains('\u{1b}')
    };
    assert!(colourful(&env, &["status", "--color", "always"]));
    assert!(!colourful(&env, &["status", "--color", "never"]));
    assert!(!colourful(&env, &["status"]));
    let env = env.variable("CLICOLOR_FORCE", "1");
    assert!(colourful(&env, &["status"]));
    let env = env.variable("NO_COLOR", "1");
    assert!(!colourful(&env, &["status"]));
    assert!(colourful(&env, &["status", "--color", "always"]), "a flag wins");
}

#[test]
fn columns_bind_what_is_said() {
    let env = TestEnv::sandbox().variable("COLUMNS", "80");
    let bad = "registry.fly.io/shop:v4-unhealthy";
    let runs = [
        env.shipctl(DEPLOY),
        env.shipctl(["--sandbox", "deploy", "staging", "--image", bad]),
        env.shipctl(["--sandbox", "rollback", "production"]),
        env.shipctl(["--sandbox", "deploy", "staging", "--image", bad, "--dry-run"]),
        env.shipctl(["--sandbox", "status", "staging"]),
        env.shipctl(["--sandbox", "releases", "staging"]),
    ];
    for ran in runs {
        for line in ran.stdout.lines().chain(ran.stderr.lines()) {
            // A word is never broken, so that it can be pasted: an address may stand out.
            let words = line.split_whitespace().filter(|word| *word != "SANDBOX").count();
            assert!(line.chars().count() <= 80 || words == 1, "{line}");
        }
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let env = TestEnv::sandbox();
    let mut child = env.start(["--sandbox", "status"]);
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// Nobody reads what a full disk took: of a command that only reads, that is a failure.
#[test]
fn an_answer_that_cannot_be_written_is_said_to_be_lost() {
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

    let env = TestEnv::sandbox();
    let lost = |args: &[&str]| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_shipctl"))
            .args(args)
            .current_dir(env.project())
            .env_clear()
            .envs(env.variables())
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("the answer cannot be written to stdout"),
            "{args:?}: {stderr}"
        );
        assert!(
            stderr.contains("hint: make room where stdout leads to"),
            "{args:?}: {stderr}"
        );
        output.status.code()
    };
    assert_eq!(lost(&["--sandbox", "status", "staging", "--json"]), Some(1));
    assert_eq!(lost(&["--sandbox", "history", "staging"]), Some(1));
    // What is deployed is deployed, told or not; and what is wrong stays so.
    let deploy: Vec<&str> = DEPLOY.iter().copied().chain(["--json"]).collect();
    assert_eq!(lost(&deploy), Some(0));
    assert_eq!(env.tags("shop-staging"), ["v3", "v3"]);
}
