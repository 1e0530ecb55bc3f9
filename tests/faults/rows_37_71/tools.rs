//! What several rows need beside the scene: events as they come, words of a document, a scripted flyctl, a machine
//! without this one's ledger.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Running, Scene, Truth};

/// The binary under test.
const SHIPCTL: &str = env!("CARGO_BIN_EXE_shipctl");

/// Two machines that no public port leads to, with one HTTP check: judged by machines and checks alone.
pub(crate) const FLY_TOML_INSIDE: &str = r#"app = "shop"
primary_region = "iad"

[checks.alive]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
port = 8080
timeout = "2s"
type = "http"
"#;

/// A service whose machines the proxy stops and starts: flyctl leaves such a machine stopped.
pub(crate) const FLY_TOML_SLEEPY: &str = r#"app = "shop"
primary_region = "iad"

[http_service]
internal_port = 8080
auto_stop_machines = true
auto_start_machines = true
min_machines_running = 0

[[http_service.checks]]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
timeout = "2s"
"#;

/// The same, but no machine is ever put to sleep.
pub(crate) const FLY_TOML_AWAKE: &str = r#"app = "shop"
primary_region = "iad"

[http_service]
internal_port = 8080
auto_stop_machines = false
auto_start_machines = true

[[http_service.checks]]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
timeout = "2s"
"#;

/// The file that `--events` writes, read while it grows.
pub(crate) struct Events(PathBuf);

impl Events {
    pub(crate) fn of(scene: &Scene) -> Self {
        Self(scene.path("output").join("events.jsonl"))
    }

    /// The argument that names it.
    pub(crate) fn flag(&self) -> String {
        format!("--events={}", self.0.display())
    }

    /// Whether an event of this name was written; of this phase, if one is named.
    pub(crate) fn hold(&self, event: &str, phase: Option<&str>) -> bool {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|line| line["event"] == event && phase.is_none_or(|phase| line["phase"] == phase))
    }

    /// Waits until a phase has begun.
    pub(crate) fn wait_for(&self, running: &mut Running, phase: &str) {
        running.wait_until(&format!("the phase `{phase}`"), || {
            self.hold("phase.started", Some(phase))
        });
    }
}

fn lines<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    let all = values
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str);
    all.collect::<Vec<_>>().join("\n")
}

/// All warnings of a deployment's document, those of its only service included.
pub(crate) fn warnings(document: &Value) -> String {
    let found = lines([&document["warnings"], &document["services"][0]["warnings"]]);
    if found.is_empty() {
        format!("no warning in {document:#}")
    } else {
        found
    }
}

/// The reasons of its only service.
pub(crate) fn reasons(document: &Value) -> String {
    lines([&document["services"][0]["reasons"]])
}

/// Asserts that a text holds each of these.
#[track_caller]
pub(crate) fn holds(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "nothing says `{words}` in:\n{text}");
    }
}

/// Whether a phase of the document ended so.
#[track_caller]
pub(crate) fn phase(document: &Value, name: &str, result: &str) -> bool {
    let phases = document["phases"].as_array().expect("phases");
    phases
        .iter()
        .any(|phase| phase["name"] == name && phase["result"] == result)
}

/// A live machine as the world describes it, with what `Machine` leaves out.
#[track_caller]
pub(crate) fn raw_machines(truth: &Truth, app: &str) -> Vec<Value> {
    let all = truth.0["apps"][app]["machines"]
        .as_array()
        .expect("an app of the world");
    all.iter()
        .filter(|machine| machine["state"] != "destroyed")
        .cloned()
        .collect()
}

/// Orders the same for all counted machines.
pub(crate) fn every_machine(scene: &Scene, action: &str) {
    scene.order(json!({"do": "machine", "app": "shop", "action": action}));
}

/// A flyctl by script: `body` is what its `deploy` does before it goes on as the stand-in, or instead of it; any
/// other command goes to the stand-in. For what no real program does on purpose: floods, bad bytes, hangs, crashes.
pub(crate) fn scripted(scene: &Scene, body: &str) -> PathBuf {
    let stand_in = stand_in(scene);
    let world = scene.world().display();
    script(
        scene,
        "scripted",
        &format!(
            "export SHIPCTL_SANDBOX_WORLD='{world}'\ncase \" $* \" in\n  *' --help '*) ;;\n  ' deploy '*)\n{body}\n;;\nesac\nexec '{}' \"$@\"\n",
            stand_in.display()
        ),
    )
}

/// An executable shell script in the scene's folder.
pub(crate) fn script(scene: &Scene, name: &str, text: &str) -> PathBuf {
    let path = scene.path("output").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    path
}

/// The stand-in as a program of its own, for scripts: a link by the name that makes it one.
fn stand_in(scene: &Scene) -> PathBuf {
    let folder = scene.path("output").join("stand-in");
    let link = folder.join("flyctl");
    if !link.exists() {
        fs::create_dir_all(&folder).expect("a folder for the stand-in");
        symlink(SHIPCTL, &link).expect("a link to the stand-in");
    }
    link
}

/// Forgets what this machine's ledger of the sandbox knows; the world stays as it is.
pub(crate) fn without_ledger(scene: &Scene) {
    let ledger = scene.ledger("staging");
    assert!(ledger.is_dir(), "no ledger in {}", ledger.display());
    fs::remove_dir_all(&ledger).expect("a ledger to forget");
}

/// Everything that lies in a folder, as text.
pub(crate) fn all_text(folder: &Path) -> String {
    let mut found = String::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("ledger.index") {
                // Numbers and hashes as bytes, which may look like anything.
            } else if let Ok(bytes) = fs::read(&path) {
                found.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    found
}
