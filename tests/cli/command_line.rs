//! Which command lines are understood, and how a wrong one is answered.

use serde_json::json;

use crate::support::text::{without_times, words_of};
use crate::support::{Ran, TestEnv};

/// Run where there is no project, so that nothing but the parsing can succeed.
const UNDERSTOOD: &[&str] = &[
    "deploy",
    "deploy staging",
    "deploy production --config fly.production.toml",
    "deploy production -c fly.production.toml",
    "deploy staging --image registry.fly.io/shop:v2 --bake 30s --timeout 5m",
    "deploy staging --strategy bluegreen --no-rollback --dry-run --unfreeze",
    "deploy staging --override refs,after --reason hotfix --lock-wait 1m30s",
    "deploy staging -- --build-arg REV=abc --strategy rolling",
    "--sandbox deploy staging",
    "deploy staging --sandbox --json --events events.jsonl --color never -q",
    "-C . --service web deploy staging -v",
    "rollback production",
    "rollback production --to v41 --yes --dry-run --reason slow --with-release-command",
    "rollback production -y --timeout 5m --bake 0s --lock-wait 10s",
    "status",
    "status production --watch --json",
    "releases production",
    "verify production --release 41 --timeout 2m",
    "verify production --release v41",
    "config show",
    "config show production",
    "config check",
    "config check production --json",
    "history",
    "history production --limit 5 --since 7d --json",
    "history show ae1f2ebb",
    "freeze production --reason incident",
    "unfreeze production",
    "lock status production",
    "lock acquire production --reason incident",
    "lock release production --force",
    "sandbox reset",
    "sandbox up",
    "completions bash",
    "completions fish",
    "man",
];

const NOT_UNDERSTOOD: &[&str] = &[
    "",
    "ship production",
    "deploy staging production",
    "deploy staging --imgae x",
    "deploy staging --strategy yolo",
    "deploy staging --image=",
    "deploy staging --image=<REF>",
    "deploy staging --bake 30",
    "deploy staging --timeout soon",
    "deploy staging --override freeze",
    "deploy staging --quiet --verbose",
    "--color sometimes status",
    "rollback",
    "rollback production --release 41",
    "releases",
    "verify",
    "verify production --release newest",
    "config",
    "history --limit 0",
    "history --limit some",
    "history --since yesterday",
    "history show",
    "freeze production",
    "unfreeze production --reason over",
    "lock",
    "lock status production --force",
    "lock release production --reason over",
    "sandbox",
    "completions",
    "completions tcl",
];

#[test]
fn what_is_understood() {
    let env = TestEnv::new();
    for line in UNDERSTOOD {
        let ran = env.shipctl(line.split_whitespace());
        assert_ne!(ran.code, Some(2), "shipctl {line}\n{}", ran.stderr);
    }
}

#[test]
fn what_is_not_understood_exits_2_and_says_so_on_stderr() {
    let env = TestEnv::shop();
    for line in NOT_UNDERSTOOD {
        let ran = env.shipctl(line.split_whitespace());
        ran.exits(2);
        assert_eq!(ran.stdout, "", "shipctl {line}");
        assert!(
            ran.stderr.starts_with("error: ") || line.is_empty() || ran.stderr.contains("Usage: shipctl"),
            "shipctl {line}\n{}",
            ran.stderr
        );
    }
}

#[test]
fn what_is_not_understood_is_a_document_with_json() {
    let env = TestEnv::shop();
    for line in NOT_UNDERSTOOD.iter().filter(|line| !line.is_empty()) {
        let ran = env.shipctl(["--json"].into_iter().chain(line.split_whitespace()));
        ran.exits(2);
        let document = ran.json();
        assert_eq!(document["schema"], "shipctl/error/1", "{line}");
        assert_eq!(document["exit_code"], 2, "{line}");
        assert_eq!(document["name"], "usage", "{line}");
        assert!(
            document["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{line}: {document}"
        );
        let hints = document["hints"].as_array().unwrap();
        assert!(!hints.is_empty(), "{line}: {document}");
        assert_eq!(ran.stderr, "", "{line}");
    }
}

#[test]
fn what_flyctl_may_not_be_told_is_a_wrong_command_line() {
    let env = TestEnv::sandbox();
    for flag in [
        "-a",
        "--app",
        "--config",
        "-c",
        "--image",
        "-i",
        "--access-token",
        "-t",
    ] {
        let ran = env.shipctl(["--sandbox", "deploy", "staging", "--", flag, "other"]);
        ran.exits(2).says(flag);
    }
    assert_eq!(env.releases("shop-staging"), 2, "nothing was released");
}

#[test]
fn one_document_is_all_that_stands_on_stdout() {
    let env = TestEnv::sandbox();
    let ran = env.shipctl(["--sandbox", "verify", "staging", "--json", "--events", "-"]);
    ran.exits(2);
    let document = ran.json();
    assert_eq!(
        document["message"],
        "`--json` and `--events -` would both write to stdout"
    );
    assert_eq!(
        document["hints"],
        json!(["write the events elsewhere: `--events FILE`"])
    );
}

/// `-a APP` is for whoever has no checkout; a deploy ships one.
#[test]
fn an_app_alone_is_not_deployed() {
    let env = TestEnv::sandbox();
    for line in [
        &["deploy", "-a", "shop"][..],
        &["deploy", "staging", "-a", "shop"],
    ] {
        env.shipctl(line.iter().copied()).exits(2);
    }
    env.shipctl(["deploy", "-a", "shop"]).is(
        2,
        "",
        "error: `deploy` ships what a checkout says: `-a APP` stands for no environment of it\n\
         hint: name the environment: shipctl deploy ENV\n",
    );
}

#[test]
fn help_names_every_exit_code_and_fits_80_columns() {
    let help = TestEnv::new().variable("COLUMNS", "80").shipctl(["--help"]);
    help.succeeds();
    for name in [
        "0 ok",
        "1 error",
        "2 usage",
        "3 refused",
        "4 config",
        "5 locked",
        "6 failed",
        "7 rolled_back",
        "8 broken",
        "9 inconclusive",
        "10 provider",
        "128+n",
    ] {
        assert!(help.stdout.contains(name), "{name}\n{}", help.stdout);
    }
    let widest = help.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?}\n{}", help.stdout);
}

#[test]
fn every_command_has_help_with_an_example() {
    let env = TestEnv::new();
    let help = env.shipctl(["--help"]);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 13, "{commands:?}");
    for command in commands {
        let help = env.shipctl([command, "--help"]);
        help.succeeds();
        let examples: Vec<&str> = help
            .stdout
            .lines()
            .skip_while(|line| *line != "Examples:")
            .skip(1)
            .filter_map(|line| line.strip_prefix("  shipctl "))
            .collect();
        assert!(
            !examples.is_empty(),
            "{command} --help has no example\n{}",
            help.stdout
        );
        for example in examples {
            let words = words_of(example);
            assert!(example.contains(command), "{command}: {example}");
            // It has a test of its own, and takes its time.
            if example == "sandbox demo" {
                continue;
            }
            let ran = env.shipctl(words.iter().map(String::as_str));
            assert_ne!(ran.code, Some(2), "shipctl {example}\n{}", ran.stderr);
        }
    }
}

#[test]
fn the_version_is_the_package_s() {
    let expected = format!("shipctl {}\n", env!("CARGO_PKG_VERSION"));
    TestEnv::new().shipctl(["--version"]).is(0, &expected, "");
}

#[test]
fn a_folder_that_is_named_is_as_one_that_is_gone_to() {
    let env = TestEnv::sandbox();
    let named = env.project().display().to_string();
    for command in [&["--sandbox", "status"][..], &["config", "check"]] {
        let gone = env.shipctl(command.iter().copied());
        let told = env.shipctl_in(&env.path("bin"), ["-C", &named].iter().chain(command).copied());
        gone.succeeds();
        let words = |ran: &Ran| (ran.code, without_times(&ran.stdout), without_times(&ran.stderr));
        assert_eq!(words(&told), words(&gone), "{command:?}");
    }
    // A folder that is named is the project: none above it is meant.
    env.write("service/notes.txt", "");
    for folder in ["service", "../home"] {
        let ran = env.shipctl(["-C", folder, "--sandbox", "status"]);
        ran.exits(4)
            .says("` holds neither `shipctl.toml` nor `fly.<env>.toml` nor `fly.toml`\n")
            .says("hint: name the project's own folder with `-C`\n");
    }
    env.shipctl(["-C", "nowhere", "status"]).is(
        2,
        "",
        "error: cannot go to `-C nowhere`\ncaused by: No such file or directory (os error 2)\n",
    );
    // What is relative is so from there.
    env.shipctl_in(
        &env.path("bin"),
        [
            "-C",
            "../shop",
            "--sandbox",
            "verify",
            "staging",
            "--events",
            "events.jsonl",
        ],
    )
    .succeeds();
    assert!(env.project().join("events.jsonl").exists());
}
