//! The place where the ledger lies is the fault.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use super::tools::holds;
use crate::support::{Builder, Ended, Running, Scene, image};

/// The binary under test.
const SHIPCTL: &str = env!("CARGO_BIN_EXE_shipctl");

/// Two complete releases that only flyctl knows, the second one serving.
fn unrecorded() -> Builder {
    Scene::builder()
        .seed(json!({"images": [image("v0"), image("v1")]}))
        .unverified()
}

/// A file lies where the environment's folder is expected.
fn without_place() -> Scene {
    let scene = unrecorded().ready();
    let ledger = scene.ledger("staging");
    fs::create_dir_all(ledger.parent().expect("a folder")).expect("a folder for the ledgers");
    fs::write(&ledger, "no folder").expect("a file in the way");
    scene
}

#[test]
fn fault_43_no_place_for_the_ledger_deploy() {
    let scene = without_place();
    let refusal = scene.deploy("v2").run().refuses("error", 1);
    holds(&refusal.to_string(), &["ledger"]);
    assert_eq!(scene.deploys(), 0);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_43_no_place_for_the_ledger_rollback() {
    let scene = without_place();
    let ended = scene.rollback().run();
    ended.concludes("verified", 0);
    holds(&ended.stderr.to_lowercase(), &["warning", "ledger"]);
    scene.truth().serves("shop", "v0", 2);
}

/// How a mount namespace of one's own is to be had here, if at all.
fn namespace() -> Option<&'static str> {
    ["-m", "-rm"].into_iter().find(|how| {
        #[expect(clippy::disallowed_methods, reason = "asks what this machine allows")]
        let mut probe = Command::new("unshare");
        probe.args([*how, "sh", "-c", "mount -t tmpfs none /mnt"]);
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

/// Runs shipctl in the sandbox where the ledger's folder is a file system of its own, which nobody else sees:
/// `ro` read-only, else full to the last byte. `None` where this machine mounts nothing.
fn on_a_bad_disk(scene: &Scene, read_only: bool, args: &[&str]) -> Option<Ended> {
    let how = namespace()?;
    let ledger = scene.ledger("staging");
    fs::create_dir_all(&ledger).expect("a folder for the ledger");
    let script = "mount -t tmpfs -o size=16k none \"$1\" || exit 77\n\
                  if [ \"$2\" = ro ]; then mount -o remount,ro \"$1\" || exit 77\n\
                  else head -c 1000000 /dev/zero > \"$1/filler\" 2>/dev/null; fi\n\
                  shift 2\nexec \"$@\"";
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary under test, in a namespace of its own"
    )]
    let mut command = Command::new("unshare");
    command.args([how, "sh", "-c", script, "sh"]).arg(&ledger);
    command
        .arg(if read_only { "ro" } else { "full" })
        .args([SHIPCTL, "--sandbox"])
        .args(args);
    command.current_dir(scene.project()).env_clear();
    for (name, folder) in [
        ("HOME", "home"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CACHE_HOME", "cache"),
        ("TMPDIR", "tmp"),
    ] {
        command.env(name, scene.path(folder));
    }
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Some(Running::start(command, args.join(" "), &scene.path("output"), 9000).wait())
}

#[expect(clippy::print_stdout, reason = "a test that could not be run says so")]
fn skipped(what: &str) {
    println!("count: skipped: {what}: no file system can be mounted here");
}

#[test]
fn fault_43_full_or_read_only_disk_deploy() {
    for read_only in [false, true] {
        let scene = unrecorded().ready();
        let image = image("v2");
        let deploy = ["deploy", "staging", "--json", "--image", &image];
        let Some(ended) = on_a_bad_disk(&scene, read_only, &deploy) else {
            return skipped("fault_43_full_or_read_only_disk_deploy");
        };
        let refusal = ended.refuses("error", 1);
        let cause = if read_only { "read-only" } else { "no space" };
        holds(&refusal.to_string().to_lowercase(), &["ledger", cause]);
        assert_eq!(scene.deploys(), 0);
        scene.truth().serves("shop", "v1", 2);
    }
}

#[test]
fn fault_43_full_or_read_only_disk_rollback() {
    for read_only in [false, true] {
        let scene = unrecorded().ready();
        let rollback = ["rollback", "staging", "--yes", "--json"];
        let Some(ended) = on_a_bad_disk(&scene, read_only, &rollback) else {
            return skipped("fault_43_full_or_read_only_disk_rollback");
        };
        ended.concludes("verified", 0);
        holds(&ended.stderr.to_lowercase(), &["warning", "ledger"]);
        scene.truth().serves("shop", "v0", 2);
    }
}
