//! flyctl itself is the fault: it hangs, floods, prints what harms, is missing, too old, or crashes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::tools::{Events, FLY_TOML_INSIDE, all_text, holds, script, scripted, warnings};
use crate::support::{Builder, Ended, Running, Scene, image};

/// Two machines that nothing leads to from outside: no address, no HTTP, one check. Nothing is verified yet.
fn inside() -> Builder {
    Scene::builder()
        .fly_toml(FLY_TOML_INSIDE)
        .seed(json!({"shared_ip": false}))
        .unverified()
}

fn start(scene: &Scene, flyctl: &Path, more: &[&str]) -> Running {
    let image = image("v2");
    let deploy = scene.bare_shipctl(["deploy", "staging", "--json", "--image", &image]);
    deploy.args(more).env("SHIPCTL_FLYCTL", flyctl).start()
}

fn deploy(scene: &Scene, flyctl: &Path, more: &[&str]) -> Ended {
    start(scene, flyctl, more).wait()
}

#[test]
fn fault_40_a_call_hangs_before_anything_moved() {
    let scene = Scene::builder().timeout("6s").ready();
    scene.order(json!({"do": "fault", "kind": "delay", "match": "createRelease", "seconds": 100_000}));
    let ended = scene.deploy("v2").args(["--timeout", "12s"]).run();
    ended.concludes("failed", 6);
    // At least each ten seconds it is said what is waited for.
    let waits = ended
        .stderr
        .lines()
        .filter(|line| line.contains("… ship") && line.contains("flyctl gets the image"))
        .count();
    assert!(waits > 0, "{}", ended.told());
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_40_a_call_hangs_after_a_machine_moved() {
    let scene = Scene::builder().timeout("10s").ready();
    // The second machine is never told. Ended by us, flyctl leaves its leases behind for 13 s: the return outlasts them.
    scene.order(json!({"do": "fault", "kind": "delay", "match": "/wait", "seconds": 100_000}));
    let ended = scene.deploy("v2").args(["--timeout", "18s"]).run();
    ended.concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
}

/// Nothing is shipped by a deployment that cannot look at what serves.
#[track_caller]
fn hangs_while_looking(scene: &Scene, more: &[&str]) -> Ended {
    scene.order(
        json!({"do": "fault", "kind": "delay", "match": "flaps GET", "count": 1000, "seconds": 100_000}),
    );
    let ended = scene.deploy("v2").args(more).run();
    ended.refuses("inconclusive", 9);
    assert_eq!(scene.deploys(), 0);
    scene.order(json!({"do": "clear", "what": "faults"}));
    scene.truth().serves("shop", "v1", 2);
    ended
}

#[test]
fn fault_40_a_call_hangs_while_looking_for_longer_than_the_deployment_may_take() {
    let scene = Scene::builder().ready();
    let ended = hangs_while_looking(&scene, &["--timeout", "5s"]);
    ended.says(["within 5 s"]);
}

#[test]
fn fault_40_a_call_hangs_while_looking() {
    let scene = Scene::builder().ready();
    let ended = hangs_while_looking(&scene, &[]);
    ended.says(["machine list", "… prepare     10 s", "… prepare     20 s"]);
}

#[test]
fn fault_40_a_deaf_flyctl_is_killed_with_its_children() {
    let scene = inside().timeout("4s").ready();
    let children = scene.path("output").join("child");
    let body = format!(
        "trap '' TERM INT HUP\nsleep 300 &\necho $! > '{}'\nwait\nsleep 300",
        children.display()
    );
    let flyctl = scripted(&scene, &body);
    let ended = deploy(&scene, &flyctl, &["--timeout", "5s"]);
    ended.concludes("failed", 6);
    scene.truth().serves("shop", "v1", 2);
    let child = fs::read_to_string(&children).expect("the child's identifier");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    let ghost = stat
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'));
    assert!(stat.is_empty() || ghost, "flyctl's child lives on: {stat}");
}

/// The largest size that a process ever had, in MB; read while it runs.
fn peak(running: &mut Running) -> u64 {
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.runs() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(size.unwrap_or_default() / 1024);
        sleep(Duration::from_millis(20));
    }
    peak
}

/// MB. What is promised holds of a release build; code that is not optimised is larger, and so is what it keeps.
const MEMORY: u64 = if cfg!(debug_assertions) { 64 } else { 30 };

#[test]
fn fault_41_a_flood_of_lines() {
    let scene = inside().timeout("60s").ready();
    let flyctl = scripted(
        &scene,
        "yes 'INFO the machine is still being updated, and nobody needs to know' | head -c 100000000",
    );
    let mut running = start(&scene, &flyctl, &[]);
    let peak = peak(&mut running);
    let ended = running.wait();
    ended.concludes("verified", 0);
    assert!(peak > 0 && peak < MEMORY, "{peak} MB");
    assert!(ended.stderr.len() + ended.stdout.len() < 1_000_000);
    scene.truth().serves("shop", "v2", 2);
    let kept = all_text(&scene.path("state").join("shipctl/shop"));
    assert!(kept.len() < 1_000_000, "{} bytes are kept", kept.len());
}

#[test]
fn fault_41_a_flood_without_a_line_end() {
    let scene = inside().timeout("60s").ready();
    let flyctl = scripted(&scene, "head -c 100000000 /dev/zero | tr '\\0' 'x'; echo");
    let mut running = start(&scene, &flyctl, &[]);
    let peak = peak(&mut running);
    running.wait().concludes("verified", 0);
    assert!(peak > 0 && peak < MEMORY, "{peak} MB");
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_41_a_flood_of_a_flyctl_that_fails() {
    let scene = inside().timeout("4s").ready();
    let flyctl = scripted(&scene, "yes 'Error: no' | head -c 20000000 >&2; exit 1");
    let mut running = start(&scene, &flyctl, &[]);
    let peak = peak(&mut running);
    let ended = running.wait();
    ended.concludes("failed", 6);
    assert!(peak > 0 && peak < MEMORY, "{peak} MB");
    scene.truth().serves("shop", "v1", 2);
}

/// A token as a variable gives it, and one that only its form gives away.
const TOKEN: &str = "fo1_all";
const FOREIGN: &str = "fm2_lJPECAAAAAAAAAAAxBCsecretsecretsecretsecret";

#[test]
fn fault_41_tokens_bad_bytes_and_commands_for_others() {
    let scene = inside().timeout("4s").ready();
    let body = format!(
        "printf '\\377\\376 not text \\200\\n'\n\
         echo 'the token is {TOKEN}, or FlyV1 {FOREIGN}' >&2\n\
         echo '::error::taken from a runner'\n\
         echo '  ##[error]taken from another'\n\
         printf '\\033]0;owned\\007\\033[2J\\033[31mred\\033[0m\\r\\n'\n\
         echo 'Error: everything is lost, {TOKEN} too' >&2\nexit 1"
    );
    let flyctl = scripted(&scene, &body);
    let events = Events::of(&scene);
    let verbose = scene.bare_shipctl(["deploy", "staging", "-v", "--image", &image("v2"), &events.flag()]);
    let ended = verbose
        .env("SHIPCTL_FLYCTL", &flyctl)
        .env("FLY_API_TOKEN", TOKEN)
        .run();
    ended.exits(6).says([
        "[REDACTED]",
        "not text",
        "taken from a runner",
        "everything is lost",
    ]);
    let kept = all_text(&scene.path("state").join("shipctl/shop"));
    let written = fs::read_to_string(scene.path("output").join("events.jsonl")).expect("events");
    for text in [&ended.stdout, &ended.stderr, &kept, &written] {
        assert!(
            !text.contains(TOKEN) && !text.contains(FOREIGN),
            "a token is shown:\n{text}"
        );
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "codes pass through:\n{text:?}"
        );
        for line in text.lines().map(str::trim_start) {
            assert!(
                !line.starts_with("::") && !line.starts_with("##["),
                "a command for a runner: {line}"
            );
        }
    }
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_41_the_same_in_a_document() {
    let scene = inside().timeout("4s").ready();
    let body = format!("printf 'Error: \\033[31m\\377::error::{TOKEN}\\n' >&2\nexit 1");
    let flyctl = scripted(&scene, &body);
    let image = image("v2");
    let call = scene.bare_shipctl(["deploy", "staging", "--json", "--image", &image]);
    let ended = call
        .env("SHIPCTL_FLYCTL", &flyctl)
        .env("FLY_API_TOKEN", TOKEN)
        .run();
    ended.concludes("failed", 6);
    ended.never_says(TOKEN).never_says("\u{1b}").never_says("\\u001b");
    ended.says(["[REDACTED]"]);
}

/// Nothing was shipped, and whose fault that is.
#[track_caller]
fn no_flyctl(scene: &Scene, flyctl: &Path, words: &[&str]) {
    let ended = deploy(scene, flyctl, &[]);
    let refusal = ended.refuses("provider", 10);
    holds(&refusal.to_string(), words);
    assert_eq!(scene.deploys(), 0);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_42_missing() {
    let scene = inside().ready();
    no_flyctl(
        &scene,
        &scene.path("output").join("nowhere/flyctl"),
        &["nowhere/flyctl", "SHIPCTL_FLYCTL"],
    );
}

#[test]
fn fault_42_nowhere_on_the_path() {
    let scene = inside().ready();
    let image = image("v2");
    let call = scene.bare_shipctl(["deploy", "staging", "--json", "--image", &image]);
    let ended = call.env("PATH", scene.path("home")).run();
    let refusal = ended.refuses("provider", 10);
    holds(&refusal.to_string(), &["flyctl", "install"]);
}

#[test]
fn fault_42_not_executable() {
    let scene = inside().ready();
    let flyctl = scripted(&scene, "");
    fs::set_permissions(&flyctl, fs::Permissions::from_mode(0o644)).expect("permissions");
    no_flyctl(&scene, &flyctl, &["scripted", "execut"]);
}

#[test]
fn fault_42_older_than_the_floor() {
    let scene = inside()
        .order(json!({"do": "settings", "flyctl_version": "0.2.3"}))
        .ready();
    let flyctl = scripted(&scene, "");
    no_flyctl(&scene, &flyctl, &["0.2.3", "0.2.4"]);
}

#[test]
fn fault_42_a_development_build_is_new_enough() {
    let scene = inside()
        .order(json!({"do": "settings", "flyctl_version": "2026.11.21-dev.1"}))
        .ready();
    let flyctl = scripted(&scene, "");
    deploy(&scene, &flyctl, &[]).concludes("verified", 0);
    scene.truth().serves("shop", "v2", 2);
}

#[test]
fn fault_42_crashes_at_once() {
    let scene = inside().ready();
    let flyctl = script(&scene, "crashing", "kill -SEGV $$\n");
    no_flyctl(&scene, &flyctl, &["signal"]);
}

#[test]
fn fault_42_prints_nonsense() {
    let scene = inside().ready();
    let flyctl = script(&scene, "nonsense", "echo 'hello there'\n");
    no_flyctl(&scene, &flyctl, &["version"]);
}

#[test]
fn fault_42_crashes_before_a_release() {
    let scene = inside().timeout("6s").ready();
    let flyctl = scripted(
        &scene,
        "echo 'panic: runtime error: invalid memory address' >&2\nexit 2",
    );
    let ended = deploy(&scene, &flyctl, &[]);
    ended.exits(10);
    assert_eq!(ended.json()["services"][0]["provider"]["error_class"], "crashed");
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_42_crashes_after_a_machine_moved() {
    let scene = inside().timeout("4s").ready();
    let stand_in = scene.path("output").join("stand-in/flyctl");
    let once = scene.path("output").join("crashed");
    let body = format!(
        "if [ ! -e '{once}' ]; then\n\
         : > '{once}'\n\
         '{stand_in}' \"$@\"\n\
         echo 'panic: runtime error: invalid memory address' >&2\n\
         kill -SEGV $$\nfi",
        once = once.display(),
        stand_in = stand_in.display()
    );
    let flyctl = scripted(&scene, &body);
    // All machines have moved and are good: flyctl's end is only a warning.
    let document = deploy(&scene, &flyctl, &[]).concludes("verified", 0);
    holds(&warnings(&document), &["although every instance is good"]);
    scene.truth().serves("shop", "v2", 2);
}

/// A mix would stay where nobody tried again.
#[test]
fn fault_42_flyctl_crashes_once_during_the_return() {
    let scene = inside().timeout("4s").ready();
    scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "checks": "critical"}));
    let once = scene.path("output").join("crashed");
    let body = format!(
        "case \" $* \" in *shop:v1*) if [ ! -e '{once}' ]; then : > '{once}'\n\
         echo 'panic: runtime error: invalid memory address or nil pointer dereference' >&2\nexit 2\nfi;; esac",
        once = once.display()
    );
    let flyctl = scripted(&scene, &body);
    deploy(&scene, &flyctl, &[]).concludes("rolled_back", 7);
    assert!(once.exists(), "it crashed");
    scene.truth().serves("shop", "v1", 2);
}
